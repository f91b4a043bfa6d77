"""Run the model in this folder with ONNX Runtime and numpy alone.

python infer.py --inputs in.npz --outputs out.npz [--device auto|cpu|cuda|ascend|mlu|musa|xpu]

The .npz files hold one array for each input and output, under its name.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import onnxruntime

HERE = Path(__file__).resolve().parent
INPUTS: dict[str, str] = {}
OUTPUTS: dict[str, str] = {}

# What the device is called in ONNX Runtime.
DEVICES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "ascend": "CANNExecutionProvider",
    "mlu": "MLUExecutionProvider",
    "musa": "MUSAExecutionProvider",
    "xpu": "XPUExecutionProvider",
}


def load(device: str = "auto") -> onnxruntime.InferenceSession:
    """A session with the model on a device."""
    return onnxruntime.InferenceSession(str(HERE / "model.onnx"), providers=providers(device))


def run(
    model: onnxruntime.InferenceSession, inputs: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Compute all outputs from all inputs, by name."""
    missing = [name for name in INPUTS if name not in inputs]
    if missing:
        raise ValueError(f"missing inputs {missing}; expected {list(INPUTS)}")
    feeds = {name: to_tensor(inputs[name], dtype) for name, dtype in INPUTS.items()}
    results = model.run(list(OUTPUTS), feeds)
    return {name: to_array(result) for name, result in zip(OUTPUTS, results, strict=True)}


def to_tensor(array: np.ndarray, dtype: str) -> np.ndarray:
    """An array in the type that the model expects."""
    return np.asarray(array).astype(dtype)


def to_array(result: np.ndarray) -> np.ndarray:
    """What the model gives, which is an array already."""
    return np.asarray(result)


def providers(device: str) -> list[str]:
    """The execution providers for a name of ours; `auto` is CUDA where there is one."""
    available = onnxruntime.get_available_providers()
    if device == "auto":
        wanted = [DEVICES["cuda"], DEVICES["cpu"]]
        return [name for name in wanted if name in available]
    if device not in DEVICES:
        raise ValueError(f"unknown device {device!r}; expected auto, {', '.join(DEVICES)}")
    if DEVICES[device] not in available:
        raise ValueError(f"this ONNX Runtime has no {DEVICES[device]}, only {available}")
    return list(dict.fromkeys([DEVICES[device], DEVICES["cpu"]]))


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
