"""Operators of emitted models: known to torch, so that programs that were saved with them load, and as ONNX nodes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.onnx import JitScalarType, symbolic_helper

# It defines the operators for emitted models and imports nothing but torch.
SOURCE = Path(__file__).parents[3] / "emitters" / "pytorch" / "operators.py"


def define() -> None:
    """Make torch know them."""
    spec = importlib.util.spec_from_file_location("polyzoo_operators", SOURCE)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))  # type: ignore[union-attr, arg-type]


def translations() -> Mapping[Any, Callable[..., Any]]:
    """The nodes for the exporter of exported programs."""
    from onnxscript import opset18 as op

    def non_max_suppression(
        boxes: Any, scores: Any, most: Any, overlap: float, least: float | None, centered: bool
    ) -> Any:
        count = op.Constant(value_int=most) if isinstance(most, int) else most
        limits = [op.Constant(value_float=one) for one in (overlap, least) if one is not None]
        return op.NonMaxSuppression(boxes, scores, count, *limits, center_point_box=int(centered))

    return {torch.ops.polyzoo.non_max_suppression.default: non_max_suppression}


def register(opset: int) -> None:
    """Make the exporter of TorchScript know the nodes."""

    def non_max_suppression(graph: Any, boxes: Any, scores: Any, *rest: Any) -> Any:
        most, *limits, centered = rest
        reals = [
            # What is a number to TorchScript is one of float64 to its exporter.
            graph.op("Cast", one, to_i=JitScalarType.FLOAT.onnx_type())
            for one in limits
            if not symbolic_helper._is_none(one)
        ]
        center = int(symbolic_helper._get_const(centered, "b", "centered"))
        return graph.op("NonMaxSuppression", boxes, scores, most, *reals, center_point_box_i=center)

    torch.onnx.register_custom_op_symbolic(
        "polyzoo::non_max_suppression", non_max_suppression, opset
    )
