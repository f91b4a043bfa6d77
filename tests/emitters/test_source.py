"""The emitted source: what a reader sees. Snapshots hold it, so that a change of style is seen too.

`python -m pytest tests/emitters/test_source.py --snapshot-update` is spelt as an environment variable:
UPDATE_SNAPSHOTS=1.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parent))

from control_flow_models import MODELS

from converters.emitters import NATIVE, emit
from converters.errors import UnsafeInput, UnsupportedOperators, UsageError
from zoo.settings import Settings
from zoo.sources import fetch

SNAPSHOTS = Path(__file__).with_name("snapshots")
SOURCE = {"format": "onnx", "sha256": "0" * 64}
SILERO = "pypi:silero-vad==6.2.3!silero_vad/data/silero_vad_16k_op15.onnx"
SILERO_DIGEST = "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49"


def check(name: str, text: str) -> None:
    path = SNAPSHOTS / name
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOTS.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("framework", NATIVE)
def test_named_modules_keep_their_names(framework: str, block_net: Path, tmp_path: Path) -> None:
    emit(block_net, framework, tmp_path / "out", source=SOURCE, name="Block net")
    check(f"block_net.{framework}.py.txt", (tmp_path / "out" / "model.py").read_text())
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert sorted(manifest["parameters"]) == sorted(
        [
            f"blocks.{k}.{fc}.{w}"
            for k in (0, 1)
            for fc in ("fc1", "fc2")
            for w in ("weight", "bias")
        ]
        + ["head.weight"]
    )


def _listed_net(path: Path) -> Path:
    """`model`, a list of two blocks of one layer and Tanh, then `dense`, a list of layers with Relu outside."""
    rng = np.random.default_rng(0)
    nodes, weights, x = [], [], "x"
    for name, activation in [(f"model.{k}.fc", f"/model.{k}/Tanh") for k in range(2)] + [
        (f"dense.{k}", f"/Relu_{k}") for k in range(3)
    ]:
        value = rng.standard_normal((4, 4)).astype(np.float32)
        weights.append(numpy_helper.from_array(value, f"{name}.weight"))
        scope = "/" + name.replace(".fc", "/fc")
        nodes += [
            helper.make_node("MatMul", [x, weights[-1].name], [f"{scope}/out"], f"{scope}/MatMul"),
            helper.make_node(
                activation.split("/")[-1].split("_")[0],
                [f"{scope}/out"],
                [f"{activation}/out"],
                activation,
            ),
        ]
        x = f"{activation}/out"
    info = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["N", 4]) for n in ("x", x)]
    graph = helper.make_graph(nodes, "net", info[:1], info[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_lists_say_once_what_is_repeated(tmp_path: Path) -> None:
    """... and blocks of a list that is called like the whole model are blocks."""
    emit(_listed_net(tmp_path / "x.onnx"), "pytorch", tmp_path / "out", source=SOURCE, name="net")
    text = (tmp_path / "out" / "model.py").read_text()
    assert "class Block(nn.Module):" in text
    assert "self.model = nn.ModuleList([Block() for _ in range(2)])" in text
    assert "self.dense = nn.ModuleList([nn.Linear(4, 4, bias=False) for _ in range(3)])" in text, (
        text
    )


def test_classes_of_one_name_are_called_after_what_is_around_them(
    make_model: Callable[..., Path], tmp_path: Path
) -> None:
    nodes, weights, x = [], {}, "x"
    for path, inner, outer in (
        ("encoder/block", "Tanh", "Neg"),
        ("decoder/block", "Relu", "Abs"),
        ("attention/self", "Sigmoid", "Exp"),
    ):
        weight = f"{path.replace('/', '.')}.fc.weight"
        weights[weight] = np.eye(4, dtype=np.float32)
        around = path.partition("/")[0]
        for name, more in (
            (f"/{path}/fc/MatMul", [weight]),
            (f"/{path}/{inner}", []),
            (f"/{around}/{outer}", []),
        ):
            operator = name.rpartition("/")[2]
            nodes.append(helper.make_node(operator, [x, *more], [f"{name}_out"], name))
            x = f"{name}_out"
    path = make_model(nodes, {"x": ["N", 4]}, {x: ["N", 4]}, weights)
    emit(path, "pytorch", tmp_path / "out", source=SOURCE)
    text = (tmp_path / "out" / "model.py").read_text()
    names = re.findall(r"^class (\w+)", text, re.MULTILINE)
    assert {"Block", "DecoderBlock", "SelfAttention"} < {*names}, text


def test_what_others_read_stands_once_in_its_module(
    make_model: Callable[..., Path], tmp_path: Path
) -> None:
    """Quantised weights, which the whole model makes numbers of, within blocks that compute themselves."""
    name = "net.block.0.fc.weight"
    parts = {
        f"{name}_quantized": np.ones((4, 4), np.int8),
        f"{name}_scale": np.ones(4, np.float32),
        f"{name}_zero_point": np.zeros(4, np.int8),
    }
    nodes = [
        helper.make_node("DequantizeLinear", [*parts], ["w"], "dequantize", axis=1),
        helper.make_node("MatMul", ["x", "w"], ["a"], "/net/block/block.0/fc/MatMul"),
        helper.make_node("Relu", ["a"], ["b"], "/net/block/block.0/Relu"),
        helper.make_node("MatMul", ["b", "net.block.1.weight"], ["c"], "/net/block/block.1/MatMul"),
        helper.make_node("Add", ["c", "b"], ["y"], "/net/Add"),
    ]
    weights = {**parts, "net.block.1.weight": np.eye(4, dtype=np.float32)}
    path = make_model(nodes, {"x": ["N", 4]}, {"y": ["N", 4]}, weights)
    emit(path, "pytorch", tmp_path / "out", source=SOURCE)
    text = (tmp_path / "out" / "model.py").read_text()
    for made in (node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)):
        stores = [
            node.attr
            for node in ast.walk(made)
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        ]
        assert len(stores) == len({*stores}), text


@pytest.mark.parametrize(
    ("framework", "says"),
    [
        ("pytorch", "self.cls.expand(x.shape[0], -1, -1)"),
        ("paddle", "self.cls.expand([x.shape[0], 1, 8])"),
        ("mindspore", "ops.broadcast_to(self.cls, (x.shape[0], 1, 8))"),
    ],
)
def test_what_is_expanded_says_its_sizes(
    framework: str, says: str, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    """The token for the class of an image, as vision transformers have it."""
    nodes = [
        helper.make_node("Shape", ["x"], ["batch"], end=1),
        helper.make_node("Concat", ["batch", "ones"], ["shape"], axis=0),
        helper.make_node("Expand", ["cls", "shape"], ["token"]),
        helper.make_node("Concat", ["token", "x"], ["y"], axis=1),
    ]
    weights = {"cls": np.ones((1, 1, 8), np.float32), "ones": np.array([1, 1])}
    path = make_model(nodes, {"x": ["N", 4, 8]}, {"y": ["N", 5, 8]}, weights)
    emit(path, framework, tmp_path / "out", source=SOURCE)
    assert says in (tmp_path / "out" / "model.py").read_text()


@pytest.mark.parametrize("framework", NATIVE)
@pytest.mark.parametrize("model", ["pp-ocrv4-rec", "pp-ocr-cls"])
def test_real_models_read_well(
    model: str, framework: str, real_model: Callable[[str], Path], tmp_path: Path
) -> None:
    emit(real_model(model), framework, tmp_path / "out", source=SOURCE, name=model)
    check(f"{model}.{framework}.py.txt", (tmp_path / "out" / "model.py").read_text())


@pytest.mark.parametrize("framework", NATIVE)
def test_a_stateful_model_reads_well(framework: str, tmp_path: Path) -> None:
    """silero VAD: an encoder of blocks, an LSTM whose state goes in and out, and branches on ranks."""
    model = fetch(SILERO, SILERO_DIGEST, Settings.from_environment().cache)
    emit(model, framework, tmp_path / "out", source=SOURCE, name="silero")
    check(f"silero.{framework}.py.txt", (tmp_path / "out" / "model.py").read_text())


@pytest.mark.parametrize("path", sorted(SNAPSHOTS.iterdir()), ids=lambda path: path.name)
def test_no_function_is_there_for_nothing(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    assert functions <= {node.id for node in names if isinstance(node.ctx, ast.Load)}


@pytest.mark.parametrize("framework", NATIVE)
def test_control_flow_is_plain_python(framework: str, tmp_path: Path) -> None:
    onnx.save(MODELS["beam_search"].proto(), tmp_path / "model.onnx")
    emit(tmp_path / "model.onnx", framework, tmp_path / "out", source=SOURCE, name="Beam search")
    check(f"beam_search.{framework}.py.txt", (tmp_path / "out" / "model.py").read_text())


@pytest.mark.parametrize("framework", NATIVE)
def test_no_variable_hides_a_function(framework: str, tmp_path: Path) -> None:
    """Two layers whose outputs and last states are used are called through a function that is named as they are."""
    r = np.random.default_rng(0)
    weights = {
        f"{name}{k}": r.standard_normal((1, 16, size)).astype(np.float32)
        for k, sizes in enumerate(((3, 4), (4, 4)))
        for name, size in zip("wr", sizes, strict=True)
    }
    weights["axis"] = np.array([1], np.int64)
    nodes = [
        helper.make_node("LSTM", ["x", "w0", "r0"], ["y0", "h0"], hidden_size=4),
        helper.make_node("Squeeze", ["y0", "axis"], ["z"]),
        helper.make_node("LSTM", ["z", "w1", "r1"], ["y1", "h1"], hidden_size=4),
        helper.make_node("Concat", ["h0", "h1"], ["h"], axis=0),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, ["T", "N", 3])],
        [helper.make_tensor_value_info(name, 1, None) for name in ("h", "y0", "y1")],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(proto, tmp_path / "model.onnx")
    emit(tmp_path / "model.onnx", framework, tmp_path / "out", source=SOURCE)
    tree = ast.parse((tmp_path / "out" / "model.py").read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    assert functions
    assert not functions & {node.id for node in names if isinstance(node.ctx, ast.Store)}


@pytest.mark.parametrize("framework", NATIVE)
def test_bounds_that_are_not_finite(framework: str, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Clip", ["x", "low", "high"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", 1, [3])],
        [helper.make_tensor_value_info("y", 1, [3])],
        [
            numpy_helper.from_array(np.array(bound, np.float32), name)
            for name, bound in (("low", -np.inf), ("high", 2.0))
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(proto, tmp_path / "model.onnx")
    emit(tmp_path / "model.onnx", framework, tmp_path / "out", source=SOURCE)
    assert '-float("inf")' in (tmp_path / "out" / "model.py").read_text()


def test_emission_is_deterministic(block_net: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        emit(block_net, "pytorch", tmp_path / name, source=SOURCE)
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_unsupported_operators_are_listed_once(
    make_model: Callable[..., Path], tmp_path: Path
) -> None:
    nodes = [
        helper.make_node("NoSuchOp", ["x"], ["a"], "first"),
        helper.make_node("NoSuchOp", ["a"], ["b"], "second"),
        helper.make_node("AlsoMissing", ["b"], ["y"], "third"),
    ]
    model = make_model(nodes, {"x": ["N", 4]}, {"y": None})
    with pytest.raises(UnsupportedOperators) as caught:
        emit(model, "pytorch", tmp_path / "out", source=SOURCE)
    found = {(o.operator, o.count, o.node) for o in caught.value.operators}
    assert found == {("NoSuchOp", 2, "first"), ("AlsoMissing", 1, "third")}
    assert not (tmp_path / "out").exists()


def test_an_attribute_that_is_refused_is_named(
    make_model: Callable[..., Path], tmp_path: Path
) -> None:
    node = helper.make_node("Softmax", ["x"], ["y"], "scores", axis=-1, temperature=2)
    model = make_model([node], {"x": ["N", 8]}, {"y": None})
    with pytest.raises(UnsupportedOperators, match="temperature=2"):
        emit(model, "pytorch", tmp_path / "out", source=SOURCE)


def test_an_unknown_framework_is_a_usage_error(block_net: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="jax"):
        emit(block_net, "jax", tmp_path / "out", source=SOURCE)


@pytest.mark.parametrize("cut", [0, 1, 100, 1000])
def test_truncated_files_are_refused(block_net: Path, tmp_path: Path, cut: int) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(block_net.read_bytes()[:cut])
    with pytest.raises(UnsafeInput):
        emit(broken, "pytorch", tmp_path / "out", source=SOURCE)
    assert not (tmp_path / "out").exists()
