"""ONNX sources of the sweep: python onnx_sources.py FOLDER NAME ...

Old opsets, odd names, parts that exporters leave out or add, numbers at the edges. Written as in
`torch_sources.py`; the truth is onnxruntime without optimisations.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

N = h.make_node
RANDOM = np.random.default_rng(0)
Feed = Mapping[str, Any]
CASES: dict[str, tuple[onnx.ModelProto, Sequence[Feed]]] = {}


def f(*shape: int) -> Any:
    return RANDOM.standard_normal(shape).astype(np.float32)


def vi(name: str, shape: Any, dtype: int = T.FLOAT) -> onnx.ValueInfoProto:
    return h.make_tensor_value_info(name, dtype, shape)


def constant(name: str, array: Any) -> onnx.NodeProto:
    return N("Constant", [], [name], value=numpy_helper.from_array(np.asarray(array)))


def model(
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: Mapping[str, Any],
    opset: int,
    feeds: Sequence[Feed],
    *,
    ir: int = 8,
    imports: Sequence[tuple[str, int]] = (),
    functions: Sequence[onnx.FunctionProto] = (),
    as_inputs: bool = False,
) -> onnx.ModelProto:
    """Add a case; what it is fed is held out."""
    arrays = {key: np.asarray(value) for key, value in weights.items()}
    if as_inputs:
        for key, array in arrays.items():
            inputs.append(vi(key, list(array.shape), h.np_dtype_to_tensor_dtype(array.dtype)))
    tensors = [numpy_helper.from_array(array, key) for key, array in arrays.items()]
    graph = h.make_graph(nodes, name, inputs, outputs, tensors)
    versions = [h.make_opsetid("", opset), *(h.make_opsetid(*one) for one in imports)]
    made = h.make_model(graph, opset_imports=versions, functions=list(functions))
    made.ir_version = ir
    CASES[name] = (made, feeds)
    return made


# old style cnn opset 7, initialisers as inputs, ir 3
model(
    "cnn7",
    [
        N("Conv", ["data", "w", "b"], ["c"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        N("BatchNormalization", ["c", "s", "bb", "m", "v"], ["n"], spatial=1, epsilon=1e-5),
        N("Relu", ["n"], ["r"]),
        N("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        N("Dropout", ["p"], ["d"], ratio=0.5),
        N("Upsample", ["d"], ["u"], scales=[1.0, 1.0, 2.0, 2.0], mode="nearest"),
        N("GlobalAveragePool", ["u"], ["g"]),
        N("Flatten", ["g"], ["fl"]),
        N("Gemm", ["fl", "fw", "fb"], ["fc"], transB=1),
        N("Softmax", ["fc"], ["prob"]),
    ],
    [vi("data", ["N", 3, "H", "W"])],
    [vi("prob", ["N", 5])],
    {
        "w": f(4, 3, 3, 3),
        "b": f(4),
        "s": f(4),
        "bb": f(4),
        "m": f(4),
        "v": abs(f(4)),
        "fw": f(5, 4),
        "fb": f(5),
    },
    7,
    [{"data": f(2, 3, 8, 10)}, {"data": f(1, 3, 9, 7)}],
    ir=3,
    as_inputs=True,
)
model(
    "ops9",
    [
        N("Slice", ["x"], ["s"], starts=[1, 0], ends=[-1, 9223372036854775807], axes=[1, 2]),
        N("Pad", ["s"], ["p"], pads=[0, 1, 0, 0, 0, 2], mode="constant", value=1.5),
        N("TopK", ["p"], ["tv", "ti"], k=2, axis=-1),
        N("Clip", ["p"], ["c"], min=-1.0, max=1.0),
        N("Unsqueeze", ["c"], ["u"], axes=[0, 3]),
        N("Squeeze", ["u"], ["q"], axes=[0, 3]),
        N("ReduceSum", ["q"], ["rs"], axes=[1], keepdims=0),
        N("ReduceMean", ["q"], ["rm"], axes=[-1]),
        N("Split", ["p"], ["a", "b2"], axis=2, split=[1, 5]),
        N("Softmax", ["q"], ["sm"], axis=1),
        N("LogSoftmax", ["q"], ["lsm"]),
        N("Hardmax", ["q"], ["hm"], axis=2),
        N("Upsample", ["x4", "sc"], ["up"], mode="linear"),
        N("Scatter", ["x2", "idx", "upd"], ["sct"], axis=0),
        N("Cast", ["ti"], ["tf"], to=1),
        N("ArgMax", ["q"], ["am"], axis=1, keepdims=0),
    ],
    [vi("x", ["N", 5, 4]), vi("x4", ["N", 1, "H", "W"]), vi("x2", [3, 3])],
    [vi(n, None) for n in ["tv", "tf", "rs", "rm", "a", "b2", "sm", "lsm", "hm", "up", "sct"]]
    + [vi("am", None, T.INT64)],
    {"sc": np.array([1, 1, 2, 3], np.float32), "idx": np.array([[1, 0, 2]]), "upd": f(1, 3)},
    9,
    [
        {"x": f(2, 5, 4), "x4": f(2, 1, 3, 4), "x2": f(3, 3)},
        {"x": f(1, 5, 4), "x4": f(1, 1, 5, 2), "x2": f(3, 3)},
    ],
    ir=4,
)
model(
    "lstm7",
    [
        N(
            "LSTM",
            ["x", "W", "Rr", "B", "", "h0", "c0"],
            ["y", "yh", "yc"],
            hidden_size=4,
            direction="bidirectional",
        ),
        N("GRU", ["x", "gW", "gR", "gB"], ["g", "gh"], hidden_size=4, linear_before_reset=1),
        N("GRU", ["x", "gW", "gR"], ["g2", ""], hidden_size=4, linear_before_reset=0),
        N("RNN", ["x", "rW", "rR", "", "sl"], ["", "rh"], hidden_size=4, direction="reverse"),
    ],
    [
        vi("x", ["T", "N", 3]),
        vi("h0", [2, "N", 4]),
        vi("c0", [2, "N", 4]),
        vi("sl", ["N"], T.INT32),
    ],
    [vi(n, None) for n in ["y", "yh", "yc", "g", "gh", "g2", "rh"]],
    {
        "W": f(2, 16, 3),
        "Rr": f(2, 16, 4),
        "B": f(2, 32),
        "gW": f(1, 12, 3),
        "gR": f(1, 12, 4),
        "gB": f(1, 24),
        "rW": f(1, 4, 3),
        "rR": f(1, 4, 4),
    },
    7,
    [
        {"x": f(5, 2, 3), "h0": f(2, 2, 4), "c0": f(2, 2, 4), "sl": np.array([5, 3], np.int32)},
        {"x": f(3, 1, 3), "h0": f(2, 1, 4), "c0": f(2, 1, 4), "sl": np.array([2], np.int32)},
    ],
    ir=3,
)
# names: keywords, unicode, slashes, dup names, unnamed
model(
    "names",
    [
        N("Add", ["class", "1/x:0"], ["def"]),
        N("Mul", ["def", "weights.ü-λ/0"], ["self"], name="dup"),
        N("Relu", ["self"], ["入力/out"], name="dup2"),
        N("Sub", ["入力/out", "F.x"], ["import"]),
        N("Identity", ["import"], ["model"]),
        N("Add", ["model", "torch"], ["return"]),
    ],
    [vi("class", ["batch size", 3]), vi("1/x:0", ["batch size", 3])],
    [vi("return", None), vi("入力/out", None)],
    {"weights.ü-λ/0": f(3), "F.x": f(3), "torch": f(3)},
    13,
    [{"class": f(2, 3), "1/x:0": f(2, 3)}, {"class": f(4, 3), "1/x:0": f(4, 3)}],
)
model(
    "collide",
    [
        N("Add", ["x", "a.b"], ["y1"]),
        N("Add", ["y1", "a_b"], ["y_1"]),
        N("Mul", ["y_1", "a/b"], ["y"]),
        N("Conv", ["y", "forward"], ["z"], kernel_shape=[1]),
        N("Gemm", ["flat", "state_dict", "train"], ["o"]),
    ],
    [vi("x", ["N", 3, 4]), vi("flat", ["N", 3])],
    [vi("z", None), vi("o", None)],
    {
        "a.b": f(4),
        "a_b": f(4),
        "a/b": f(4),
        "forward": f(2, 3, 1),
        "state_dict": f(3, 2),
        "train": f(2),
    },
    13,
    [{"x": f(2, 3, 4), "flat": f(2, 3)}, {"x": f(1, 3, 4), "flat": f(1, 3)}],
)
model(
    "constweights",
    [
        constant("w", f(4, 3, 3, 3)),
        constant("b", f(4)),
        N("Conv", ["x", "w", "b"], ["c"], auto_pad="SAME_UPPER", strides=[2, 2]),
        N("Constant", [], ["k"], value_float=0.5),
        N("Mul", ["c", "k"], ["d"]),
        N("Constant", [], ["ax"], value_ints=[2, 3]),
        N("ReduceMean", ["d", "ax"], ["y"], keepdims=0),
    ],
    [vi("x", [-1, 3, "H", "W"])],
    [vi("y", None)],
    {},
    18,
    [{"x": f(2, 3, 8, 9)}, {"x": f(1, 3, 5, 5)}],
)
CASES["constweights"][0].graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
model(
    "foreign",
    [N("Relu", ["x"], ["y"])],
    [vi("x", ["N", 3])],
    [vi("y", ["N", 3])],
    {},
    13,
    [{"x": f(2, 3)}],
    imports=[("com.unknown", 1), ("ai.onnx.ml", 2), ("com.microsoft", 1)],
)
fn = h.make_function(
    "my.fn",
    "Gelu2",
    ["x"],
    ["y"],
    [
        N("Constant", [], ["two"], value_float=1.4142135),
        N("Div", ["x", "two"], ["d"]),
        N("Erf", ["d"], ["e"]),
        N("Constant", [], ["one"], value_float=1.0),
        N("Add", ["e", "one"], ["a"]),
        N("Mul", ["x", "a"], ["m"]),
        N("Constant", [], ["h"], value_float=0.5),
        N("Mul", ["m", "h"], ["y"]),
    ],
    [h.make_opsetid("", 17)],
)
model(
    "functions",
    [
        N("Gelu2", ["x"], ["a"], domain="my.fn"),
        N("MatMul", ["a", "w"], ["b"]),
        N("Gelu2", ["b"], ["y"], domain="my.fn"),
    ],
    [vi("x", ["N", 3])],
    [vi("y", ["N", 3])],
    {"w": f(3, 3)},
    17,
    [{"x": f(2, 3)}, {"x": f(5, 3)}],
    imports=[("my.fn", 1)],
    functions=[fn],
)
model(
    "optional",
    [
        N("Clip", ["x", "", "hi"], ["c"]),
        N("Resize", ["x4", "", "sc"], ["r"], mode="linear"),
        N("Dropout", ["c"], ["d", ""]),
        N("TopK", ["d", "k"], ["tv0", "i"]),
        N("Cast", ["i"], ["fi"], to=1),
        N("MaxPool", ["r"], ["mp", ""], kernel_shape=[2, 2]),
    ],
    [vi("x", ["N", 5]), vi("x4", ["N", 1, 4, 4])],
    [vi("c", None), vi("fi", None), vi("mp", None)],
    {"hi": np.float32(0.3), "sc": np.array([1, 1, 2, 2], np.float32), "k": np.array([2])},
    13,
    [{"x": f(2, 5), "x4": f(2, 1, 4, 4)}],
)
model(
    "empty",
    [
        N("Concat", ["x", "e"], ["c"], axis=1),
        N("Reshape", ["c", "sh"], ["r"]),
        N("Gather", ["r", "ix"], ["g"], axis=1),
        N("ReduceSum", ["g"], ["s"], keepdims=0),
        N("Concat", ["r", "g"], ["y"], axis=1),
        N("Slice", ["x", "st", "en", "a1"], ["z"]),
        N("Shape", ["z"], ["zs"]),
        N("ReduceMax", ["y"], ["mx"], axes=[1]),
    ],
    [vi("x", ["N", 3])],
    [vi(n, None) for n in ["y", "s", "mx"]] + [vi("zs", None, T.INT64)],
    {
        "e": np.zeros((2, 0), np.float32),
        "sh": np.array([0, -1]),
        "ix": np.zeros(0, np.int64),
        "st": np.array([2]),
        "en": np.array([1]),
        "a1": np.array([1]),
    },
    13,
    [{"x": f(2, 3)}],
)
model(
    "tf",
    [
        N("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        N("Conv", ["t", "w"], ["c"], auto_pad="SAME_UPPER", strides=[2, 2], dilations=[1, 1]),
        N("Transpose", ["c"], ["t2"], perm=[0, 2, 3, 1]),
        N("Add", ["t2", "b"], ["a"]),
        N("Relu", ["a"], ["r"]),
        N("Transpose", ["r"], ["t3"], perm=[0, 3, 1, 2]),
        N("DepthToSpace", ["t3"], ["dd"], blocksize=2, mode="DCR"),
        N("Transpose", ["dd"], ["o"], perm=[0, 2, 3, 1]),
        N("Shape", ["o"], ["sh"]),
        N("Cast", ["sh"], ["sh32"], to=6),
        N("Slice", ["sh32", "z0", "o1", "z0"], ["bs"]),
        N("Concat", ["bs", "m1"], ["ns"], axis=0),
        N("Cast", ["ns"], ["ns64"], to=7),
        N("Reshape", ["o", "ns64"], ["y"]),
    ],
    [vi("x", ["unk__1", "H", "W", 3])],
    [vi("y", None)],
    {
        "w": f(8, 3, 3, 3),
        "b": f(8),
        "z0": np.array([0]),
        "o1": np.array([1]),
        "m1": np.array([-1], np.int32),
    },
    13,
    [{"x": f(2, 8, 9, 3)}, {"x": f(1, 5, 6, 3)}],
)
model(
    "einsumetc",
    [
        N("Einsum", ["x", "y"], ["e"], equation="bij,bkj->bik"),
        N("LayerNormalization", ["e", "g", "bb"], ["l"]),
        N("Trilu", ["l"], ["t"], upper=0),
        N("CumSum", ["t", "ax"], ["c"], exclusive=1, reverse=1),
        N("NonZero", ["c"], ["nz"]),
        N("GatherND", ["x", "gi"], ["gn"], batch_dims=1),
        N("ScatterND", ["c", "si", "su"], ["sn"], reduction="add"),
        N("OneHot", ["gi1", "dep", "vals"], ["oh"], axis=-1),
        N("Unique", ["gi1"], ["u"], sorted=1),
        N("Mod", ["x", "y1"], ["mo"], fmod=1),
        N("Where", ["cond", "x", "y"], ["w"]),
    ],
    [
        vi("x", ["B", 4, 4]),
        vi("y", ["B", 4, 4]),
        vi("gi", ["B", 2, 1], T.INT64),
        vi("gi1", ["K"], T.INT64),
        vi("cond", ["B", 1, 1], T.BOOL),
    ],
    [vi(n, None) for n in ["t", "c", "gn", "sn", "oh", "mo", "w"]]
    + [vi("nz", None, T.INT64), vi("u", None, T.INT64)],
    {
        "g": f(4),
        "bb": f(4),
        "ax": np.array(1),
        "si": np.array([[0, 1], [0, 0]]),
        "su": f(2, 4),
        "dep": np.array(5),
        "vals": np.array([0, 1], np.float32),
        "y1": np.array(0.7, np.float32),
    },
    17,
    [
        {
            "x": f(2, 4, 4),
            "y": f(2, 4, 4),
            "gi": np.array([[[0], [1]], [[1], [-1]]]),
            "gi1": np.array([1, 3, -1, 3]),
            "cond": np.array([[[True]], [[False]]]),
        }
    ],
)
# If/Loop with outer scope capture
then = h.make_graph([N("Add", ["x", "c1"], ["tb"])], "t", [], [vi("tb", None)])
els = h.make_graph([N("MatMul", ["x", "w"], ["eb"])], "e", [], [vi("eb", None)])
body = h.make_graph(
    [
        N("MatMul", ["acc", "w"], ["ac2"]),
        N("Tanh", ["ac2"], ["ac3"]),
        N("ReduceSum", ["ac3"], ["rs"], keepdims=0),
        N("Less", ["rs", "lim"], ["go"]),
    ],
    "b",
    [vi("it", [], T.INT64), vi("cin", [], T.BOOL), vi("acc", None)],
    [vi("go", [], T.BOOL), vi("ac3", None), vi("rs", None)],
)
model(
    "ctrl",
    [
        N("ReduceSum", ["x"], ["s"], keepdims=0),
        N("Greater", ["s", "zero"], ["gt"]),
        N("If", ["gt"], ["y"], then_branch=then, else_branch=els),
        N("Loop", ["n", "", "x"], ["fin", "scan"], body=body),
    ],
    [vi("x", ["N", 3]), vi("n", [], T.INT64)],
    [vi("y", None), vi("fin", None), vi("scan", None)],
    {"c1": f(3), "w": f(3, 3), "zero": np.float32(0), "lim": np.float32(100)},
    16,
    [
        {"x": f(2, 3), "n": np.array(4)},
        {"x": -abs(f(2, 3)), "n": np.array(0)},
        {"x": abs(f(1, 3)), "n": np.array(1)},
    ],
)
# adversarial numerics
model(
    "numerics",
    [
        N("Relu", ["x"], ["a"]),
        N("Max", ["x", "z"], ["b"]),
        N("Min", ["x", "z"], ["c"]),
        N("Clip", ["x", "lo", "hi"], ["d"]),
        N("Sigmoid", ["x"], ["e"]),
        N("Softmax", ["x"], ["f"], axis=-1),
        N("ReduceMax", ["x"], ["g"], axes=[1]),
        N("ArgMax", ["x"], ["i"], axis=1),
        N("TopK", ["x", "k"], ["tv", "ti"]),
        N("Sign", ["x"], ["j"]),
        N("Round", ["x"], ["l"]),
        N("Sqrt", ["x"], ["m"]),
        N("Log", ["x"], ["n"]),
        N("Reciprocal", ["x"], ["o"]),
        N("Pow", ["x", "p"], ["pp"]),
        N("Equal", ["x", "x"], ["q"]),
        N("LeakyRelu", ["x"], ["r"], alpha=0.1),
        N("Elu", ["x"], ["s"]),
        N("Erf", ["x"], ["t"]),
        N("Tanh", ["x"], ["u"]),
        N("Softplus", ["x"], ["v"]),
        N("HardSigmoid", ["x"], ["w"]),
        N("Exp", ["x"], ["y"]),
        N("IsNaN", ["x"], ["aa"]),
        N("IsInf", ["x"], ["ab"]),
        N("Cast", ["xs"], ["ac"], to=7),
        N("Floor", ["x"], ["ad"]),
        N("Mod", ["x", "md"], ["ae"], fmod=1),
        N("Selu", ["x"], ["af"]),
        N("Softsign", ["x"], ["ag"]),
        N("ThresholdedRelu", ["x"], ["ah"], alpha=0.5),
        N("HardSwish", ["x"], ["ai"]),
        N("PRelu", ["x", "p1"], ["aj"]),
        N("Where", ["q", "x", "z"], ["ak"]),
        N("Abs", ["x"], ["al"]),
        N("Neg", ["x"], ["am"]),
        N("ReduceMin", ["x"], ["an"], axes=[0]),
        N("ReduceLogSumExp", ["x"], ["ap"], axes=[1]),
        N("LogSoftmax", ["x"], ["aq"]),
        # Never finite: what is infinite of it is compared.
        N("Div", ["x", "z"], ["ratio"]),
        N("IsInf", ["ratio"], ["ar"]),
        N("Shrink", ["x"], ["as"], lambd=0.5),
        N("Celu", ["x"], ["at"]),
        N("CumSum", ["x", "one"], ["au"]),
    ],
    [vi("x", ["N", 6]), vi("xs", ["N", 6])],
    [
        vi(n, None)
        for n in [
            "a",
            "b",
            "c",
            "d",
            "e",
            "f",
            "g",
            "tv",
            "j",
            "l",
            "m",
            "n",
            "o",
            "pp",
            "r",
            "s",
            "t",
            "u",
            "v",
            "w",
            "y",
            "ad",
            "ae",
            "af",
            "ag",
            "ah",
            "ai",
            "aj",
            "ak",
            "al",
            "am",
            "an",
            "ap",
            "aq",
            "as",
            "at",
            "au",
        ]
    ]
    + [vi(n, None, T.INT64) for n in ["i", "ti", "ac"]]
    + [vi(n, None, T.BOOL) for n in ["q", "aa", "ab", "ar"]],
    {
        "z": np.float32(0),
        "lo": np.float32(-1),
        "hi": np.float32(1),
        "k": np.array([3]),
        "p": np.float32(2.5),
        "md": np.float32(0.7),
        "p1": np.float32(0.2),
        "one": np.array(1),
    },
    17,
    [
        {
            "x": np.array(
                [[np.inf, -np.inf, 0.0, -0.0, 1e-40, 3e38], [0.5, 1.5, 2.5, -0.5, -1.5, -2.5]],
                np.float32,
            ),
            "xs": np.array(
                [[1.9, -1.9, 0, -0.0, 2**31, -(2**33)], [0.5, 1.5, 2.5, -0.5, -1.5, -2.5]],
                np.float32,
            ),
        },
        {
            "x": np.array(
                [
                    [88.0, 89.0, -88.0, -104.0, 1e-7, -1e-7],
                    [20.0, -20.0, 100.0, -100.0, 1e10, -1e10],
                ],
                np.float32,
            ),
            "xs": f(2, 6),
        },
        {
            "x": np.array(
                [[np.nan, 1, 2, 3, 4, 5], [1, np.nan, np.inf, -np.inf, 0, np.nan]], np.float32
            ),
            "xs": f(2, 6),
        },
    ],
)
model(
    "ints",
    [
        N("Div", ["a", "b"], ["d"]),
        N("Mod", ["a", "b"], ["m"]),
        N("Mod", ["a", "b"], ["fm"], fmod=1),
        N("Pow", ["a", "two"], ["p"]),
        N("ReduceMean", ["a", "ax"], ["rm"]),
        N("ReduceSum", ["a", "ax"], ["rs"]),
        N("Abs", ["a"], ["ab"]),
        N("Sign", ["a"], ["sg"]),
        N("Mul", ["big", "big"], ["bm"]),
        N("Add", ["big", "a"], ["ba"]),
        N("Clip", ["a", "lo", "hi"], ["cl"]),
        N("ReduceProd", ["a", "ax"], ["rp"]),
        N("CumSum", ["a", "one"], ["cs"]),
        N("Max", ["a", "b"], ["mx"]),
        N("ArgMin", ["a"], ["am"], axis=-1, select_last_index=1),
        N("Cast", ["big"], ["c8"], to=3),
        N("Cast", ["a"], ["cu"], to=2),
        N("Cast", ["c8"], ["c8f"], to=1),
        N("Cast", ["cu"], ["cuf"], to=1),
        N("MatMul", ["a", "bt"], ["mm"]),
        N("BitShift", ["u", "us"], ["bs"], direction="LEFT"),
        N("Cast", ["bs"], ["bsf"], to=7),
    ],
    [
        vi("a", ["N", 4], T.INT64),
        vi("b", ["N", 4], T.INT64),
        vi("big", ["N", 4], T.INT64),
        vi("u", ["N", 4], T.UINT8),
    ],
    [
        vi(n, None, T.INT64)
        for n in [
            "d",
            "m",
            "fm",
            "p",
            "rm",
            "rs",
            "ab",
            "sg",
            "bm",
            "ba",
            "cl",
            "rp",
            "cs",
            "mx",
            "am",
            "mm",
            "bsf",
        ]
    ]
    + [vi("c8f", None), vi("cuf", None)],
    {
        "two": np.array(3),
        "ax": np.array([1]),
        "lo": np.array(-3),
        "hi": np.array(5),
        "one": np.array(1),
        "bt": RANDOM.integers(-5, 5, (4, 2)),
        "us": np.array([1, 2, 3, 7], np.uint8),
    },
    18,
    [
        {
            "a": np.array([[-7, 7, -8, 0], [5, -5, 2, -1]]),
            "b": np.array([[2, -2, 3, 5], [-3, -3, -7, 4]]),
            "big": np.array([[2**33 + 1, -(2**40), 300, -200], [2**53 + 1, 129, -129, 255]]),
            "u": np.array([[1, 3, 255, 1], [200, 2, 4, 8]], np.uint8),
        }
    ],
)
model(
    "dims1",
    [
        N("Expand", ["x", "sh"], ["e"]),
        N("Add", ["e", "row"], ["a"]),
        N("MatMul", ["a", "w"], ["m"]),
        N("Squeeze", ["m"], ["s"]),
        N("ReduceMean", ["m", "axx"], ["rm"], keepdims=0),
        N("Transpose", ["m"], ["t"]),
        N("Gather", ["m", "neg"], ["g"], axis=-1),
        N("Concat", ["m", "m"], ["c"], axis=-2),
        N("Softmax", ["m"], ["sm"], axis=-2),
        N("Flatten", ["m"], ["fl"], axis=-1),
        N("Split", ["c"], ["c1", "c2"], axis=-2, num_outputs=2),
        N("Tile", ["c1", "rep"], ["ti"]),
        N("Pad", ["m", "pd"], ["pa"], mode="edge"),
    ],
    [vi("x", ["N", 1, 3])],
    [vi(n, None) for n in ["s", "rm", "t", "g", "c", "sm", "fl", "c2", "ti", "pa"]],
    {
        "axx": np.array([-1, -2]),
        "sh": np.array([1, 2, 1]),
        "row": f(1, 2, 3),
        "w": f(3, 1),
        "neg": np.array(-1),
        "rep": np.array([1, 2, 2]),
        "pd": np.array([0, 1, 0, 0, 0, 2]),
    },
    18,
    [{"x": f(3, 1, 3)}, {"x": f(1, 1, 3)}],
)


# Distances in buckets whose borders are powers of two, as T5 has them: a logarithm that falls short of one counts less.
model(
    "buckets",
    [
        N("Range", ["zero", "n", "one"], ["d"]),
        N("Cast", ["d"], ["real"], to=T.FLOAT),
        N("Div", ["real", "eight"], ["part"]),
        N("Log", ["part"], ["log"]),
        N("Div", ["log", "whole"], ["bucket"]),
        N("Cast", ["bucket"], ["far"], to=T.INT64),
        N("Less", ["d", "edge"], ["near"]),
        N("Where", ["near", "d", "far"], ["y"]),
    ],
    [vi("n", [], T.INT64)],
    [vi("y", None, T.INT64)],
    {
        "zero": np.array(0),
        "one": np.array(1),
        "edge": np.array(8),
        "eight": np.float32(8),
        "whole": np.float32(np.log(2) / 8),
    },
    17,
    [{"n": np.array(70)}, {"n": np.array(17)}],
)


# Halves as converters leave them: casts behind what reads them, weights of layers in 16 bits; a quantised scalar.
model(
    "halves",
    [
        N("Conv", ["half", "w", "b"], ["c"], kernel_shape=[3, 3]),
        N("BatchNormalization", ["c", "s", "s", "b", "s"], ["n"]),
        N("GlobalAveragePool", ["n"], ["g"]),
        N("Flatten", ["g"], ["fl"]),
        N("Gemm", ["fl", "fw", "fb"], ["o"], transB=1),
        N("Cast", ["o"], ["wide"], to=T.FLOAT),
        N("DequantizeLinear", ["q", "scale", "zero"], ["factor"]),
        N("Mul", ["wide", "factor"], ["y"]),
        N("Cast", ["x"], ["half"], to=T.FLOAT16),
    ],
    [vi("x", ["N", 3, "H", "W"])],
    [vi("y", ["N", 5])],
    {
        **{
            name: (0.3 * f(*shape)).astype(np.float16)
            for name, shape in {"w": (4, 3, 3, 3), "fw": (5, 4), "fb": (5,)}.items()
        },
        "b": np.array([0.1, -0.2, 0.3, 0.4], np.float16),
        "s": np.array([1.1, 0.9, 1.2, 0.8], np.float16),
        "q": np.array(7, np.int8),
        "scale": np.float32(0.25),
        "zero": np.array(3, np.int8),
    },
    17,
    [{"x": f(2, 3, 8, 9)}, {"x": f(1, 3, 5, 5)}],
)


# a detector as exporters write one: grid from sizes, boxes by their middles, the best of all classes
model(
    "detector_grid",
    [
        N(
            "Conv",
            ["image", "w1", "b1"],
            ["c1"],
            kernel_shape=[3, 3],
            strides=[4, 4],
            pads=[1, 1, 1, 1],
        ),
        N("LeakyRelu", ["c1"], ["r1"], alpha=0.1),
        N("Conv", ["r1", "w2", "b2"], ["c2"], kernel_shape=[1, 1], strides=[2, 2]),
        N("Shape", ["c2"], ["sizes"]),
        constant("two", np.int64(2)),
        constant("three", np.int64(3)),
        N("Gather", ["sizes", "two"], ["rows"]),
        N("Gather", ["sizes", "three"], ["columns"]),
        constant("zero", np.int64(0)),
        constant("one", np.int64(1)),
        N("Range", ["zero", "rows", "one"], ["ys"]),
        N("Range", ["zero", "columns", "one"], ["xs"]),
        constant("flat", np.int64([-1, 1])),
        N("Reshape", ["ys", "flat"], ["ys1"]),
        constant("wide", np.int64([0])),
        N("Unsqueeze", ["xs", "wide"], ["xs1"]),
        N("Mul", ["ys1", "one"], ["ys2"]),
        N("Add", ["ys1", "xs1"], ["grid"]),
        N("Shape", ["grid"], ["grid_size"]),
        N("Expand", ["ys2", "grid_size"], ["gy"]),
        N("Expand", ["xs1", "grid_size"], ["gx"]),
        constant("line", np.int64([-1])),
        N("Reshape", ["gy", "line"], ["gy1"]),
        N("Reshape", ["gx", "line"], ["gx1"]),
        N("Cast", ["gy1"], ["gyf"], to=T.FLOAT),
        N("Cast", ["gx1"], ["gxf"], to=T.FLOAT),
        constant("pair", np.int64([0])),
        N("Unsqueeze", ["gxf", "pair"], ["gxu"]),
        N("Unsqueeze", ["gyf", "pair"], ["gyu"]),
        N("Concat", ["gxu", "gyu"], ["middles"], axis=0),
        constant("maps", np.int64([0, 8, -1])),
        N("Reshape", ["c2", "maps"], ["flat2"]),
        N("Split", ["flat2", "parts"], ["at", "size", "object", "classes"], axis=1),
        N("Sigmoid", ["at"], ["at1"]),
        N("Add", ["at1", "middles"], ["at2"]),
        constant("stride", np.float32(8)),
        N("Mul", ["at2", "stride"], ["at3"]),
        N("Exp", ["size"], ["size1"]),
        N("Mul", ["size1", "stride"], ["size2"]),
        N("Concat", ["at3", "size2"], ["boxes0"], axis=1),
        N("Transpose", ["boxes0"], ["boxes"], perm=[0, 2, 1]),
        N("Sigmoid", ["object"], ["object1"]),
        N("Sigmoid", ["classes"], ["classes1"]),
        N("Mul", ["object1", "classes1"], ["scores"]),
        constant("most", np.int64([20])),
        constant("overlap", np.float32([0.45])),
        constant("least", np.float32([0.2])),
        N(
            "NonMaxSuppression",
            ["boxes", "scores", "most", "overlap", "least"],
            ["kept"],
            center_point_box=1,
        ),
        N("GatherND", ["scores", "kept"], ["best"]),
        N("Shape", ["best"], ["count"]),
        N("TopK", ["best", "count"], ["score", "order"], axis=0),
        N("Gather", ["kept", "order"], ["kept1"], axis=0),
        constant("owner_box", np.int64([0, 2])),
        N("Gather", ["kept1", "owner_box"], ["places"], axis=1),
        N("GatherND", ["boxes", "places"], ["box"]),
        N("Gather", ["kept1", "one"], ["label"], axis=1),
    ],
    [vi("image", ["N", 3, "H", "W"])],
    [vi("box", ["K", 4]), vi("score", ["K"]), vi("label", ["K"], T.INT64)],
    {
        "w1": f(8, 3, 3, 3) * 0.3,
        "b1": f(8),
        "w2": f(8, 8, 1, 1) * 0.5,
        "b2": f(8),
        "parts": np.int64([2, 2, 1, 3]),
    },
    13,
    [{"image": f(1, 3, 64, 96)}, {"image": f(2, 3, 40, 48)}],
)
# one with anchors that are fixed, without a least score, its boxes by their corners, the best few of a class
model(
    "detector_anchors",
    [
        N(
            "Conv",
            ["image", "w1", "b1"],
            ["c1"],
            kernel_shape=[3, 3],
            strides=[4, 4],
            pads=[1, 1, 1, 1],
        ),
        N("Relu", ["c1"], ["r1"]),
        N("Conv", ["r1", "wl", "bl"], ["l1"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        N("Conv", ["r1", "wc", "bc"], ["k1"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        N("Transpose", ["l1"], ["l2"], perm=[0, 2, 3, 1]),
        N("Transpose", ["k1"], ["k2"], perm=[0, 2, 3, 1]),
        N("Reshape", ["l2", "four"], ["l3"]),
        N("Reshape", ["k2", "five"], ["k3"]),
        N("Softmax", ["k3"], ["k4"], axis=2),
        N("Transpose", ["k4"], ["scores"], perm=[0, 2, 1]),
        N("Split", ["l3"], ["dxy", "dwh"], axis=2, num_outputs=2),
        N("Split", ["anchors"], ["axy", "awh"], axis=1, num_outputs=2),
        N("Mul", ["dxy", "awh"], ["s1"]),
        N("Add", ["s1", "axy"], ["xy"]),
        N("Exp", ["dwh"], ["e1"]),
        N("Mul", ["e1", "awh"], ["wh"]),
        N("Mul", ["wh", "half"], ["hw"]),
        N("Sub", ["xy", "hw"], ["low"]),
        N("Add", ["xy", "hw"], ["high"]),
        N("Concat", ["low", "high"], ["boxes"], axis=2),
        N("NonMaxSuppression", ["boxes", "scores", "most", "overlap"], ["kept"]),
        N("GatherND", ["scores", "kept"], ["score"]),
        N("Split", ["kept"], ["image_of", "class_of", "box_of"], axis=1, num_outputs=3),
        N("Concat", ["image_of", "box_of"], ["places"], axis=1),
        N("GatherND", ["boxes", "places"], ["found"]),
        N("Clip", ["found", "low_side", "high_side"], ["box"]),
        N("Squeeze", ["class_of", "last"], ["label"]),
    ],
    [vi("image", ["N", 3, 32, 32])],
    [vi("box", ["K", 4]), vi("score", ["K"]), vi("label", ["K"], T.INT64)],
    {
        "w1": f(8, 3, 3, 3) * 0.3,
        "b1": f(8),
        "wl": f(8, 8, 3, 3) * 0.1,
        "bl": f(8) * 0.1,
        "wc": f(10, 8, 3, 3) * 0.3,
        "bc": f(10),
        "four": np.int64([0, -1, 4]),
        "five": np.int64([0, -1, 5]),
        "anchors": abs(f(128, 4)),
        "half": np.float32(0.5),
        "most": np.int64(10),
        "overlap": np.float32(0.5),
        "low_side": np.float32(0),
        "high_side": np.float32(1),
        "last": np.int64([1]),
    },
    18,
    [{"image": f(1, 3, 32, 32)}, {"image": f(3, 3, 32, 32)}],
)


def held_out(folder: Path) -> list[tuple[dict[str, Any], list[Any]]]:
    """Inputs by name and outputs in order, which no conversion has seen."""
    pairs = []
    for path in sorted(folder.glob("held*.inputs.npz")):
        with np.load(path) as file:
            inputs = {name: file[name] for name in file.files}
        with np.load(str(path).replace(".inputs.", ".outputs.")) as file:
            pairs.append((inputs, [file[name] for name in file.files]))
    return pairs


def make_case(name: str, folder: Path) -> None:
    """Write a model and what onnxruntime makes of it."""
    made, feeds = CASES[name]
    onnx.save(made, folder / "model.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
    for index, feed in enumerate(feeds):
        np.savez(folder / f"held{index}.inputs.npz", **feed)
        np.savez(folder / f"held{index}.outputs.npz", *session.run(None, feed))
    (folder / "case.json").write_text(json.dumps({"source": "model.onnx", "options": []}))


def main() -> None:
    """Write the cases that are named, or print the names of all."""
    if len(sys.argv) == 1:
        print("\n".join(CASES))
    for name in sys.argv[2:]:
        folder = Path(sys.argv[1]) / name
        folder.mkdir(parents=True)
        make_case(name, folder)


if __name__ == "__main__":
    main()
