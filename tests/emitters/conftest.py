"""Small ONNX models, made on the spot, and real ones from their pinned sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from zoo.manifest import load_manifest
from zoo.settings import Settings
from zoo.sources import fetch

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests" / "paddleocr"


@pytest.fixture(scope="session")
def real_model() -> Callable[[str], Path]:
    """The upload of a manifest, fetched from its source into the cache."""

    def find(name: str) -> Path:
        file = load_manifest(MANIFESTS / f"{name}.yaml").artifacts[0].files[0]
        assert file.source is not None
        return fetch(file.source, file.sha256, Settings.from_environment().cache)

    return find


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Write a model of nodes, weights, inputs and outputs (name -> shape; floats, where no type is said)."""

    def make(
        nodes: Sequence[onnx.NodeProto],
        inputs: dict[str, Sequence[int | str]],
        outputs: dict[str, Sequence[int | str] | None],
        weights: dict[str, np.ndarray] | None = None,
        opset: int = 17,
        types: dict[str, int] | None = None,
    ) -> Path:
        given = types or {}
        graph = helper.make_graph(
            list(nodes),
            "test",
            [
                helper.make_tensor_value_info(n, given.get(n, TensorProto.FLOAT), s)
                for n, s in inputs.items()
            ],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
            [numpy_helper.from_array(w, n) for n, w in (weights or {}).items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        path = tmp_path / "model.onnx"
        onnx.save(model, path)
        return path

    return make


@pytest.fixture
def block_net(make_model: Callable[..., Path]) -> Path:
    """A small network with names as PyTorch's exporter leaves them: two residual blocks and a head."""
    rng = np.random.default_rng(0)
    nodes, weights, x = [], {}, "x"
    for k in range(2):
        for part in ("fc1", "fc2"):
            scale = (8, 16) if part == "fc1" else (16, 8)
            weights[f"onnx::MatMul_{k}{part}"] = (0.1 * rng.standard_normal(scale)).astype(
                np.float32
            )
            weights[f"blocks.{k}.{part}.bias"] = (0.1 * rng.standard_normal(scale[1])).astype(
                np.float32
            )
        scope = f"/blocks.{k}"
        node = helper.make_node
        nodes += [
            node("MatMul", [x, f"onnx::MatMul_{k}fc1"], [f"m{k}"], f"{scope}/fc1/MatMul"),
            node("Add", [f"blocks.{k}.fc1.bias", f"m{k}"], [f"a{k}"], f"{scope}/fc1/Add"),
            node("Relu", [f"a{k}"], [f"r{k}"], f"{scope}/act/Relu"),
            node("MatMul", [f"r{k}", f"onnx::MatMul_{k}fc2"], [f"n{k}"], f"{scope}/fc2/MatMul"),
            node("Add", [f"blocks.{k}.fc2.bias", f"n{k}"], [f"b{k}"], f"{scope}/fc2/Add"),
            node("Add", [x, f"b{k}"], [f"x{k}"], f"{scope}/Add"),
        ]
        x = f"x{k}"
    weights["head.weight"] = (0.1 * rng.standard_normal((8, 3))).astype(np.float32)
    nodes.append(helper.make_node("MatMul", [x, "head.weight"], ["y"], "/head/MatMul"))
    return make_model(nodes, {"x": ["batch", "steps", 8]}, {"y": ["batch", "steps", 3]}, weights)
