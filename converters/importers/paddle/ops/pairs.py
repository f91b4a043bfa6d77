"""Complex numbers, which ONNX's operators do not take: pairs of real ones, [..., 2], real part first.

A variable of a complex type has the value of its pairs, with the dimensions that Paddle declares: the last axis, of
two, is not among them. What treats both parts alike (what moves elements, adds or scales them) is done to each of
them; the rest is in the table here.

Source: the operators' documentation and kernels/funcs/fft.h, kernels/cpu/{complex,fft}_kernel.cc of PaddlePaddle 3.3;
the numbers of its kernels (tests/importers); ONNX's DFT, opset 20.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from converters.dtypes import BY_NAME, ElementType
from converters.importers.graph import INT64, INT_LIMIT, Value
from converters.importers.paddle.build import Call, Rule
from converters.importers.paddle.ops.arithmetic import angle_of
from converters.importers.paddle.ops.places import size
from converters.importers.paddle.rows import Row, row

# Complex types, and the type of each part.
PARTS: Mapping[str, ElementType] = {
    "complex64": BY_NAME["float32"],
    "complex128": BY_NAME["float64"],
}

# Operators that do to both parts what they do to real numbers.
ALIKE = frozenset(
    [
        "assign",
        "concat",
        "crop_tensor",
        "elementwise_add",
        "elementwise_sub",
        "expand_as_v2",
        "expand_v2",
        "flatten_contiguous_range",
        "flip",
        "frame",
        "gather",
        "gather_nd",
        "index_select",
        "overlap_add",
        "pad",
        "pad3d",
        "reduce_mean",
        "reduce_sum",
        "reshape2",
        "roll",
        "scale",
        "shape",
        "shape64",
        "size",
        "slice",
        "split",
        "squeeze2",
        "stack",
        "strided_slice",
        "sum",
        "tile",
        "transpose2",
        "tril",
        "triu",
        "unbind",
        "unsqueeze2",
        "unstack",
        "where",
    ]
)


def is_complex(value: Value | None) -> bool:
    """Whether a value is pairs."""
    return value is not None and value.kind is not None and value.kind.name in PARTS


def _part(call: Call, value: Value, place: int) -> str:
    """One part of each pair."""
    return call.node("Gather", value.name, call.scalar(place, INT64), axis=-1)


def _both(call: Call, value: Value) -> tuple[str, str]:
    """Both parts; those of real numbers are themselves and zero."""
    if is_complex(value):
        return _part(call, value, 0), _part(call, value, 1)
    return value.name, _none(call, value)


def _none(call: Call, value: Value) -> str:
    """The imaginary part of real numbers."""
    return call.node("Mul", value.name, call.scalar(0, value.type))


def _paired(call: Call, real: str, imaginary: str) -> list[str]:
    """Both parts, each with the last axis."""
    last = call.vector([-1])
    return [call.node("Unsqueeze", part, last) for part in (real, imaginary)]


def _put_pairs(call: Call, real: str, imaginary: str, slot: str = "Out") -> None:
    call.put(slot, "Concat", *_paired(call, real, imaginary), axis=-1)


def by_parts(call: Call, rule: Rule) -> None:
    """What an operator does to real numbers, done to the real parts and then to the imaginary ones.

    Sizes, which are real numbers themselves, are those of the real parts.
    """
    graph, operator = call.graph, call.operator
    given = {name: graph.values[name] for name in operator.reads() if name in graph.values}
    made: list[dict[str, Value]] = []
    for place in (0, 1):
        for name, value in given.items():
            if is_complex(value):
                part = PARTS[value.type.name]
                graph.values[name] = Value(_part(call, value, place), part, value.dims)
            elif place and operator.type.startswith("elementwise_"):
                graph.values[name] = replace(value, name=_none(call, value), array=None)
        # A number that is added is added to the real part.
        kept = {**operator.attributes, **({"bias": 0.0} if place else {})}
        rule(call.of_parts(replace(operator, attributes=kept), PARTS))
        written = dict.fromkeys(operator.writes())
        made.append({name: graph.values[name] for name in written if name in graph.values})
        graph.values.update(given)
    for name, real in made[0].items():
        if call.is_declared(name, PARTS):
            parts = _paired(call, real.name, made[1][name].name)
            call.put_variable(name, "Concat", *parts, axis=-1)
        else:
            graph.values[name] = real


# ***** Real numbers and complex ones *****


def _complex(call: Call) -> None:
    x, y = call.value("X"), call.value("Y")
    # It takes the larger of both sizes.
    real = call.node("Expand", x.name, call.dims(y.name))
    _put_pairs(call, real, call.node("Expand", y.name, call.dims(real)))


def _as_they_are(call: Call) -> None:
    """Pairs that are called pairs from here on, or no longer."""
    call.put("Out", "Identity", call.value().name)


def _put_part(call: Call, place: int) -> None:
    call.put("Out", "Identity", _both(call, call.value())[place])


def _cast(call: Call) -> None:
    """Real numbers -> complex ones, or between those; the way back drops the imaginary part, as Paddle does."""
    x, kind = call.value(), call.kind("out_dtype") or call.kind("dtype")
    if kind is None:
        call.malformed("no element type")
    own = PARTS.get(x.type.name, x.type)
    real, imaginary = _both(call, x)
    part = PARTS.get(kind.name)
    if part is None:
        call.put("Out", "Identity", call.cast(real, own, kind))
    else:
        _put_pairs(call, call.cast(real, own, part), call.cast(imaginary, own, part))


def _conjugate(call: Call) -> None:
    x = call.value()
    call.put("Out", "Mul", x.name, _constant(call, [1, -1], x))


def _constant(call: Call, numbers: Sequence[float], like: Value) -> str:
    part = PARTS.get(like.type.name, like.type)
    return call.graph.constant(np.array(numbers, part.numpy))


def _magnitude(call: Call) -> None:
    call.put("Out", "ReduceL2", call.value().name, call.vector([-1]), keepdims=0)


def _angle(call: Call) -> None:
    x = call.value()
    part = PARTS.get(x.type.name, x.type)
    real, imaginary = _both(call, x)
    call.put("Out", "Identity", angle_of(call, imaginary, real, part))


# ***** Arithmetic *****


def _product(call: Call, kind: str, x: Value, y: Value) -> tuple[str, str]:
    """Both parts of a product, of matrices or of elements."""
    (a, b), (c, d) = _both(call, x), _both(call, y)
    real = call.node("Sub", call.node(kind, a, c), call.node(kind, b, d))
    return real, call.node("Add", call.node(kind, a, d), call.node(kind, b, c))


def _multiply(call: Call) -> None:
    call.only("axis", -1)
    _put_pairs(call, *_product(call, "Mul", call.value("X"), call.value("Y")))


def _divide(call: Call) -> None:
    call.only("axis", -1)
    x, y = call.value("X"), call.value("Y")
    if not is_complex(y):
        _put_pairs(call, *(call.node("Div", part, y.name) for part in _both(call, x)))
        return
    # x / y = x * conj(y) / |y|^2
    conjugate = call.node("Mul", y.name, _constant(call, [1, -1], y))
    square = call.node("ReduceSumSquare", y.name, call.vector([-1]), keepdims=0)
    parts = _product(call, "Mul", x, replace(y, name=conjugate))
    _put_pairs(call, *(call.node("Div", part, square) for part in parts))


def _matmul(call: Call) -> None:
    operands = []
    for slot, turned in (("X", "trans_x"), ("Y", "trans_y")):
        value = call.value(slot)
        if value.rank < 2:
            call.refuse(f"complex vectors ({slot})")
        if call.flag(turned):
            order = [*range(value.rank - 2), value.rank - 1, value.rank - 2]
            pairs = [value.rank] if is_complex(value) else []
            made = call.node("Transpose", value.name, perm=[*order, *pairs])
            value = replace(value, name=made)
        operands.append(value)
    _put_pairs(call, *_product(call, "MatMul", *operands))


def _exp(call: Call) -> None:
    real, imaginary = _both(call, call.value())
    size = call.node("Exp", real)
    _put_pairs(call, *(call.node("Mul", size, call.node(k, imaginary)) for k in ("Cos", "Sin")))


# ***** Fourier transforms *****


def _axes(call: Call, rank: int) -> list[int]:
    axes = [call.axis(axis, rank) for axis in call.ints("axes")]
    if not axes or len(set(axes)) < len(axes):
        call.malformed(f"axes = {axes[:20]}")
    return axes


def _transform(call: Call, name: str, axis: int, inverse: bool, one_sided: bool = False) -> str:
    """ONNX's DFT along an axis; the inverse one is divided by the length."""
    place = call.scalar(axis, INT64)
    sides = {"inverse": int(inverse), "onesided": int(one_sided)}
    return call.node("DFT", name, "", place, **sides)


def _scaled(call: Call, name: str, lengths: Sequence[str], divided: bool, kind: ElementType) -> str:
    """The factor that Paddle's way of counting asks for.

    Args:
        call: The operator.
        name: What is transformed.
        lengths: Of the axes.
        divided: Whether it is divided by them already, as ONNX's inverse is.
        kind: The type of each part.
    """
    norm, forward = call.text("normalization", "backward"), call.flag("forward")
    powers = {
        "backward": 0.0 if forward else -1.0,
        "ortho": -0.5,
        "forward": -1.0 if forward else 0.0,
    }
    if norm not in powers:
        call.refuse(f"normalization = {norm[:50]}")
    power = powers[norm] + (1.0 if divided else 0.0)
    if not power:
        return name
    for length in lengths:
        real = call.node("Cast", length, to=kind.onnx)
        name = call.node("Mul", name, call.node("Pow", real, call.scalar(power, kind)))
    return name


def _fft(call: Call) -> None:
    """Complex numbers -> as many."""
    x = call.value()
    name, inverse = x.name, not call.flag("forward")
    axes = _axes(call, x.rank)
    for axis in axes:
        name = _transform(call, name, axis, inverse)
    lengths = [size(call, x.name, axis) for axis in axes]
    call.put("Out", "Identity", _scaled(call, name, lengths, inverse, PARTS[x.type.name]))


def _fft_of_real(call: Call) -> None:
    """Real numbers -> the half that says it all, along the last axis, or all of it."""
    x = call.value()
    *others, last = _axes(call, x.rank)
    name = call.node("Unsqueeze", x.name, call.vector([-1]))
    name = _transform(call, name, last, inverse=False, one_sided=call.flag("onesided", True))
    for axis in others:
        name = _transform(call, name, axis, inverse=False)
    if not call.flag("forward"):
        # The inverse transform of real numbers is the conjugate of the forward one.
        name = call.node("Mul", name, _constant(call, [1, -1], x))
    lengths = [size(call, x.name, axis) for axis in (*others, last)]
    call.put("Out", "Identity", _scaled(call, name, lengths, False, x.type))


def _fft_to_real(call: Call) -> None:
    """The half that says it all -> real numbers."""
    x = call.value()
    part = PARTS[x.type.name]
    *others, last = _axes(call, x.rank)
    conjugation = _constant(call, [1, -1], x)
    name = x.name
    if call.flag("forward"):
        # The forward transform is the inverse one of the conjugate.
        name = call.node("Mul", name, conjugation)
    for axis in others:
        name = _transform(call, name, axis, inverse=True)
    wide = call.integer("last_dim_size", 0)
    if wide > 0:
        ends = [0], [wide // 2 + 1]
        mirrored = [(wide - 1) // 2], [0]
    else:
        # The other half of an even number.
        ends = [0], [INT_LIMIT]
        mirrored = [-2], [0]
    along = call.vector([last])
    half = call.node("Slice", name, *map(call.vector, ends), along)
    other = call.node("Slice", name, *map(call.vector, mirrored), along, call.vector([-1]))
    whole = call.node("Concat", half, call.node("Mul", other, conjugation), axis=last)
    made = _transform(call, whole, last, inverse=True)
    real = call.node("Gather", made, call.scalar(0, INT64), axis=-1)
    lengths = [size(call, whole, axis) for axis in (*others, last)]
    call.put("Out", "Identity", _scaled(call, real, lengths, True, part))


# Operators of complex numbers alone.
TABLE: Mapping[str, Rule] = {
    "angle": _angle,
    "as_complex": _as_they_are,
    "as_real": _as_they_are,
    "complex": _complex,
    "conj": _conjugate,
    "fft_c2c": _fft,
    "fft_c2r": _fft_to_real,
    "fft_r2c": _fft_of_real,
    "imag": lambda call: _put_part(call, 1),
    "real": lambda call: _put_part(call, 0),
}

# What those of real numbers, which are in other rooms, are where an input or output is complex.
OF_COMPLEX: Mapping[str, Rule] = {
    **TABLE,
    "abs": _magnitude,
    "cast": _cast,
    "elementwise_div": _divide,
    "elementwise_mul": _multiply,
    "exp": _exp,
    "matmul_v2": _matmul,
}

ROWS: Mapping[str, Row] = {
    "angle": row("angle"),
    "as_complex": row("as_complex"),
    "as_real": row("as_real"),
    "complex": row("complex", "X Y"),
    "conj": row("conj"),
    "fft_c2c": row("fft_c2c"),
    "fft_c2r": row("fft_c2r"),
    "fft_r2c": row("fft_r2c"),
    "imag": row("imag"),
    "real": row("real"),
}
