"""Operators of ONNX Runtime (`com.microsoft`) -> standard nodes, once for every framework; `expand` looks them up.

Before: `SkipLayerNormalization(x, skip, gamma)`. After: `LayerNormalization(Add(x, skip), gamma)`.
A rule is a function named as the operator: it is given the node as `Body`, its inputs by position and its
attributes by name, and writes standard nodes in the newest form of their operators.

Source: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""
# ruff: noqa: N802, N803, D103 - functions and attributes are named as the operators, which the source documents

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np

from converters.dtypes import element_type
from converters.graph.body import (
    Body,
    Given,
    Unsayable,
    Written,
    known_rank,
    known_size,
    known_type,
)
from converters.graph.model import Graph, Value, constant

FLOAT = element_type(np.float32).onnx
INT64 = element_type(np.int64).onnx
# ONNX Runtime's defaults of `epsilon` and `mask_filter_value`.
SKIP_EPSILON, MASKED = 1e-12, -10000.0


def _swapped(b: Body, x: Value) -> Value:
    """The two last axes exchanged."""
    rank = known_rank(x)
    return b("Transpose", x, perm=[*range(rank - 2), rank - 1, rank - 2])


def _plus(b: Body, x: Value, y: Given) -> Value:
    return x if y is None else b("Add", x, y)


# ***** activations *****


def BiasGelu(b: Body, x: Value, bias: Value) -> Written:
    return b("Gelu", b("Add", x, bias))


def FastGelu(b: Body, x: Value, bias: Given = None) -> Written:
    return b("Gelu", _plus(b, x, bias), approximate="tanh")


def QuickGelu(b: Body, x: Value, *, alpha: float = 1.702) -> Written:
    inner = x if alpha == 1 else b("Mul", x, b.like(x, alpha))
    return b("Mul", x, b("Sigmoid", inner))


def BiasSplitGelu(b: Body, x: Value, bias: Value) -> Written:
    left, right = b.several(2, "Split", b("Add", x, bias), axis=-1, num_outputs=2)
    return b("Mul", left, b("Gelu", right))


def BiasAdd(b: Body, x: Value, bias: Value, skip: Value) -> Written:
    return b("Add", b("Add", x, bias), skip)


def _activated(
    b: Body, x: Value, activation: str, params: tuple[float, ...], source: Value
) -> Value:
    """A fused activation with its parameters, in the element type of `source`."""
    names: dict[str, tuple[str, ...]] = {
        "": (), "Relu": (), "Tanh": (), "Sigmoid": (), "LeakyRelu": ("alpha",), "Clip": ("min", "max"),
        "HardSigmoid": ("alpha", "beta"),
    }  # fmt: skip
    if activation not in names or len(params) != len(names[activation]):
        raise Unsayable(f"attribute activation={activation!r} with {len(params)} parameters")
    if not activation:
        return x
    if activation == "Clip":
        return b("Clip", x, *(b.like(source, bound) for bound in params))
    return b(activation, x, **dict[str, Any](zip(names[activation], params, strict=True)))


# ***** matrices *****


def FusedMatMul(
    b: Body, left: Value, right: Value, *, alpha: float = 1.0, transA: int = 0, transB: int = 0,
    transBatchA: int = 0, transBatchB: int = 0,
) -> Written:  # fmt: skip
    def turned(x: Value, batch: int, trans: int) -> Value:
        if not batch and not trans:
            return x
        order = list(range(known_rank(x)))
        if len(order) < 2:
            return x
        order = [*order[1:-1], order[0], order[-1]] if batch else order
        order = [*order[:-2], order[-1], order[-2]] if trans else order
        return b("Transpose", x, perm=order)

    y = b("MatMul", turned(left, transBatchA, transA), turned(right, transBatchB, transB))
    return y if alpha == 1 else b("Mul", y, b.like(left, alpha))


TransposeMatMul = FusedMatMul


def FusedGemm(
    b: Body, left: Value, right: Value, c: Given = None, *, alpha: float = 1.0, beta: float = 1.0,
    transA: int = 0, transB: int = 0, activation: str = "", activation_alpha: float | None = None,
    activation_beta: float | None = None, activation_gamma: float | None = None,
) -> Written:  # fmt: skip
    y = b("Gemm", left, right, c, alpha=alpha, beta=beta, transA=transA, transB=transB)
    given = (activation_alpha, activation_beta, activation_gamma)
    return _activated(b, y, activation, tuple(p for p in given if p is not None), left)


def FusedConv(
    b: Body, x: Value, w: Value, bias: Given = None, z: Given = None, *, activation: str = "",
    activation_params: tuple[float, ...] = (), **attributes: Any,
) -> Written:  # fmt: skip
    y = _plus(b, b("Conv", x, w, bias, **attributes), z)
    return _activated(b, y, activation, tuple(activation_params), x)


def MatMulNBits(
    b: Body, x: Value, packed: Value, scales: Value, zeros: Given = None, groups: Given = None,
    bias: Given = None, *, K: int, N: int, block_size: int, bits: int = 4, accuracy_level: int = 0,
) -> Written:  # fmt: skip
    # The weights become floats here; how precisely they are multiplied is for the framework to say.
    b.lacks(g_idx=groups)
    if packed.const is None or scales.const is None or (zeros is not None and zeros.const is None):
        raise Unsayable("weights that are not constant")
    if bits not in (2, 4, 8):
        raise Unsayable(f"attribute bits={bits}")
    blocks = -(-K // block_size)
    codes = _unpacked(packed.const.reshape(N * blocks, -1), bits)[:, :block_size]
    codes = codes.reshape(N, blocks, block_size)
    zero: Any = 2 ** (bits - 1)
    if zeros is not None and zeros.const is not None:
        data = zeros.const
        if data.dtype == np.uint8:
            zero = _unpacked(data.reshape(N, -1), bits)[:, :blocks, None]
        else:
            zero = data.astype(np.float32).reshape(N, blocks, 1)
    weight = (codes.astype(np.float32) - zero) * scales.const.astype(np.float32).reshape(N, -1, 1)
    weight = weight.reshape(N, -1)[:, :K].T.astype(known_type(x))
    w = constant(packed.name, np.ascontiguousarray(weight), trainable=True)
    return _plus(b, b("MatMul", x, w), bias)


def _unpacked(rows: Any, bits: int) -> Any:
    """Numbers of 2, 4 or 8 bits in rows of bytes, the lowest bits first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = (rows[..., None] >> shifts) & np.uint8(2**bits - 1)
    return codes.reshape(len(rows), -1)


# ***** normalisation *****


def _root_mean_square(b: Body, x: Value, scale: Value, axis: int, epsilon: float) -> Value:
    """X / sqrt(mean of squares + epsilon) * scale, in 32 bits at least."""
    dtype = known_type(x)
    axes = [axis] if axis == -1 else list(range(axis % known_rank(x), known_rank(x)))
    wide = x if dtype.name in ("float32", "float64") else b("Cast", x, to=FLOAT)
    square = b("ReduceMean", b("Mul", wide, wide), axes, keepdims=1)
    number = np.asarray(epsilon, dtype if wide is x else np.float32)
    eps = constant(f"{b.node.name}.epsilon", number)
    y = b("Div", wide, b("Sqrt", b("Add", square, eps)))
    return b("Mul", y if wide is x else b("CastLike", y, x), scale)


def SimplifiedLayerNormalization(
    b: Body, x: Value, scale: Value, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Written:
    b.lacks_outputs(1)
    return _root_mean_square(b, x, scale, axis, epsilon)


def SkipSimplifiedLayerNormalization(
    b: Body, x: Value, skip: Value, gamma: Value, bias: Given = None, *, epsilon: float = SKIP_EPSILON
) -> Written:  # fmt: skip
    b.lacks_outputs(1, 2)
    total = b("Add", _plus(b, x, bias), skip)
    total.dtype, total.shape = x.dtype, x.shape
    return _root_mean_square(b, total, gamma, -1, epsilon), None, None, total


def SkipLayerNormalization(
    b: Body, x: Value, skip: Value, gamma: Value, beta: Given = None, bias: Given = None, *,
    epsilon: float = SKIP_EPSILON,
) -> Written:  # fmt: skip
    b.lacks_outputs(1, 2)
    total = b("Add", _plus(b, x, bias), skip)
    return b("LayerNormalization", total, gamma, beta, axis=-1, epsilon=epsilon), None, None, total


def EmbedLayerNormalization(
    b: Body, ids: Value, segments: Given, words: Value, places: Value, kinds: Given, gamma: Value,
    beta: Value, mask: Given = None, place_ids: Given = None, *, epsilon: float = SKIP_EPSILON,
    mask_index_type: int = 0,
) -> Written:  # fmt: skip
    total = b("Gather", words, ids)
    if place_ids is not None:
        place = b("Gather", places, place_ids)
    else:
        place = b("Slice", places, [0], b("Shape", ids, start=1, end=2), [0])
    total = b("Add", total, place)
    if segments is not None and kinds is not None:
        total = b("Add", total, b("Gather", kinds, segments))
    y = b("LayerNormalization", total, gamma, beta, axis=-1, epsilon=epsilon)
    if not b.uses(1):
        return y, None, total
    if mask is None:
        batch = b("Shape", ids, start=0, end=1)
        return y, b("ConstantOfShape", batch, value=np.zeros(1, np.int32)), total
    return y, b("ReduceSum", mask, [1], keepdims=0), total


def GroupNorm(
    b: Body, x: Value, gamma: Value, beta: Value, *, groups: int, activation: int,
    channels_last: int = 1, epsilon: float = 1e-5,
) -> Written:  # fmt: skip
    rank = known_rank(x)
    first = b("Transpose", x, perm=[0, rank - 1, *range(1, rank - 1)]) if channels_last else x
    y = b("GroupNormalization", first, gamma, beta, num_groups=groups, epsilon=epsilon)
    y = b("Transpose", y, perm=[0, *range(2, rank), 1]) if channels_last else y
    return b("Mul", y, b("Sigmoid", y)) if activation else y


# ***** attention *****


def Attention(
    b: Body, x: Value, w: Value, bias: Given = None, mask: Given = None, past: Given = None,
    extra: Given = None, past_length: Given = None, *, num_heads: int, unidirectional: int = 0,
    scale: float = 0.0, qkv_hidden_sizes: tuple[int, ...] | None = None,
    mask_filter_value: float = MASKED, do_rotary: int = 0, rotary_embedding_dim: int = 0,
    past_present_share_buffer: int = 0,
) -> Written:  # fmt: skip
    b.lacks(past=past, past_sequence_length=past_length, do_rotary=do_rotary)
    b.lacks_outputs(1)
    sizes = list(qkv_hidden_sizes or [known_size(w, 1) // 3] * 3)
    product = _plus(b, b("MatMul", x, w), bias)
    q, k, v = b.several(3, "Split", product, sizes, axis=-1)
    return _attend(
        b, q, k, v, num_heads, sizes[0] // num_heads, scale, known_type(x), mask, extra,
        mask_filter_value, bool(unidirectional),
    )  # fmt: skip


def MultiHeadAttention(
    b: Body, q: Value, k: Given = None, v: Given = None, bias: Given = None, mask: Given = None,
    extra: Given = None, past_key: Given = None, past_value: Given = None, length: Given = None,
    cache: Given = None, *, num_heads: int, unidirectional: int = 0, scale: float = 0.0,
    mask_filter_value: float = MASKED,
) -> Written:  # fmt: skip
    b.lacks(past_key=past_key, past_value=past_value, past_sequence_length=length)
    b.lacks(cache_indirection=cache)
    b.lacks_outputs(1, 2, 3)
    if k is None or v is None:
        raise Unsayable("keys and values packed with others")
    if known_rank(q) != 3 or known_rank(k) not in (3, 4) or known_rank(v) != known_rank(k):
        raise Unsayable(f"inputs of ranks {q.rank}, {k.rank}, {v.rank}")
    dtype, width = known_type(q), known_size(q, 2)
    if bias is not None:
        sizes = [width, width, known_size(bias, 0) - 2 * width]
        parts = b.several(3, "Split", bias, sizes, axis=0)
        q = b("Add", q, parts[0])
        if known_rank(k) == 3:
            k, v = b("Add", k, parts[1]), b("Add", v, parts[2])
    return _attend(
        b, q, k, v, num_heads, width // num_heads, scale, dtype, mask, extra, mask_filter_value,
        bool(unidirectional),
    )  # fmt: skip


def _attend(
    b: Body, q: Value, k: Value, v: Value, heads: int, width: int, scale: float,
    dtype: np.dtype[Any], mask: Given, extra: Given, masked: float, causal: bool,
) -> Value:  # fmt: skip
    """Attention of [batch, length, heads * width]; keys and values may have their heads apart."""

    def by_head(x: Value) -> Value:
        if x.rank == 4:
            return x
        apart = b("Reshape", x, [0, 0, heads, -1])
        return b("Transpose", apart, perm=[0, 2, 1, 3])

    def number(text: str, data: Any) -> Value:
        return constant(f"{b.node.name}.{text}", np.asarray(data, dtype))

    queries, keys, values = by_head(q), by_head(k), by_head(v)
    turned = b("Transpose", keys, perm=[0, 1, 3, 2])
    factor = number("scale", scale or 1 / sqrt(width))
    scores = b("Mul", b("MatMul", queries, turned), factor)
    bias = extra
    if mask is not None:
        allowed = _allowed(b, mask, keys)
        blocked = b("Where", allowed, number("zero", 0), number("masked", masked))
        bias = blocked if bias is None else b("Add", bias, blocked)
    if causal:
        last = [b("Shape", x, start=2, end=3) for x in (queries, keys)]
        ones = b("ConstantOfShape", b("Concat", *last, axis=0), value=np.ones(1, np.float32))
        lower = b("Cast", b("Trilu", ones, upper=0), to=element_type(np.bool_).onnx)
        lowest = np.finfo(dtype).min if dtype.kind == "f" else masked
        ahead = b("Where", lower, number("seen", 0), number("ahead", lowest))
        bias = ahead if bias is None else b("Add", bias, ahead)
    weights = b("Softmax", scores if bias is None else b("Add", scores, bias), axis=-1)
    joined = b("Transpose", b("MatMul", weights, values), perm=[0, 2, 1, 3])
    return b("Reshape", joined, [0, 0, -1])


def _allowed(b: Body, mask: Value, keys: Value) -> Value:
    """Which keys may be seen, as truth values that broadcast over [batch, heads, queries, keys]."""
    rank = known_rank(mask)
    if rank == 1:
        # The number of keys of each sample.
        if mask.shape is not None and keys.shape is not None and mask.shape[0] != keys.shape[0]:
            batch = mask.shape[0]
            if isinstance(batch, int) and isinstance(keys.shape[0], int):
                raise Unsayable(f"a mask of shape {list(mask.shape)}")
        count = b("Squeeze", b("Shape", keys, start=2, end=3), [0])
        places = b("Range", np.int64(0), count, np.int64(1))
        lengths = b("Unsqueeze", b("Cast", mask, to=INT64), [1, 2, 3])
        return b("Less", places, lengths)
    truth = b("Cast", mask, to=element_type(np.bool_).onnx)
    if rank == 2:
        truth = b("Unsqueeze", truth, [1, 2])
    elif rank == 3:
        truth = b("Unsqueeze", truth, [1])
    else:
        raise Unsayable(f"a mask of rank {rank}")
    return truth


def GroupQueryAttention(b: Body, *inputs: Given, **attributes: Any) -> Written:
    raise Unsayable("it needs a cache of keys and values")


def RotaryEmbedding(
    b: Body, x: Value, positions: Value, cosines: Value, sines: Value, *, interleaved: int = 0,
    num_heads: int = 0, rotary_embedding_dim: int = 0, scale: float = 1.0, is_packed_batching: int = 0,
) -> Written:  # fmt: skip
    b.lacks(is_packed_batching=is_packed_batching)
    half = known_size(cosines, 1)
    if rotary_embedding_dim and not num_heads and known_rank(x) == 3:
        raise Unsayable(f"attribute rotary_embedding_dim={rotary_embedding_dim} without num_heads")
    if rotary_embedding_dim not in (0, 2 * half):
        raise Unsayable(f"attribute rotary_embedding_dim={rotary_embedding_dim}")
    if known_rank(x) == 3:
        # Where only a part of each head turns, the number of heads says how wide they are.
        heads, width = (num_heads, -1) if rotary_embedding_dim else (-1, 2 * half)
        apart = b("Reshape", x, [0, 0, heads, width])
    else:
        apart = b("Transpose", x, perm=[0, 2, 1, 3])
    if known_rank(positions) == 1:
        length = b("Squeeze", b("Shape", apart, start=1, end=2), [0])
        start = b("Cast", positions, to=INT64)
        positions = b(
            "Unsqueeze", b("Add", b("Range", np.int64(0), length, np.int64(1)), start), [0]
        )
    cos = b("Unsqueeze", b("Gather", cosines, positions), [2])
    sin = b("Unsqueeze", b("Gather", sines, positions), [2])
    turning, rest = apart, None
    if rotary_embedding_dim:
        turning = b("Slice", apart, [0], [2 * half], [3])
        rest = b("Slice", apart, [2 * half], [np.iinfo(np.int64).max], [3])
    if interleaved:
        pairs = b("Reshape", turning, [0, 0, 0, half, 2])
        first, second = (b("Gather", pairs, np.int64(k), axis=4) for k in (0, 1))
    else:
        first, second = b.several(2, "Split", turning, [half, half], axis=3)
    one = b("Sub", b("Mul", first, cos), b("Mul", second, sin))
    two = b("Add", b("Mul", first, sin), b("Mul", second, cos))
    if interleaved:
        y = b("Concat", b("Unsqueeze", one, [4]), b("Unsqueeze", two, [4]), axis=4)
        y = b("Reshape", y, [0, 0, 0, 2 * half])
    else:
        y = b("Concat", one, two, axis=3)
    y = y if rest is None else b("Concat", y, rest, axis=3)
    return (
        b("Reshape", y, [0, 0, -1]) if known_rank(x) == 3 else b("Transpose", y, perm=[0, 2, 1, 3])
    )


# ***** quantised *****


def MatMulIntegerToFloat(
    b: Body, left: Value, right: Value, left_scale: Value, right_scale: Value,
    left_zero: Given = None, right_zero: Given = None, bias: Given = None,
) -> Written:  # fmt: skip
    product = b("MatMulInteger", left, right, left_zero, right_zero)
    scale = b("Mul", left_scale, right_scale)
    return _plus(b, b("Mul", b("CastLike", product, left_scale), scale), bias)


def DynamicQuantizeMatMul(
    b: Body, x: Value, w: Value, scale: Value, zero: Given = None, bias: Given = None
) -> Written:
    codes, x_scale, x_zero = b.several(3, "DynamicQuantizeLinear", x)
    return MatMulIntegerToFloat(b, codes, w, x_scale, scale, x_zero, zero, bias)


def DynamicQuantizeLSTM(
    b: Body, x: Value, w: Value, r: Value, bias: Given = None, lengths: Given = None,
    first_h: Given = None, first_c: Given = None, peepholes: Given = None, w_scale: Given = None,
    w_zero: Given = None, r_scale: Given = None, r_zero: Given = None, *, hidden_size: int,
    direction: str = "forward", activations: list[str] | None = None, clip: float = 0.0,
    activation_alpha: list[float] | None = None, activation_beta: list[float] | None = None,
    input_forget: int = 0,
) -> Written:  # fmt: skip
    # The numbers are those that ONNX Runtime 1.32 was seen to give: x is quantised as a whole, the state
    # anew in each step, and what a cell computes of the products is not quantised.
    b.lacks(sequence_lens=lengths, input_forget=input_forget, clip=clip)
    b.lacks(activation_alpha=activation_alpha, activation_beta=activation_beta)
    backwards = {"forward": (0,), "reverse": (1,), "bidirectional": (0, 1)}.get(direction)
    if backwards is None:
        raise Unsayable(f"attribute direction={direction!r}")
    if activations and list(activations) != ["Sigmoid", "Tanh", "Tanh"] * len(backwards):
        raise Unsayable(f"attribute activations={activations}")
    if x.shape is None or len(x.shape) != 3 or x.shape[1] != 1:
        raise Unsayable(
            "a batch that is not one: ONNX Runtime quantises the state in as many parts as it has"
            " threads, so that its own numbers depend on the machine"
        )
    if w_scale is None or r_scale is None:
        raise Unsayable("weights without a scale")
    codes, x_scale, x_zero = b.several(3, "DynamicQuantizeLinear", x)
    made = []
    for place, back in enumerate(backwards):

        def own(value: Given, place: int = place) -> Any:
            return None if value is None else b("Gather", value, np.int64(place), axis=0)

        product = b("MatMulInteger", codes, own(w), x_zero, own(w_zero))
        gates = _scaled(b, product, x_scale, own(w_scale))
        if bias is not None:
            of_x, of_h = b.several(2, "Split", own(bias), axis=0, num_outputs=2)
            gates = b("Add", gates, b("Add", of_x, of_h))
        states = [np.zeros((1, hidden_size)) if s is None else own(s) for s in (first_h, first_c)]
        body = _lstm_step(b, own(r), own(r_scale), own(r_zero), own(peepholes), hidden_size)
        directions = {"scan_input_directions": [back], "scan_output_directions": [back]}
        made.append(
            b.several(3, "Scan", *states, gates, body=body, num_scan_inputs=1, **directions)
        )
    last = [b("Concat", *(b("Unsqueeze", one[k], [0]) for one in made), axis=0) for k in (0, 1)]
    return b("Concat", *(b("Unsqueeze", one[2], [1]) for one in made), axis=1), *last


def _scaled(b: Body, product: Value, left: Value, right: Value) -> Value:
    """A product of integers as a product of numbers."""
    return b("Mul", b("Cast", product, to=FLOAT), b("Mul", left, right))


def _lstm_step(
    b: Body, r: Value, r_scale: Value, r_zero: Given, peepholes: Given, size: int
) -> Graph:
    """One step of an LSTM whose state is quantised: h, c, what comes of x -> h, c, h."""
    inner, single = type(b)(b.node), np.dtype(np.float32)
    h, c, gates = (
        Value(f"{b.node.name}.{name}", single, (1, width))
        for name, width in (("h", size), ("c", size), ("gates", 4 * size))
    )
    codes, scale, zero = inner.several(3, "DynamicQuantizeLinear", h)
    product = inner("MatMulInteger", codes, r, zero, r_zero)
    total = inner("Add", gates, _scaled(inner, product, scale, r_scale))
    i, o, f, new = inner.several(4, "Split", total, [size] * 4, axis=1)
    if peepholes is not None:
        to_i, to_o, to_f = b.several(3, "Split", peepholes, [size] * 3, axis=0)
        i, f = (inner("Add", gate, inner("Mul", p, c)) for gate, p in ((i, to_i), (f, to_f)))
    kept = inner("Mul", inner("Sigmoid", f), c)
    cell = inner("Add", kept, inner("Mul", inner("Sigmoid", i), inner("Tanh", new)))
    if peepholes is not None:
        o = inner("Add", o, inner("Mul", to_o, cell))
    out = inner("Mul", inner("Sigmoid", o), inner("Tanh", cell))
    results = [out, cell, inner("Identity", out)]
    for value in results:
        value.dtype, value.shape = single, (1, size)
    return Graph(f"{b.node.name}.step", [h, c, gates], results, inner.nodes, 21)


def QGemm(
    b: Body, x: Value, x_scale: Value, x_zero: Value, w: Value, w_scale: Value, w_zero: Value,
    c: Given = None, y_scale: Given = None, y_zero: Given = None, *, alpha: float = 1.0,
    transA: int = 0, transB: int = 0,
) -> Written:  # fmt: skip
    if transB and known_rank(w_zero) == 1 and w_zero.shape != (1,):
        raise Unsayable("attribute transB=1 with a zero point for each column")
    left = b("Transpose", x, perm=[1, 0]) if transA else x
    right = b("Transpose", w, perm=[1, 0]) if transB else w
    total = _plus(b, b("MatMulInteger", left, right, x_zero, w_zero), c)
    y = b("Mul", b("CastLike", total, x_scale), b("Mul", x_scale, w_scale))
    y = y if alpha == 1 else b("Mul", y, b.like(x_scale, alpha))
    return y if y_scale is None else b("QuantizeLinear", y, y_scale, y_zero)


def QAttention(
    b: Body, x: Value, w: Value, bias: Value, x_scale: Value, w_scale: Value, mask: Given = None,
    x_zero: Given = None, w_zero: Given = None, past: Given = None, *, num_heads: int,
    unidirectional: int = 0, scale: float = 0.0, mask_filter_value: float = MASKED, do_rotary: int = 0,
    past_present_share_buffer: int = 0,
) -> Written:  # fmt: skip
    b.lacks(past=past, do_rotary=do_rotary)
    b.lacks_outputs(1)
    size = known_size(w, 1) // 3
    product = MatMulIntegerToFloat(b, x, w, x_scale, w_scale, x_zero, w_zero, bias)
    q, k, v = b.several(3, "Split", product, [size] * 3, axis=-1)
    return _attend(
        b, q, k, v, num_heads, size // num_heads, scale, known_type(x_scale), mask, None,
        mask_filter_value, bool(unidirectional),
    )  # fmt: skip


def _between(
    b: Body, x: Value, x_scale: Value, x_zero: Given, y_scale: Value, y_zero: Given,
    compute: Callable[[Value], Value],
) -> Value:  # fmt: skip
    """A function of real numbers between a quantised input and a quantised output."""
    y = compute(b("DequantizeLinear", x, x_scale, x_zero))
    return b("QuantizeLinear", y, y_scale, _zero(b, x, y_zero))


def _zero(b: Body, x: Value, zero: Given) -> Value:
    """A zero point that is not given is zero, in the type of the input."""
    return zero if zero is not None else b.like(x, 0)


def _binary(b: Body, op: str, inputs: tuple[Given, ...]) -> Value:
    left, left_scale, left_zero, right, right_scale, right_zero, y_scale, *rest = inputs
    one = b("DequantizeLinear", left, left_scale, left_zero)
    two = b("DequantizeLinear", right, right_scale, right_zero)
    if left is None:
        raise Unsayable("input 0 is absent")
    zero = _zero(b, left, rest[0] if rest else None)
    return b("QuantizeLinear", b(op, one, two), y_scale, zero)


def QLinearAdd(b: Body, *inputs: Given) -> Written:
    return _binary(b, "Add", inputs)


def QLinearMul(b: Body, *inputs: Given) -> Written:
    return _binary(b, "Mul", inputs)


def QLinearSigmoid(
    b: Body, x: Value, x_scale: Value, x_zero: Given, y_scale: Value, y_zero: Given = None
) -> Written:
    return _between(b, x, x_scale, x_zero, y_scale, y_zero, lambda y: b("Sigmoid", y))


def QLinearLeakyRelu(
    b: Body, x: Value, x_scale: Value, x_zero: Given, y_scale: Value, y_zero: Given = None, *,
    alpha: float = 0.01,
) -> Written:  # fmt: skip
    return _between(
        b, x, x_scale, x_zero, y_scale, y_zero, lambda y: b("LeakyRelu", y, alpha=alpha)
    )


def QLinearSoftmax(
    b: Body, x: Value, x_scale: Value, x_zero: Given, y_scale: Value, y_zero: Given = None, *,
    axis: int = -1, opset: int,
) -> Written:  # fmt: skip
    if opset < 13 and axis not in (-1, known_rank(x) - 1):
        raise Unsayable(f"attribute axis={axis} with opset={opset}")
    return _between(b, x, x_scale, x_zero, y_scale, y_zero, lambda y: b("Softmax", y, axis=axis))


def _pooled(
    b: Body, key: str, given: tuple[Value, Value, Given, Value, Given], channels_last: int,
    attributes: dict[str, Any],
) -> Value:  # fmt: skip
    rank = known_rank(given[0])

    def pool(x: Value) -> Value:
        first = b("Transpose", x, perm=[0, rank - 1, *range(1, rank - 1)]) if channels_last else x
        y = b(key, first, **attributes)
        return b("Transpose", y, perm=[0, *range(2, rank), 1]) if channels_last else y

    return _between(b, *given, pool)


def QLinearAveragePool(
    b: Body, x: Value, x_scale: Value, x_zero: Given, y_scale: Value, y_zero: Given = None, *,
    channels_last: int = 0, **attributes: Any,
) -> Written:  # fmt: skip
    given = (x, x_scale, x_zero, y_scale, y_zero)
    return _pooled(b, "AveragePool", given, channels_last, attributes)


def QLinearGlobalAveragePool(
    b: Body, x: Value, x_scale: Value, x_zero: Given, y_scale: Value, y_zero: Given = None, *,
    channels_last: int = 0,
) -> Written:  # fmt: skip
    given = (x, x_scale, x_zero, y_scale, y_zero)
    return _pooled(b, "GlobalAveragePool", given, channels_last, {})


def QLinearConcat(b: Body, y_scale: Value, y_zero: Value, *parts: Given, axis: int) -> Written:
    real = [b("DequantizeLinear", *parts[k : k + 3]) for k in range(0, len(parts), 3)]
    return b("QuantizeLinear", b("Concat", *real, axis=axis), y_scale, y_zero)


def QLinearWhere(
    b: Body, condition: Value, x: Value, x_scale: Value, x_zero: Value, y: Value, y_scale: Value,
    y_zero: Value, z_scale: Value, z_zero: Value,
) -> Written:  # fmt: skip
    one = b("DequantizeLinear", x, x_scale, x_zero)
    two = b("DequantizeLinear", y, y_scale, y_zero)
    return b("QuantizeLinear", b("Where", condition, one, two), z_scale, z_zero)


def NhwcMaxPool(b: Body, x: Value, **attributes: Any) -> Written:
    y = b("MaxPool", b("Transpose", x, perm=[0, 3, 1, 2]), **attributes)
    return b("Transpose", y, perm=[0, 2, 3, 1])


# ***** signal *****


def Rfft(b: Body, x: Value, *, normalized: int, onesided: int, signal_ndim: int) -> Written:
    b.lacks(normalized=normalized)
    if not onesided or signal_ndim != 1:
        raise Unsayable(f"attributes onesided={onesided}, signal_ndim={signal_ndim}")
    return b("DFT", b("Unsqueeze", x, [-1]), None, np.int64(-2), onesided=1)


# ***** text *****


def TfIdfVectorizer(
    b: Body, x: Value, *, max_gram_length: int, max_skip_count: int, min_gram_length: int, mode: str,
    ngram_counts: list[int], ngram_indexes: list[int], pool_int64s: list[int] | None = None,
    pool_strings: list[str] | None = None, weights: list[float] | None = None,
) -> Written:  # fmt: skip
    if pool_int64s is None:
        raise Unsayable("attribute pool_strings")
    ends = [*ngram_counts[1:], len(pool_int64s)]
    places, columns = iter(range(len(ngram_indexes))), max(ngram_indexes) + 1
    total = None
    for length, (start, end) in enumerate(zip(ngram_counts, ends, strict=True), 1):
        grams = np.asarray(pool_int64s[start:end], np.int64).reshape(-1, length)
        rows = [next(places) for _ in grams]
        if not len(grams) or not min_gram_length <= length <= max_gram_length:
            continue
        # One element alone has nothing to skip.
        for step in range(1, (max_skip_count if length > 1 else 0) + 2):
            size = x.shape[-1] if x.shape else None
            if isinstance(size, int) and (length - 1) * step >= size:
                continue
            found = _occurrences(b, x, grams, step)
            place = np.zeros((len(rows), columns), np.float32)
            place[range(len(rows)), [ngram_indexes[row] for row in rows]] = 1
            part = b("MatMul", found, constant(f"{b.node.name}.{length}.{step}", place))
            total = _plus(b, part, total)
    if total is None:
        raise Unsayable(f"attribute min_gram_length={min_gram_length} without such grams")
    if mode == "TF":
        return total
    factors = np.ones(columns, np.float32)
    factors[ngram_indexes] = weights if weights is not None else 1.0
    counted = b("Min", total, 1.0) if mode == "IDF" else total
    return b("Mul", counted, constant(f"{b.node.name}.weights", factors))


def _occurrences(b: Body, x: Value, grams: Any, step: int) -> Value:
    """How often each gram stands in the last axis, its elements `step` apart; floats [..., grams]."""
    length, whole = grams.shape[1], np.iinfo(np.int64).max
    same = None
    for k in range(length):
        end = -(length - 1 - k) * step or whole
        part = b("Unsqueeze", b("Slice", x, [k * step], [end], [-1]), [-1])
        wanted = constant(f"{b.node.name}.gram{len(b.nodes)}", grams[:, k].astype(known_type(x)))
        equal = b("Equal", part, wanted)
        same = equal if same is None else b("And", same, equal)
    return b("ReduceSum", b("Cast", same, to=FLOAT), [-2], keepdims=0)
