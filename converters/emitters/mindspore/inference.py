"""Run the model in this folder with MindSpore and numpy alone.

python infer.py --inputs in.npz --outputs out.npz [--device auto|cpu|cuda|ascend|mlu|musa|xpu]

The .npz files hold one array for each input and output, under its name. bfloat16 has no numpy type:
such arrays are float32 outside, which holds them exactly.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

# 3 is errors only; MindSpore reads it when it is imported.
os.environ.setdefault("GLOG_v", "3")
# With AVX-512 convolutions take oneDNN's reference kernels, which are fifty times slower.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")

import mindspore as ms
import numpy as np

HERE = Path(__file__).resolve().parent
INPUTS: dict[str, str] = {}
OUTPUTS: dict[str, str] = {}

# What the device is called in MindSpore, which knows three.
DEVICES = {
    "cpu": "CPU",
    "cuda": "GPU",
    "ascend": "Ascend",
    "mlu": None,
    "musa": None,
    "xpu": None,
}


def load(device: str = "auto") -> ms.nn.Cell:
    """The model with its weights, on a device, in inference mode."""
    if device not in ("auto", *DEVICES):
        raise ValueError(f"unknown device {device!r}; expected auto, {', '.join(DEVICES)}")
    if device != "auto":
        if DEVICES[device] is None:
            raise ValueError(f"MindSpore has no back end for {device!r}")
        try:
            ms.set_device(DEVICES[device])
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"MindSpore cannot use {device!r} here: {reason}") from None
    ms.set_context(mode=ms.PYNATIVE_MODE)
    model = import_model()()
    if any(True for _ in model.get_parameters()):
        weights = ms.load_checkpoint(str(HERE / "model.ckpt"))
        missing, unused = ms.load_param_into_net(model, weights, strict_load=True)
        if missing or unused:
            raise ValueError(f"model.ckpt does not fit: missing {missing}, not used {unused}")
    return model.set_train(False)


def run(model: ms.nn.Cell, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compute all outputs from all inputs, by name."""
    missing = [name for name in INPUTS if name not in inputs]
    if missing:
        raise ValueError(f"missing inputs {missing}; expected {list(INPUTS)}")
    results = model(*(to_tensor(inputs[name], dtype) for name, dtype in INPUTS.items()))
    results = results if isinstance(results, tuple) else (results,)
    # Work is asynchronous: this is where it is waited for.
    return {name: to_array(result) for name, result in zip(OUTPUTS, results, strict=True)}


def import_model() -> type[ms.nn.Cell]:
    """The class `Model` of the model.py beside this file, whatever the working directory."""
    spec = importlib.util.spec_from_file_location("model", HERE / "model.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["model"] = module
    spec.loader.exec_module(module)
    return module.Model


def to_tensor(array: np.ndarray, dtype: str) -> ms.Tensor:
    """An array as a tensor of the type that the model expects."""
    if dtype == "bfloat16":
        return ms.Tensor(np.asarray(array, np.float32)).astype(ms.bfloat16)
    return ms.Tensor(np.ascontiguousarray(array).reshape(np.shape(array)).astype(dtype))


def to_array(tensor: ms.Tensor) -> np.ndarray:
    """A tensor as an array; bfloat16 becomes float32."""
    return (tensor.astype(ms.float32) if tensor.dtype == ms.bfloat16 else tensor).asnumpy()


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
    except (OSError, ValueError, ImportError) as error:
        sys.exit(f"infer.py: {error}")
    np.savez(args.outputs, **results)


if __name__ == "__main__":
    main()
