"""What the exporter of TorchScript refuses where it does not know a rank, as nodes: one function for each operator.

A branch may give a tensor of another rank than the other one, `x.squeeze(-1)` beside `x`; axes that count from the end
mean the same for both, to ONNX too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.onnx import JitScalarType, symbolic_helper, symbolic_opset9


def unsqueeze(graph: Any, x: Any, axis: Any) -> Any:
    """An axis of size one, counted from either end."""
    return graph.op("Unsqueeze", x, _ints(graph, symbolic_helper._get_const(axis, "i", "dim")))


def relu(graph: Any, x: Any) -> Any:
    """Of any type."""
    return graph.op("Relu", x)


def tensor(graph: Any, data: Any, dtype: Any, *rest: Any) -> Any:
    """A tensor of numbers, which may be a shape: that is one already."""
    if data.node().kind() != "onnx::Shape":
        return symbolic_opset9.tensor(graph, data, dtype, *rest)
    wanted = symbolic_helper._maybe_get_const(dtype, "i")
    if not isinstance(wanted, int):
        return data
    return graph.op("Cast", data, to_i=JitScalarType(wanted).onnx_type())


def _ints(graph: Any, *numbers: int) -> Any:
    return graph.op("Constant", value_t=torch.tensor(numbers))


FORMS: Mapping[str, Callable[..., Any]] = {
    "aten::unsqueeze": unsqueeze,
    "aten::relu": relu,
    "aten::tensor": tensor,
}


def register(opset: int) -> None:
    """Make the exporter use them."""
    for name, function in FORMS.items():
        torch.onnx.register_custom_op_symbolic(name, function, opset)
