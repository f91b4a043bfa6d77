"""What cannot be emitted, as people meet it: every operator at once, before any work, and nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters.emitters import NATIVE


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Unknown operators of three domains, known ones with attributes that are refused, and good ones."""
    node = helper.make_node
    nodes = [
        node("Relu", ["x"], ["a"], name="good"),
        node("Frobnicate", ["a"], ["b"], name="first_frob", domain="org.example"),
        node("Relu", ["b"], ["c"], name="behind"),
        node("Frobnicate", ["c"], ["d"], name="second_frob", domain="org.example"),
        node("Svm", ["a"], ["e"], name="svm", domain="ai.onnx.ml"),
        node("Hexagon", ["a"], ["f"], name="hexagon"),
        node("Pad", ["a", "pads"], ["g"], name="pad", mode="mirror"),
        node(
            "FusedConv", ["x", "w"], ["h"], name="conv", domain="com.microsoft", activation="Swish"
        ),
        node("GroupQueryAttention", ["a", "a", "a"], ["i"], name="gqa", domain="com.microsoft"),
    ]
    weights = {"pads": np.zeros(8, np.int64), "w": np.zeros((3, 3, 1, 1), np.float32)}
    graph = helper.make_graph(
        nodes,
        "mixed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [onnx.ValueInfoProto(name=name) for name in "defghi"],
        [numpy_helper.from_array(data, name) for name, data in weights.items()],
    )
    opsets = [("", 17), ("org.example", 1), ("ai.onnx.ml", 3), ("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*o) for o in opsets])
    path = tmp_path / "mixed.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("framework", NATIVE)
def test_every_unsupported_operator_is_listed_once(
    mixed: Path, framework: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = subprocess.run(
        [sys.executable, "-m", "zoo", "convert", str(mixed), "--to", framework, "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "4000"},
    )
    assert result.returncode == 3, result.stderr
    said = " ".join(result.stderr.split())
    assert "Traceback" not in said
    for wanted in (
        "6 unsupported operator(s)",
        "org.example::Frobnicate (x2, first at first_frob)",
        "ai.onnx.ml::Svm (x1, first at svm)",
        "Hexagon (x1, first at hexagon)",
        "Pad (x1, first at pad): attribute mode='mirror'",
        "com.microsoft::FusedConv (x1, first at conv): attribute activation='Swish'",
        "com.microsoft::GroupQueryAttention (x1, first at gqa): it needs a cache",
    ):
        assert wanted in said
    assert "Relu" not in said, "what stands behind an unknown operator is not refused itself"
    assert not out.exists()


def _convert(path: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = ["zoo", "convert", str(path), "--to", "pytorch", "--out", str(out)]
    return subprocess.run(
        [sys.executable, "-m", *command, *more],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "4000"},
    )


ODD = {
    "word": (3, "Conv (x1, first at odd): attribute auto_pad='MIRRORED'"),
    "types": (5, "malformed graph: Type Error"),
    "shapes": (5, "malformed graph: "),
    "opset": (3, "opset 99 is newer than ONNX Runtime knows"),
    "kernel": (3, "ONNX Runtime has no kernel for Relu in the types that it has here"),
    "huge": (2, "is too large to be made up"),
    "never": (1, "ONNX Runtime itself fails on this model"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_models_end_with_one_clear_line(name: str, tmp_path: Path) -> None:
    status, says = ODD[name]
    node, opset, shape = helper.make_node("Relu", ["x"], ["y"], name="odd"), 17, [1, 1, 4, 4]
    weight, kind = np.ones((1, 1, 3, 3), np.float32), TensorProto.FLOAT
    if name == "word":
        node = helper.make_node("Conv", ["x", "w"], ["y"], name="odd", auto_pad="MIRRORED")
    elif name == "types":
        node, weight = helper.make_node("MatMul", ["x", "w"], ["y"]), np.ones((4, 4), np.int64)
    elif name == "shapes":
        node = helper.make_node("MatMul", ["x", "w"], ["y"])
    elif name == "opset":
        opset = 99
    elif name == "kernel":
        kind = TensorProto.BFLOAT16
    elif name == "huge":
        shape = [1 << 40, 1 << 20]
    else:
        node, weight = helper.make_node("Reshape", ["x", "w"], ["y"]), np.array([5])
    graph = helper.make_graph(
        [node],
        "odd",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    path = tmp_path / "odd.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]), path)
    result = _convert(path, tmp_path / "out")
    said = " ".join(result.stderr.split())
    assert result.returncode == status, said
    assert says in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_what_is_for_checkpoints_alone_is_not_dropped_in_silence(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    path = tmp_path / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    result = _convert(path, tmp_path / "out", "--dtype", "float16")
    assert result.returncode == 2
    assert "--dtype is for checkpoints alone" in " ".join(result.stderr.split())
    assert not (tmp_path / "out").exists()
