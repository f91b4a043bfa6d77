"""Numbers that frameworks like to treat in ways of their own: NaN, infinities, minus zero, ties, extremes.

Models of one operator against ONNX Runtime, as in `test_numbers`.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

sys.path.insert(0, str(Path(__file__).parent))

from test_numbers import Trial, wrong_numbers

from converters.emitters import NATIVE

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1.5], np.float32)


def special(rng: np.random.Generator, *sizes: int, share: float = 0.3) -> np.ndarray:
    """Random floats, some of which are special ones."""
    x = rng.standard_normal(sizes).astype(np.float32)
    return np.where(rng.random(sizes) < share, rng.choice(SPECIAL, sizes), x).astype(np.float32)


UNARY: tuple[tuple[str, dict[str, Any]], ...] = (
    *((op, {}) for op in (
        "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Erf", "Exp",
        "Floor", "Identity", "IsInf", "IsNaN", "Log", "Neg", "Reciprocal", "Relu", "Round", "Sigmoid",
        "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh", "HardSwish", "Mish",
        "Gelu", "Elu", "Selu", "Celu", "LeakyRelu", "HardSigmoid", "ThresholdedRelu", "Shrink",
    )),
    ("Gelu", {"approximate": "tanh"}),
    ("LeakyRelu", {"alpha": 0.2}),
    ("Elu", {"alpha": 0.5}),
    ("Celu", {"alpha": 2.0}),
    ("Selu", {"alpha": 0.5, "gamma": 2.0}),
    ("HardSigmoid", {"alpha": 0.5, "beta": 0.1}),
    ("ThresholdedRelu", {"alpha": 0.7}),
    ("ThresholdedRelu", {"alpha": -0.7}),
    ("Shrink", {"bias": 0.1, "lambd": 0.4}),
    ("IsInf", {"detect_negative": 0}),
    ("IsInf", {"detect_positive": 0}),
    ("IsInf", {"detect_positive": 0, "detect_negative": 0}),
    ("Softmax", {"axis": 0}),
    ("LogSoftmax", {"axis": -1}),
    ("Hardmax", {"axis": 0}),
    ("ArgMax", {"axis": 1}),
    ("ArgMin", {"axis": 0, "keepdims": 0}),
    ("GlobalMaxPool", {}),
)  # fmt: skip
# NaN of operators for which ONNX Runtime departs from the standard, or says nothing.
UNSETTLED = {"HardSwish", "HardSigmoid", "ArgMax", "ArgMin", "Hardmax", "Sign", "ThresholdedRelu",
             "Shrink", "Mish", "Gelu", "Selu", "Celu", "Elu", "Softsign", "Softplus"}  # fmt: skip

# Vector kernels of Paddle give NaN for the root of infinity, those of Paddle and MindSpore 0 for relu(NaN).
LOOSE = {"Relu", "Sqrt"}


def elementwise(count: int, rng: np.random.Generator) -> Iterator[Trial]:
    """Every operator of one tensor, at special values and at large ones."""
    for k in range(max(count, 2 * len(UNARY))):
        op, attributes = UNARY[k % len(UNARY)]
        x = special(rng, 3, 4, 5) * rng.choice([1, 1, 20]).astype(np.float32)
        if op in UNSETTLED:
            x = np.where(np.isnan(x) | np.isinf(x), np.float32(0.25), x)
        if op == "GlobalMaxPool":
            # ONNX Runtime leaves NaN to the order of comparisons.
            x = np.where(np.isnan(x), np.float32(7), x)
        if op in LOOSE:
            x = np.where(np.isfinite(x), x, np.float32(4))
        if op in ("Softmax", "LogSoftmax"):
            x = np.where(np.isfinite(x), x, np.float32(80))
        yield Trial(helper.make_node(op, ["x"], ["y"], **attributes), {"x": x})


def pairs(count: int, rng: np.random.Generator) -> Iterator[Trial]:
    """Operators of two tensors, of floats and of integers of both signs; constants among them."""
    floats = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Mod", "Greater", "Less", "Equal",
              "GreaterOrEqual", "LessOrEqual", "PRelu", "Clip", "Where")  # fmt: skip
    integers = ("Add", "Sub", "Mul", "Div", "Mod", "Max", "Min", "Pow", "Clip", "Equal", "Less")
    for _ in range(count):
        of_floats = rng.random() < 0.6
        op = str(rng.choice(floats if of_floats else integers))
        attributes: dict[str, Any] = {}
        if of_floats:
            a, b = special(rng, 4, 5), special(rng, *(([4, 5], [5], [1], [])[rng.integers(4)]))
        else:
            dtype = rng.choice(["int64", "int32", "int8", "uint8", "int16"])
            low = 0 if dtype == "uint8" else -9
            a = rng.integers(low, 10, (4, 5)).astype(dtype)
            b = rng.integers(low, 10, ([4, 5], [5], [1], [])[rng.integers(4)]).astype(dtype)
            if op in ("Div", "Mod"):
                b = np.where(b == 0, np.asarray(3, dtype), b)
            if op == "Pow":
                b = (np.abs(b) % 4).astype(dtype)
        if op == "Mod":
            attributes["fmod"] = 1 if of_floats else int(rng.integers(0, 2))
        b = np.asarray(b, a.dtype)
        if op == "Div" and of_floats:
            # MindSpore's kernel takes no notice of the sign of a zero that it divides by.
            a, b = (np.where(x == 0, np.float32(0), x) for x in (a, b))
        if op == "Pow" and of_floats:
            b = np.asarray(rng.choice([2.0, 0.5, -1.0, 3.0, 0.0, 1.5, -0.5, 1.0]), np.float32)
        if op == "Where":
            node = helper.make_node(op, ["c", "a", "b"], ["y"])
            yield Trial(node, {"c": rng.random((4, 1)) < 0.5, "a": a, "b": b})
            continue
        if op == "Clip":
            bounds = np.sort(rng.integers(0, 9, 2)).astype(a.dtype)
            if rng.random() < 0.2:
                bounds = bounds[::-1]
            given = {"low": bounds[0:1].reshape(()), "high": bounds[1:2].reshape(())}
            if rng.random() < 0.3:
                # ONNX Runtime takes the largest finite number for a bound that is not there.
                del given["high"]
                a = np.where(np.isinf(a), np.asarray(2, a.dtype), a) if of_floats else a
            node = helper.make_node(op, ["a", *given], ["y"])
            if rng.random() < 0.5:
                yield Trial(node, {"a": a}, {}, given)
            else:
                yield Trial(node, {"a": a, **given})
            continue
        swapped = rng.random() < 0.3 and op not in ("PRelu", "Pow")
        node = helper.make_node(op, ["b", "a"] if swapped else ["a", "b"], ["y"], **attributes)
        if rng.random() < 0.5:
            yield Trial(node, {"a": a}, {}, {"b": b})
        else:
            yield Trial(node, {"a": a, "b": b})


def windowed(count: int, rng: np.random.Generator) -> Iterator[Trial]:
    """Poolings and reductions of tensors that hold NaN and infinities."""
    for _ in range(count):
        x = special(rng, 2, 3, 7, 6, share=0.1)
        op = str(rng.choice(["MaxPool", "MaxPool", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceMean",
                             "ReduceProd", "AveragePool", "ReduceLogSumExp", "ReduceL2", "CumSum"]))  # fmt: skip
        shapes = {"x": ("N", 3, "H", "W")} if rng.random() < 0.4 else {}
        if op.endswith("Pool"):
            if op == "MaxPool":
                # What a window with NaN gives, ONNX Runtime leaves to the order of comparisons.
                x = np.where(np.isnan(x), np.float32(-np.inf), x)
            attributes: dict[str, Any] = {"kernel_shape": [2, 3]}
            if rng.random() < 0.5:
                attributes["pads"] = [1, 1, 1, 1]
            if rng.random() < 0.5:
                attributes["strides"] = [2, 2]
            if rng.random() < 0.4:
                attributes["ceil_mode"] = 1
            yield Trial(helper.make_node(op, ["x"], ["y"], **attributes), {"x": x}, shapes)
        elif op == "CumSum":
            x = np.where(np.isfinite(x), x, np.float32(3))
            attributes = {"exclusive": int(rng.integers(2)), "reverse": int(rng.integers(2))}
            axis = np.asarray(rng.integers(-4, 4), np.int64)
            node = helper.make_node(op, ["x", "axis"], ["y"], **attributes)
            yield Trial(node, {"x": x}, shapes, {"axis": axis})
        else:
            if op in ("ReduceMax", "ReduceMin"):
                x = np.where(np.isnan(x), np.float32(7), x)
            if op == "ReduceLogSumExp":
                x = np.where(np.isfinite(x), x * 30, np.float32(90))
            axes = np.flatnonzero(rng.random(4) < 0.5)
            given = {"axes": axes.astype(np.int64)} if axes.size else {}
            node = helper.make_node(op, ["x", *given], ["y"], keepdims=int(rng.integers(2)))
            yield Trial(node, {"x": x}, shapes, given)


def rankings(count: int, rng: np.random.Generator) -> Iterator[Trial]:
    """Orders with many ties: the first of equals comes first."""
    for _ in range(count):
        op = str(rng.choice(["TopK", "TopK", "ArgMax", "ArgMin"]))
        dtype = rng.choice(["float32", "int64", "int32"])
        sizes = rng.integers(2, 7, int(rng.integers(1, 4)))
        x = rng.integers(-2, 3, sizes).astype(dtype)
        axis = int(rng.integers(-x.ndim, x.ndim))
        if op == "TopK":
            k = np.array([rng.integers(1, sizes[axis] + 1)], np.int64)
            node = helper.make_node(
                op, ["x", "k"], ["y", "i"], axis=axis, largest=int(rng.integers(2))
            )
            if rng.random() < 0.6:
                yield Trial(node, {"x": x}, {}, {"k": k})
            else:
                yield Trial(node, {"x": x, "k": k})
        else:
            attributes = {"axis": axis, "keepdims": int(rng.integers(2))}
            attributes["select_last_index"] = int(rng.integers(2))
            yield Trial(helper.make_node(op, ["x"], ["y"], **attributes), {"x": x})


def fractional_resizes(count: int, rng: np.random.Generator) -> Iterator[Trial]:
    """Resizing by any factor, in every mode that ONNX Runtime computes by the standard."""
    for _ in range(count):
        x = rng.standard_normal((1, 2, *rng.integers(1, 8, 2))).astype(np.float32)
        mode = str(rng.choice(["nearest", "linear", "cubic"]))
        modes = ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"]
        attributes: dict[str, Any] = {
            "mode": mode, "coordinate_transformation_mode": str(rng.choice(modes)),
        }  # fmt: skip
        if mode == "nearest":
            ways = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
            attributes["nearest_mode"] = str(rng.choice(ways))
        if mode == "cubic":
            attributes["cubic_coeff_a"] = float(rng.choice([-0.75, -0.5]))
            attributes["exclude_outside"] = int(rng.integers(2))
        elif mode == "linear" and rng.random() < 0.3:
            attributes["antialias"] = 1
        shapes = {"x": ("N", 2, "H", "W")} if rng.random() < 0.4 else {}
        if rng.random() < 0.6:
            factors = rng.choice([0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 0.4, 1.25, 3.0], 2)
            scales = np.array([1, 1, *factors], np.float32)
            sizes = np.floor(scales * x.shape)
            # Where nothing changes in size, ONNX Runtime copies; it takes the size that corners are
            # aligned to as whole, the standard's own cases do not.
            aligned = attributes["coordinate_transformation_mode"] == "align_corners"
            fractional = (sizes != scales * x.shape).any()
            if (sizes < 1).any() or (sizes == x.shape).all() or (aligned and fractional):
                continue
            node = helper.make_node("Resize", ["x", "", "scales"], ["y"], **attributes)
            yield Trial(node, {"x": x}, shapes, {"scales": scales})
        else:
            sizes = np.array([1, 2, *rng.integers(1, 12, 2)])
            node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **attributes)
            if rng.random() < 0.3:
                yield Trial(node, {"x": x, "sizes": sizes}, shapes)
            else:
                yield Trial(node, {"x": x}, shapes, {"sizes": sizes})


def casts(count: int, rng: np.random.Generator) -> Iterator[Trial]:
    """Casts between types, of numbers that both can hold."""
    types = ["float32", "float64", "float16", "int64", "int32", "int8", "uint8", "bool"]
    for _ in range(count):
        x = rng.choice(np.array([0, 0.4, 1, 2.5, 3.7, 100, 0.5, 1.5]), (3, 4))
        source, target = (np.dtype(str(name)) for name in rng.choice(types, 2))
        to = helper.np_dtype_to_tensor_dtype(target)
        negative = all(each.kind in "if" for each in (source, target))
        x = (-x if negative and rng.random() < 0.5 else x).astype(source)
        yield Trial(helper.make_node("Cast", ["x"], ["y"], to=to), {"x": x})


def quantized(count: int, rng: np.random.Generator) -> Iterator[Trial]:
    """Quantisation at ties and beyond both ends."""
    for _ in range(count):
        dtype = rng.choice(["uint8", "int8"])
        zero = np.asarray(rng.integers(0, 100), dtype)
        scale = np.asarray(rng.choice([0.5, 0.1, 2.0]), np.float32)
        if rng.random() < 0.5:
            x = (rng.integers(-600, 600, (3, 5)) * 0.25 * scale).astype(np.float32)
            node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])
        else:
            x = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, (3, 5)).astype(dtype)
            node = helper.make_node("DequantizeLinear", ["x", "s", "z"], ["y"])
        yield Trial(node, {"x": x}, {}, {"s": scale, "z": zero})


def by_numpy(count: int, rng: np.random.Generator) -> Iterator[Trial]:
    """NaN in extremes, and means of nothing: where ONNX Runtime departs from the standard's reference."""
    for keep in (0, 1):
        for axes in ((0,), (1,), (0, 1)):
            given = {"a": np.array(axes, np.int64)}
            node = helper.make_node("ReduceMean", ["x", "a"], ["y"], keepdims=keep)
            x = np.zeros((0, 3), np.float32)
            with np.errstate(invalid="ignore"), warnings.catch_warnings(action="ignore"):
                y = x.mean(axes, keepdims=bool(keep))
            yield Trial(node, {"x": x}, {"x": ("N", 3)}, given, expected=np.asarray(y))
            x = special(rng, 5, 6, share=0.2)
            for op, reduce in (("ReduceMax", np.max), ("ReduceMin", np.min)):
                node = helper.make_node(op, ["x", "a"], ["y"], keepdims=keep)
                y = reduce(x, axes, keepdims=bool(keep))
                yield Trial(node, {"x": x}, {"x": ("N", 6)}, given, expected=np.asarray(y))


TRIALS = (
    by_numpy, casts, elementwise, fractional_resizes, pairs, quantized, rankings, windowed,
)  # fmt: skip


@pytest.mark.timeout(300)
@pytest.mark.parametrize("framework", NATIVE)
def test_special_numbers_are_those_of_onnx_runtime(framework: str, tmp_path: Path) -> None:
    found = {
        f"{trials.__name__}{k}": trial
        for trials in TRIALS
        for k, trial in enumerate(trials(60, np.random.default_rng(0)))
    }
    wrong = wrong_numbers(framework, found, tmp_path)
    assert not wrong, "\n".join(wrong)
