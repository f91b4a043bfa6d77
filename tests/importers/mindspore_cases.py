"""Small nets of MindSpore, one for each way of using an operator; exported and run by MindSpore, in its own process.

    python mindspore_cases.py FOLDER [NAME ...]

writes for each case NAME.mindir and NAME.0.npz, NAME.1.npz: inputs `in:…` and outputs `out:…` of the living Cell at two
sizes, in order. A case that MindSpore itself cannot export or run leaves NAME.failed.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

# Sizes of dimensions that are of any size: by axis, for the first and the second run.
SIZES = ((2, 5, 8, 10, 6), (3, 7, 11, 13, 9))

IMAGE = (("x", (None, 3, None, None), "float32"),)
FIXED = (("x", (None, 4, 9, 12), "float32"),)
WHOLE_IMAGE = (("x", (2, 4, 9, 12), "float32"),)
ROWS = (("x", (None, 6), "float32"),)
STATIC = (("x", (3, 6), "float32"),)
SEQUENCE = (("x", (None, None, 6), "float32"),)
SERIES = (("x", (2, 5, 6), "float32"),)
SIGNAL = (("x", (None, 4, None), "float32"),)
FIXED_SIGNAL = (("x", (2, 4, 9), "float32"),)
PAIR = (("x", (None, 4, 5), "float32"), ("y", (None, 4, 5), "float32"))
BROADCAST = (("x", (None, 4, 5), "float32"), ("y", (4, 1), "float32"))
WHOLE = (("x", (None, 4), "int32"), ("y", (None, 4), "int32"))
LONG = (("x", (None, 4), "int64"), ("y", (None, 4), "int64"))
FLAGS = (("x", (None, 4), "bool"), ("y", (None, 4), "bool"))
IDS = (("x", (None, None), "int32"),)
VOLUME = (("x", (None, 2, None, None, None), "float32"),)
FIXED_VOLUME = (("x", (2, 2, 6, 8, 7), "float32"),)
INDEXED = (("x", (None, 6), "float32"), ("i", (None,), "int32"))
HALF = (("x", (None, 6), "float16"),)


class Case(NamedTuple):
    """A cell.

    Attributes:
        forward: What it returns, of `x` and other inputs.
        inputs: Name, shape and element type of each.
        made: Statements that prepare `self`.
        body: Statements before the return, one a line.
    """

    forward: str
    inputs: tuple = IMAGE
    made: str = "pass"
    body: str = ""


def _layer(made, inputs=IMAGE):
    return Case("self.f(x)", inputs, f"self.f = {made}")


CASES = {
    # Convolution
    "conv": _layer("nn.Conv2d(3, 4, 3, stride=2, pad_mode='pad', padding=1, has_bias=True)"),
    "conv_same": _layer("nn.Conv2d(3, 4, 3, stride=2)"),
    "conv_same_dilated": _layer("nn.Conv2d(3, 4, 3, dilation=2)"),
    "conv_same_wide": _layer("nn.Conv2d(3, 4, (3, 5), stride=(1, 2), has_bias=True)"),
    "conv_valid": _layer("nn.Conv2d(3, 4, (3, 2), pad_mode='valid')"),
    "conv_pads": _layer("nn.Conv2d(3, 4, 3, pad_mode='pad', padding=(1, 2, 0, 3), dilation=2)"),
    "conv_groups": _layer("nn.Conv2d(4, 8, 3, group=2)", FIXED),
    "conv_depthwise": _layer("nn.Conv2d(3, 3, 3, group=3, has_bias=True)"),
    "conv1d": _layer("nn.Conv1d(4, 6, 3, stride=2, has_bias=True)", SIGNAL),
    "conv1d_pad": _layer("nn.Conv1d(4, 6, 3, pad_mode='pad', padding=2, dilation=2)", SIGNAL),
    "conv3d": _layer("nn.Conv3d(2, 3, 3, pad_mode='pad', padding=1, has_bias=True)", VOLUME),
    "conv3d_same": _layer("nn.Conv3d(2, 3, (3, 2, 3), stride=2)", VOLUME),
    "conv_functional": Case(
        "ops.conv2d(x, self.w, stride=2, pad_mode='pad', padding=1)",
        made="self.w = Parameter(rand(4, 3, 3, 3), name='w')",
    ),
    "conv_functional_bias": Case(
        "ops.conv2d(x, self.w, bias=self.b, pad_mode='same', dilation=2)",
        made="self.w, self.b = Parameter(rand(4, 3, 3, 3), name='w'), Parameter(rand(4), name='b')",
    ),
    "conv1d_functional": Case(
        "ops.conv1d(x, self.w, pad_mode='pad', padding=1)",
        SIGNAL,
        "self.w = Parameter(rand(4, 4, 3), name='w')",
    ),
    "conv_transpose": _layer(
        "nn.Conv2dTranspose(3, 4, 3, stride=2, pad_mode='pad', padding=1, has_bias=True)"
    ),
    "conv_transpose_same": _layer("nn.Conv2dTranspose(4, 3, 3, stride=2)", WHOLE_IMAGE),
    "conv_transpose_same_even": _layer("nn.Conv2dTranspose(4, 3, 4, stride=2)", WHOLE_IMAGE),
    "conv_transpose_same_any": _layer("nn.Conv2dTranspose(3, 3, 3, stride=2)"),
    "conv_transpose_valid": _layer(
        "nn.Conv2dTranspose(4, 3, (3, 2), stride=(2, 3), pad_mode='valid')", FIXED
    ),
    "conv_transpose_more": _layer(
        "nn.Conv2dTranspose(4, 3, 3, stride=2, pad_mode='pad', padding=1, output_padding=1)", FIXED
    ),
    "conv_transpose_groups": _layer(
        "nn.Conv2dTranspose(4, 6, 3, stride=2, pad_mode='pad', padding=1, group=2)", FIXED
    ),
    "conv1d_transpose": _layer("nn.Conv1dTranspose(4, 3, 3, stride=2)", FIXED_SIGNAL),
    "conv3d_transpose": _layer(
        "nn.Conv3dTranspose(2, 3, 3, stride=2, pad_mode='pad', padding=1)", FIXED_VOLUME
    ),
    # Normalisation
    "batch_norm1d": _layer("busy(nn.BatchNorm1d(6))", ROWS),
    "batch_norm2d": _layer("busy(nn.BatchNorm2d(3, eps=1e-3))"),
    "batch_norm2d_plain": _layer("busy(nn.BatchNorm2d(3, affine=False))"),
    "batch_norm3d": _layer("busy(nn.BatchNorm3d(2))", VOLUME),
    "batch_norm_functional": Case(
        "ops.batch_norm(x, self.m, self.v, self.w, self.b, training=False, eps=1e-3)",
        made="self.m, self.v, self.w, self.b = rand(3), rand(3) + 1, rand(3), rand(3)",
    ),
    "layer_norm": _layer("busy(nn.LayerNorm((6,)))", SEQUENCE),
    "layer_norm_two": _layer(
        "busy(nn.LayerNorm((4, 5), begin_norm_axis=1, begin_params_axis=1, epsilon=1e-3))", PAIR[:1]
    ),
    "group_norm": _layer("busy(nn.GroupNorm(2, 4))", FIXED),
    "group_norm_any": Case(
        "self.f(x)", (("x", (None, 4, None, None), "float32"),), "self.f = busy(nn.GroupNorm(2, 4))"
    ),
    "l2_normalize": Case("ops.L2Normalize(axis=1, epsilon=1e-4)(x)", ROWS),
    "lrn": _layer("nn.LRN(depth_radius=2)", FIXED),
    # Dense and matrices
    "dense": _layer("nn.Dense(6, 4)", ROWS),
    "dense_sequence": _layer("nn.Dense(6, 4, has_bias=False)", SEQUENCE),
    "dense_activation": _layer("nn.Dense(6, 4, activation='relu')", SEQUENCE),
    "dense_functional": Case(
        "ops.dense(x, self.w, self.b)", SEQUENCE, "self.w, self.b = rand(4, 6), rand(4)"
    ),
    "bilinear": Case(
        "self.f(x, y)",
        (("x", (3, 4), "float32"), ("y", (3, 5), "float32")),
        "self.f = nn.BiDense(4, 5, 3)",
    ),
    "matmul": Case("ops.matmul(x, self.w)", SEQUENCE, "self.w = rand(6, 4)"),
    "matmul_vector": Case("ops.matmul(x, self.w)", SEQUENCE, "self.w = rand(6)"),
    "matmul_flags": Case(
        "ops.MatMul(transpose_a=True, transpose_b=True)(x, self.w)",
        (("x", (6, None), "float32"),),
        "self.w = rand(4, 6)",
    ),
    "batch_matmul": Case("ops.BatchMatMul(transpose_b=True)(x, y)", PAIR),
    "batch_matmul_a": Case("ops.BatchMatMul(transpose_a=True)(x, y)", PAIR),
    "bmm": Case("ops.bmm(x, y.swapaxes(1, 2))", PAIR),
    "addmm": Case(
        "ops.addmm(self.b, x, self.w, beta=0.5, alpha=2)",
        ROWS,
        "self.w, self.b = rand(6, 4), rand(4)",
    ),
    "mint_matmul": Case("mint.matmul(x, y.swapaxes(1, 2))", PAIR),
    "outer": Case("ops.outer(x, y)", (("x", (5,), "float32"), ("y", (4,), "float32"))),
    "dot": Case("ops.tensor_dot(x, y, 1)", (("x", (3, 5), "float32"), ("y", (5, 4), "float32"))),
    "mm": Case("ops.mm(x, self.w)", ROWS, "self.w = rand(6, 4)"),
    "baddbmm": Case(
        "ops.baddbmm(x, x, y.swapaxes(1, 2)[:, :, :4] @ x[:, :, :])",
        (("x", (2, 4, 4), "float32"), ("y", (2, 4, 4), "float32")),
    ),
    "mv": Case("ops.mv(x, self.w)", ROWS, "self.w = rand(6)"),
    # Embedding
    "embedding": _layer("nn.Embedding(10, 6)", IDS),
    "embedding_one_hot": _layer("nn.Embedding(10, 6, use_one_hot=True)", IDS),
    "embedding_table": Case("self.f(x)[0]", IDS, "self.f = nn.EmbeddingLookup(10, 6)"),
    # Activation
    **{
        f"nn_{name.lower()}": _layer(f"nn.{name}({arguments})", ROWS)
        for name, arguments in {
            "CELU": "0.7",
            "ELU": "",
            "FastGelu": "",
            "GELU": "",
            "HShrink": "0.3",
            "HSigmoid": "",
            "HSwish": "",
            "Hardtanh": "-0.5, 0.7",
            "LeakyReLU": "0.1",
            "LogSigmoid": "",
            "LogSoftmax": "",
            "Mish": "",
            "PReLU": "",
            "ReLU": "",
            "ReLU6": "",
            "SeLU": "",
            "SiLU": "",
            "Sigmoid": "",
            "SoftShrink": "0.3",
            "Softmax": "",
            "Softmin": "",
            "Softsign": "",
            "Tanh": "",
            "Tanhshrink": "",
            "Threshold": "0.1, 20",
            "GLU": "",
        }.items()
    },
    "gelu_exact": _layer("nn.GELU(approximate=False)", ROWS),
    "prelu_channels": _layer("nn.PReLU(3)"),
    "softmax_first": Case("ops.softmax(x, axis=0)", SEQUENCE),
    "softmax2d": _layer("nn.Softmax2d()"),
    **{
        f"ops_{name}": Case(f"ops.{name}(x{more})", ROWS)
        for name, more in {
            "relu": "",
            "relu6": "",
            "elu": "",
            "celu": ", 0.6",
            "selu": "",
            "silu": "",
            "mish": "",
            "gelu": "",
            "sigmoid": "",
            "softmax": "",
            "softplus": "",
            "softsign": "",
            "softmin": "",
            "log_softmax": "",
            "logsigmoid": "",
            "leaky_relu": ", 0.2",
            "hardswish": "",
            "hardsigmoid": "",
            "hardshrink": "",
            "softshrink": "",
            "hardtanh": "",
            "tanhshrink": "",
            "glu": "",
            "threshold": ", 0.2, 3.0",
        }.items()
    },
    "gelu_tanh": Case("ops.gelu(x, approximate='tanh')", ROWS),
    "gelu_none": Case("ops.gelu(x, approximate='none')", ROWS),
    # One tensor
    **{
        f"ops_{name}": Case(f"ops.{name}(x)", ROWS)
        for name in (
            "abs",
            "asinh",
            "atan",
            "ceil",
            "cos",
            "cosh",
            "erf",
            "erfc",
            "exp",
            "expm1",
            "floor",
            "isfinite",
            "isinf",
            "isnan",
            "neg",
            "ones_like",
            "positive",
            "round",
            "sign",
            "sin",
            "sinh",
            "square",
            "tan",
            "tanh",
            "trunc",
            "zeros_like",
            "deg2rad",
            "rad2deg",
            "exp2",
            "nan_to_num",
            "sinc",
            "frac",
            "signbit",
            "count_nonzero",
            "t",
        )
    },
    **{
        f"ops_{name}": Case(f"ops.{name}(ops.abs(x) * 0.2 + 0.1)", ROWS)
        for name in (
            "acos",
            "asin",
            "atanh",
            "log",
            "log10",
            "log1p",
            "log2",
            "reciprocal",
            "rsqrt",
            "sqrt",
            "logit",
        )
    },
    "acosh": Case("ops.acosh(ops.abs(x) + 1.1)", ROWS),
    "clip": Case("ops.clamp(x, -0.5, 0.7)", ROWS),
    "clip_low": Case("ops.clamp(x, min=-0.5)", ROWS),
    "clip_by_value": Case(
        "ops.clip_by_value(x, Tensor(-0.5, ms.float32), Tensor(0.5, ms.float32))", ROWS
    ),
    "cast": Case("ops.cast(x * 3, ms.int32)", ROWS),
    "cast_half": Case("x.astype(ms.float16)", ROWS),
    "cast_bool": Case("x.to(ms.bool_)", WHOLE[:1]),
    "half_arithmetic": Case("x * 2 + 1.5", HALF),
    "dropout": _layer("nn.Dropout(p=0.5)", ROWS),
    "dropout_ops": Case("ops.dropout(x, p=0.5, training=False)", ROWS),
    "identity": _layer("nn.Identity()", ROWS),
    "nan_to_num_values": Case("ops.nan_to_num(x / ops.relu(x), 1.0, 2.0, -2.0)", ROWS),
    # Two tensors
    **{
        f"pair_{name}": Case(f"ops.{name}(x, y)", BROADCAST)
        for name in (
            "add",
            "sub",
            "mul",
            "div",
            "maximum",
            "minimum",
            "floor_div",
            "floor_mod",
            "fmod",
            "equal",
            "not_equal",
            "greater",
            "greater_equal",
            "less",
            "less_equal",
            "atan2",
            "hypot",
            "logaddexp",
            "true_divide",
            "remainder",
            "logaddexp2",
            "ne",
            "gt",
            "xlogy_safe",
        )
        if name != "xlogy_safe"
    },
    "pow": Case("ops.pow(ops.abs(x) + 0.1, y)", BROADCAST),
    "pow_scalar": Case("x ** 3", ROWS),
    "pow_of_scalar": Case("2.0 ** x", ROWS),
    "scalars": Case("(1 - x) * 2 / 3 + 0.5 - x / (x * x + 1)", ROWS),
    "scalar_comparisons": Case(
        "(x > 0.1).astype(ms.float32) + (x <= 0.5).astype(ms.float32)", ROWS
    ),
    "scalar_more": Case("(x < 0.1, x >= 0.2, x == 0, x != 0, x // 2, x % 2)", ROWS),
    "integers": Case("(x + y, x - y, x * y, x // (y * y + 1), x % (y * y + 1), -x)", WHOLE),
    "integer_division": Case("ops.div(x, y * y + 1)", WHOLE),
    "trunc_division": Case("ops.div(x, y, rounding_mode='trunc')", PAIR),
    "floor_division": Case("ops.div(x, y, rounding_mode='floor')", PAIR),
    "logic": Case(
        "(ops.logical_and(x, y), ops.logical_or(x, y), ops.logical_xor(x, y), ops.logical_not(x))",
        FLAGS,
    ),
    "bitwise": Case("(ops.bitwise_and(x, y), ops.bitwise_or(x, y), ops.bitwise_xor(x, y))", WHOLE),
    "invert": Case("ops.invert(x)", (("x", (None, 4), "int16"),)),
    "mixed_types": Case("x + y", (("x", (None, 4), "int32"), ("y", (None, 4), "float32"))),
    "where": Case("ops.where(x > 0, x, y)", PAIR),
    "where_scalar": Case("ops.where(x > 0, x, 2.0)", PAIR[:1]),
    "select": Case("ops.select(x > y, x, y)", PAIR),
    "masked_fill": Case("ops.masked_fill(x, x > 0, 2.0)", PAIR[:1]),
    "masked_fill_tensor": Case("x.masked_fill(y > 0, Tensor(-1.0, ms.float32))", PAIR),
    "addcmul": Case("ops.addcmul(x, x, y, 0.5)", PAIR),
    "addcdiv": Case("ops.addcdiv(x, x, y * y + 1, 0.5)", PAIR),
    "lerp": Case("ops.lerp(x, y, 0.3)", PAIR),
    "add_n": Case("ops.addn((x, y, x))", PAIR),
    "square_sum": Case("ops.SquareSumAll()(x, y)", PAIR),
    "squared_difference": Case("ops.SquaredDifference()(x, y)", PAIR),
    "div_no_nan": Case("ops.DivNoNan()(x, ops.relu(y))", PAIR),
    "xdivy": Case("ops.xdivy(x, y * y + 1)", PAIR),
    "approximate": Case("ops.approximate_equal(x, y, 0.5)", PAIR),
    "isclose": Case("ops.isclose(x, y, rtol=0.5, atol=0.5)", PAIR),
    "mint_arithmetic": Case(
        "(mint.add(x, y, alpha=2), mint.sub(x, y, alpha=0.5), mint.mul(x, y), mint.div(x, y * y + 1))",
        PAIR,
    ),
    "mint_more": Case(
        "(mint.where(x > y, x, y), mint.minimum(x, y), mint.square(x), mint.sum(x, dim=1), mint.mean(x, dim=(1, 2)))",
        PAIR,
    ),
    # Reduction
    **{
        f"reduce_{name}": Case(f"ops.{name}(x, 1)", SEQUENCE)
        for name in ("amax", "amin", "mean", "sum", "prod", "std", "var", "median_skip")
        if name != "median_skip"
    },
    "reduce_keep": Case("ops.sum(x, (0, 2), keepdim=True)", SEQUENCE),
    "reduce_none": Case("(x.mean(), x.sum(), x.max(), x.min(), x.prod())", SEQUENCE),
    "reduce_class": Case(
        "(ops.ReduceSum(keep_dims=True)(x, 1), ops.ReduceMean()(x, (0, 1)), ops.ReduceMax()(x), ops.ReduceMin()(x, -1), ops.ReduceProd()(x, 2))",
        SEQUENCE,
    ),
    "reduce_flags": Case("(ops.all(x, 1), ops.any(x, 1), x.all(), x.any())", FLAGS[:1]),
    "var_keep": Case("(x.var(axis=-1, keepdims=True), x.std(axis=1))", SEQUENCE),
    "mean_of_whole": Case("ops.mean(x.astype(ms.float32), 1)", WHOLE[:1]),
    "sum_of_whole": Case("(ops.sum(x, 1), x.sum())", WHOLE[:1]),
    "sum_of_flags": Case("ops.sum(x, 1)", FLAGS[:1]),
    "logsumexp": Case("ops.logsumexp(x, 1)", SEQUENCE),
    "norm": Case("ops.norm(x, dim=1)", SEQUENCE),
    "norm_one": Case("ops.norm(x, ord=1, dim=-1, keepdim=True)", SEQUENCE),
    "argmax": Case("(ops.argmax(x, 1), x.argmax(axis=-1))", SEQUENCE),
    "argmin": Case("(ops.argmin(x, 1), ops.Argmax(axis=1, output_type=ms.int32)(x))", SEQUENCE),
    "max_indices": Case("ops.max(x, 1)", SEQUENCE),
    "min_indices": Case("ops.min(x, -1, keepdims=True)", SEQUENCE),
    "cumsum": Case("(ops.cumsum(x, 1), ops.CumSum(exclusive=True, reverse=True)(x, 2))", SEQUENCE),
    "cumprod": Case("ops.cumprod(x, 1)", SEQUENCE),
    "searchsorted": Case("ops.searchsorted(self.w, x)", ROWS, "self.w = Tensor([-1.0, 0.0, 1.0])"),
    "smooth_l1": Case("ops.smooth_l1_loss(x, y, beta=0.5)", PAIR),
    "smooth_l1_mean": Case("ops.smooth_l1_loss(x, y, reduction='mean')", PAIR),
    "topk": Case("ops.topk(x, 3)", SEQUENCE),
    "topk_smallest": Case("ops.topk(x, 2, dim=1, largest=False)", SEQUENCE),
    "sort": Case("ops.sort(x, axis=-1)", SEQUENCE),
    "sort_down": Case("ops.sort(x, axis=1, descending=True)", SEQUENCE),
    "argsort": Case("ops.argsort(x, axis=-1)", SEQUENCE),
    "cosine": Case("ops.cosine_similarity(x, y, dim=1)", PAIR),
    # Shape
    "reshape": Case("ops.reshape(x, (x.shape[0], -1))", SEQUENCE),
    "reshape_fixed": Case("x.reshape(-1, 3)", SEQUENCE),
    "view": Case("x.view(x.shape[0], x.shape[1], 2, 3)", SEQUENCE),
    "reshape_computed": Case("x.reshape(x.shape[0] * x.shape[1], x.shape[2] // 2, 2)", SEQUENCE),
    "flatten": _layer("nn.Flatten()"),
    "flatten_from": Case("ops.flatten(x, start_dim=2)", IMAGE),
    "transpose": Case("ops.transpose(x, (0, 2, 3, 1))", IMAGE),
    "swapaxes": Case("(x.swapaxes(1, -1), x.transpose(2, 0, 1))", SEQUENCE),
    "permute": Case("ops.permute(x, (1, 0, 2))", SEQUENCE),
    "movedim": Case("ops.movedim(x, 0, 2)", SEQUENCE),
    "expand_dims": Case("(ops.expand_dims(x, 1), x.unsqueeze(-1))", SEQUENCE),
    "squeeze": Case("(ops.squeeze(x.expand_dims(1), 1), x.expand_dims(0).squeeze(0))", SEQUENCE),
    "concat": Case("ops.cat((x, y, x), axis=1)", PAIR),
    "concat_negative": Case("ops.concat((x, y), -1)", PAIR),
    "stack": Case("(ops.stack((x, y), axis=1), ops.stack((x, y), axis=-1))", PAIR),
    "unstack": Case("ops.unstack(x, axis=1)", PAIR[:1]),
    "unbind": Case("ops.unbind(x, dim=1)", PAIR[:1]),
    "split": Case("ops.split(x, 2, axis=2)", SEQUENCE),
    "split_sizes": Case("ops.split(x, (1, 3, 2), axis=-1)", SEQUENCE),
    "split_uneven": Case("ops.split(x, 4, axis=2)", SEQUENCE),
    "chunk": Case("ops.chunk(x, 3, axis=2)", SEQUENCE),
    "split_class": Case("ops.Split(axis=2, output_num=3)(x)", SEQUENCE),
    "tile": Case("ops.tile(x, (1, 2, 3))", SEQUENCE),
    "tile_more": Case("ops.tile(x, (2, 1, 2, 1))", SEQUENCE),
    "repeat": Case("x.repeat_interleave(2, 1)", SEQUENCE),
    "repeat_elements": Case("ops.repeat_elements(x, 2, axis=1)", SERIES),
    "broadcast_to_any": Case(
        "ops.broadcast_to(self.w, (x.shape[0], -1, -1))",
        made="self.w = Parameter(rand(1, 4, 5), name='w')",
    ),
    "in_place": Case("ops.relu(y)", SEQUENCE, body="y = ops.exp(x)\ny += x\ny *= x\ny -= 1.5"),
    "in_place_read": Case("y * w", ROWS, body="y = x * 2\nw = ops.exp(y)\ny += x"),
    "in_place_view": Case("z", ROWS, body="y = x * 2\nz = y.reshape((-1,))\ny.mul_(x)"),
    "broadcast_to": Case("ops.broadcast_to(x, (-1, 4, 5))", (("x", (None, 1, 5), "float32"),)),
    "expand": Case("x.expand_as(y)", (("x", (4, 1), "float32"), ("y", (None, 4, 5), "float32"))),
    "flip": Case("(ops.flip(x, (1,)), ops.ReverseV2(axis=[0, 2])(x))", SEQUENCE),
    "tril": Case("(ops.tril(x), ops.triu(x, diagonal=1))", SERIES),
    "tril_class": _layer("nn.Tril()", SERIES),
    "pixel_shuffle": Case("ops.pixel_shuffle(x, 2)", FIXED),
    "pixel_unshuffle": Case("ops.pixel_unshuffle(x, 3)", FIXED),
    "depth_to_space": Case("ops.DepthToSpace(2)(x)", FIXED),
    "space_to_depth": Case("ops.SpaceToDepth(3)(x)", WHOLE_IMAGE),
    "channel_shuffle": _layer("nn.ChannelShuffle(2)", FIXED),
    "meshgrid": Case(
        "ops.meshgrid(x, y, indexing='ij')", (("x", (3,), "float32"), ("y", (4,), "float32"))
    ),
    "meshgrid_xy": Case("ops.meshgrid(x, y)", (("x", (3,), "float32"), ("y", (4,), "float32"))),
    "diag": Case("ops.diag(x)", (("x", (4,), "float32"),)),
    "narrow": Case("ops.narrow(x, 2, 1, 3)", SEQUENCE),
    # Slices
    "slice": Case("(x[:, 1:4], x[0], x[:, -1], x[..., 2:])", SEQUENCE),
    "slice_step": Case("(x[:, ::2], x[:, 1:-1:3], x[:, :, 5:1:-2])", SEQUENCE),
    "slice_new": Case("(x[:, None], x[..., None, 1], x[None, :, 0])", SEQUENCE),
    "slice_size": Case("x[:, : x.shape[1] // 2]", SEQUENCE),
    "slice_class": Case("ops.slice(x, (0, 1, 2), (2, 3, 4))", SERIES),
    "strided_slice": Case("ops.strided_slice(x, (0, 1, 0), (2, 5, 6), (1, 2, 3))", SERIES),
    "strided_masks": Case(
        "ops.strided_slice(x, (1, 1, 2), (2, 3, 4), (1, 1, 1), begin_mask=1, end_mask=2, shrink_axis_mask=4)",
        SERIES,
    ),
    "boolean_index": Case("x * (x > 0)", SEQUENCE),
    # Padding
    "pad": Case("ops.pad(x, (1, 2, 0, 3), value=0.5)", IMAGE),
    "pad_reflect": Case("ops.pad(x, (1, 2, 2, 1), mode='reflect')", WHOLE_IMAGE),
    "pad_replicate": Case("ops.pad(x, (1, 2, 0, 1), mode='replicate')", WHOLE_IMAGE),
    "pad_class": _layer("nn.Pad(((0, 0), (1, 2), (0, 1)))", SERIES),
    "pad_symmetric": _layer("nn.Pad(((0, 0), (1, 2), (0, 1)), mode='SYMMETRIC')", SERIES),
    "zero_pad": _layer("nn.ZeroPad2d((1, 2, 0, 1))", WHOLE_IMAGE),
    "constant_pad": _layer("nn.ConstantPad1d((1, 2), 0.5)", FIXED_SIGNAL),
    "reflection_pad": _layer("nn.ReflectionPad2d((1, 2, 0, 1))", WHOLE_IMAGE),
    "replication_pad": _layer("nn.ReplicationPad2d((1, 2, 0, 1))", WHOLE_IMAGE),
    # Pooling
    "max_pool": _layer("nn.MaxPool2d(3, 2)"),
    "max_pool_same": _layer("nn.MaxPool2d(3, 2, pad_mode='same')"),
    "max_pool_pad": _layer("nn.MaxPool2d(3, 2, pad_mode='pad', padding=1)", WHOLE_IMAGE),
    "max_pool_ceil": _layer(
        "nn.MaxPool2d(3, 2, pad_mode='pad', padding=1, ceil_mode=True)", WHOLE_IMAGE
    ),
    "avg_pool": _layer("nn.AvgPool2d(2, 2)"),
    "avg_pool_same": _layer("nn.AvgPool2d(3, 2, pad_mode='same')"),
    "avg_pool_pad": _layer("nn.AvgPool2d(3, 2, pad_mode='pad', padding=1)", WHOLE_IMAGE),
    "avg_pool_ceil": _layer(
        "nn.AvgPool2d(3, 2, pad_mode='pad', padding=1, ceil_mode=True, count_include_pad=False)",
        WHOLE_IMAGE,
    ),
    "max_pool1d": _layer("nn.MaxPool1d(3, 2)", FIXED_SIGNAL),
    "avg_pool1d": _layer("nn.AvgPool1d(3, 2)", FIXED_SIGNAL),
    "max_pool3d": _layer("nn.MaxPool3d(2, 2)", FIXED_VOLUME),
    "avg_pool3d": _layer("nn.AvgPool3d(2, 2)", FIXED_VOLUME),
    "adaptive_avg": _layer("nn.AdaptiveAvgPool2d((3, 4))", WHOLE_IMAGE),
    "adaptive_avg_one": _layer("nn.AdaptiveAvgPool2d(1)"),
    "adaptive_avg_uneven": _layer("nn.AdaptiveAvgPool2d((2, 5))", WHOLE_IMAGE),
    "adaptive_avg_any": _layer("nn.AdaptiveAvgPool2d((2, 3))"),
    "adaptive_avg1d": _layer("nn.AdaptiveAvgPool1d(3)", FIXED_SIGNAL),
    "adaptive_max": _layer("nn.AdaptiveMaxPool2d((3, 4))", WHOLE_IMAGE),
    "adaptive_max1d": _layer("nn.AdaptiveMaxPool1d(3)", FIXED_SIGNAL),
    "global_mean": Case("x.mean(axis=(2, 3))", IMAGE),
    "max_pool_ops": Case("ops.max_pool2d(x, 3, stride=2, padding=1)", WHOLE_IMAGE),
    "avg_pool_ops": Case("ops.avg_pool2d(x, 3, stride=2, padding=1)", WHOLE_IMAGE),
    # Images
    **{
        f"resize_{mode}_{corners}": Case(
            f"ops.interpolate(x, size=(13, 17), mode='{mode}'{', align_corners=' + corners if mode != 'nearest' else ''})",
            WHOLE_IMAGE,
        )
        for mode in ("nearest", "bilinear", "bicubic")
        for corners in (("False", "True") if mode != "nearest" else ("False",))
    },
    "resize_down": Case("ops.interpolate(x, size=(5, 5), mode='bilinear')", WHOLE_IMAGE),
    "resize_any": Case("ops.interpolate(x, size=(13, 17), mode='bilinear')", IMAGE),
    "resize_nearest_any": Case("ops.interpolate(x, size=(13, 17), mode='nearest')", IMAGE),
    "resize_scale": Case(
        "ops.interpolate(x, scale_factor=2.0, mode='bilinear', recompute_scale_factor=True)",
        WHOLE_IMAGE,
    ),
    "resize_twice": Case("ops.ResizeNearestNeighborV2()(x, (x.shape[2] * 2, x.shape[3] * 3))"),
    "resize_linear": Case("ops.interpolate(x, size=13, mode='linear')", FIXED_SIGNAL),
    "resize_layer": _layer("nn.Upsample(size=(13, 17), mode='nearest')", WHOLE_IMAGE),
    "resize_class": Case("ops.ResizeNearestNeighbor((13, 17))(x)", WHOLE_IMAGE),
    "resize_class_corners": Case("ops.ResizeNearestNeighbor((13, 17), True)(x)", WHOLE_IMAGE),
    "resize_bilinear_v2": Case("ops.ResizeBilinearV2()(x, (13, 17))", WHOLE_IMAGE),
    "resize_area": Case("ops.interpolate(x, size=(3, 4), mode='area')", WHOLE_IMAGE),
    "grid_sample": Case(
        "ops.grid_sample(x, ops.tanh(y))",
        (("x", (2, 3, 6, 7), "float32"), ("y", (2, 4, 5, 2), "float32")),
    ),
    "grid_sample_border": Case(
        "ops.grid_sample(x, y, padding_mode='border', align_corners=True)",
        (("x", (2, 3, 6, 7), "float32"), ("y", (2, 4, 5, 2), "float32")),
    ),
    # Elements by their index
    "gather": Case("ops.gather(x, i, 0)", INDEXED),
    "gather_axis": Case(
        "ops.gather(x, y, 1)", (("x", (None, 6, 4), "float32"), ("y", (2, 3), "int32"))
    ),
    "gather_negative": Case(
        "ops.gather_elements(x, 1, y - 3)", (("x", (None, 6), "float32"), ("y", (None, 4), "int32"))
    ),
    "gather_elements": Case(
        "ops.gather_elements(x, 1, y)", (("x", (None, 6), "float32"), ("y", (None, 4), "int32"))
    ),
    "gather_batch": Case(
        "ops.gather(x, y, 1, 1)", (("x", (2, 6, 4), "float32"), ("y", (2, 3), "int32"))
    ),
    "gather_nd": Case("ops.gather_nd(x, y)", (("x", (5, 6), "float32"), ("y", (None, 2), "int32"))),
    "index_select": Case("ops.index_select(x, 1, i)", INDEXED),
    "one_hot": Case("ops.one_hot(x, 10, Tensor(2.0, ms.float32), Tensor(-1.0, ms.float32))", IDS),
    "one_hot_class": _layer("nn.OneHot(depth=10)", IDS),
    "one_hot_first": Case(
        "ops.one_hot(x, 10, Tensor(1.0, ms.float32), Tensor(0.0, ms.float32), 0)", IDS
    ),
    "scatter": Case(
        "ops.scatter(x, 1, i, y)",
        (("x", (3, 6), "float32"), ("i", (3, 1), "int64"), ("y", (3, 1), "float32")),
    ),
    "tensor_scatter_update": Case(
        "ops.tensor_scatter_update(x, i, y)",
        (("x", (5, 6), "float32"), ("i", (1, 1), "int32"), ("y", (1, 6), "float32")),
    ),
    "tensor_scatter_add": Case(
        "ops.tensor_scatter_add(x, i, y)",
        (("x", (5, 6), "float32"), ("i", (3, 1), "int32"), ("y", (3, 6), "float32")),
    ),
    "tensor_scatter_max": Case(
        "ops.tensor_scatter_max(x, i, y)",
        (("x", (5, 6), "float32"), ("i", (3, 1), "int32"), ("y", (3, 6), "float32")),
    ),
    "scatter_nd": Case(
        "ops.scatter_nd(i, y, (5, 6))", (("i", (3, 1), "int32"), ("y", (3, 6), "float32"))
    ),
    "nonzero": Case("ops.nonzero(ops.relu(x))", STATIC),
    "masked_select": Case("ops.masked_select(x, x > 0)", STATIC),
    "unsorted_segment": Case(
        "ops.unsorted_segment_sum(x, i, 4)", (("x", (3, 6), "float32"), ("i", (3,), "int32"))
    ),
    # What begins a graph
    "shape": Case("x + ops.shape(x)[0]", SEQUENCE),
    "dynamic_shape": Case("ops.TensorShape()(x)", SEQUENCE),
    "rank_size": Case("x * ops.rank(x) + ops.size(x)", SERIES),
    "ones": Case("x + ops.ones((x.shape[1], 6), ms.float32)", SEQUENCE),
    "zeros": Case("ops.zeros((x.shape[0], 3), ms.float32)", ROWS),
    "full": Case("ops.full((2, 3), 1.5, dtype=ms.float32) + x.sum()", ROWS),
    "full_like": Case("ops.full_like(x, 1.5)", ROWS),
    "eye": Case("x @ ops.eye(6, 6, ms.float32)", ROWS),
    "arange": Case("ops.arange(0, x.shape[1]) + x.sum().astype(ms.int64)", SEQUENCE),
    "range": Case("ops.range(0, 10, 3) + x", (("x", (None, 1), "int64"),)),
    "linspace": Case("ops.linspace(0.0, 1.0, 6) * x", ROWS),
    "constant_tensor": Case("x + Tensor(np.arange(6), ms.float32)", ROWS),
    "parameter": Case("x * self.scale", ROWS, "self.scale = Parameter(rand(6), name='scale')"),
    "fill": Case("ops.fill(ms.float32, (2, 6), 3.0) + x[:1]", ROWS),
    # Sequences
    "lstm": Case("self.f(x)[0]", SERIES, "self.f = nn.LSTM(6, 5, batch_first=True)"),
    "lstm_two": Case(
        "self.f(x)",
        SERIES,
        "self.f = nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True)",
    ),
    "lstm_plain": Case("self.f(x)", SERIES, "self.f = nn.LSTM(6, 5, has_bias=False)"),
    "lstm_states": Case(
        "self.f(x, (h, c))",
        (("x", (5, 2, 6), "float32"), ("h", (1, 2, 5), "float32"), ("c", (1, 2, 5), "float32")),
        "self.f = nn.LSTM(6, 5)",
    ),
    "gru": Case("self.f(x)", SERIES, "self.f = nn.GRU(6, 5, batch_first=True)"),
    "gru_two": Case("self.f(x)", SERIES, "self.f = nn.GRU(6, 5, num_layers=2, bidirectional=True)"),
    "rnn": Case("self.f(x)", SERIES, "self.f = nn.RNN(6, 5, batch_first=True)"),
    "lstm_cell": Case(
        "self.f(x, (h, c))",
        (("x", (None, 6), "float32"), ("h", (None, 5), "float32"), ("c", (None, 5), "float32")),
        "self.f = nn.LSTMCell(6, 5)",
    ),
    "gru_cell": Case(
        "self.f(x, h)",
        (("x", (None, 6), "float32"), ("h", (None, 5), "float32")),
        "self.f = nn.GRUCell(6, 5)",
    ),
    "rnn_cell": Case(
        "self.f(x, h)",
        (("x", (None, 6), "float32"), ("h", (None, 5), "float32")),
        "self.f = nn.RNNCell(6, 5)",
    ),
    # Attention
    "attention": Case(
        "self.f(x, x, x)", SEQUENCE, "self.f = nn.MultiheadAttention(6, 2, batch_first=True)"
    ),
    "attention_fixed": Case("self.f(x, x, x)[0]", SERIES, "self.f = nn.MultiheadAttention(6, 3)"),
    "attention_mask": Case(
        "self.f(x, x, x, attn_mask=self.mask, need_weights=False)[0]",
        SERIES,
        "self.f, self.mask = nn.MultiheadAttention(6, 2, batch_first=True), Tensor(np.triu(np.ones((5, 5)), 1), ms.bool_)",
    ),
    "encoder_layer": _layer("nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)", SERIES),
    "encoder_any": _layer("nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)", SEQUENCE),
    "encoder": _layer("nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 12), 2)", SERIES),
    "decoder_layer": Case(
        "self.f(x, y)",
        (("x", (2, 5, 6), "float32"), ("y", (2, 7, 6), "float32")),
        "self.f = nn.TransformerDecoderLayer(6, 2, 12, batch_first=True)",
    ),
    # Structure
    "shared_functions": Case(
        "ops.relu(x)",
        IMAGE,
        "self.blocks = nn.CellList([Block(), Block()])\n"
        "        self.gates = nn.CellList([Gate(), Gate()])",
        "for part in self.blocks:\n    x = part(x)\nfor part in self.gates:\n    x = part(x)",
    ),
    "modules": _layer(
        "nn.SequentialCell(nn.Conv2d(3, 4, 3), busy(nn.BatchNorm2d(4)), nn.ReLU(), nn.MaxPool2d(2, 2))"
    ),
    "several_outputs": Case("x + 1, (x * 2, x.sum())", ROWS),
    "input_is_output": Case("x, x + 1", ROWS),
    "parameter_is_output": Case("self.p, x", ROWS, "self.p = Parameter(rand(3), name='p')"),
    "same_output_twice": Case("y, y", ROWS, body="y = x * 2"),
    "unused_input": Case("x * 2", PAIR),
    "shared_layer": Case("self.f(self.f(x))", ROWS, "self.f = nn.Dense(6, 6)"),
    "static_branch": Case(
        "y", SERIES, body="if x.shape[1] > 3:\n    y = x * 2\nelse:\n    y = x - 1"
    ),
    "static_loop": Case("y", SERIES, body="y = x\nfor i in [0, 1, 2]:\n    y = y * 2 + i"),
    "branch": Case("y", ROWS, body="if x.sum() > 0:\n    y = x * 2\nelse:\n    y = x - 1"),
    "branch_weights": Case(
        "y + 1",
        ROWS,
        "self.a, self.b = nn.Dense(6, 6), nn.Dense(6, 6)",
        "if x[0, 0] > 0:\n    y = self.a(x)\nelse:\n    y = self.b(x)",
    ),
    "branch_cells": Case(
        "y",
        IMAGE,
        "self.blocks, self.gate = nn.CellList([Block(), Block()]), Gate()",
        "if x.sum() > 0:\n    y = self.gate(self.blocks[0](x))\nelse:\n    y = self.blocks[1](x)",
    ),
    "parameter_named_constant": Case(
        "x + self.p", ROWS, "self.p = Parameter(rand(6), name='constant')"
    ),
    "branch_ranks": Case(
        "ops.abs(self.f(z.expand_dims(0))).sum(), y.expand_dims(-1).sum(), z.sum(-1).sum(), z.shape[0] + n",
        SEQUENCE,
        "self.f = nn.Conv1d(4, 3, 2, has_bias=True)",
        "y = x[0] if x.shape[1] == 5 else x\nn = y.size + 0 * x.sum()\n"
        "z = y if y.ndim == 2 else y[0]\nz = ops.concat((z[:3], z[:1]), 0)",
    ),
    "branch_nested": Case(
        "y, z",
        ROWS,
        body="if x.sum() > 0:\n    if x[0, 0] > 0.5:\n        y, z = x * 2, x\n    else:\n        y, z = x * 3, x + 1\nelse:\n    y, z = x - 1, x - 2",
    ),
    "branch_sizes": Case(
        "y", SEQUENCE, body="if x.shape[1] > 5:\n    y = x * 2\nelse:\n    y = x - 1"
    ),
    "raising": Case(
        "x * 2", SEQUENCE, body="if x.shape[2] > x.shape[1] + 100:\n    raise ValueError('too few')"
    ),
    "loop_counter": Case(
        "y",
        SEQUENCE,
        "self.f = nn.Dense(6, 6)",
        "y, i = x, 0\nwhile i < x.shape[1]:\n    y = ops.tanh(self.f(y))\n    i = i + 1",
    ),
    "loop_nested": Case(
        "y",
        STATIC,
        body="y = ops.abs(x) + 1\nwhile y.sum() < 500:\n    z = y\n    while z.sum() < 100:\n        z = z * 3\n    y = y + z",
    ),
    "loop_branch": Case(
        "y",
        STATIC,
        body="y = ops.abs(x) + 1\nwhile y.sum() < 100:\n    if y[0, 0] > 3:\n        y = y * 2\n    else:\n        y = y + 1",
    ),
    "branch_returns": Case("x - 1", ROWS, body="if x.sum() > 0:\n    return x * 2"),
    "branches": Case(
        "y",
        ROWS,
        body="y = x\nif x.sum() > 0:\n    y = y * 2\nif x[0, 0] > 0:\n    y = y + 1\nif x[0, 1] > 0:\n    y = y - 3",
    ),
    "loop": Case("y", STATIC, body="y = ops.abs(x) + 1\nwhile y.sum() < 100:\n    y = y * 2"),
}

# Where MindSpore's own kernels for CPU are missing: the numbers by what another case says is the same.
TWINS = {
    "einsum": (Case("ops.einsum('bij,bkj->bik', x, y)", PAIR), "ops.matmul(x, y.swapaxes(1, 2))"),
    "instance_norm": (
        _layer("nn.InstanceNorm2d(4)", WHOLE_IMAGE),
        "(x - x.mean((2, 3), True)) / ops.sqrt(ops.square(x - x.mean((2, 3), True)).mean((2, 3), True) + 1e-5)",
    ),
    "layer_norm_functional": (
        Case(
            "ops.layer_norm(x, (6,), self.w, self.b, 1e-3)",
            SEQUENCE,
            "self.w, self.b, self.f = rand(6), rand(6), nn.LayerNorm((6,), epsilon=1e-3)",
        ),
        "self.f(x) * self.w + self.b",
    ),
    "rms_norm": (
        Case("ops.rms_norm(x, self.w, 1e-4)[0]", SEQUENCE, "self.w = rand(6)"),
        "x / ops.sqrt(ops.square(x).mean(-1, True) + 1e-4) * self.w",
    ),
    "roll": (Case("ops.roll(x, 1, 1)", SERIES), "ops.cat((x[:, -1:], x[:, :-1]), 1)"),
    "roll_back": (Case("ops.roll(x, -2, 2)", SERIES), "ops.cat((x[:, :, 2:], x[:, :, :2]), 2)"),
    "softmax_axes": (
        Case("ops.Softmax((1, 2))(x)", SERIES),
        "ops.softmax(x.reshape(2, 30), -1).reshape(2, 5, 6)",
    ),
    "mint_linear": (
        Case(
            "mint.nn.functional.linear(x, self.w, self.b)",
            SEQUENCE,
            "self.w, self.b = rand(4, 6), rand(4)",
        ),
        "ops.dense(x, self.w, self.b)",
    ),
    "mint_gelu": (Case("mint.nn.functional.gelu(x)", ROWS), "ops.gelu(x, approximate='none')"),
    "mint_layer_norm": (
        Case(
            "mint.nn.functional.layer_norm(x, (6,), self.w, self.b, 1e-5)",
            SEQUENCE,
            "self.w, self.b, self.f = rand(6), rand(6), nn.LayerNorm((6,), epsilon=1e-5)",
        ),
        "self.f(x) * self.w + self.b",
    ),
    "mint_conv": (
        Case(
            "mint.nn.functional.conv2d(x, self.w, None, 2, 1)", IMAGE, "self.w = rand(4, 3, 3, 3)"
        ),
        "ops.conv2d(x, self.w, None, 2, 'pad', 1)",
    ),
    "mint_softmax": (Case("mint.nn.functional.softmax(x, dim=1)", SEQUENCE), "ops.softmax(x, 1)"),
    "mint_cat": (Case("mint.cat((x, y), dim=1)", PAIR), "ops.cat((x, y), 1)"),
    "mint_transpose": (Case("mint.transpose(x, 0, 1)", SEQUENCE), "x.swapaxes(0, 1)"),
    "mint_max_pool": (
        Case("mint.nn.functional.max_pool2d(x, 3, 2, 1)", WHOLE_IMAGE),
        "ops.max_pool2d(x, 3, 2, 1)",
    ),
    "mint_avg_pool": (
        Case("mint.nn.functional.avg_pool2d(x, 3, 2, 1)", WHOLE_IMAGE),
        "ops.avg_pool2d(x, 3, 2, 1)",
    ),
    "mint_embedding": (
        Case("mint.nn.functional.embedding(x, self.w)", IDS, "self.w = rand(10, 6)"),
        "ops.gather(self.w, x, 0)",
    ),
    "mint_silu": (Case("mint.nn.functional.silu(x)", ROWS), "ops.silu(x)"),
    "mint_batch_norm": (
        Case(
            "mint.nn.functional.batch_norm(x, self.m, self.v, self.w, self.b)",
            made="self.m, self.v, self.w, self.b = rand(3), rand(3) + 1, rand(3), rand(3)",
        ),
        "ops.batch_norm(x, self.m, self.v, self.w, self.b)",
    ),
    "mint_group_norm": (
        Case("mint.nn.functional.group_norm(x, 2)", FIXED, "self.f = nn.GroupNorm(2, 4)"),
        "self.f(x)",
    ),
}


def _text(name, case, forward):
    arguments = ", ".join(given[0] for given in case.inputs)
    body = "".join(f"        {line}\n" for line in case.body.splitlines())
    return (
        f"class {name}(nn.Cell):\n"
        f"    def __init__(self):\n        super().__init__()\n        {case.made}\n\n"
        f"    def construct(self, {arguments}):\n{body}        return {forward}\n\n\n"
    )


HEAD = """import numpy as np
import mindspore as ms
from mindspore import Parameter, Tensor, mint, nn, ops

random = np.random.default_rng(7)


def rand(*shape):
    return Tensor(random.standard_normal(shape).astype(np.float32))


def busy(cell):
    for one in cell.get_parameters():
        shape = one.shape
        values = random.standard_normal(shape).astype(np.float32) * 0.3 + 1
        one.set_data(Tensor(np.abs(values)))
    return cell


class Block(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def construct(self, x):
        return ops.relu(self.conv(x))


class Gate(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 3, 1)
        self.shift = Parameter(rand(1), name="shift")

    def construct(self, x):
        y = ops.relu(self.conv1(ops.mean(x, (2, 3), True)))
        return x * ops.sigmoid(self.conv2(y)) + self.shift


"""


def _arrays(case, run):
    random = np.random.default_rng(run)
    for name, shape, kind in case.inputs:
        sizes = [SIZES[run][axis] if size is None else size for axis, size in enumerate(shape)]
        if kind == "bool":
            array = random.integers(0, 2, sizes).astype(bool)
        elif kind.startswith("int"):
            # Indices of the smallest dimension that a case looks into.
            array = random.integers(0, 2 if name == "i" else 4, sizes).astype(kind)
        else:
            array = random.standard_normal(sizes).astype(kind)
        yield name, array


def _flat(value):
    if isinstance(value, (tuple, list)):
        return [one for part in value for one in _flat(part)]
    return [value.asnumpy()]


def _make(folder, nets, name, case):
    import mindspore as ms

    ms.set_seed(1)
    net = getattr(nets, name)()
    net.set_train(False)
    given = [
        ms.Tensor(shape=list(shape), dtype=getattr(ms, "bool_" if kind == "bool" else kind))
        if None in shape
        else ms.Tensor(array)
        for (_, shape, kind), (_, array) in zip(case.inputs, _arrays(case, 0), strict=True)
    ]
    ms.export(net, *given, file_name=str(folder / name), file_format="MINDIR")
    run = net
    if hasattr(nets, f"{name}_twin"):
        run = getattr(nets, f"{name}_twin")()
        run.set_train(False)
        # Constants are drawn again: they have to be the same.
        for key in ("w", "b", "m", "v"):
            if hasattr(net, key):
                setattr(run, key, getattr(net, key))
    for index in (0, 1):
        arrays = dict(_arrays(case, index))
        found = _flat(run(*(ms.Tensor(array) for array in arrays.values())))
        saved = {f"in:{key}": array for key, array in arrays.items()}
        saved |= {f"out:{number}": array for number, array in enumerate(found)}
        np.savez(folder / f"{name}.{index}.npz", **saved)


def _more(folder, nets):
    """A model with its weights beside it, as large ones are saved, and an encrypted one."""
    import mindspore as ms
    from mindspore.train import serialization

    net = nets.modules()
    net.set_train(False)
    given = ms.Tensor(shape=[None, 3, None, None], dtype=ms.float32)
    key = {"enc_key": b"0123456789ABCDEF", "enc_mode": "AES-GCM"}
    ms.export(net, given, file_name=str(folder / "locked"), file_format="MINDIR", **key)
    array = dict(_arrays(CASES["modules"], 0))["x"]
    np.savez(folder / "apart.npz", x=array, y=net(ms.Tensor(array)).asnumpy())
    serialization.TOTAL_SAVE = 0
    ms.export(net, given, file_name=str(folder / "apart"), file_format="MINDIR")


def main(folder, *names):
    """Export and run cases; what is there already is left."""
    twins = {name: case for name, (case, _) in TWINS.items()}
    every = {**CASES, **twins}
    text = HEAD + "".join(_text(name, case, case.forward) for name, case in every.items())
    text += "".join(_text(f"{name}_twin", case, other) for name, (case, other) in TWINS.items())
    path = folder / "nets.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("nets", path)
    nets = importlib.util.module_from_spec(spec)
    sys.modules["nets"] = nets
    spec.loader.exec_module(nets)
    for name in names or every:
        if (folder / f"{name}.1.npz").exists() or (folder / f"{name}.failed").exists():
            continue
        # Whatever ends the process here must not be tried again.
        (folder / f"{name}.failed").write_text("the process ended")
        try:
            _make(folder, nets, name, every[name])
        except Exception as error:
            (folder / f"{name}.failed").write_text(f"{type(error).__name__}: {error}"[:2000])
        else:
            (folder / f"{name}.failed").unlink()
    if not names:
        _more(folder, nets)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
