"""Numbers where frameworks and the standard part: against ONNX Runtime, in every framework.

Models of one operator, many in a process. Refusing is right, another number is not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parent))

import onnx_suite

from converters.emitters import NATIVE


@dataclass(frozen=True)
class Trial:
    """A node and what it is run with.

    Attributes:
        shapes: How inputs are declared, where that is not the shape that they have.
        weights: Inputs that the model has as constants.
        expected: What it gives, where ONNX Runtime should not be asked.
    """

    node: onnx.NodeProto
    inputs: Mapping[str, np.ndarray]
    shapes: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    opset: int = 21
    expected: np.ndarray | None = None

    @property
    def is_empty(self) -> bool:
        return any(x.size == 0 for x in self.inputs.values())

    def __str__(self) -> str:
        attributes = {a.name: helper.get_attribute_value(a) for a in self.node.attribute}
        inputs = {n: (str(x.dtype), x.shape) for n, x in self.inputs.items()}
        weights = {n: x.tolist() if x.size < 9 else x.shape for n, x in self.weights.items()}
        return f"{self.node.op_type} {attributes} {inputs} {self.shapes} {weights}"


def write_case(folder: Path, trial: Trial) -> onnx_suite.Case | None:
    """A trial as a case of the suite, with what ONNX Runtime gives; None where that refuses it."""

    def info(name: str, data: np.ndarray) -> onnx.ValueInfoProto:
        shape = trial.shapes.get(name, data.shape)
        return helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(data.dtype), shape
        )

    graph = helper.make_graph(
        [trial.node],
        "test",
        [info(name, data) for name, data in trial.inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in trial.node.output if name],
        [numpy_helper.from_array(data, name) for name, data in trial.weights.items()],
    )
    domains = {"": trial.opset, "com.microsoft": 1, "ai.onnx.ml": 3}
    opsets = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        outputs = session.run(None, dict(trial.inputs))
        outputs = outputs if trial.expected is None else [trial.expected]
    except Exception:
        return None
    for value, data in zip(model.graph.output, outputs, strict=True):
        value.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(data.dtype)
    data_set = folder / "test_data_set_0"
    data_set.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    for prefix, arrays in (("input", trial.inputs.values()), ("output", outputs)):
        for k, array in enumerate(arrays):
            data = numpy_helper.from_array(array).SerializeToString()
            (data_set / f"{prefix}_{k}.pb").write_bytes(data)
    # A unit in the last place of half precision is a thousandth.
    rtol = 2e-3 if any(array.dtype == np.float16 for array in outputs) else 1e-4
    return onnx_suite.Case(folder.name, "numbers", folder, rtol, 1e-5)


def pools(count: int, rng: np.random.Generator) -> Iterator[Trial]:
    """Poolings of one to three axes with any attributes; windows are not larger than the input."""
    for _ in range(count):
        op, n = rng.choice(["AveragePool", "MaxPool", "LpPool"]), int(rng.integers(1, 4))
        kernel, dilations = rng.integers(1, 5, n), np.ones(n, np.int64)
        attributes: dict[str, Any] = {"kernel_shape": kernel.tolist()}
        if rng.random() < 0.7:
            attributes["strides"] = rng.integers(1, 5, n).tolist()
        if rng.random() < 0.3:
            dilations = rng.integers(1, 4, n)
            attributes["dilations"] = dilations.tolist()
        if rng.random() < 0.3:
            attributes["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        elif rng.random() < 0.7:
            begin = rng.integers(0, kernel).tolist()
            end = begin if rng.random() < 0.6 else rng.integers(0, kernel).tolist()
            attributes["pads"] = begin + end
        if rng.random() < 0.6:
            attributes["ceil_mode"] = 1
        if op == "AveragePool" and rng.random() < 0.5:
            attributes["count_include_pad"] = 1
        if op == "LpPool":
            attributes["p"] = int(rng.integers(1, 4))
        outputs = ["y"]
        if op == "MaxPool" and rng.random() < 0.3:
            outputs.append("indices")
            attributes["storage_order"] = int(rng.integers(0, 2))
        sizes = (kernel - 1) * dilations + 1 + rng.integers(0, 7, n)
        x = rng.standard_normal([2, 2, *sizes]).astype(np.float32)
        if op == "MaxPool" and rng.random() < 0.2:
            x = (x * 100).astype(rng.choice([np.int8, np.uint8]))
        shapes = {"x": ("N", 2, *"HWD"[:n])} if rng.random() < 0.4 else {}
        yield Trial(helper.make_node(op, ["x"], outputs, **attributes), {"x": x}, shapes)


def convolutions(count: int, rng: np.random.Generator) -> Iterator[Trial]:
    """Convolutions and transposed ones, of one to three axes with any attributes."""
    for _ in range(count):
        op, n = str(rng.choice(["Conv", "ConvTranspose"])), int(rng.integers(1, 4))
        transposed = op == "ConvTranspose"
        kernel, strides = rng.integers(1, 4, n), rng.integers(1, 4, n)
        dilations = rng.integers(1, 3, n) if rng.random() < 0.4 else np.ones(n, np.int64)
        group = int(rng.integers(1, 3))
        into, out = group * int(rng.integers(1, 3)), group * int(rng.integers(1, 3))
        attributes: dict[str, Any] = {
            "kernel_shape": kernel.tolist(), "group": group, "strides": strides.tolist(),
            "dilations": dilations.tolist(),
        }  # fmt: skip
        sizes = (kernel - 1) * dilations + 1 + rng.integers(0, 5, n)
        if transposed:
            sizes = rng.integers(2, 5, n)
            if rng.random() < 0.3:
                attributes["output_padding"] = rng.integers(0, strides).tolist()
        kind = rng.random()
        if kind < 0.3:
            attributes["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        elif kind < 0.7:
            begin = rng.integers(0, 3, n).tolist()
            end = begin if rng.random() < 0.5 else rng.integers(0, 3, n).tolist()
            attributes["pads"] = begin + end
        elif transposed and kind < 0.85:
            attributes["output_shape"] = (sizes * strides + rng.integers(-1, 2, n)).tolist()
        shape = (into, out // group, *kernel) if transposed else (out, into // group, *kernel)
        given = {
            "x": rng.standard_normal((2, into, *sizes)).astype(np.float32),
            "w": rng.standard_normal(shape).astype(np.float32),
        }
        if rng.random() < 0.5:
            given["b"] = rng.standard_normal(out).astype(np.float32)
        node = helper.make_node(op, list(given), ["y"], **attributes)
        inputs = {"x": given.pop("x")}
        if rng.random() < 0.25:
            inputs["w"] = given.pop("w")
        shapes = {"x": ("N", into, *"HWD"[:n])} if rng.random() < 0.4 else {}
        yield Trial(node, inputs, shapes, given)


REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSum", "ReduceSumSquare",
)  # fmt: skip


def reductions(count: int, rng: np.random.Generator) -> Iterator[Trial]:
    """Reductions of any rank and element type; axes absent, constant, none, or computed."""
    for _ in range(count):
        op, rank = rng.choice(REDUCTIONS), int(rng.choice([0, 1, 2, 3], p=[0.1, 0.2, 0.4, 0.3]))
        sizes = rng.integers(1, 5, rank)
        # The standard leaves the mean of nothing open.
        if rank and op != "ReduceMean" and rng.random() < 0.3:
            sizes[rng.integers(0, rank)] = 0
        dtype = rng.choice(["float32", "float64", "int32", "int64", "int8", "uint8", "bool"],
                           p=[0.4, 0.1, 0.2, 0.2, 0.04, 0.03, 0.03])  # fmt: skip
        x = rng.integers(1, 9, sizes) if rng.random() < 0.5 else rng.integers(-5, 5, sizes)
        x = np.asarray(x, dtype)
        attributes = {}
        if rng.random() < 0.5:
            attributes["keepdims"] = int(rng.integers(0, 2))
        if rng.random() < 0.4:
            attributes["noop_with_empty_axes"] = int(rng.integers(0, 2))
        chosen = np.flatnonzero(rng.random(rank) < 0.5)
        chosen = chosen - rank if rng.random() < 0.3 else chosen
        axes = {"axes": np.asarray(chosen, np.int64)} if rng.random() < 0.75 else {}
        computed = bool(axes) and rng.random() < 0.3
        node = helper.make_node(op, ["x", *axes], ["y"], **attributes)
        shapes: dict[str, tuple[int | str, ...]] = {}
        if rng.random() < 0.6:
            names = "ABC"[:rank]
            named = zip(names, x.shape, strict=True)
            shapes["x"] = tuple(s if rng.random() < 0.3 else n for n, s in named)
        if computed and rng.random() < 0.5:
            shapes["axes"] = ("K",)
        if computed:
            yield Trial(node, {"x": x, **axes}, shapes)
        else:
            yield Trial(node, {"x": x}, shapes, axes)


def resizes(count: int, rng: np.random.Generator) -> Iterator[Trial]:
    """Resizing to sizes or by whole factors, where ONNX Runtime follows the standard."""
    for _ in range(count):
        rank = int(rng.choice([3, 4, 5], p=[0.15, 0.7, 0.15]))
        sizes = rng.integers(1, 7, rank)
        modes = ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"]
        attributes = {
            "mode": str(rng.choice(["nearest", "linear"])),
            "coordinate_transformation_mode": str(rng.choice(modes)),
            "nearest_mode": str(rng.choice(["round_prefer_floor", "floor", "ceil"])),
        }
        x = rng.standard_normal(sizes).astype(np.float32)
        named = zip("NCDHW", x.shape, strict=False)
        shapes = {"x": tuple(n if rng.random() < 0.3 else s for n, s in named)}
        if rng.random() < 0.4:
            scales = np.array([1, 1, *rng.integers(1, 6, rank - 2)], np.float32)
            node = helper.make_node("Resize", ["x", "", "scales"], ["y"], **attributes)
            yield Trial(node, {"x": x}, shapes, {"scales": scales})
        else:
            wanted = np.array([*x.shape[:2], *rng.integers(1, 12, rank - 2)])
            node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **attributes)
            yield Trial(node, {"x": x}, shapes, {"sizes": wanted})
    # Integers are mixed as numbers with a fraction, which they lose.
    for dtype in (np.uint8, np.int8):
        x = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (1, 2, 5, 6)).astype(dtype)
        node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear")
        yield Trial(node, {"x": x}, {}, {"scales": np.array([1, 1, 2, 2], np.float32)})


def uniques(count: int, rng: np.random.Generator) -> Iterator[Trial]:
    """Unique along any axis, with as many of its outputs as a model may want."""
    for _ in range(count):
        rank = int(rng.integers(1, 5))
        dtype = rng.choice(["float32", "int64", "int32", "float64", "int8", "uint8"])
        x = rng.integers(0, 2, rng.integers(1, 4, rank)).astype(dtype)
        attributes = {"sorted": int(rng.integers(0, 2))}
        if rng.random() < 0.75:
            attributes["axis"] = int(rng.integers(-rank, rank))
        outputs = ["y", "first", "inverse", "counts"][: rng.integers(1, 5)]
        yield Trial(helper.make_node("Unique", ["x"], outputs, **attributes), {"x": x})


def others(count: int, rng: np.random.Generator) -> Iterator[Trial]:
    """Slices that reach beyond both ends, normalised first axes, integers that shrink or have a bound."""
    for _ in range(count):
        rank = int(rng.integers(1, 5))
        sizes = rng.integers(1, 5, rank)
        x = rng.standard_normal(sizes).astype(np.float32)
        kinds = ["Slice", "LayerNormalization", "Shrink", "Max", "Min"]
        kind = rng.choice(kinds, p=[0.5, 0.2, 0.1, 0.1, 0.1])
        if kind == "Slice":
            given = {
                "starts": rng.integers(-6, 6, rank), "ends": rng.integers(-6, 8, rank),
                "axes": rng.permutation(rank), "steps": rng.choice([1, 2, 3, -1, -2], rank),
            }  # fmt: skip
            node = helper.make_node(kind, ["x", *given], ["y"])
            if rng.random() < 0.3:
                yield Trial(node, {"x": x, **given})
            else:
                yield Trial(node, {"x": x}, {}, given)
        elif kind == "LayerNormalization":
            axis = int(rng.integers(-rank, rank))
            scale = rng.standard_normal(sizes[axis:]).astype(np.float32)
            given = {"scale": scale, "bias": scale + 1} if rng.random() < 0.5 else {"scale": scale}
            node = helper.make_node(kind, ["x", *given], ["y"], axis=axis)
            yield Trial(node, {"x": x}, {}, given)
        elif kind in ("Max", "Min"):
            whole = (x * 9).astype(rng.choice(["int32", "int64", "int8"]))
            bound = np.array(3, whole.dtype).reshape((1,) * rng.integers(0, 2))
            yield Trial(helper.make_node(kind, ["x", "c"], ["y"]), {"x": whole}, {}, {"c": bound})
        else:
            whole = (x * 9).astype(rng.choice(["int32", "int64", "int8"]))
            yield Trial(helper.make_node(kind, ["x"], ["y"], bias=1.5, lambd=2.5), {"x": whole})


def regions(count: int, rng: np.random.Generator) -> Iterator[Trial]:
    """Regions of images, some of them outside or turned round, pooled to one size."""
    for _ in range(count):
        x = rng.standard_normal((2, 3, *rng.integers(4, 12, 2))).astype(np.float32)
        owners = rng.integers(0, 2, (4, 1))
        rois = np.concatenate([owners, rng.uniform(-4, 26, (4, 4))], 1).astype(np.float32)
        shape, scale = rng.integers(1, 5, 2).tolist(), float(rng.choice([0.25, 0.5, 1.0]))
        node = helper.make_node(
            "MaxRoiPool", ["x", "rois"], ["y"], pooled_shape=shape, spatial_scale=scale
        )
        yield Trial(node, {"x": x, "rois": rois})


def scatters(count: int, rng: np.random.Generator) -> Iterator[Trial]:
    """Slices put where coordinates say, none of them too."""
    for _ in range(count):
        rank = int(rng.integers(1, 4))
        x = rng.standard_normal(rng.integers(1, 5, rank)).astype(np.float32)
        depth, rows = int(rng.integers(1, rank + 1)), int(rng.integers(0, 3))
        # Each place once: which of several counts is open.
        places = rng.permutation(np.prod(x.shape[:depth]))[:rows]
        index = np.stack(np.unravel_index(places, x.shape[:depth]), -1).astype(np.int64)
        updates = rng.standard_normal((len(index), *x.shape[depth:])).astype(np.float32)
        node = helper.make_node(
            "ScatterND", ["x", "i", "u"], ["y"], reduction=rng.choice(["none", "add"])
        )
        shapes = {"i": ("K", depth), "u": ("K", *x.shape[depth:])}
        yield Trial(node, {"x": x, "i": index, "u": updates}, shapes)


TRIALS = (convolutions, others, pools, reductions, regions, resizes, scatters, uniques)


def wrong_numbers(framework: str, found: Mapping[str, Trial], folder: Path) -> list[str]:
    """What emitted source computes otherwise than ONNX Runtime, a line each."""
    cases = [write_case(folder / name, trial) for name, trial in found.items()]
    known = tuple(case for case in cases if case is not None)
    assert len(known) > len(found) / 2
    outcomes = onnx_suite.run(framework, known, folder / "emitted")
    return [
        f"{name}: {found[name]}: {outcome.status} {outcome.reason}"
        for name, outcome in outcomes.items()
        if outcome.status not in ("passed", "refused")
        # A framework may say that there is nothing to reduce.
        and not (outcome.status == "failed" and found[name].is_empty)
    ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("framework", NATIVE)
def test_numbers_are_those_of_onnx_runtime(framework: str, tmp_path: Path) -> None:
    found = {
        f"{trials.__name__}{k}": trial
        for trials in TRIALS
        for k, trial in enumerate(trials(60, np.random.default_rng(0)))
    }
    wrong = wrong_numbers(framework, found, tmp_path)
    assert not wrong, "\n".join(wrong)
