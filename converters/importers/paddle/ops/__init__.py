"""ONE table: an operator of Paddle's programs -> a function that adds ONNX nodes with the same meaning.

A function takes a `Call`, reads slots and attributes by Paddle's names and ends with `put`. What it cannot do
exactly it refuses, with the attribute and its value. Families share a room with the small functions that they need, a
table of their own, and rows that say how PIR calls its operators.

Source: the operators' documentation and what the kernels of PaddlePaddle 3.3 compute (tests/importers); the ONNX
operator specification, opset 20.
"""

from __future__ import annotations

from collections.abc import Mapping

from converters.importers.paddle.build import Rule
from converters.importers.paddle.ops import (
    arithmetic,
    binary,
    convolution,
    creation,
    detection,
    elementwise,
    images,
    indexing,
    lists,
    matrices,
    normalisation,
    norms,
    pairs,
    quantised,
    recurrent,
    reduction,
    sequences,
    shape,
    windows,
)
from converters.importers.paddle.rows import Row

TABLE: Mapping[str, Rule] = {
    **arithmetic.TABLE,
    **binary.TABLE,
    **convolution.TABLE,
    **creation.TABLE,
    **detection.TABLE,
    **elementwise.TABLE,
    **images.TABLE,
    **indexing.TABLE,
    **lists.TABLE,
    **matrices.TABLE,
    **normalisation.TABLE,
    **norms.TABLE,
    **pairs.TABLE,
    **quantised.TABLE,
    **recurrent.TABLE,
    **reduction.TABLE,
    **sequences.TABLE,
    **shape.TABLE,
    **windows.TABLE,
}

# An operator of PIR -> how it is called in the older form, whose names the table has.
ROWS: Mapping[str, Row] = {
    **arithmetic.ROWS,
    **binary.ROWS,
    **convolution.ROWS,
    **creation.ROWS,
    **detection.ROWS,
    **elementwise.ROWS,
    **images.ROWS,
    **indexing.ROWS,
    **lists.ROWS,
    **matrices.ROWS,
    **normalisation.ROWS,
    **norms.ROWS,
    **pairs.ROWS,
    **quantised.ROWS,
    **recurrent.ROWS,
    **reduction.ROWS,
    **shape.ROWS,
    **windows.ROWS,
}
