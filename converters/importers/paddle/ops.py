"""ONE table: an operator of Paddle's programs -> a function that adds ONNX nodes with the same meaning.

A function takes a `Call`, reads slots and attributes by Paddle's names and ends with `put`. What it cannot do
exactly it refuses, with the attribute and its value. Families share the small functions above them.

Source: the operators' documentation and what the kernels of PaddlePaddle 3.3 compute (tests/importers); the ONNX
operator specification, opset 20.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from onnx import numpy_helper

from converters.dtypes import BY_NAME, ElementType
from converters.importers.cells import adaptive_average, adaptive_max
from converters.importers.graph import (
    INT64,
    INT_LIMIT,
    LARGEST_CONSTANT,
    LARGEST_RANK,
    Array,
    Integers,
    Value,
)
from converters.importers.paddle.arithmetic import ARITHMETIC
from converters.importers.paddle.build import Call, Counting, Length, Stacked, Tensors
from converters.importers.paddle.detection import DETECTION
from converters.importers.paddle.indexing import INDEXING
from converters.importers.paddle.quantised import QUANTISED
from converters.importers.paddle.sequences import SEQUENCES
from converters.importers.paddle.windows import WINDOWS

Rule: TypeAlias = Callable[[Call], None]

FLOAT = BY_NAME["float32"]
INT32 = BY_NAME["int32"]
BOOL = BY_NAME["bool"]
MOST_LAYERS = 64


# ***** One tensor, element by element *****


def _unary(kind: str, **fixed: Any) -> Rule:
    """An operator that ONNX has too."""

    def rule(call: Call) -> None:
        call.put("Out", kind, call.value().name, **fixed)

    return rule


def _with(kind: str, **attributes: tuple[str, float]) -> Rule:
    """... with attributes: the name in ONNX -> the name here, and what it is where it is not said."""

    def rule(call: Call) -> None:
        said = {name: call.real(own, default) for name, (own, default) in attributes.items()}
        call.put("Out", kind, call.value().name, **said)

    return rule


def _round(call: Call) -> None:
    call.only("decimals", 0)
    call.put("Out", "Round", call.value().name)


def _rsqrt(call: Call) -> None:
    call.put("Out", "Reciprocal", call.node("Sqrt", call.value().name))


def _square(call: Call) -> None:
    x = call.value()
    call.put("Out", "Mul", x.name, x.name)


def _log_base(call: Call, base: float) -> None:
    x = call.value()
    call.put("Out", "Div", call.node("Log", x.name), call.scalar(math.log(base), x.type))


def _log1p(call: Call) -> None:
    x = call.value()
    call.put("Out", "Log", call.node("Add", x.name, call.scalar(1, x.type)))


def _expm1(call: Call) -> None:
    x = call.value()
    call.put("Out", "Sub", call.node("Exp", x.name), call.scalar(1, x.type))


def _hard_swish(call: Call) -> None:
    # Paddle 3 takes no notice of other values, older ones did: no result of theirs could be right.
    for name, standard in (("offset", 3.0), ("threshold", 6.0), ("scale", 6.0)):
        call.only(name, standard)
    call.put("Out", "HardSwish", call.value().name)


def _swish(call: Call, beta: float | None = None) -> None:
    x = call.value()
    beta = call.real("beta", 1.0) if beta is None else beta
    scaled = x.name if beta == 1.0 else call.node("Mul", x.name, call.scalar(beta, x.type))
    call.put("Out", "Mul", x.name, call.node("Sigmoid", scaled))


def _clipped(call: Call, low: tuple[str, float], high: tuple[str, float]) -> None:
    x = call.value()
    ends = [call.scalar(call.real(*low), x.type), call.scalar(call.real(*high), x.type)]
    call.put("Out", "Clip", x.name, *ends)


def _relu6(call: Call) -> None:
    x = call.value()
    limit = call.scalar(call.real("threshold", 6.0), x.type)
    call.put("Out", "Clip", x.name, call.scalar(0, x.type), limit)


def _softplus(call: Call) -> None:
    x = call.value()
    beta, threshold = call.real("beta", 1.0), call.real("threshold", 20.0)
    scaled = x.name if beta == 1.0 else call.node("Mul", x.name, call.scalar(beta, x.type))
    soft = call.node("Softplus", scaled)
    if beta != 1.0:
        soft = call.node("Div", soft, call.scalar(beta, x.type))
    far = call.node("Greater", scaled, call.scalar(threshold, x.type))
    call.put("Out", "Where", far, x.name, soft)


def _log_sigmoid(call: Call) -> None:
    call.put("Out", "Neg", call.node("Softplus", call.node("Neg", call.value().name)))


def _tanh_shrink(call: Call) -> None:
    x = call.value()
    call.put("Out", "Sub", x.name, call.node("Tanh", x.name))


def _stanh(call: Call) -> None:
    x = call.value()
    inner = call.scalar(call.real("scale_a", 0.67), x.type)
    outer = call.scalar(call.real("scale_b", 1.7159), x.type)
    call.put("Out", "Mul", call.node("Tanh", call.node("Mul", x.name, inner)), outer)


def _soft_shrink(call: Call) -> None:
    limit = call.real("lambda", 0.5)
    call.put("Out", "Shrink", call.value().name, bias=limit, lambd=limit)


def _thresholded(call: Call) -> None:
    call.only("value", 0.0)
    call.put("Out", "ThresholdedRelu", call.value().name, alpha=call.real("threshold", 1.0))


def _gelu(call: Call) -> None:
    form = "tanh" if call.flag("approximate") else "none"
    call.put("Out", "Gelu", call.value().name, approximate=form)


def _is_finite(call: Call) -> None:
    x = call.value().name
    call.put("Out", "Not", call.node("Or", call.node("IsNaN", x), call.node("IsInf", x)))


def _pow(call: Call) -> None:
    x = call.value()
    power = call.maybe("FactorTensor")
    if power is not None:
        call.put("Out", "Pow", x.name, call.node("Reshape", power.name, call.vector([])))
        return
    call.put("Out", "Pow", x.name, call.scalar(call.real("factor", 1.0), x.type))


def _scale(call: Call) -> None:
    """`x * scale + bias`, or `(x + bias) * scale`."""
    x = call.value()
    tensor = call.maybe("ScaleTensor")
    if tensor is None:
        factor: float | str = call.real("scale", 1.0)
    elif tensor.array is not None and tensor.array.size == 1:
        factor = float(tensor.array.reshape(-1)[0])
    else:
        alone = call.node("Reshape", tensor.name, call.vector([]))
        factor = call.cast(alone, tensor.type, x.type)
    bias, after = call.real("bias", 0.0), call.flag("bias_after_scale", True)
    steps: list[tuple[str, float | str]] = [("Mul", factor), ("Add", bias)]
    steps = [
        (kind, number)
        for kind, number in (steps if after else steps[::-1])
        if number != (1.0 if kind == "Mul" else 0.0)
    ]
    name = x.name
    for kind, number in steps[:-1]:
        name = call.node(kind, name, _operand(call, number, x.type))
    if steps:
        call.put("Out", steps[-1][0], name, _operand(call, steps[-1][1], x.type))
    else:
        call.put("Out", "Identity", name)
    call.retype("Out", x.type)


def _operand(call: Call, number: float | str, kind: ElementType) -> str:
    return number if isinstance(number, str) else call.scalar(number, kind)


def _cast(call: Call) -> None:
    x = call.value()
    kind = call.kind("out_dtype") or call.kind("dtype")
    if kind is None or kind.onnx is None:
        call.malformed("it does not say to which element type")
    call.put("Out", "Cast", x.name, to=kind.onnx)
    if x.array is not None and x.array.dtype.kind in "biu" and kind.numpy.kind in "biuf":
        call.know("Out", x.array.astype(kind.numpy))


def _assign(call: Call) -> None:
    x = call.value()
    if x.array is not None:
        call.put_constant("Out", x.array)
        return
    call.put("Out", "Identity", x.name)
    if x.dims is not None:
        # What it is written into may be declared otherwise.
        call.redeclare("Out", x.dims)


def _clip(call: Call) -> None:
    x = call.value()
    ends = []
    for slot, name in (("Min", "min"), ("Max", "max")):
        given = call.maybe(slot)
        if given is None:
            ends.append(call.scalar(call.real(name), x.type))
        elif given.array is not None and given.array.size == 1:
            ends.append(call.scalar(float(given.array.reshape(-1)[0]), x.type))
        else:
            alone = call.node("Reshape", given.name, call.vector([]))
            ends.append(call.cast(alone, given.type, x.type))
    call.put("Out", "Clip", x.name, *ends)


def _dropout(call: Call) -> None:
    """In inference: nothing, or a scale where training did not scale up."""
    x = call.value()
    share = _probability(call)
    if not call.flag("is_test") and share != 0.0:
        call.refuse("is_test = false")
    form = call.text("dropout_implementation", "downgrade_in_infer")
    if form == "upscale_in_train":
        call.put("Out", "Identity", x.name)
    elif form == "downgrade_in_infer":
        call.put("Out", "Mul", x.name, call.scalar(1.0 - share, x.type))
    else:
        call.refuse(f"dropout_implementation = {form[:50]}")


def _probability(call: Call) -> float:
    given = call.maybe("PTensor")
    if given is None:
        return call.real("dropout_prob", 0.5)
    if given.array is None or given.array.size != 1:
        call.refuse("a probability that is computed when the model runs")
    return float(given.array.reshape(-1)[0])


# ***** Two tensors, element by element *****


def _aligned(call: Call, x: Value, y: Value) -> tuple[str, str]:
    """Both operands so that ONNX broadcasts them: the smaller one begins at `axis` of the larger."""
    axis = call.integer("axis", -1)
    difference = x.rank - y.rank
    if axis == -1 or difference == 0:
        return x.name, y.name
    large, small = (x, y) if difference > 0 else (y, x)
    axis = call.axis(axis, large.rank)
    behind = large.rank - axis - small.rank
    if behind < 0:
        # Ones at the end of the smaller one were not counted.
        extra = small.shape[behind:]
        if any(size != 1 for size in extra):
            call.malformed(f"axis {axis} for shapes {list(x.shape)} and {list(y.shape)}")
        moved = call.node(
            "Squeeze", small.name, call.vector(range(small.rank + behind, small.rank))
        )
    elif behind == 0:
        moved = small.name
    else:
        places = range(small.rank, small.rank + behind)
        moved = call.node("Unsqueeze", small.name, call.vector(places))
    return (x.name, moved) if difference > 0 else (moved, y.name)


def _pair(call: Call) -> tuple[Value, Value, str, str]:
    for name in ("Scale_x", "Scale_y", "Scale_out"):
        call.only(name, 1.0)
    x, y = call.value("X"), call.value("Y")
    if x.kind != y.kind:
        call.refuse(f"operands of the types {x.type.name} and {y.type.name}")
    return x, y, *_aligned(call, x, y)


def _binary(kind: str) -> Rule:
    """An operator of two tensors that ONNX has too."""

    def rule(call: Call) -> None:
        *_, x, y = _pair(call)
        call.put("Out", kind, x, y)

    return rule


def _not_equal(call: Call) -> None:
    *_, x, y = _pair(call)
    call.put("Out", "Not", call.node("Equal", x, y))


def _remainder(call: Call, kind: ElementType, x: str, y: str) -> str:
    """The remainder that has the sign of the divisor."""
    if kind.numpy.kind in "iu":
        return call.node("Mod", x, y)
    rest = call.node("Mod", x, y, fmod=1)
    zero = call.scalar(0, kind)
    other = call.node("Xor", call.node("Less", rest, zero), call.node("Less", y, zero))
    there = call.node("Not", call.node("Equal", rest, zero))
    turned = call.node("And", other, there)
    return call.node("Where", turned, call.node("Add", rest, y), rest)


def _mod(call: Call) -> None:
    first, _, x, y = _pair(call)
    call.put("Out", "Identity", _remainder(call, first.type, x, y))


def _floor_divide(call: Call) -> None:
    first, _, x, y = _pair(call)
    if first.type.numpy.kind not in "iu":
        call.put("Out", "Floor", call.node("Div", x, y))
        return
    call.put("Out", "Div", call.node("Sub", x, _remainder(call, first.type, x, y)), y)


def _logical(kind: str) -> Rule:
    """A logical operator; numbers are true unless they are zero."""

    def rule(call: Call) -> None:
        slots = ("X",) if kind == "Not" else ("X", "Y")
        values = [call.value(slot) for slot in slots]
        call.put("Out", kind, *(call.cast(value.name, value.type, BOOL) for value in values))

    return rule


def _bitwise(kind: str) -> Rule:
    """A bitwise operator, which is the logical one for booleans."""

    def rule(call: Call) -> None:
        slots = ("X",) if kind == "Not" else ("X", "Y")
        values = [call.value(slot) for slot in slots]
        prefix = "" if values[0].type == BOOL else "Bitwise"
        call.put("Out", f"{prefix}{kind}", *(value.name for value in values))

    return rule


def _sum(call: Call) -> None:
    """The sum of a list of tensors."""
    values = call.values("X")
    if not values:
        call.malformed("nothing to add")
    name = values[0].name
    for value in values[1:-1]:
        name = call.node("Add", name, value.name)
    if len(values) == 1:
        call.put("Out", "Identity", name)
    else:
        call.put("Out", "Add", name, values[-1].name)


def _where(call: Call) -> None:
    call.put("Out", "Where", *(call.value(slot).name for slot in ("Condition", "X", "Y")))


def _masked_fill(call: Call) -> None:
    call.put("Out", "Where", *(call.value(slot).name for slot in ("Mask", "Value", "X")))


def _increment(call: Call) -> None:
    x = call.value()
    call.put("Out", "Add", x.name, call.scalar(call.real("step", 1.0), x.type))


def _prelu(call: Call) -> None:
    x, alpha = call.value(), call.value("Alpha")
    mode = call.text("mode", "all")
    last = call.text("data_format", "NCHW").endswith("C")
    slope = alpha.name
    if mode == "channel" and not last and x.rank > 2:
        slope = call.node("Reshape", slope, call.vector([-1] + [1] * (x.rank - 2)))
    elif mode == "channel" or mode == "all":
        slope = call.node("Reshape", slope, call.vector([-1]))
    elif mode != "element":
        call.refuse(f"mode = {mode[:50]}")
    call.put("Out", "PRelu", x.name, slope)


# ***** Matrices *****


def _transposed(call: Call, x: Value, flag: bool) -> str:
    """A matrix with its last two dimensions swapped."""
    if not flag or x.rank < 2:
        return x.name
    order = [*range(x.rank)]
    order[-2:] = order[:-3:-1]
    return call.node("Transpose", x.name, perm=order)


def _matmul(call: Call) -> None:
    x, y = call.value("X"), call.value("Y")
    first = _transposed(call, x, call.flag("trans_x"))
    call.put("Out", "MatMul", first, _transposed(call, y, call.flag("trans_y")))


def _matmul_old(call: Call) -> None:
    """The operator before version 2: with a factor."""
    x, y = call.value("X"), call.value("Y")
    if x.rank < 2 or y.rank < 2:
        call.refuse(f"operands of {x.rank} and {y.rank} dimensions")
    first = _transposed(call, x, call.flag("transpose_X"))
    second = _transposed(call, y, call.flag("transpose_Y"))
    factor = call.real("alpha", 1.0)
    if factor == 1.0:
        call.put("Out", "MatMul", first, second)
    else:
        product = call.node("MatMul", first, second)
        call.put("Out", "Mul", product, call.scalar(factor, x.type))


def _flattened_product(call: Call, x: Value, y: Value, split_x: int, split_y: int) -> str:
    """Two tensors as matrices, split behind so many dimensions; the product has what is left of both."""
    if not 0 < split_x < x.rank or not 0 < split_y < y.rank:
        call.malformed(f"{split_x} and {split_y} of {x.rank} and {y.rank} dimensions")
    if split_x == x.rank - 1 and split_y == 1 and y.rank == 2:
        return call.node("MatMul", x.name, y.name)
    first = call.node("Flatten", x.name, axis=split_x)
    second = call.node("Flatten", y.name, axis=split_y)
    sizes = [call.dims(x.name, 0, split_x), call.dims(y.name, split_y)]
    return call.node(
        "Reshape", call.node("MatMul", first, second), call.node("Concat", *sizes, axis=0)
    )


def _mul(call: Call) -> None:
    split_x, split_y = call.integer("x_num_col_dims", 1), call.integer("y_num_col_dims", 1)
    product = _flattened_product(call, call.value("X"), call.value("Y"), split_x, split_y)
    call.put("Out", "Identity", product)


def _fc(call: Call) -> None:
    call.only("padding_weights", False)
    split = call.integer("in_num_col_dims", 1)
    name = _flattened_product(call, call.value("Input"), call.value("W"), split, 1)
    bias = call.maybe("Bias")
    if bias is not None:
        name = call.node("Add", name, call.node("Reshape", bias.name, call.vector([-1])))
    active = call.text("activation_type", "")
    if active not in ("", "relu"):
        call.refuse(f"activation_type = {active[:50]}")
    call.put("Out", "Relu" if active else "Identity", name)


def _dot(call: Call) -> None:
    product = call.node("Mul", call.value("X").name, call.value("Y").name)
    call.put("Out", "ReduceSum", product, call.vector([-1]), keepdims=0)


def _matrix_vector(call: Call) -> None:
    call.put("Out", "MatMul", call.value("X").name, call.value("Vec").name)


def _addmm(call: Call) -> None:
    x = call.value("X")
    product = call.node("MatMul", x.name, call.value("Y").name)
    product = call.node("Mul", product, call.scalar(call.real("Alpha", 1.0), x.type))
    added = call.node("Mul", call.value("Input").name, call.scalar(call.real("Beta", 1.0), x.type))
    call.put("Out", "Add", added, product)


# ***** Windows: convolution and pooling *****

LAYOUTS = {"NCHW", "NCDHW", "NCL", "NCW", "AnyLayout", "NHWC", "NDHWC", "NLC", "NWC"}


def _channels_last(call: Call, *names: str) -> bool:
    """Whether channels are the last dimension, by the first of these attributes that is there."""
    said = next((name for name in names if name in call.operator.attributes), names[0])
    layout = call.text(said, "NCHW")
    if layout not in LAYOUTS:
        call.refuse(f"{said} = {layout[:50]}")
    return layout[-1] == "C"


def _first(call: Call, x: Value, last: bool) -> tuple[str, tuple[int, ...]]:
    """A tensor with its channels in the second dimension, and its spatial sizes."""
    if x.rank < 3:
        call.malformed(f"{x.rank} dimensions, where there should be spatial ones")
    if not last:
        return x.name, x.shape[2:]
    order = [0, x.rank - 1, *range(1, x.rank - 1)]
    return call.node("Transpose", x.name, perm=order), x.shape[1:-1]


def _put_last(
    call: Call, slot: str, last: bool, rank: int, kind: str, *inputs: str, **attributes: Any
) -> None:
    """Put a node whose output has its channels in the second dimension, or move them to the end."""
    if not last:
        call.put(slot, kind, *inputs, **attributes)
        return
    order = [0, *range(2, rank), 1]
    call.put(slot, "Transpose", call.node(kind, *inputs, **attributes), perm=order)


def _spatial(call: Call, name: str, axes: int, default: int = 1) -> list[int]:
    """An attribute with one number for each spatial dimension; all positive."""
    said = call.ints(name) or [default] * axes
    said = said * axes if len(said) == 1 else said
    if len(said) != axes or min(said) < 1:
        call.malformed(f"{name} = {said[:20]} for {axes} spatial dimensions")
    return said


def _pads(call: Call, axes: int) -> list[int]:
    """Explicit paddings as ONNX has them: all beginnings, then all ends."""
    said = call.ints("paddings") or [0] * axes
    if len(said) == axes:
        said = [side for side in said for _ in range(2)]
    elif len(said) == 2 * (axes + 2) and not any(said[:4]):
        # Older programs: with those of batch and channels.
        said = said[4:]
    if len(said) != 2 * axes or min(said) < 0:
        call.malformed(f"paddings = {said[:20]} for {axes} spatial dimensions")
    return said[::2] + said[1::2]


def _padding(call: Call, axes: int) -> dict[str, Any]:
    """Padding as attributes of ONNX."""
    form = call.text("padding_algorithm", "EXPLICIT")
    if form == "SAME":
        return {"auto_pad": "SAME_UPPER"}
    if form not in ("EXPLICIT", "VALID"):
        call.refuse(f"padding_algorithm = {form[:50]}")
    return {"pads": [0] * (2 * axes) if form == "VALID" else _pads(call, axes)}


def _conv(call: Call) -> None:
    x, weight = call.value("Input"), call.value("Filter")
    if call.has("ResidualData"):
        call.refuse("a fused residual")
    if call.text("fuse_activation", "") or call.flag("fuse_relu"):
        call.refuse("a fused activation")
    last = _channels_last(call, "data_format")
    name, sizes = _first(call, x, last)
    padding = _padding(call, len(sizes))
    dilations = _spatial(call, "dilations", len(sizes))
    inputs = [name, weight.name]
    bias = call.maybe("Bias")
    if bias is not None:
        inputs.append(bias.name)
    _put_last(
        call,
        "Output",
        last,
        x.rank,
        "Conv",
        *inputs,
        strides=_spatial(call, "strides", len(sizes)),
        # Paddle forgets them where it pads by itself.
        dilations=[1] * len(sizes) if "auto_pad" in padding else dilations,
        group=_positive(call, "groups", 1),
        **padding,
    )


def _positive(call: Call, name: str, default: int | None = None) -> int:
    number = call.integer(name, default)
    if number < 1:
        call.malformed(f"{name} = {number}")
    return number


def _conv_transpose(call: Call) -> None:
    x, weight = call.value("Input"), call.value("Filter")
    last = _channels_last(call, "data_format")
    name, sizes = _first(call, x, last)
    axes = len(sizes)
    strides = _spatial(call, "strides", axes)
    dilations = _spatial(call, "dilations", axes)
    kernel = weight.shape[2:]
    if len(kernel) != axes or min(kernel) < 1:
        call.malformed(f"a filter of shape {list(weight.shape)}")
    form = call.text("padding_algorithm", "EXPLICIT")
    if form == "SAME":
        if min(sizes) < 0:
            call.refuse("padding_algorithm = SAME for sizes that are not known")
        dilations = [1] * axes
        sums = [
            max((-(-n // s) - 1) * s + k - n, 0)
            for n, s, k in zip(sizes, strides, kernel, strict=True)
        ]
        pads = [total // 2 for total in sums] + [total - total // 2 for total in sums]
    else:
        pads = _padding(call, axes)["pads"]
    more = call.ints("output_padding") or [0] * axes
    wanted = call.known("output_size", "OutputSizeTensor", "OutputSize")
    if wanted:
        wanted = wanted * axes if len(wanted) == 1 else wanted
        if min(sizes) < 0:
            call.refuse("output_size for sizes that are not known")
        if len(wanted) != axes:
            call.malformed(f"output_size = {wanted[:20]}")
        more = [
            size - ((n - 1) * s - pads[i] - pads[i + axes] + d * (k - 1) + 1)
            for i, (size, n, s, d, k) in enumerate(
                zip(wanted, sizes, strides, dilations, kernel, strict=True)
            )
        ]
    if len(more) != axes or min(more) < 0:
        call.malformed(f"output_padding = {more[:20]}")
    inputs = [name, weight.name]
    bias = call.maybe("Bias")
    if bias is not None:
        inputs.append(bias.name)
    _put_last(
        call,
        "Output",
        last,
        x.rank,
        "ConvTranspose",
        *inputs,
        strides=strides,
        dilations=dilations,
        group=_positive(call, "groups", 1),
        pads=pads,
        output_padding=more,
    )


def _pool(call: Call) -> None:
    x = call.value()
    form = call.text("pooling_type", "max")
    if form not in ("max", "avg"):
        call.refuse(f"pooling_type = {form[:50]}")
    _pooled(call, x, form, _channels_last(call, "data_format"))


def _pool_with_index(call: Call) -> None:
    _pooled(call, call.value(), "max", False)


def _pooled(call: Call, x: Value, form: str, last: bool) -> None:
    name, sizes = _first(call, x, last)
    axes = len(sizes)
    kernel = call.known("ksize", "KsizeTensor")
    kernel = kernel * axes if len(kernel) == 1 else kernel
    adaptive = call.flag("adaptive")
    if call.flag("global_pooling") or (adaptive and kernel == [1] * axes):
        kind = "GlobalMaxPool" if form == "max" else "GlobalAveragePool"
        _put_last(call, "Out", last, x.rank, kind, name)
        return
    if len(kernel) != axes or min(kernel) < 1:
        call.malformed(f"ksize = {kernel[:20]} for {axes} spatial dimensions")
    kind = "MaxPool" if form == "max" else "AveragePool"
    if adaptive:
        if all(size > 0 and size % cells == 0 for size, cells in zip(sizes, kernel, strict=True)):
            window = [size // cells for size, cells in zip(sizes, kernel, strict=True)]
            _put_last(call, "Out", last, x.rank, kind, name, kernel_shape=window, strides=window)
            return
        for axis, cells in enumerate(kernel):
            made = adaptive_max if form == "max" else adaptive_average
            name = made(call, name, x.rank, axis + 2, sizes[axis], cells, x.type)
        _put_last(call, "Out", last, x.rank, "Identity", name)
        return
    strides = _spatial(call, "strides", axes)
    padding = _padding(call, axes)
    more: dict[str, Any] = {}
    if form == "avg" and not call.flag("exclusive", True) and "pads" in padding:
        more["count_include_pad"] = 1
    if call.flag("ceil_mode") and "pads" in padding:
        more["ceil_mode"] = 1
        ends = padding["pads"][axes:]
        if any(s + p > k for s, p, k in zip(strides, ends, kernel, strict=True)):
            # The last window may have nothing of the input: Paddle has it, ONNX does not.
            call.refuse("ceil_mode with windows that may lie outside of the input")
    _put_last(
        call,
        "Out",
        last,
        x.rank,
        kind,
        name,
        kernel_shape=kernel,
        strides=strides,
        **padding,
        **more,
    )


# ***** Sizes of images *****

_MODES = {
    "nearest": "nearest",
    "linear": "linear",
    "bilinear": "linear",
    "trilinear": "linear",
    "bicubic": "cubic",
}


def _interpolate(call: Call, method: str) -> None:
    x = call.value()
    last = _channels_last(call, "data_layout", "data_format")
    name, sizes = _first(call, x, last)
    axes = len(sizes)
    corners, mode = call.flag("align_corners"), call.integer("align_mode", 1)
    attributes: dict[str, Any] = {"mode": _MODES[method]}
    if method == "nearest":
        attributes["nearest_mode"] = "round_prefer_ceil" if corners else "floor"
        attributes["coordinate_transformation_mode"] = "align_corners" if corners else "asymmetric"
    else:
        half = "half_pixel" if method == "bicubic" else "pytorch_half_pixel"
        centred = half if mode == 0 or method == "bicubic" else "asymmetric"
        attributes["coordinate_transformation_mode"] = "align_corners" if corners else centred
    if method == "bicubic":
        attributes["cubic_coeff_a"] = -0.75
    wanted = _wanted_sizes(call, axes)
    if wanted is None:
        factors = _scales(call, axes)
        _put_last(call, "Out", last, x.rank, "Resize", name, "", factors, **attributes)
        return
    if method == "bicubic" and (isinstance(wanted, str) or 1 in wanted) and not corners:
        if not isinstance(wanted, str):
            call.refuse("bicubic interpolation to a size of 1")
    if not isinstance(wanted, str) and (len(wanted) != axes or min(wanted) < 1):
        call.malformed(f"an image of the size {wanted[:20]}")
    outer = call.dims(name, 0, 2)
    full = call.node("Concat", outer, call.as_vector(wanted), axis=0)
    _put_last(call, "Out", last, x.rank, "Resize", name, "", "", full, **attributes)


def _wanted_sizes(call: Call, axes: int) -> Integers | None:
    """The sizes that are wanted; None where there are factors."""
    if call.has("SizeTensor") or call.has("OutSize"):
        return call.integers("", "SizeTensor", "OutSize")
    if call.has("Scale") or any(factor > 0 for factor in _factors(call)):
        return None
    return [call.integer(name, -1) for name in ("out_d", "out_h", "out_w")[3 - axes :]]


def _factors(call: Call) -> list[float]:
    said = call.operator.attributes.get("scale", ())
    return [call.real("scale")] if isinstance(said, (int, float)) else call.numbers("scale")


def _scales(call: Call, axes: int) -> str:
    """Factors of all dimensions."""
    given = call.maybe("Scale")
    if given is not None and given.array is None:
        flat = call.node("Reshape", given.name, call.vector([-1]))
        inner = call.node("Expand", call.cast(flat, given.type, FLOAT), call.vector([axes]))
        outer = call.graph.constant(np.ones(2, np.float32))
        return call.node("Concat", outer, inner, axis=0)
    if given is None or given.array is None:
        scales = _factors(call)
    else:
        scales = [float(one) for one in given.array.reshape(-1)]
    scales = scales * axes if len(scales) == 1 else scales
    if len(scales) != axes or not all(math.isfinite(one) and one > 0 for one in scales):
        call.malformed(f"factors {scales[:20]} for {axes} spatial dimensions")
    return call.graph.constant(np.array([1.0, 1.0, *scales], np.float32))


def _grid_sample(call: Call) -> None:
    x = call.value()
    modes = {"bilinear": "linear", "nearest": "nearest"}
    mode, outside = call.text("mode", "bilinear"), call.text("padding_mode", "zeros")
    if mode not in modes:
        call.refuse(f"mode = {mode[:50]}")
    if outside not in ("zeros", "border", "reflection"):
        call.refuse(f"padding_mode = {outside[:50]}")
    call.put(
        "Output",
        "GridSample",
        x.name,
        call.value("Grid").name,
        mode=modes[mode],
        padding_mode=outside,
        align_corners=int(call.flag("align_corners", True)),
    )
    if x.dims is not None:
        call.redeclare("Output", x.dims[:2] + (-1,) * (len(x.dims) - 2))


def _affine_grid(call: Call) -> None:
    size = call.integers("output_shape", "OutputShape")
    call.put(
        "Output",
        "AffineGrid",
        call.value("Theta").name,
        call.as_vector(size),
        align_corners=int(call.flag("align_corners", True)),
    )
    if not isinstance(size, str):
        if len(size) not in (4, 5):
            call.malformed(f"output_shape = {size[:20]}")
        # PaddlePaddle 3 declares an axis too many for pictures.
        call.redeclare("Output", (-1,) * (len(size) - 1) + (len(size) - 2,))


def _pixel_shuffle(call: Call) -> None:
    x = call.value()
    last = _channels_last(call, "data_format")
    name, _ = _first(call, x, last)
    block = _positive(call, "upscale_factor", 1)
    _put_last(call, "Out", last, x.rank, "DepthToSpace", name, blocksize=block, mode="CRD")


def _maxout(call: Call) -> None:
    """The largest of each so many channels that follow each other."""
    x = call.value()
    groups = _positive(call, "groups", 1)
    axis = call.axis(call.integer("axis", 1), x.rank)
    parts = [call.dims(x.name, 0, axis)] if axis else []
    parts.append(call.vector([-1, groups]))
    parts += [call.dims(x.name, axis + 1)] if axis + 1 < x.rank else []
    split = call.node("Reshape", x.name, call.node("Concat", *parts, axis=0))
    call.put("Out", "ReduceMax", split, call.vector([axis + 1]), keepdims=0)


def _shuffle_channel(call: Call, attribute: str) -> None:
    x = call.value()
    if _channels_last(call, "data_format"):
        call.refuse("data_format = NHWC")
    group = _positive(call, attribute, 1)
    if x.rank != 4:
        call.malformed(f"{x.rank} dimensions")
    split = call.node(
        "Concat",
        call.dims(x.name, 0, 1),
        call.vector([group, -1]),
        call.dims(x.name, 2),
        axis=0,
    )
    shuffled = call.node("Transpose", call.node("Reshape", x.name, split), perm=[0, 2, 1, 3, 4])
    call.put("Out", "Reshape", shuffled, call.dims(x.name))


_PAD_MODES = {
    "constant": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "edge": "edge",
    "circular": "wrap",
}


def _padded(call: Call, x: Value, axes: Sequence[int], pads: Integers, value: str) -> None:
    """Put a tensor with so much before and behind each of these dimensions, in this order."""
    mode = call.text("mode", "constant")
    if mode not in _PAD_MODES:
        call.refuse(f"mode = {mode[:50]}")
    if isinstance(pads, str):
        sides = call.node("Reshape", pads, call.vector([len(axes), 2]))
        ends = call.node("Transpose", sides, perm=[1, 0])
        inputs = [x.name, call.node("Reshape", ends, call.vector([-1])), "", call.vector(axes)]
    else:
        found = {axis: pads[2 * k : 2 * k + 2] for k, axis in enumerate(axes)}
        full = [found.get(axis, (0, 0)) for axis in range(x.rank)]
        inputs = [x.name, call.vector([side[0] for side in full] + [side[1] for side in full]), ""]
    if mode == "constant":
        inputs[2] = value
    elif not isinstance(pads, str):
        inputs = inputs[:2]
    call.put("Out", "Pad", *inputs, mode=_PAD_MODES[mode])


def _pad(call: Call) -> None:
    x = call.value()
    said = call.ints("paddings")
    if len(said) != 2 * x.rank:
        call.malformed(f"paddings = {said[:20]} for {x.rank} dimensions")
    given = call.maybe("PadValueTensor")
    if given is None:
        value = call.scalar(call.real("pad_value", 0.0), x.type)
    else:
        value = call.lone(given, x.type)
    _padded(call, x, range(x.rank), said, value)


def _pad_spatial(call: Call, backwards: bool, value: str) -> None:
    """Padding of spatial dimensions alone: from the last one to the first, or in their order."""
    x = call.value()
    said = call.integers("paddings", "Paddings")
    count = call.length("Paddings") if isinstance(said, str) else len(said)
    if count != 2 * (x.rank - 2):
        call.malformed(f"paddings = {said[:20]} for {x.rank} dimensions")
    first = 1 if _channels_last(call, "data_format") else 2
    axes = range(first, first + x.rank - 2)
    number = call.scalar(call.real(value, 0.0), x.type)
    _padded(call, x, axes[::-1] if backwards else axes, said, number)


# ***** Normalisation *****


def _batch_norm(call: Call) -> None:
    x = call.value()
    if not (call.flag("is_test") or call.flag("use_global_stats")):
        call.refuse("is_test = false")
    if call.flag("fuse_with_relu"):
        call.refuse("fuse_with_relu = true")
    last = _channels_last(call, "data_layout", "data_format") and x.rank > 2
    name = _first(call, x, last)[0] if last else x.name
    mean, variance = call.value("Mean"), call.value("Variance")
    parameters = []
    for slot, number in (("Scale", 1.0), ("Bias", 0.0)):
        given = call.maybe(slot)
        parameters.append(given.name if given else _filled(call, mean.shape, number, mean.type))
    _put_last(
        call,
        "Y",
        last,
        x.rank,
        "BatchNormalization",
        name,
        *parameters,
        mean.name,
        variance.name,
        epsilon=call.real("epsilon", 1e-5),
    )


def _filled(call: Call, shape: Sequence[int], number: float, kind: ElementType) -> str:
    """A constant of a known shape."""
    if any(size < 0 for size in shape) or math.prod(shape) > 1 << 20:
        call.refuse(f"no scale or bias, for the shape {list(shape)}")
    return call.graph.constant(np.full(shape, number, kind.numpy))


def _layer_norm(call: Call) -> None:
    x = call.value()
    axis = call.axis(call.integer("begin_norm_axis", 1), x.rank)
    parameters = []
    for slot, number in (("Scale", 1.0), ("Bias", 0.0)):
        given = call.maybe(slot)
        if given is None and slot == "Bias":
            continue
        if given is None:
            parameters.append(_filled(call, x.shape[axis:], number, x.type))
        elif x.rank - axis == given.rank == 1:
            parameters.append(given.name)
        else:
            parameters.append(call.node("Reshape", given.name, call.dims(x.name, axis)))
    epsilon = call.real("epsilon", 1e-5)
    call.put("Y", "LayerNormalization", x.name, *parameters, axis=axis, epsilon=epsilon)


def _instance_norm(call: Call) -> None:
    x = call.value()
    if x.rank < 2:
        call.malformed(f"{x.rank} dimensions")
    parameters = []
    for slot, number in (("Scale", 1.0), ("Bias", 0.0)):
        given = call.maybe(slot)
        parameters.append(given.name if given else _filled(call, x.shape[1:2], number, x.type))
    epsilon = call.real("epsilon", 1e-5)
    call.put("Y", "InstanceNormalization", x.name, *parameters, epsilon=epsilon)


def _group_norm(call: Call) -> None:
    x = call.value()
    last = _channels_last(call, "data_layout", "data_format")
    name, sizes = _first(call, x, last)
    groups = _positive(call, "groups", 1)
    if groups > LARGEST_CONSTANT:
        call.refuse(f"groups = {groups}")
    ones, zeros = (_filled(call, [groups], number, x.type) for number in (1.0, 0.0))
    rows = call.node("Reshape", name, call.vector([0, groups, -1]))
    epsilon = call.real("epsilon", 1e-5)
    rows = call.node("InstanceNormalization", rows, ones, zeros, epsilon=epsilon)
    made = call.node("Reshape", rows, call.dims(name))
    for slot, kind in (("Scale", "Mul"), ("Bias", "Add")):
        given = call.maybe(slot)
        if given is not None:
            column = call.node("Reshape", given.name, call.vector([-1] + [1] * len(sizes)))
            made = call.node(kind, made, column)
    _put_last(call, "Y", last, x.rank, "Identity", made)


def _norm(call: Call) -> None:
    """Division by the Euclidean norm along an axis."""
    x = call.value()
    axes = call.vector([call.axis(call.integer("axis", -1), x.rank)])
    total = call.node("ReduceSum", call.node("Mul", x.name, x.name), axes, keepdims=1)
    total = call.node("Add", total, call.scalar(call.real("epsilon", 1e-10), x.type))
    call.put("Out", "Div", x.name, call.node("Sqrt", total))


def _p_norm(call: Call) -> None:
    x = call.value()
    order = call.real("porder", 2.0)
    keep = int(call.flag("keepdim"))
    inputs = [x.name]
    if not call.flag("asvector"):
        inputs.append(call.vector([call.axis(call.integer("axis", -1), x.rank)]))
    if order in (1.0, 2.0):
        call.put("Out", f"ReduceL{int(order)}", *inputs, keepdims=keep)
    elif math.isinf(order):
        inputs[0] = call.node("Abs", x.name)
        call.put("Out", "ReduceMax" if order > 0 else "ReduceMin", *inputs, keepdims=keep)
    elif order == 0 or math.isnan(order):
        call.refuse(f"porder = {order}")
    else:
        power = call.scalar(order, x.type)
        inputs[0] = call.node("Pow", call.node("Abs", x.name), power)
        total = call.node("ReduceSum", *inputs, keepdims=keep)
        call.put("Out", "Pow", total, call.scalar(1.0 / order, x.type))


def _affine_channel(call: Call) -> None:
    x = call.value()
    # Any other layout means that channels are the last dimension.
    last = call.text("data_layout", "AnyLayout") != "NCHW"
    shape = call.vector([-1] if last else [-1] + [1] * (x.rank - 2))
    scale, bias = (call.node("Reshape", call.value(slot).name, shape) for slot in ("Scale", "Bias"))
    call.put("Out", "Add", call.node("Mul", x.name, scale), bias)


def _softmax(call: Call, kind: str) -> None:
    x = call.value()
    if x.rank == 0:
        call.refuse("a tensor without dimensions")
    call.put("Out", kind, x.name, axis=call.axis(call.integer("axis", -1), x.rank))


# ***** Reduction *****


def _reduced_axes(call: Call, x: Value, name: str = "dim") -> list[int]:
    """Axes that are reduced; all if there are none."""
    said = call.known(name, "AxisTensor")
    if call.flag("reduce_all") or not said:
        return [*range(x.rank)]
    return sorted({call.axis(axis, x.rank) for axis in said})


def _reduce(kind: str) -> Rule:
    """A reduction over axes."""

    def rule(call: Call) -> None:
        x = call.value()
        name, kept = x.name, x.type
        to = call.kind("out_dtype") or call.kind("dtype") or kept
        if kind in ("ReduceSum", "ReduceProd") and (kept == BOOL or to != kept):
            # Sums of what is small are made in the larger type.
            to = INT64 if to == BOOL else to
            name = call.node("Cast", name, to=to.onnx)
        axes = _reduced_axes(call, x)
        keep = int(call.flag("keep_dim"))
        call.put("Out", kind, name, call.vector(axes), keepdims=keep, noop_with_empty_axes=1)

    return rule


def _reduce_flags(kind: str) -> Rule:
    """A reduction of booleans."""

    def rule(call: Call) -> None:
        x = call.value()
        axes = call.vector(_reduced_axes(call, x))
        numbers = call.node("Cast", call.cast(x.name, x.type, BOOL), to=INT32.onnx)
        keep = int(call.flag("keep_dim"))
        found = call.node(kind, numbers, axes, keepdims=keep, noop_with_empty_axes=1)
        call.put("Out", "Cast", found, to=BOOL.onnx)

    return rule


def _log_sum_exp(call: Call) -> None:
    x = call.value()
    axes = call.vector(_reduced_axes(call, x, "axis"))
    keep = int(call.flag("keepdim"))
    call.put("Out", "ReduceLogSumExp", x.name, axes, keepdims=keep, noop_with_empty_axes=1)


def _mean_all(call: Call) -> None:
    call.put("Out", "ReduceMean", call.value().name, keepdims=0)


def _arg(call: Call, kind: str) -> None:
    x = call.value()
    keep = int(call.flag("keepdims"))
    name, axis = x.name, 0
    if call.flag("flatten"):
        name = call.node("Reshape", name, call.vector([-1]))
        if keep:
            call.refuse("flatten and keepdims")
    else:
        axis = call.axis(call.number("axis", "AxisTensor", -1), x.rank)
    to = call.kind("dtype") or INT64
    if to == INT64:
        call.put("Out", kind, name, axis=axis, keepdims=keep)
    else:
        call.put("Out", "Cast", call.node(kind, name, axis=axis, keepdims=keep), to=to.onnx)


def _top_k(call: Call) -> None:
    x = call.value()
    count = call.integers("k", "K")
    axis = call.axis(call.integer("axis", -1), x.rank)
    call.puts(
        ["Out", "Indices"],
        "TopK",
        x.name,
        call.as_vector(count),
        axis=axis,
        largest=int(call.flag("largest", True)),
        sorted=int(call.flag("sorted", True)),
    )


def _arg_sort(call: Call) -> None:
    x = call.value()
    axis = call.axis(call.integer("axis", -1), x.rank)
    count = call.dims(x.name, axis, axis + 1)
    largest = int(call.flag("descending"))
    call.puts(["Out", "Indices"], "TopK", x.name, count, axis=axis, largest=largest, sorted=1)


def _cumulative_sum(call: Call) -> None:
    x = call.value()
    name, axis = x.name, 0
    if call.flag("flatten"):
        name = call.node("Reshape", name, call.vector([-1]))
    else:
        axis = call.axis(call.number("axis", "AxisTensor", -1), x.rank)
    call.put(
        "Out",
        "CumSum",
        name,
        call.scalar(axis, INT64),
        exclusive=int(call.flag("exclusive")),
        reverse=int(call.flag("reverse")),
    )


# ***** Shape *****


def _reshape(call: Call) -> None:
    shape = call.integers("shape", "ShapeTensor", "Shape")
    if not isinstance(shape, str) and (
        len(shape) > LARGEST_RANK or shape.count(-1) > 1 or min(shape, default=0) < -1
    ):
        call.malformed(f"shape = {shape[:40]}")
    call.put("Out", "Reshape", call.value().name, call.as_vector(shape))


def _flatten_range(call: Call) -> None:
    x = call.value()
    if x.rank == 0:
        call.put("Out", "Reshape", x.name, call.vector([-1]))
        return
    start = call.axis(call.integer("start_axis", 1), x.rank)
    stop = call.axis(call.integer("stop_axis", -1), x.rank)
    if start > stop:
        call.malformed(f"start_axis {start} behind stop_axis {stop}")
    behind = x.shape[stop + 1 :]
    if all(size > 0 for size in behind):
        # Dimensions before are taken over.
        call.put("Out", "Reshape", x.name, call.vector([0] * start + [-1, *behind]))
        return
    parts = [call.dims(x.name, 0, start)] if start else []
    parts += [call.vector([-1]), call.dims(x.name, stop + 1)]
    call.put("Out", "Reshape", x.name, call.node("Concat", *parts, axis=0))


def _flatten(call: Call) -> None:
    x = call.value()
    call.put("Out", "Flatten", x.name, axis=call.axis(call.integer("axis", 1), x.rank + 1))


def _squeeze(call: Call) -> None:
    """Dimensions that are not 1 stay, even where they are named."""
    x = call.value()
    said = call.known("axes", "AxesTensor", "AxesTensorList")
    axes = sorted({call.axis(axis, x.rank) for axis in said}) or [*range(x.rank)]
    out = call.declared("Out")
    if any(x.size(axis) is None for axis in axes) and not (
        said and out is not None and len(out) == x.rank - len(axes)
    ):
        call.refuse(f"axes = {said}, of a tensor of the shape {list(x.shape)}")
    chosen = [axis for axis in axes if x.size(axis) in (1, None)]
    if chosen:
        call.put("Out", "Squeeze", x.name, call.vector(chosen))
    else:
        call.put("Out", "Identity", x.name)


def _unsqueeze(call: Call) -> None:
    """Dimensions are put in one after the other."""
    x = call.value()
    order: list[int | None] = [*range(x.rank)]
    said = call.known("axes", "AxesTensor", "AxesTensorList")
    if len(said) + x.rank > LARGEST_RANK:
        call.malformed(f"{len(said)} axes")
    for axis in said:
        order.insert(call.axis(axis, len(order) + 1), None)
    if x.array is not None:
        call.put_constant("Out", x.array.reshape([1 if d is None else x.shape[d] for d in order]))
        return
    axes = [place for place, dimension in enumerate(order) if dimension is None]
    call.put("Out", "Unsqueeze", x.name, call.vector(axes))


def _transpose(call: Call) -> None:
    x = call.value()
    order = [call.axis(axis, x.rank) for axis in call.ints("axis")]
    if sorted(order) != [*range(x.rank)]:
        call.malformed(f"axis = {order[:40]} of a tensor of {x.rank} dimensions")
    call.put("Out", "Transpose", x.name, perm=order)


def _concat(call: Call) -> None:
    values = call.values("X")
    if not values:
        call.malformed("nothing to join")
    axis = call.axis(call.number("axis", "AxisTensor", 0), max(value.rank for value in values))
    arrays = [value.array for value in values if value.array is not None]
    if len(arrays) == len(values) and sum(array.size for array in arrays) <= LARGEST_CONSTANT:
        if len({array.dtype for array in arrays}) == 1 and all(array.ndim == 1 for array in arrays):
            call.put_constant("Out", np.concatenate(arrays))
            return
    call.put("Out", "Concat", *(value.name for value in values), axis=axis)


def _split(call: Call) -> None:
    x = call.value()
    axis = call.axis(call.number("axis", "AxisTensor", 0), x.rank)
    outputs = call.outputs("Out")
    sizes = call.integers("sections", "SectionsTensorList")
    number = call.integer("num", 0)
    if isinstance(sizes, str):
        call.put_all("Out", "Split", x.name, sizes, axis=axis)
        return
    if sizes:
        if len(sizes) != len(outputs) or sizes.count(-1) > 1:
            call.malformed(f"sections = {sizes[:40]} for {len(outputs)} outputs")
        if -1 in sizes:
            whole = x.size(axis)
            if whole is None:
                call.put_all("Out", "Split", x.name, _with_rest(call, x, axis, sizes), axis=axis)
                return
            sizes[sizes.index(-1)] = whole - sum(sizes) - 1
        if min(sizes) < 0:
            call.malformed(f"sections = {sizes[:40]}")
        call.put_all("Out", "Split", x.name, call.vector(sizes), axis=axis)
        return
    if number != len(outputs) or number < 1:
        call.malformed(f"num = {number} for {len(outputs)} outputs")
    call.put_all("Out", "Split", x.name, axis=axis, num_outputs=number)


def _with_rest(call: Call, x: Value, axis: int, sizes: list[int]) -> str:
    """Sizes of parts, where -1 is what the others leave of a dimension."""
    place = sizes.index(-1)
    others = call.vector([sum(sizes) + 1])
    rest = call.node("Sub", call.dims(x.name, axis, axis + 1), others)
    parts = [call.vector(sizes[:place]), rest, call.vector(sizes[place + 1 :])]
    return call.node("Concat", *parts, axis=0)


def _stack(call: Call) -> None:
    values = call.values("X")
    if not values:
        call.malformed("nothing to stack")
    axis = call.axis(call.integer("axis", 0), values[0].rank + 1)
    arrays = [value.array for value in values if value.array is not None]
    if len(arrays) == len(values) and sum(array.size for array in arrays) <= LARGEST_CONSTANT:
        if len({(array.dtype, array.shape) for array in arrays}) == 1:
            call.put_constant("Y", np.stack(arrays, axis))
            return
    place = call.vector([axis])
    if len(values) == 1:
        call.put("Y", "Unsqueeze", values[0].name, place)
        return
    parts = [call.node("Unsqueeze", value.name, place) for value in values]
    call.put("Y", "Concat", *parts, axis=axis)


def _unstack(call: Call, slot: str) -> None:
    x = call.value()
    axis = call.axis(call.integer("axis", 0), x.rank)
    count = len(call.outputs(slot))
    if count < 1 or x.size(axis) not in (count, None):
        call.malformed(f"{count} outputs for a tensor of the shape {list(x.shape)}")
    parts = call.nodes("Split", x.name, outputs=count, axis=axis, num_outputs=count)
    for index, part in enumerate(parts):
        call.put_at(slot, index, "Squeeze", part, call.vector([axis]))


def _sliced(call: Call, x: Value, *inputs: str) -> None:
    """Put a slice, without the dimensions that are dropped."""
    dropped = sorted({call.axis(axis, x.rank) for axis in call.ints("decrease_axis")})
    if not dropped:
        call.put("Out", "Slice", x.name, *inputs)
    else:
        call.put("Out", "Squeeze", call.node("Slice", x.name, *inputs), call.vector(dropped))
        if len(dropped) == x.rank:
            call.redeclare("Out", ())


def _slice(call: Call) -> None:
    x = call.value("Input")
    axes = [call.axis(axis, x.rank) for axis in call.ints("axes")]
    starts = call.integers("starts", "StartsTensor", "StartsTensorList")
    ends = call.integers("ends", "EndsTensor", "EndsTensorList")
    if len(set(axes)) != len(axes):
        call.malformed(f"axes = {axes[:40]}")
    for numbers in (starts, ends):
        if not isinstance(numbers, str) and len(numbers) != len(axes):
            call.malformed(f"{len(numbers)} positions for {len(axes)} axes")
    if not isinstance(starts, str) and not isinstance(ends, str):
        dropped = call.ints("decrease_axis")
        ends = [
            INT_LIMIT if axis in dropped and start == -1 and end == 0 else end
            for axis, start, end in zip(axes, starts, ends, strict=True)
        ]
        if x.array is not None and x.rank == 1 and len(axes) == 1:
            part = x.array[starts[0] : ends[0]]
            if dropped and part.size == 1:
                part = part.reshape([])
            if not dropped or part.ndim == 0:
                call.put_constant("Out", part)
                return
    elif len(axes) == 1 and axes == call.ints("decrease_axis"):
        places = [
            value for slot in ("StartsTensor", "StartsTensorList") for value in call.values(slot)
        ]
        if len(places) == 1:
            _picked(call, x, call.lone(places[0], INT64), axes[0])
            return
    _sliced(call, x, call.as_vector(starts), call.as_vector(ends), call.vector(axes))


def _picked(call: Call, x: Value, place: str, axis: int) -> None:
    """One place along a dimension, which goes."""
    if isinstance(x, Counting) and x.step is not None:
        far = place if x.step == 1 else call.node("Mul", place, call.scalar(x.step, INT64))
        call.put("Out", "Add", x.start, far)
        call.redeclare("Out", ())
        return
    call.put("Out", "Gather", x.name, place, axis=axis)
    if x.rank == 1:
        call.redeclare("Out", ())


def _strided_slice(call: Call) -> None:
    x = call.value("Input")
    axes = [call.axis(axis, x.rank) for axis in call.ints("axes")]
    starts, ends, strides = (
        call.integers(f"{name}s", f"{name.title()}sTensor", f"{name.title()}sTensorList")
        for name in ("start", "end", "stride")
    )
    for numbers in (starts, ends, strides):
        if not isinstance(numbers, str) and len(numbers) != len(axes):
            call.malformed(f"{len(numbers)} positions for {len(axes)} axes")
    if isinstance(strides, str) or 0 in strides:
        call.refuse("strides that are zero or not known")
    inputs = (call.as_vector(starts), call.as_vector(ends), call.vector(axes), call.vector(strides))
    _sliced(call, x, *inputs)


def _expand(call: Call) -> None:
    shape = call.integers("shape", "Shape", "expand_shapes_tensor")
    if isinstance(shape, str):
        one = call.vector([1])
        kept = call.node("Equal", shape, call.vector([-1]))
        call.put("Out", "Expand", call.value().name, call.node("Where", kept, one, shape))
        return
    if min(shape, default=0) < -1 or len(shape) > LARGEST_RANK:
        call.malformed(f"shape = {shape[:40]}")
    sizes = [1 if size == -1 else size for size in shape]
    call.put("Out", "Expand", call.value().name, call.vector(sizes))


def _expand_as(call: Call) -> None:
    x = call.value()
    other = call.maybe("Y") or call.maybe("target_tensor")
    if other is not None:
        call.put("Out", "Expand", x.name, call.dims(other.name))
        return
    shape = call.ints("target_shape")
    if not shape or len(shape) > LARGEST_RANK or min(shape) < 0:
        call.malformed(f"target_shape = {shape[:40]}")
    call.put("Out", "Expand", x.name, call.vector(shape))


def _tile(call: Call, attribute: str, *slots: str) -> None:
    x = call.value()
    repeats = call.integers(attribute, *slots)
    count = call.length(*slots) if isinstance(repeats, str) else len(repeats)
    if count > LARGEST_RANK or (not isinstance(repeats, str) and min(repeats, default=1) < 1):
        call.malformed(f"{attribute} = {repeats[:40]}")
    name, extra = x.name, count - x.rank
    if extra > 0:
        name = call.node("Unsqueeze", name, call.vector(range(extra)))
    if isinstance(repeats, str):
        ones = call.vector([1] * -extra)
        factors = call.node("Concat", ones, repeats, axis=0) if extra < 0 else repeats
        call.put("Out", "Tile", name, factors)
        return
    known = [1] * -extra + repeats
    call.put("Out", "Tile", name, call.vector(known))
    # What Paddle 3 declares for the operator before version 2 is not what it computes.
    sizes = (1,) * extra + x.shape
    made = (-1 if size < 0 else size * factor for size, factor in zip(sizes, known, strict=True))
    call.redeclare("Out", tuple(made))


def _flip(call: Call) -> None:
    x = call.value()
    axes = sorted({call.axis(axis, x.rank) for axis in call.ints("axis")})
    count = len(axes)
    if not axes:
        call.put("Out", "Identity", x.name)
        return
    inputs = [[-1] * count, [-INT_LIMIT] * count, axes, [-1] * count]
    call.put("Out", "Slice", x.name, *map(call.vector, inputs))


def _roll(call: Call) -> None:
    x = call.value()
    shifts, axes = call.integers("shifts", "ShiftsTensor"), call.ints("axis")
    count = call.length("ShiftsTensor") if isinstance(shifts, str) else len(shifts)
    name = x.name
    places = [call.axis(axis, x.rank) for axis in axes] or [0]
    if not axes:
        name = call.node("Reshape", name, call.vector([-1]))
    if count != len(places):
        call.malformed(f"{count} shifts for {len(places)} axes")
    for index, axis in enumerate(places):
        where = call.vector([axis])
        if isinstance(shifts, str):
            shift = call.node("Neg", call.node("Gather", shifts, call.vector([index]), axis=0))
        else:
            shift = call.vector([-shifts[index]])
        cut = call.node("Mod", shift, call.dims(name, axis, axis + 1))
        behind = call.node("Slice", name, cut, call.vector([INT_LIMIT]), where)
        before = call.node("Slice", name, call.vector([0]), cut, where)
        name = call.node("Concat", behind, before, axis=axis)
    if axes:
        call.put("Out", "Identity", name)
    else:
        call.put("Out", "Reshape", name, call.dims(x.name))


def _triangle(call: Call, upper: bool | None = None) -> None:
    if upper is None:
        upper = not call.flag("lower", True)
    diagonal = call.scalar(call.integer("diagonal", 0), INT64)
    call.put("Out", "Trilu", call.value().name, diagonal, upper=int(upper))


def _mesh(call: Call) -> None:
    values = call.values("X")
    count = len(values)
    if not 0 < count <= LARGEST_RANK or len(call.outputs("Out")) != count:
        call.malformed(f"{count} inputs and {len(call.outputs('Out'))} outputs")
    flat = [call.node("Reshape", value.name, call.vector([-1])) for value in values]
    sizes = call.node("Concat", *map(call.dims, flat), axis=0)
    for index, name in enumerate(flat):
        shape = [1] * count
        shape[index] = -1
        column = call.node("Reshape", name, call.vector(shape))
        call.put_at("Out", index, "Expand", column, sizes)


# ***** Elements by their index *****


def _gather(call: Call) -> None:
    x, index = call.value(), call.value("Index")
    axis = call.axis(call.number("axis", "Axis", 0), x.rank)
    name = index.name
    if index.rank > 1:
        name = call.node("Reshape", name, call.vector([-1]))
    call.put("Out", "Gather", x.name, name, axis=axis)


def _index_select(call: Call) -> None:
    x = call.value()
    axis = call.axis(call.integer("dim", 0), x.rank)
    call.put("Out", "Gather", x.name, call.value("Index").name, axis=axis)


def _gather_nd(call: Call) -> None:
    index = call.value("Index")
    name = call.cast(index.name, index.type, INT64)
    call.put("Out", "GatherND", call.value().name, name)


def _index_sample(call: Call) -> None:
    call.put("Out", "GatherElements", call.value().name, call.value("Index").name, axis=1)


def _take_along(call: Call) -> None:
    x = call.value("Input")
    axis = call.axis(call.integer("Axis", 0), x.rank)
    call.put("Result", "GatherElements", x.name, call.value("Index").name, axis=axis)


def _scatter_nd_add(call: Call) -> None:
    index = call.value("Index")
    name = call.cast(index.name, index.type, INT64)
    updates = call.value("Updates").name
    call.put("Out", "ScatterND", call.value().name, name, updates, reduction="add")


def _lookup(call: Call, squeezed: bool) -> None:
    """Rows of a table; the row of `padding_idx` is zero, whatever the table says."""
    ids, table = call.value("Ids"), call.value("W")
    # Without servers, nothing is fetched from them.
    call.only("epmap", ())
    index = ids.name
    if squeezed:
        index = call.node("Squeeze", index, call.vector([-1]))
    padding = call.integer("padding_idx", -1)
    if padding == -1:
        call.put("Out", "Gather", table.name, index, axis=0)
        return
    rows = call.node("Gather", table.name, index, axis=0)
    padded = call.node("Equal", index, call.scalar(padding, ids.type))
    padded = call.node("Unsqueeze", padded, call.vector([-1]))
    call.put("Out", "Where", padded, call.scalar(0, table.type), rows)


def _one_hot(call: Call, attribute: str, slot: str, squeezed: bool) -> None:
    x = call.value()
    given = call.maybe(slot)
    if given is not None and given.array is None:
        depth = call.lone(given, INT64)
    else:
        number = call.number(attribute, slot)
        if number < 1:
            call.malformed(f"depth = {number}")
        depth = call.scalar(number, INT64)
    to = call.kind("dtype") or FLOAT
    values = call.graph.constant(np.array([0, 1]).astype(to.numpy))
    index = call.node("Squeeze", x.name, call.vector([-1])) if squeezed else x.name
    call.put("Out", "OneHot", index, depth, values, axis=-1)


def _nonzero(call: Call) -> None:
    found = call.node("NonZero", call.value("Condition").name)
    call.put("Out", "Transpose", found, perm=[1, 0])


# ***** What begins a graph *****


def _put_full(call: Call, shape: Integers, number: Array) -> None:
    """A tensor of one number."""
    if not isinstance(shape, str):
        if min(shape, default=0) < 0 or len(shape) > LARGEST_RANK:
            call.malformed(f"shape = {shape[:40]}")
        if math.prod(shape) <= LARGEST_CONSTANT:
            call.put_constant("Out", np.full(shape, number))
            return
    value = numpy_helper.from_array(number.reshape(1))
    call.put("Out", "ConstantOfShape", call.as_vector(shape), value=value)


def _number(call: Call, said: float | str, kind: ElementType) -> Array:
    """One number of an element type, from an attribute."""
    if isinstance(said, str):
        try:
            # Not by way of a float where it is whole: that has 53 bits.
            said = int(said[:20]) if said.lstrip("-").isdecimal() else float(said)
        except ValueError:
            call.malformed(f"str_value = {str(said)[:50]}")
    if kind.numpy.kind in "iu":
        if not math.isfinite(said):
            call.malformed(f"{said} for {kind.name}")
        limits = np.iinfo(kind.numpy)
        said = min(max(int(said), int(limits.min)), int(limits.max))
    return np.array(said).astype(kind.numpy)


def _fill(call: Call) -> None:
    kind = call.kind("dtype") or FLOAT
    shape = call.integers("shape", "ShapeTensorList", "ShapeTensor")
    given = call.maybe("ValueTensor")
    if given is None:
        text = call.text("str_value", "")
        number = _number(call, text or call.real("value", 0.0), kind)
    elif given.array is not None and given.array.size == 1:
        number = given.array.reshape(()).astype(kind.numpy)
    else:
        alone = call.node("Reshape", given.name, call.vector([]))
        call.put("Out", "Expand", call.cast(alone, given.type, kind), call.as_vector(shape))
        return
    _put_full(call, shape, number)


def _fill_ints(call: Call) -> None:
    kind = call.kind("dtype") or INT64
    call.put_constant("Out", np.array(call.ints("value"), np.int64).astype(kind.numpy))


def _fill_like(call: Call, number: float | None = None) -> None:
    x = call.value()
    kind = call.kind("dtype") or x.type
    given = call.maybe("ValueTensor")
    if number is not None:
        said = number
    elif given is None:
        said = call.real("value", 0.0)
    elif given.array is not None and given.array.size == 1:
        said = float(given.array.reshape(-1)[0])
    else:
        call.put("Out", "Expand", call.lone(given, kind), call.dims(x.name))
        return
    _put_full(call, call.dims(x.name), _number(call, said, kind))


def _fill_batch(call: Call) -> None:
    """A tensor of one number, with one dimension of another tensor."""
    x = call.value("Input")
    kind = call.kind("dtype") or FLOAT
    shape = call.ints("shape")
    own, other = call.integer("output_dim_idx", 0), call.integer("input_dim_idx", 0)
    if not 0 <= own < len(shape) <= LARGEST_RANK or not 0 <= other < x.rank:
        call.malformed(f"dimension {other} for dimension {own} of {shape[:40]}")
    number = _number(call, call.text("str_value", "") or call.real("value", 0.0), kind)
    parts = [call.vector(shape[:own])] if own else []
    parts.append(call.dims(x.name, other, other + 1))
    parts += [call.vector(shape[own + 1 :])] if own + 1 < len(shape) else []
    _put_full(call, call.node("Concat", *parts, axis=0), number)


_VALUES = ("values", "fp32_values", "fp64_values", "int32_values", "int64_values", "bool_values")


def _assign_value(call: Call) -> None:
    kind = call.kind("dtype")
    if kind is None:
        call.malformed("it does not say its element type")
    shape = call.ints("shape")
    values = next((said for name in _VALUES if (said := call.numbers(name))), [])
    if min(shape, default=0) < 0 or math.prod(shape) != len(values) or len(shape) > LARGEST_RANK:
        call.malformed(f"{len(values)} values for the shape {shape[:40]}")
    numbers = [_number(call, value, kind) for value in values]
    call.put_constant("Out", np.array(numbers, kind.numpy).reshape(shape))


def _shape(call: Call, kind: ElementType) -> None:
    x = call.value("Input")
    if min(x.shape, default=0) >= 0 and x.rank:
        call.put_constant("Out", np.array(x.shape, kind.numpy))
    elif kind == INT64:
        call.put("Out", "Shape", x.name)
    else:
        call.put("Out", "Cast", call.dims(x.name), to=kind.onnx)


def _size(call: Call) -> None:
    call.put("Out", "Size", call.value("Input").name)


def _range(call: Call) -> None:
    ends = [call.value(slot) for slot in ("Start", "End", "Step")]
    kind = call.kind("dtype") or ends[0].type
    names = [call.lone(value, kind) for value in ends]
    call.put("Out", "Range", *names)
    made, step = call.graph.values[call.outputs("Out")[0]], ends[2].array
    if kind == INT64 and step is not None:
        counted = Counting(
            made.name, kind, made.dims, start=names[0], step=int(step.reshape(-1)[0])
        )
        call.graph.values[call.outputs("Out")[0]] = counted


def _linspace(call: Call) -> None:
    ends = [call.value(slot) for slot in ("Start", "Stop")]
    kind = call.kind("dtype") or ends[0].type
    count = call.value("Num")
    if count.array is not None and all(value.array is not None for value in ends):
        (number,) = call.whole(count, "Num")
        if not 1 <= number <= LARGEST_CONSTANT:
            call.refuse(f"{number} numbers")
        first, last = (value.array.reshape(-1)[0] for value in ends if value.array is not None)
        numbers = np.linspace(float(first), float(last), number)
        call.put_constant("Out", numbers.astype(kind.numpy))
        return
    # From either end to the middle, as the kernel does it.
    start, stop = (call.lone(value, kind) for value in ends)
    zero, one, whole = call.scalar(0, INT64), call.scalar(1, INT64), call.lone(count, INT64)
    places = call.node("Range", zero, whole, one)
    behind = call.node("Sub", call.node("Sub", whole, one), places)
    steps = call.node("Max", call.node("Sub", whole, one), one)
    step = call.node("Div", call.node("Sub", stop, start), call.cast(steps, INT64, kind))
    from_start = call.node("Add", start, call.node("Mul", step, call.cast(places, INT64, kind)))
    from_stop = call.node("Sub", stop, call.node("Mul", step, call.cast(behind, INT64, kind)))
    call.put("Out", "Where", call.node("LessOrEqual", places, behind), from_start, from_stop)


# ***** Lists of tensors *****


def _create_list(call: Call) -> None:
    call.put_list("Out", 0, "SequenceEmpty", dtype=_listed(call).onnx)


def _listed(call: Call) -> ElementType:
    """The element type of a list, which is declared where it is created."""
    kind = call.out_kind("Out")
    if kind is None or kind.onnx is None:
        call.refuse("a list of no known element type")
    return kind


def _write_list(call: Call) -> None:
    """Append to a list: `I` must be its length."""
    x, place = call.value(), call.value("I")
    # Older programs do not name what was there: it is the variable that is written.
    found = call.maybe("Array") or call.before("Out")
    if found is None:
        empty = call.node("SequenceEmpty", dtype=x.type.onnx)
        found = Tensors(empty, x.type, None, count=0)
    if not isinstance(found, Tensors) or found.kind != x.kind:
        call.malformed("what is written is no list of such tensors")
    known = place.array is not None and place.array.reshape(-1).tolist() == [found.count]
    if not known and not (isinstance(place, Length) and place.of == found.name):
        call.refuse("a place that is not the end of the list")
    count = None if found.count is None else found.count + 1
    call.put_list("Out", count, "SequenceInsert", found.name, x.name)


def _list_length(call: Call) -> None:
    found = call.list_of("X")
    if isinstance(found, Stacked):
        call.put("Out", "Shape", found.name, start=0, end=1)
        return
    if found.count is not None:
        call.put_constant("Out", np.array([found.count], np.int64))
        return
    call.put("Out", "Unsqueeze", call.node("SequenceLength", found.name), call.vector([0]))
    made = call.graph.values[call.outputs("Out")[0]]
    call.graph.values[call.outputs("Out")[0]] = Length(made.name, INT64, (1,), of=found.name)


def _read_list(call: Call) -> None:
    place = call.node("Squeeze", call.flat(call.value("I")), call.vector([0]))
    call.put("Out", "SequenceAt", call.list_of("X").name, place)


def _join_list(call: Call) -> None:
    found = call.list_of("X")
    if isinstance(found, Stacked):
        rank = found.elements + 1
        axis = call.axis(call.integer("axis", 0), rank)
        order = [*range(1, axis + 1), 0, *range(axis + 1, rank)]
        call.put("Out", "Transpose", found.name, perm=order)
        return
    call.put(
        "Out",
        "ConcatFromSequence",
        found.name,
        axis=call.integer("axis", 0),
        new_axis=int(call.flag("use_stack")),
    )


# ***** Sequences *****

# Order of gates in Paddle -> in ONNX.
_GATES = {"LSTM": ("LSTM", [0, 3, 1, 2]), "GRU": ("GRU", [1, 0, 2])}
_RNN = {"RNN_TANH": "Tanh", "RNN_RELU": "Relu"}


def _rnn(call: Call) -> None:
    """Layers of LSTM, GRU or simple cells, one or two directions."""
    mode = call.text("mode", "RNN_TANH")
    if mode not in _GATES and mode not in _RNN:
        call.refuse(f"mode = {mode[:50]}")
    if not call.flag("is_test") and call.real("dropout_prob", 0.0):
        call.refuse("is_test = false")
    kind, order = _GATES.get(mode, ("RNN", [0]))
    layers = _positive(call, "num_layers", 1)
    both = 2 if call.flag("is_bidirec") else 1
    hidden = _positive(call, "hidden_size")
    weights, states = call.values("WeightList"), call.values("PreState")
    if layers > MOST_LAYERS or len(weights) != 4 * layers * both:
        call.refuse(f"num_layers = {layers} with {len(weights)} weights")
    if len(states) != (2 if kind == "LSTM" else 1):
        call.malformed(f"{len(states)} states")
    lengths = call.maybe("SequenceLength")
    lengths_name = call.cast(lengths.name, lengths.type, INT32) if lengths else ""
    more: dict[str, Any] = {"hidden_size": hidden}
    if both == 2:
        more["direction"] = "bidirectional"
    if mode in _RNN:
        more["activations"] = [_RNN[mode]] * both
    if kind == "GRU":
        more["linear_before_reset"] = 1
    name = call.value("Input").name
    finals: list[list[str]] = [[] for _ in states]
    for layer in range(layers):
        begin = 2 * layer * both
        matrices = weights[begin : begin + 2 * both]
        biases = weights[2 * layers * both + begin :][: 2 * both]
        w = _gates(call, [value.name for value in matrices[::2]], order)
        r = _gates(call, [value.name for value in matrices[1::2]], order)
        parts = [_gates(call, [value.name for value in biases[side::2]], order) for side in (0, 1)]
        b = call.node("Concat", *parts, axis=1)
        initial = [_layer_state(call, value.name, layer, layers, both) for value in states]
        inputs = [name, w, r, b, lengths_name, *initial]
        made, *last = call.nodes(kind, *inputs, outputs=1 + len(states), **more)
        for found, state in zip(finals, last, strict=True):
            found.append(state)
        # The axis of directions goes, or becomes one with the last.
        step, behind = ("Squeeze", [made, call.vector([1])])
        if both > 1:
            turned = call.node("Transpose", made, perm=[0, 2, 1, 3])
            step, behind = ("Reshape", [turned, call.vector([0, 0, both * hidden])])
        if layer == layers - 1:
            call.put("Out", step, *behind)
        else:
            name = call.node(step, *behind)
    for index, found in enumerate(finals[: len(call.outputs("State"))]):
        if len(found) == 1:
            call.put_at("State", index, "Identity", found[0])
        else:
            call.put_at("State", index, "Concat", *found, axis=0)


def _gates(call: Call, names: list[str], order: list[int]) -> str:
    """Weights of all directions, with their gates as ONNX orders them."""
    first = call.vector([0])
    made = []
    for name in names:
        if order != [*range(len(order))]:
            parts = call.nodes("Split", name, outputs=len(order), axis=0, num_outputs=len(order))
            name = call.node("Concat", *(parts[gate] for gate in order), axis=0)
        made.append(call.node("Unsqueeze", name, first))
    return made[0] if len(made) == 1 else call.node("Concat", *made, axis=0)


def _layer_state(call: Call, name: str, layer: int, layers: int, both: int) -> str:
    if layers == 1:
        return name
    ends = ([layer * both], [(layer + 1) * both], [0])
    return call.node("Slice", name, *map(call.vector, ends))


# ***** The table *****

TABLE: Mapping[str, Rule] = {
    # One tensor, element by element.
    **{
        name: _unary(kind)
        for name, kind in {
            "abs": "Abs",
            "acos": "Acos",
            "acosh": "Acosh",
            "asin": "Asin",
            "asinh": "Asinh",
            "atan": "Atan",
            "atanh": "Atanh",
            "ceil": "Ceil",
            "cos": "Cos",
            "cosh": "Cosh",
            "erf": "Erf",
            "exp": "Exp",
            "floor": "Floor",
            "isinf_v2": "IsInf",
            "isnan_v2": "IsNaN",
            "log": "Log",
            "memcpy": "Identity",
            "mish": "Mish",
            "reciprocal": "Reciprocal",
            "relu": "Relu",
            "share_data": "Identity",
            "sigmoid": "Sigmoid",
            "sign": "Sign",
            "sin": "Sin",
            "sinh": "Sinh",
            "softsign": "Softsign",
            "sqrt": "Sqrt",
            "tan": "Tan",
            "tanh": "Tanh",
        }.items()
    },
    "celu": _with("Celu", alpha=("alpha", 1.0)),
    "elu": _with("Elu", alpha=("alpha", 1.0)),
    "hard_shrink": _with("Shrink", lambd=("threshold", 0.5)),
    "hard_sigmoid": _with("HardSigmoid", alpha=("slope", 0.2), beta=("offset", 0.5)),
    "leaky_relu": _with("LeakyRelu", alpha=("alpha", 0.02)),
    "selu": _with(
        "Selu",
        alpha=("alpha", 1.6732632423543772),
        gamma=("scale", 1.0507009873554805),
    ),
    "assign": _assign,
    "brelu": partial(_clipped, low=("t_min", 0.0), high=("t_max", 24.0)),
    "cast": _cast,
    "clip": _clip,
    "dropout": _dropout,
    "expm1": _expm1,
    "gelu": _gelu,
    "hard_swish": _hard_swish,
    "isfinite_v2": _is_finite,
    "log10": partial(_log_base, base=10.0),
    "log1p": _log1p,
    "log2": partial(_log_base, base=2.0),
    "logsigmoid": _log_sigmoid,
    "pow": _pow,
    "relu6": _relu6,
    "round": _round,
    "rsqrt": _rsqrt,
    "scale": _scale,
    "silu": partial(_swish, beta=1.0),
    "softplus": _softplus,
    "softshrink": _soft_shrink,
    "square": _square,
    "stanh": _stanh,
    "swish": _swish,
    "tanh_shrink": _tanh_shrink,
    "thresholded_relu": _thresholded,
    # Two tensors, element by element.
    **{
        name: _binary(kind)
        for name, kind in {
            "elementwise_add": "Add",
            "elementwise_div": "Div",
            "elementwise_max": "Max",
            "elementwise_min": "Min",
            "elementwise_mul": "Mul",
            "elementwise_pow": "Pow",
            "elementwise_sub": "Sub",
            "equal": "Equal",
            "greater_equal": "GreaterOrEqual",
            "greater_than": "Greater",
            "less_equal": "LessOrEqual",
            "less_than": "Less",
        }.items()
    },
    **{f"logical_{name.lower()}": _logical(name) for name in ("And", "Or", "Xor", "Not")},
    **{f"bitwise_{name.lower()}": _bitwise(name) for name in ("And", "Or", "Xor", "Not")},
    "elementwise_floordiv": _floor_divide,
    "elementwise_mod": _mod,
    "increment": _increment,
    "masked_fill": _masked_fill,
    "maxout": _maxout,
    "not_equal": _not_equal,
    "prelu": _prelu,
    "sum": _sum,
    "where": _where,
    # Matrices.
    "addmm": _addmm,
    "bmm": _binary("MatMul"),
    "dot": _dot,
    "fc": _fc,
    "matmul": _matmul_old,
    "matmul_v2": _matmul,
    "mul": _mul,
    "mv": _matrix_vector,
    # Windows and images.
    "conv2d": _conv,
    "conv2d_transpose": _conv_transpose,
    "conv3d": _conv,
    "conv3d_transpose": _conv_transpose,
    "depthwise_conv2d": _conv,
    "depthwise_conv2d_transpose": _conv_transpose,
    "grid_sampler": _grid_sample,
    "max_pool2d_with_index": _pool_with_index,
    "max_pool3d_with_index": _pool_with_index,
    **{
        f"{method}_interp{version}": partial(_interpolate, method=method)
        for method in _MODES
        for version in ("", "_v2")
    },
    "pad": _pad,
    "pad2d": partial(_pad_spatial, backwards=False, value="pad_value"),
    "pad3d": partial(_pad_spatial, backwards=True, value="value"),
    "pixel_shuffle": _pixel_shuffle,
    "pool2d": _pool,
    "pool3d": _pool,
    "channel_shuffle": partial(_shuffle_channel, attribute="groups"),
    "shuffle_channel": partial(_shuffle_channel, attribute="group"),
    "affine_grid": _affine_grid,
    # Normalisation.
    "affine_channel": _affine_channel,
    "batch_norm": _batch_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "log_softmax": partial(_softmax, kind="LogSoftmax"),
    "norm": _norm,
    "p_norm": _p_norm,
    "softmax": partial(_softmax, kind="Softmax"),
    "sync_batch_norm": _batch_norm,
    # Reduction.
    **{
        f"reduce_{name.lower()}": _reduce(f"Reduce{name}")
        for name in ("Max", "Mean", "Min", "Prod", "Sum")
    },
    "arg_max": partial(_arg, kind="ArgMax"),
    "arg_min": partial(_arg, kind="ArgMin"),
    "argsort": _arg_sort,
    "cumsum": _cumulative_sum,
    "logsumexp": _log_sum_exp,
    "mean": _mean_all,
    "reduce_all": _reduce_flags("ReduceMin"),
    "reduce_any": _reduce_flags("ReduceMax"),
    "top_k": _top_k,
    "top_k_v2": _top_k,
    # Shape.
    "concat": _concat,
    "expand": lambda call: _tile(call, "expand_times", "ExpandTimes", "expand_times_tensor"),
    "expand_as_v2": _expand_as,
    "expand_v2": _expand,
    "flatten": _flatten,
    "flatten2": _flatten,
    "flatten_contiguous_range": _flatten_range,
    "flip": _flip,
    "meshgrid": _mesh,
    "reshape": _reshape,
    "reshape2": _reshape,
    "roll": _roll,
    "slice": _slice,
    "split": _split,
    "squeeze": _squeeze,
    "squeeze2": _squeeze,
    "stack": _stack,
    "strided_slice": _strided_slice,
    "tile": lambda call: _tile(call, "repeat_times", "RepeatTimes", "repeat_times_tensor"),
    "transpose": _transpose,
    "transpose2": _transpose,
    "tril": partial(_triangle, upper=False),
    "tril_triu": _triangle,
    "triu": partial(_triangle, upper=True),
    "unbind": partial(_unstack, slot="Out"),
    "unsqueeze": _unsqueeze,
    "unsqueeze2": _unsqueeze,
    "unstack": partial(_unstack, slot="Y"),
    # Elements by their index.
    "gather": _gather,
    "gather_nd": _gather_nd,
    "index_sample": _index_sample,
    "index_select": _index_select,
    "lookup_table": partial(_lookup, squeezed=True),
    "lookup_table_v2": partial(_lookup, squeezed=False),
    "one_hot": partial(_one_hot, attribute="depth", slot="depth_tensor", squeezed=True),
    "one_hot_v2": partial(_one_hot, attribute="depth", slot="depth_tensor", squeezed=False),
    "scatter_nd_add": _scatter_nd_add,
    "take_along_axis": _take_along,
    "where_index": _nonzero,
    # What begins a graph.
    "assign_value": _assign_value,
    "fill_any_like": _fill_like,
    "fill_constant": _fill,
    "fill_constant_batch_size_like": _fill_batch,
    "fill_zeros_like": partial(_fill_like, number=0.0),
    "full_int_array": _fill_ints,
    "linspace": _linspace,
    "range": _range,
    "shape": partial(_shape, kind=INT32),
    "shape64": partial(_shape, kind=INT64),
    "size": _size,
    # Lists of tensors.
    "create_array": _create_list,
    "lod_array_length": _list_length,
    "read_from_array": _read_list,
    "tensor_array_to_tensor": _join_list,
    "write_to_array": _write_list,
    # Sequences.
    "rnn": _rnn,
    **SEQUENCES,
    **ARITHMETIC,
    **DETECTION,
    **INDEXING,
    **QUANTISED,
    **WINDOWS,
}
