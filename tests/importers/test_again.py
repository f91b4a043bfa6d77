"""Artifact directories in PyTorch, converted once more: numbers, names of parameters, sizes that vary, and decisions."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from converters.convert import convert

pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "onnxscript")),
    reason="torch and onnxscript are needed",
)

# A number decides which layer is used, and whether an axis is taken away.
DECIDES = """
    <ir_version: 8, opset_import: ["" : 18]>
    decides (float[N, 1, 6] x, int64 rate) => (float[N, L] y)
        <float[4, 6] wide_weight, float[4] wide_bias, float[3, 6] narrow_weight, float[3] narrow_bias>
    {
        one = Constant <value_ints = [1]> ()
        high = Constant <value_int = 16000> ()
        flat = Squeeze (x, one)
        is_high = Equal (rate, high)
        y = If (is_high) <
            then_branch = then () => (yes) { yes = Gemm <transB = 1> (flat, wide_weight, wide_bias) },
            else_branch = otherwise () => (no) {
                part = Gemm <transB = 1> (flat, narrow_weight, narrow_bias)
                no = Tanh (part)
            }>
    }
"""
# Steps along a size that varies, forwards and backwards.
STEPS = """
    <ir_version: 8, opset_import: ["" : 18]>
    steps (float[N, T, 6] x, float[N, 6] start) => (float[N, T, 6] y, float[N, T, 6] z)
        <float[6, 6] forward_weight, float[6, 6] backward_weight>
    {
        xs = Transpose <perm = [1, 0, 2]> (x)
        last, ys = Scan <num_scan_inputs = 1, body = onwards (float[N, 6] h, float[N, 6] step)
            => (float[N, 6] h_out, float[N, 6] said)
        {
            kept = MatMul (h, forward_weight)
            added = Add (kept, step)
            h_out = Tanh (added)
            said = Identity (h_out)
        }> (start, xs)
        first, zs = Scan <num_scan_inputs = 1, scan_input_directions = [1], scan_output_directions = [1],
            body = back (float[N, 6] g, float[N, 6] seen) => (float[N, 6] g_out, float[N, 6] told)
        {
            held = MatMul (g, backward_weight)
            joined = Add (held, seen)
            g_out = Sigmoid (joined)
            told = Identity (g_out)
        }> (last, xs)
        y = Transpose <perm = [1, 0, 2]> (ys)
        z = Transpose <perm = [1, 0, 2]> (zs)
    }
"""

# Products of bytes, which PyTorch computes in float64 and ONNX Runtime does not.
CODES = """
    <ir_version: 8, opset_import: ["" : 18]>
    codes (float[N, 2, 9, W] x) => (float[N, 5] y)
        <uint8[4, 2, 3, 3] filters, uint8 filters_zero, uint8[4, 5] matrix, uint8 matrix_zero>
    {
        xs, x_scale, x_zero = DynamicQuantizeLinear (x)
        c = ConvInteger <pads = [1, 1, 1, 1]> (xs, filters, x_zero, filters_zero)
        sums = Cast <to = 1> (c)
        image = Mul (sums, x_scale)
        mean = GlobalAveragePool (image)
        h = Flatten (mean)
        hs, h_scale, h_zero = DynamicQuantizeLinear (h)
        m = MatMulInteger (hs, matrix, h_zero, matrix_zero)
        product = Cast <to = 1> (m)
        y = Mul (product, h_scale)
    }
"""
# Boxes that are kept, the best ones of all classes, and where they are; how many there are, nobody knows before. Many
# scores are equal, and many boxes have no area.
KEEPS = """
    <ir_version: 8, opset_import: ["" : 18]>
    keeps (float[N, 4, 40] x) => (float[K] y, float[K, 4] z)
        <float[3, 4] weight>
    {
        whole = Round (x)
        places = Abs (whole)
        boxes = Transpose <perm = [0, 2, 1]> (places)
        products = MatMul (weight, x)
        scores = Round (products)
        most = Constant <value_int = 5> ()
        overlap = Constant <value_float = 0.25> ()
        kept = NonMaxSuppression <center_point_box = 1> (boxes, scores, most, overlap, overlap)
        found = GatherND (scores, kept)
        zero, two, three = Split <axis = 1, num_outputs = 3> (kept)
        pairs = Concat <axis = 1> (zero, three)
        size = Shape (found)
        y, order = TopK (found, size)
        all = GatherND (boxes, pairs)
        z = Gather (all, order)
    }
"""
# The same before a number decides.
KEEPS_AND_DECIDES = """
    <ir_version: 8, opset_import: ["" : 18]>
    decides (float[N, 4, 40] x, int64 rate) => (float[N, 4, K] y)
        <float[3, 4] weight>
    {
        scores = MatMul (weight, x)
        places = Abs (x)
        boxes = Transpose <perm = [0, 2, 1]> (places)
        most = Constant <value_int = 5> ()
        overlap = Constant <value_float = 0.25> ()
        kept = NonMaxSuppression <center_point_box = 1> (boxes, scores, most, overlap)
        two = Constant <value_int = 2> ()
        columns = Gather <axis = 1> (kept, two)
        found = Gather <axis = 2> (x, columns)
        high = Constant <value_int = 16000> ()
        is_high = Equal (rate, high)
        y = If (is_high) <
            then_branch = then () => (yes) { yes = Neg (found) },
            else_branch = otherwise () => (no) { no = Tanh (found) }>
    }
"""


def again(text: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A graph in PyTorch, and that in PyTorch once more: what their manifests say."""
    onnx.save(filled(text), folder / "net.onnx")
    convert(folder / "net.onnx", ["pytorch"], folder / "first")
    convert(folder / "first/pytorch", ["pytorch", "onnx"], folder / "again")
    first, second = (
        json.loads((folder / name / "pytorch/manifest.json").read_text())
        for name in ("first", "again")
    )
    assert second["parameters"].keys() == first["parameters"].keys()
    assert second["signature"]["inputs"] == first["signature"]["inputs"]
    assert second["verification"]["passed"]
    return first, second


def filled(text: str) -> onnx.ModelProto:
    """A graph with weights for what it declares."""
    model = parser.parse_model(text)
    random = np.random.default_rng(0)
    for value in model.graph.value_info:
        kind = value.type.tensor_type
        shape = [d.dim_value for d in kind.shape.dim]
        made = random.standard_normal(shape) * 0.3
        if kind.elem_type != onnx.TensorProto.FLOAT:
            made = random.integers(0, 255, shape)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        model.graph.initializer.append(numpy_helper.from_array(made.astype(dtype), value.name))
    del model.graph.value_info[:]
    return model


def routes(manifest: dict[str, Any]) -> list[str]:
    return [attempt["route"] for attempt in manifest["source"]["routes"]]


def test_what_a_number_decides_stays_a_decision(tmp_path: Path) -> None:
    _, second = again(DECIDES, tmp_path)
    assert routes(second)[-1] == "scripted"
    assert "if bool(rate == 16000):" in (tmp_path / "again/pytorch/model.py").read_text()
    compared = json.loads((tmp_path / "again/onnx/manifest.json").read_text())["compared"]
    assert compared == {"rate": [16000, None]}
    # Both branches were compared.
    ranges = [case["ranges"]["rate"] for case in second["verification"]["cases"]]
    assert [16000, 16000] in ranges
    assert len(ranges) == 2


def test_loops_along_sizes_that_vary_stay_loops(tmp_path: Path) -> None:
    _, second = again(STEPS, tmp_path)
    assert routes(second)[-1] == "scripted"
    assert (tmp_path / "again/pytorch/model.py").read_text().count("        for ") == 2


@pytest.mark.parametrize(("text", "route"), [(KEEPS, "dynamo"), (KEEPS_AND_DECIDES, "scripted")])
def test_boxes_that_are_kept_stay_one_operator(tmp_path: Path, text: str, route: str) -> None:
    _, second = again(text, tmp_path)
    assert routes(second)[-1] == route
    one_suppression(tmp_path / "again/onnx")


@pytest.mark.parametrize("framework", ["paddle", "mindspore"])
def test_boxes_that_are_kept_stay_one_operator_elsewhere(tmp_path: Path, framework: str) -> None:
    if not importlib.util.find_spec(framework):
        pytest.skip(f"{framework} is needed")
    onnx.save(filled(KEEPS), tmp_path / "net.onnx")
    convert(tmp_path / "net.onnx", [framework], tmp_path / "first")
    convert(tmp_path / "first" / framework, ["onnx"], tmp_path / "again")
    one_suppression(tmp_path / "again/onnx")


def test_models_with_an_operator_of_their_own_stand_beside_each_other(tmp_path: Path) -> None:
    model = filled(KEEPS)
    for name in ("one", "two"):
        onnx.save(model, tmp_path / f"{name}.onnx")
        convert(tmp_path / f"{name}.onnx", ["pytorch"], tmp_path / name)
    x = np.random.default_rng(1).standard_normal((2, 4, 40)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    code = """
import numpy as np, pathlib, torch, zoo.artifact
x = torch.from_numpy(np.load("x.npy"))
models = [zoo.artifact.load(pathlib.Path(name, "pytorch"), "cpu") for name in ("one", "two")]
first, second, again = (models[k](x) for k in (0, 1, 0))
for a, b, c in zip(first, second, again, strict=True):
    assert len(a) > 3 and torch.equal(a, b) and torch.equal(a, c)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def one_suppression(folder: Path) -> None:
    """Nothing but the operator decides which boxes are kept, and some of each case are."""
    graph = onnx.load(folder / "model.onnx").graph
    found = [node.op_type for node in graph.node]
    assert (found.count("NonMaxSuppression"), found.count("Loop")) == (1, 0)
    verified = json.loads((folder / "manifest.json").read_text())["verification"]
    assert verified["passed"]
    assert all(max(case["outputs"][0]["shape"]) > 3 for case in verified["cases"])


def test_products_of_bytes_stay_exact(tmp_path: Path) -> None:
    again(CODES, tmp_path)
    nodes = onnx.load(tmp_path / "again/onnx/model.onnx").graph.node
    found = [node.op_type for node in nodes]
    assert {"ConvInteger", "MatMulInteger"} <= set(found)
    assert not {"Conv", "MatMul"} & set(found)
