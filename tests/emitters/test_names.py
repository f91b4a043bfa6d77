"""Keys of weights are the names of the source, whatever the emitted modules are made of; in every framework.

The nets are graphs without scopes, as programs of PaddlePaddle and MindSpore are: names of parameters say all.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters.emitters import NATIVE, emit

HERE = Path(__file__).parent
SOURCE = {"format": "onnx", "sha256": "0" * 64}
TOLERANCE = 1e-5


class Net:
    """A graph that is written down as it is computed; `x` is an image of 4 channels."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        out = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        return out

    def weight(self, name: str, *shape: int) -> str:
        if name not in self.weights:
            self.weights[name] = self.random.uniform(0.1, 0.5, shape).astype(np.float32)
        return name

    def conv(self, x: str, name: str) -> str:
        return self.op(
            "Conv", x, self.weight(f"{name}.weight", 4, 4, 1, 1), self.weight(f"{name}.bias", 4)
        )

    def norm(self, x: str, name: str) -> str:
        parts = ("weight", "bias", "running_mean", "running_var")
        weights = [self.weight(f"{name}.{part}", 4) for part in parts]
        return self.op("BatchNormalization", x, *weights)

    def times(self, x: str, name: str) -> str:
        return self.op("Mul", x, self.weight(name, 1, 4, 1, 1))

    def write(self, y: str, path: Path) -> None:
        self.nodes.append(helper.make_node("Identity", [y], ["y"]))
        shape = ["N", 4, "H", "W"]
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
            [numpy_helper.from_array(w, n) for n, w in self.weights.items()],
        )
        opset = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def gaps(net: Net) -> str:
    """Numbered layers and blocks in one list, with numbers that nothing has."""
    x = net.op("Relu", net.norm(net.conv("x", "features.0.conv"), "features.0.bn"))
    x = net.op("Relu", net.conv(x, "features.3"))
    y = net.op("Relu", net.norm(net.conv(x, "features.5.conv"), "features.5.bn"))
    return net.conv(net.op("Add", x, y), "head.2")


def nested(net: Net) -> str:
    """Lists in lists, blocks with a shortcut."""
    x = "x"
    for stage in range(2):
        for block in range(3):
            name = f"stages.{stage}.blocks.{block}"
            y = net.op("Relu", net.norm(net.conv(x, f"{name}.conv1"), f"{name}.bn1"))
            x = net.op("Relu", net.op("Add", net.conv(y, f"{name}.conv2"), x))
        x = net.conv(x, f"stages.{stage}.down.0")
    return x


def alternating(net: Net) -> str:
    """Modules whose parts are used at different times, in a list too."""
    x = net.op("Tanh", net.conv("x", "encoder.first"))
    for k in range(2):
        x = net.op("Tanh", net.conv(x, f"decoder.layers.{k}.a.0"))
        x = net.op("Tanh", net.conv(x, f"encoder.layers.{k}.b"))
        x = net.norm(x, f"decoder.layers.{k}.norm_2")
    return net.conv(x, "encoder.last_1")


def bare(net: Net) -> str:
    """Parameters that no layer owns, with numbers in their names, some at the root."""
    x = "x"
    for k in range(2):
        y = net.times(net.conv(x, f"blocks.{k}.conv"), f"blocks.{k}.gamma_1")
        x = net.op("Add", x, net.times(net.op("Tanh", y), f"blocks.{k}.gamma2"))
    return net.op("Add", net.times(x, "scale.factor"), net.weight("token", 1, 4, 1, 1))


def tied(net: Net) -> str:
    """One convolution's weight used at two places, and one that another module reads."""
    weight = net.weight("embed.weight", 4, 4, 1, 1)
    x = net.op("Relu", net.op("Conv", "x", weight))
    x = net.op("Tanh", net.conv(x, "body.0.conv"))
    x = net.op("Conv", net.times(x, "body.0.scale"), weight)
    return net.op("Add", net.conv(x, "head.out"), net.weight("head.bias2", 1, 4, 1, 1))


def numbered_twice(net: Net) -> str:
    """Two layers' weights under one number, as a cell in a list has them; numbers beside names."""
    x = "x"
    for k in range(2):
        y = net.op("Conv", x, net.weight(f"gates.{k}.weight_ih", 4, 4, 1, 1))
        z = net.op("Conv", "x", net.weight(f"gates.{k}.weight_hh", 4, 4, 1, 1))
        x = net.op("Tanh", net.op("Add", y, z))
        x = net.times(x, f"gates.{k}.type.scale")
        # A layer and a module of one name, as MindSpore has them where lists have none.
        x = net.conv(net.conv(x, f"both.{k}"), f"both.{k}.inner")
    return net.conv(x, "cells.norm")


def block(net: Net, x: str, name: str, end: str = "Tanh") -> str:
    """A block with a shortcut and a scale of its own."""
    y = net.op("Relu", net.norm(net.conv(x, f"{name}.conv1"), f"{name}.bn"))
    y = net.times(net.conv(y, f"{name}.conv2"), f"{name}.scale")
    return net.op(end, net.op("Add", y, x))


def called_again(net: Net) -> str:
    """A block for all depths, in a list of one; a tower for two images; a chain, called twice."""
    x = net.conv("x", "stem.first")
    for _ in range(4):
        x = block(net, x, "body.blocks.0")
    y = net.op("Add", block(net, x, "tower.one"), block(net, net.op("Neg", x), "tower.one"))
    for _ in range(2):
        y = net.conv(net.op("Relu", net.conv(y, "chain.0")), "chain.2")
    return net.op("Add", y, net.conv(net.op("Exp", net.conv(x, "head")), "head"))


def called_otherwise(net: Net) -> str:
    """Modules whose calls differ: in an activation, in what is read of them, in what goes first."""
    x = block(net, block(net, "x", "body.one"), "body.one", end="Sin")
    a, b = net.conv(x, "tower.a"), net.conv("x", "tower.a")
    x = net.op("Add", net.conv(a, "tower.b"), net.conv(b, "tower.b"))
    y = net.conv(x, "pair.a")
    z = net.conv(net.conv(y, "pair.b"), "pair.a")
    # A list with gaps of blocks and layers; calls that wait for what stands between them.
    for _ in range(2):
        x = block(net, net.conv(x, "parts.0"), "parts.3")
        x = net.op("Sin", net.norm(block(net, x, "cross.one"), "other.norm"))
        x = net.conv(x, "cross.two")
    return net.op("Add", net.op("Add", net.conv(z, "pair.b"), y), net.conv(x, "once.c"))


NETS: dict[str, Callable[[Net], str]] = {
    net.__name__: net
    for net in (
        gaps,
        nested,
        alternating,
        bare,
        tied,
        numbered_twice,
        called_again,
        called_otherwise,
    )
}
# Names that no module can have, or that two layers claim.
RENAMED = {
    "weight_ih": "conv1.weight",
    "weight_hh": "conv2.weight",
    **{f"both.{k}.{leaf}": f"both.{k}.conv.{leaf}" for k in (0, 1) for leaf in ("weight", "bias")},
    "type.": "type_.",
    "cells.": "cells_.",
}
OWN = {
    "paddle": {"running_mean": "_mean", "running_var": "_variance"},
    "mindspore": {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    },
}


@pytest.fixture(scope="session")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every net in every framework, run there once."""
    root = tmp_path_factory.mktemp("names")
    x = np.random.default_rng(1).uniform(-1, 1, (2, 4, 3, 5)).astype(np.float32)
    for name, make in NETS.items():
        net = Net()
        net.write(make(net), root / f"{name}.onnx")
        for framework in NATIVE:
            emit(root / f"{name}.onnx", framework, root / framework / name, source=SOURCE)
            np.savez(root / framework / name / "0.in.npz", x=x)
    for framework in NATIVE:
        command = [sys.executable, str(HERE / "suite_worker.py"), str(root / framework)]
        subprocess.run(
            command, input="\n".join(NETS), text=True, capture_output=True, check=True, cwd=root
        )
    return root


@pytest.mark.parametrize("framework", NATIVE)
@pytest.mark.parametrize("name", NETS)
def test_keys_are_the_names_of_the_source(name: str, framework: str, emitted: Path) -> None:
    folder = emitted / framework / name
    net = Net()
    NETS[name](net)
    manifest = json.loads((folder / "manifest.json").read_text())
    own = OWN.get(framework, {})
    wanted = set()
    for key in net.weights:
        module, dot, last = key.rpartition(".")
        is_norm = f"{module}.running_mean" in net.weights
        name_there = f"{module}{dot}{own.get(last, last) if is_norm else last}"
        for old, new in RENAMED.items():
            name_there = name_there.replace(old, new)
        wanted.add(name_there)
    assert set(manifest["parameters"]) == wanted


@pytest.mark.parametrize("framework", NATIVE)
@pytest.mark.parametrize("name", NETS)
def test_keys_stay_when_they_are_the_names_of_the_source(
    name: str, framework: str, emitted: Path, tmp_path: Path
) -> None:
    said = json.loads((emitted / framework / name / "manifest.json").read_text())["parameters"]
    called = {old: new for new, old in said.items()}
    model = onnx.load(emitted / f"{name}.onnx")
    for tensor in model.graph.initializer:
        tensor.name = called[tensor.name]
    for node in model.graph.node:
        for k, value in enumerate(node.input):
            node.input[k] = called.get(value, value)
    onnx.save(model, tmp_path / "again.onnx")
    emit(tmp_path / "again.onnx", framework, tmp_path / "out", source=SOURCE)
    again = json.loads((tmp_path / "out" / "manifest.json").read_text())["parameters"]
    assert set(again) == set(said)


@pytest.mark.parametrize("framework", NATIVE)
@pytest.mark.parametrize("name", NETS)
def test_modules_that_only_hold_others_compute_the_same(
    name: str, framework: str, emitted: Path
) -> None:
    folder = emitted / framework / name
    assert not json.loads((folder / "done").read_text())["error"]
    with np.load(folder / "0.in.npz") as given, np.load(folder / "0.out.npz") as got:
        session = onnxruntime.InferenceSession(str(emitted / f"{name}.onnx"))
        (expected,) = session.run(None, dict(given))
        np.testing.assert_allclose(got["y"], expected, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("framework", NATIVE)
def test_what_is_called_again_is_one_module(framework: str, emitted: Path) -> None:
    text = (emitted / framework / "called_again" / "model.py").read_text()
    assert "for _ in range(4):" in text
    assert text.count("self.head(") == 2
    assert text.count("self.chain(") == 2
