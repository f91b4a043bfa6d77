"""Run the model in this folder with PyTorch and numpy alone.

python infer.py --inputs in.npz --outputs out.npz [--device auto|cpu|cuda|ascend|mlu|musa|xpu]

The .npz files hold one array for each input and output, under its name. bfloat16 has no numpy type:
such arrays are float32 outside, which holds them exactly.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
INPUTS: dict[str, str] = {}
OUTPUTS: dict[str, str] = {}

# What the device is called in PyTorch, and the package of its vendor.
DEVICES = {
    "cpu": ("cpu", None),
    "cuda": ("cuda", None),
    "ascend": ("npu", "torch_npu"),
    "mlu": ("mlu", "torch_mlu"),
    "musa": ("musa", "torch_musa"),
    "xpu": ("xpu", None),
}
# Names of element types in a safetensors header: https://github.com/huggingface/safetensors#format
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "U16": torch.uint16, "U32": torch.uint32, "U64": torch.uint64, "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "C64": torch.complex64,
}  # fmt: skip


def load(device: str = "auto") -> torch.nn.Module:
    """The model with its weights, on a device, in inference mode."""
    model = import_model()()
    model.load_state_dict(read_weights(HERE / "model.safetensors"))
    return model.to(torch_device(device)).eval()


def run(model: torch.nn.Module, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compute all outputs from all inputs, by name."""
    missing = [name for name in INPUTS if name not in inputs]
    if missing:
        raise ValueError(f"missing inputs {missing}; expected {list(INPUTS)}")
    tensor = next(iter((*model.parameters(), *model.buffers())), torch.empty(0))
    arguments = [
        to_tensor(inputs[name], dtype, device=tensor.device) for name, dtype in INPUTS.items()
    ]
    with torch.inference_mode():
        results = model(*arguments)
    results = results if isinstance(results, tuple) else (results,)
    return {name: to_array(result) for name, result in zip(OUTPUTS, results, strict=True)}


def import_model() -> type[torch.nn.Module]:
    """The class `Model` of the model.py beside this file, whatever the working directory."""
    spec = importlib.util.spec_from_file_location("model", HERE / "model.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["model"] = module
    spec.loader.exec_module(module)
    return module.Model


def torch_device(name: str) -> torch.device:
    """The PyTorch device for a name of ours; `auto` is CUDA where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in DEVICES:
        raise ValueError(f"unknown device {name!r}; expected auto, {', '.join(DEVICES)}")
    device, package = DEVICES[name]
    if package is not None:
        importlib.import_module(package)
    return torch.device(device)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file: 8 bytes of header length, a JSON header, the bytes."""
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8:start]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        dtype, shape = DTYPES[entry["dtype"]], entry["shape"]
        if begin == end:
            tensors[name] = torch.empty(shape, dtype=dtype)
        else:
            part = data[start + begin : start + end]
            tensors[name] = torch.frombuffer(part, dtype=dtype).reshape(shape)
    return tensors


def to_tensor(array: np.ndarray, dtype: str, device: torch.device) -> torch.Tensor:
    """An array as a tensor of the type that the model expects, beside its weights."""
    plain = np.ascontiguousarray(array).reshape(np.shape(array))
    if dtype == "bfloat16" or dtype.startswith("float8"):
        return torch.from_numpy(plain.astype(np.float32)).to(device, getattr(torch, dtype))
    return torch.from_numpy(plain.astype(dtype)).to(device)


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """A tensor as an array; types that numpy lacks become float32."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16 or str(tensor.dtype).startswith("torch.float8"):
        tensor = tensor.float()
    return tensor.numpy()


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
