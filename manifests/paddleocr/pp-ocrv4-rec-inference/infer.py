"""Run PaddleOCR's own inference model in this folder with paddle.inference and numpy.

python infer.py --inputs in.npz --outputs out.npz [--device auto|cpu|cuda|ascend|mlu|musa|xpu]

The .npz files hold one array for each input and output, under its name.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import inference

HERE = Path(__file__).resolve().parent

# What the device is called in Paddle where it is not built in, but comes as a plugin.
PLUGINS = {"ascend": "npu", "mlu": "mlu", "musa": "musa"}
DEVICES = ("cpu", "cuda", "xpu", *PLUGINS)
GPU_MEMORY = 256  # MiB that are taken at first; more follow as they are needed


def load(device: str = "auto") -> Any:
    """A predictor with the model on a device."""
    config = inference.Config(str(HERE / "inference.pdmodel"), str(HERE / "inference.pdiparams"))
    config.disable_glog_info()
    place(config, device)
    return inference.create_predictor(config)


def run(model: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compute all outputs from all inputs, by name."""
    names = model.get_input_names()
    missing = [name for name in names if name not in inputs]
    if missing:
        raise ValueError(f"missing inputs {missing}; expected {names}")
    for name in names:
        array = np.ascontiguousarray(inputs[name], dtype=np.float32)
        handle = model.get_input_handle(name)
        handle.reshape(array.shape)
        handle.copy_from_cpu(array)
    model.run()
    return {name: model.get_output_handle(name).copy_to_cpu() for name in model.get_output_names()}


def place(config: Any, device: str) -> None:
    """Put a model on a device by a name of ours; `auto` is CUDA where there is one."""
    if device == "auto":
        gpu = paddle.device.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
        device = "cuda" if gpu else "cpu"
    if device == "cpu":
        config.disable_gpu()
    elif device == "cuda":
        require(paddle.device.is_compiled_with_cuda(), device)
        config.enable_use_gpu(GPU_MEMORY, 0)
    elif device == "xpu":
        require(paddle.device.is_compiled_with_xpu(), device)
        config.enable_xpu()
    elif device in PLUGINS:
        require(PLUGINS[device] in paddle.device.get_all_custom_device_type(), device)
        config.enable_custom_device(PLUGINS[device])
    else:
        raise ValueError(f"unknown device {device!r}; expected auto, {', '.join(DEVICES)}")


def require(there: bool, device: str) -> None:
    """Refuse a device that this build of Paddle does not have."""
    if not there:
        raise ValueError(f"this PaddlePaddle has no {device}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Run the model in this folder.")
    parser.add_argument("--inputs", required=True, help="an .npz file with an array for each input")
    parser.add_argument("--outputs", required=True, help="the .npz file to write")
    parser.add_argument("--device", default="auto", choices=["auto", *DEVICES])
    args = parser.parse_args()
    try:
        with np.load(args.inputs) as inputs:
            results = run(load(args.device), dict(inputs))
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(f"infer.py: {error}")
    np.savez(args.outputs, **results)


if __name__ == "__main__":
    main()
