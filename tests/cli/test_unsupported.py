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
