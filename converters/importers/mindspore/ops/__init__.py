"""ONE table: a primitive of MindIR -> a function that adds ONNX nodes with the same meaning.

A function takes a `Call` and the primitive's arguments by MindSpore's names: inputs in their order, then what is an x
in newer programs and an attribute in older ones. It returns the name of an ONNX value, a list of names where there are
several results, or a value. What it cannot do exactly it refuses, with the argument and its value. Families share a
room with the small functions that they need and a table of their own.

Source: mindspore/ops/auto_generate/gen_ops_prim.py (arguments), the operators' documentation, and what the kernels of
MindSpore 2.10 compute (tests/importers); the ONNX operator specification, opset 20.
"""

from __future__ import annotations

from collections.abc import Mapping

from converters.importers.mindspore.build import Rule
from converters.importers.mindspore.ops import (
    activation,
    binary,
    convolution,
    creation,
    elementwise,
    images,
    indexing,
    matrices,
    normalisation,
    padding,
    recurrent,
    reduction,
    scalars,
    shape,
)

TABLE: Mapping[str, Rule] = {
    **elementwise.TABLE,
    **activation.TABLE,
    **binary.TABLE,
    **matrices.TABLE,
    **convolution.TABLE,
    **images.TABLE,
    **padding.TABLE,
    **normalisation.TABLE,
    **reduction.TABLE,
    **shape.TABLE,
    **indexing.TABLE,
    **creation.TABLE,
    **scalars.TABLE,
    **recurrent.TABLE,
}
