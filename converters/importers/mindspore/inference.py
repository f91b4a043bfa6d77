"""Run the program in this folder with MindSpore: a module with the two functions of an infer.py."""

from __future__ import annotations

from pathlib import Path

import mindspore
import numpy as np
from mindspore import nn

HERE = Path(__file__).resolve().parent
INPUTS: dict[str, str] = {}
OUTPUTS: dict[str, str] = {}
# Element types that have no numpy type.
WITHOUT_NUMPY = ("bfloat16", "float8_e4m3fn", "float8_e5m2")


def load(device: str = "auto") -> nn.GraphCell:
    """The program as a cell."""
    mindspore.set_device("CPU")
    (program,) = HERE.glob("*.mindir")
    return nn.GraphCell(mindspore.load(str(program)))


def run(model: nn.GraphCell, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compute all outputs from all inputs, by name."""
    results = model(*(to_tensor(inputs[name], dtype) for name, dtype in INPUTS.items()))
    results = results if isinstance(results, (tuple, list)) else (results,)
    return {name: to_array(result) for name, result in zip(OUTPUTS, results, strict=True)}


def to_tensor(array: np.ndarray, dtype: str) -> mindspore.Tensor:
    """An array as a tensor of the type that the program expects."""
    if dtype in WITHOUT_NUMPY:
        return mindspore.Tensor(np.asarray(array, np.float32)).astype(getattr(mindspore, dtype))
    return mindspore.Tensor(np.ascontiguousarray(np.asarray(array).astype(dtype)))


def to_array(tensor: mindspore.Tensor) -> np.ndarray:
    """A tensor as an array; types that numpy lacks become float32."""
    if str(tensor.dtype).lower() in WITHOUT_NUMPY:
        tensor = tensor.astype(mindspore.float32)
    return tensor.asnumpy()
