"""Run the program in this folder with MindSpore: a module with the two functions of an infer.py."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import mindspore
import numpy as np
from mindspore import nn

HERE = Path(__file__).resolve().parent
INPUTS: dict[str, str] = {}
OUTPUTS: dict[str, str] = {}
# Element types that have no numpy type.
WITHOUT_NUMPY = ("bfloat16", "float8_e4m3fn", "float8_e5m2")

Shapes: TypeAlias = "tuple[tuple[int, ...], ...]"


class Program:
    """A program of MindSpore, as a cell for the shapes of the last run.

    A cell that has failed is of no use any more, and one with control flow takes one set of shapes (MindSpore 2.10).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # What cannot be loaded is said at once.
        self.cells: dict[Shapes, nn.GraphCell] = {(): nn.GraphCell(mindspore.load(str(path)))}

    def take(self, shapes: Shapes) -> nn.GraphCell:
        """A cell for these shapes, which is given back when it has run."""
        cell = self.cells.pop(shapes, None) or self.cells.pop((), None)
        self.cells.clear()
        return cell or nn.GraphCell(mindspore.load(str(self.path)))


def load(device: str = "auto") -> Program:
    """The program."""
    mindspore.set_device("CPU")
    (path,) = HERE.glob("*.mindir")
    return Program(path)


def run(model: Program, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compute all outputs from all inputs, by name."""
    tensors = [to_tensor(inputs[name], dtype) for name, dtype in INPUTS.items()]
    shapes = tuple(tensor.shape for tensor in tensors)
    cell = model.take(shapes)
    results = cell(*tensors)
    results = results if isinstance(results, (tuple, list)) else (results,)
    arrays = {name: to_array(result) for name, result in zip(OUTPUTS, results, strict=True)}
    model.cells[shapes] = cell
    return arrays


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
