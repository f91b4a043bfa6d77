"""MindSpore's programs through our own importer: numbers as the living Cell's, refusals that say why, hostile files.

MindSpore exports and runs the cases in a process of its own (mindspore_cases.py).
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from converters.checkpoints import write_mindspore_ckpt
from converters.checkpoints.wire import message, number, string
from converters.emitters import emit
from converters.errors import (
    ConversionError,
    UnsafeInput,
    UnsupportedError,
    UnsupportedOperators,
    UsageError,
)
from converters.importers import bring, recognise
from converters.importers.mindspore import is_mindir, to_onnx
from converters.importers.mindspore.ops import TABLE
from converters.importers.mindspore.scopes import name_scopes
from tests.importers.mindspore_cases import CASES, TWINS

HERE = Path(__file__).parent
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}
# MindSpore's kernel for CPU has its weights from a table of 1,024.
ROUGH = {"resize_bicubic_False": 5e-3, "resize_bicubic_True": 5e-3}

needs_mindspore = pytest.mark.skipif(
    importlib.util.find_spec("mindspore") is None, reason="MindSpore is not installed"
)


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A folder with all cases."""
    folder = tmp_path_factory.mktemp("mindir")
    # A case may end the process; the next one goes on behind it.
    for _ in range(10):
        done = subprocess.run(
            [sys.executable, HERE / "mindspore_cases.py", folder],
            capture_output=True,
            timeout=1500,
        )
        if not done.returncode:
            return folder
    raise RuntimeError(done.stderr.decode()[-2000:])


def _computed(model, *arrays):
    """Outputs for these inputs, by their order: a program may give an argument the name of what it becomes."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [one.name for one in session.get_inputs()]
    return session.run(None, dict(zip(names, arrays, strict=True)))


@needs_mindspore
@pytest.mark.parametrize("name", [*CASES, *TWINS])
def test_case(exported, name):
    failed = exported / f"{name}.failed"
    assert not failed.exists(), failed.read_text()
    model = to_onnx(exported / f"{name}.mindir")
    onnx.checker.check_model(model, full_check=True)
    for run in (0, 1):
        with np.load(exported / f"{name}.{run}.npz") as arrays:
            inputs = [arrays[key] for key in arrays if key.startswith("in:")]
            wanted = {int(key[4:]): arrays[key] for key in arrays if key.startswith("out:")}
        found = _computed(model, *inputs)
        assert len(found) == len(wanted)
        for index, array in wanted.items():
            assert found[index].shape == array.shape
            assert found[index].dtype == array.dtype
            limits = {**TOLERANCE, **({"atol": ROUGH[name]} if name in ROUGH else {})}
            np.testing.assert_allclose(found[index], array, **limits)


# ***** Weights with their class *****

CELL = """
from mindspore import nn


class Net(nn.Cell):
    def __init__(self, size):
        super().__init__()
        self.out = nn.Dense(size, 2)

    def construct(self, rows):
        return self.out(rows).abs()
"""


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A checkpoint with its weight and bias, beside its class and an example of its input."""
    weight = np.array([[1, -2], [3, 0.5]], np.float32)
    tensors = {"out.weight": weight, "out.bias": np.array([0.25, -1], np.float32)}
    write_mindspore_ckpt(tmp_path / "net.ckpt", tensors)
    (tmp_path / "cells_of_mine.py").write_text(CELL)
    np.savez(tmp_path / "in.npz", rows=np.ones((3, 2), np.float32))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "net.ckpt", tensors


@needs_mindspore
def test_a_checkpoint_with_its_class(checkpoint, tmp_path):
    path, tensors = checkpoint
    model, inputs = "cells_of_mine:Net", tmp_path / "in.npz"
    made = bring(recognise(path), tmp_path / "made", model=model, arguments=[2], inputs=inputs)
    graph = onnx.load(made.model)
    assert {one.name for one in graph.graph.initializer} == set(tensors)
    rows = np.random.default_rng(1).standard_normal((5, 2), np.float32)
    wanted = np.abs(rows @ tensors["out.weight"].T + tensors["out.bias"])
    np.testing.assert_allclose(_computed(graph, rows)[0], wanted, rtol=1e-5)


@needs_mindspore
def test_a_class_that_does_not_fit_is_refused(checkpoint, tmp_path):
    path, _ = checkpoint
    with pytest.raises(UsageError, match=r"out\.weight: \(2, 2\) in the weights, \(2, 3\) in the"):
        bring(
            recognise(path), tmp_path / "made", model="cells_of_mine:Net", arguments=[3],
            inputs=tmp_path / "in.npz",
        )  # fmt: skip


def test_a_class_needs_an_example_of_its_inputs(checkpoint, tmp_path):
    path, _ = checkpoint
    with pytest.raises(UsageError, match="does not say what its inputs look like"):
        bring(recognise(path), tmp_path / "made", model="cells_of_mine:Net", arguments=[2])


# ***** Names and sizes *****


@needs_mindspore
def test_parameters_and_dimensions_keep_their_names(exported):
    model = to_onnx(exported / "modules.mindir")
    assert {one.name for one in model.graph.initializer} >= {
        "f.0.weight",
        "f.1.gamma",
        "f.1.beta",
        "f.1.moving_mean",
        "f.1.moving_variance",
    }
    (given,) = model.graph.input
    assert given.name == "x"
    dims = given.type.tensor_type.shape.dim
    assert [one.dim_param or one.dim_value for one in dims] == ["N", 3, "H", "W"]
    names = {one.op_type: one.name for one in model.graph.node}
    assert names["Conv"] == "/f/0/Conv"
    assert names["BatchNormalization"] == "/f/1/BatchNormalization"


@needs_mindspore
def test_what_cells_share_is_named_by_the_cell_that_uses_it(exported):
    nodes = to_onnx(exported / "shared_functions.mindir").graph.node
    relus = [one.name for one in nodes if one.op_type == "Relu"]
    cells = ["/blocks/0", "/blocks/1", "/gates/0", "/gates/1"]
    # The last one is behind a cell that would have two, where the other one of its class has one.
    assert relus == [*(f"{cell}/Relu" for cell in cells), "/Relu"]
    for kind in ("ReduceMean", "Sigmoid", "Mul", "Add"):
        names = [one.name for one in nodes if one.op_type == kind]
        assert names == [f"/gates/0/{kind}", f"/gates/1/{kind}"]


@needs_mindspore
def test_what_is_in_a_branch_is_named_by_its_cell(exported):
    model = to_onnx(exported / "branch_cells.mindir")
    (choice,) = [node for node in model.graph.node if node.op_type == "If"]
    # Around cells that are not within each other.
    assert choice.name == "/If"
    no, yes = (one.g.node for one in sorted(choice.attribute, key=lambda one: one.name))
    layers = {node.name: node.input[1:] for node in [*yes, *no] if node.op_type == "Conv"}
    assert layers == {
        "/blocks/0/conv/Conv": ["blocks.0.conv.weight"],
        "/blocks/1/conv/Conv": ["blocks.1.conv.weight"],
        "/gate/conv1/Conv": ["gate.conv1.weight"],
        "/gate/conv2/Conv": ["gate.conv2.weight"],
    }
    assert [node.name for node in no if node.op_type == "Relu"] == ["/blocks/1/Relu"]


@needs_mindspore
def test_nothing_else_has_the_name_of_a_parameter(exported):
    model = to_onnx(exported / "parameter_named_constant.mindir")
    (parameter,) = [one for one in model.graph.initializer if one.name == "constant"]
    assert [*parameter.dims] == [6]


def test_a_cell_within_one_of_its_own_class_is_named():
    nodes = [
        helper.make_node("MatMul", ["x", "inner.weight"], ["y"], "/inner/MatMul"),
        helper.make_node("Relu", ["y"], ["z"], "/Relu"),
    ]
    name_scopes(nodes, ["inner.weight"], {(): "Net", ("inner",): "Net"})
    assert [node.name for node in nodes] == ["/inner/MatMul", "/Relu"]


@needs_mindspore
def test_a_size_times_a_number_is_a_scale(exported):
    nodes = to_onnx(exported / "resize_twice.mindir").graph.node
    assert [one.op_type for one in nodes] == ["Resize", "Identity"]


@needs_mindspore
def test_outputs_are_numbered(exported):
    model = to_onnx(exported / "several_outputs.mindir")
    assert [one.name for one in model.graph.output] == ["output_0", "output_1", "output_2"]
    model = to_onnx(exported / "dense.mindir")
    assert [one.name for one in model.graph.output] == ["output"]


@needs_mindspore
def test_what_is_never_computed_is_left_out(exported):
    kinds = {one.op_type for one in to_onnx(exported / "raising.mindir").graph.node}
    assert kinds == {"Mul", "Identity"}


@needs_mindspore
@pytest.mark.parametrize(
    ("name", "kind"), [("branch", "If"), ("loop", "Loop"), ("loop_branch", "Loop")]
)
def test_control_flow_stays(exported, name, kind):
    assert kind in {one.op_type for one in to_onnx(exported / f"{name}.mindir").graph.node}


@needs_mindspore
@pytest.mark.parametrize(
    ("name", "kind", "parameters"),
    [
        ("conv", "Conv", ["f.weight", "f.bias"]),
        ("conv1d", "Conv", ["f.weight", "f.bias"]),
        ("conv_transpose", "ConvTranspose", ["f.weight", "f.bias"]),
        ("dense", "Gemm", ["f.weight", "f.bias"]),
        ("layer_norm", "LayerNormalization", ["f.gamma", "f.beta"]),
    ],
)
def test_a_layer_is_one_node_with_its_parameters(exported, name, kind, parameters):
    nodes = to_onnx(exported / f"{name}.mindir").graph.node
    (layer,) = [one for one in nodes if one.op_type == kind]
    assert layer.input[1:] == parameters
    assert "Add" not in {one.op_type for one in nodes}


@needs_mindspore
def test_gates_are_parameters(exported):
    model = to_onnx(exported / "lstm_two.mindir")
    kept = {one.name for one in model.graph.initializer}
    layers = [one for one in model.graph.node if one.op_type == "LSTM"]
    assert len(layers) == 4
    assert all({*one.input[1:4]} <= kept for one in layers)


@needs_mindspore
def test_weights_of_a_loop_are_no_state(exported):
    (loop,) = [
        one for one in to_onnx(exported / "loop_counter.mindir").graph.node if one.op_type == "Loop"
    ]
    assert not [one for one in loop.input if one.startswith("f.")]


# ***** Models that were converted to MindSpore, converted once more *****


def _once_more(model, folder):
    """What MindSpore saves of a model that was converted to it, as ONNX again; and its source."""
    onnx.save(model, folder / "model.onnx")
    emit(folder / "model.onnx", "mindspore", folder / "ms", source={"format": "onnx"})
    made = bring(recognise(folder / "ms"), folder / "made")
    return onnx.load(made.model), (folder / "ms" / "model.py").read_text(encoding="utf-8")


@needs_mindspore
@pytest.mark.parametrize("backwards", [0, 1])
def test_a_loop_over_any_number_of_steps_stays_one(backwards, tmp_path):
    info = helper.make_tensor_value_info
    random = np.random.default_rng(0)
    weights = {
        "cell.dense.weight": random.standard_normal((4, 4)).astype(np.float32),
        "cell.start": random.standard_normal((1, 4)).astype(np.float32),
    }
    step = helper.make_graph(
        [
            helper.make_node("MatMul", ["h", "cell.dense.weight"], ["p"], "/cell/dense/MatMul"),
            helper.make_node("Add", ["x", "p"], ["s"], "/cell/Add"),
            helper.make_node("Tanh", ["s"], ["h2"], "/cell/Tanh"),
            helper.make_node("Identity", ["h2"], ["y"], "/cell/Identity"),
        ],
        "step",
        [info("h", 1, [1, 4]), info("x", 1, [1, 4])],
        [info("h2", 1, [1, 4]), info("y", 1, [1, 4])],
    )
    scan = helper.make_node(
        "Scan", ["cell.start", "xs"], ["last", "rows"], "/cell/Scan", body=step,
        num_scan_inputs=1, scan_input_directions=[backwards], scan_output_directions=[backwards],
    )  # fmt: skip
    # Sizes of what rounds gave are asked for: none may be what it began with.
    nodes = [scan, helper.make_node("Flatten", ["rows"], ["ys"], "/Flatten")]
    graph = helper.make_graph(
        nodes,
        "net",
        [info("xs", 1, ["T", 1, 4])],
        [info("last", 1, [1, 4]), info("ys", 1, ["T", 4])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 9
    found, source = _once_more(model, tmp_path)
    assert "ops.unbind(xs, 0)" in source
    loops = [node for node in found.graph.node if node.op_type == "Loop"]
    assert [len(node.output) for node in loops] == [2]
    assert {*weights} <= {one.name for one in found.graph.initializer}
    for length in (1, 5, 8):
        xs = random.standard_normal((length, 1, 4)).astype(np.float32)
        for one, wanted in zip(_computed(found, xs), _computed(model, xs), strict=True):
            np.testing.assert_allclose(one, wanted, rtol=1e-5, atol=1e-6)


@needs_mindspore
@pytest.mark.parametrize("group", [1, 2])
def test_a_convolution_of_integers_stays_one(group, tmp_path):
    info = helper.make_tensor_value_info
    random = np.random.default_rng(0)
    tensors = {
        "w": random.integers(0, 256, (6, 4 // group, 3, 2)).astype(np.uint8),
        "x_zero": np.array(7, np.uint8),
        "w_zero": np.array(131, np.uint8),
    }
    node = helper.make_node(
        "ConvInteger", ["x", *tensors], ["y"], "/ConvInteger",
        group=group, strides=[2, 1], pads=[1, 0, 2, 1],
    )  # fmt: skip
    graph = helper.make_graph(
        [node],
        "net",
        [info("x", onnx.TensorProto.UINT8, ["N", 4, "H", 9])],
        [info("y", onnx.TensorProto.INT32, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 9
    found, _ = _once_more(model, tmp_path)
    assert [node.op_type for node in found.graph.node if "Conv" in node.op_type] == ["ConvInteger"]
    for rows in (5, 8):
        x = random.integers(0, 256, (2, 4, rows, 9)).astype(np.uint8)
        np.testing.assert_array_equal(_computed(found, x)[0], _computed(model, x)[0])


# ***** Files *****


@needs_mindspore
def test_weights_in_a_folder_beside_it(exported):
    with np.load(exported / "apart.npz") as arrays:
        (found,) = _computed(to_onnx(exported / "apart_graph.mindir"), arrays["x"])
        np.testing.assert_allclose(found, arrays["y"], **TOLERANCE)


@needs_mindspore
def test_a_missing_folder_is_refused(exported, tmp_path):
    shutil.copy(exported / "apart_graph.mindir", tmp_path)
    with pytest.raises(UnsafeInput, match="apart_variables/data_0"):
        to_onnx(tmp_path / "apart_graph.mindir")


@needs_mindspore
def test_a_short_folder_is_refused(exported, tmp_path):
    shutil.copy(exported / "apart_graph.mindir", tmp_path)
    (tmp_path / "apart_variables").mkdir()
    (tmp_path / "apart_variables" / "data_0").write_bytes(b"\0" * 65)
    with pytest.raises(UnsafeInput, match="truncated"):
        to_onnx(tmp_path / "apart_graph.mindir")


@needs_mindspore
def test_an_encrypted_one_is_refused(exported):
    with pytest.raises(UnsupportedError, match="encrypted"):
        to_onnx(exported / "locked.mindir")


@needs_mindspore
def test_it_is_recognised_by_its_bytes(exported):
    assert is_mindir((exported / "dense.mindir").read_bytes()[:64])
    assert not is_mindir((exported / "locked.mindir").read_bytes()[:64])
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []))
    assert not is_mindir(model.SerializeToString()[:64])
    assert not is_mindir(b"")
    assert not is_mindir(b"\x0a\x20")


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError):
        to_onnx(tmp_path / "none.mindir")


# ***** Programs written here *****


def _tensor(kind=1, dims=(2,), *, name="", raw=None, location=None, offset=0, length=8, key=""):
    made = b"".join(number(1, size & (1 << 64) - 1) for size in dims) + number(2, kind)
    made += string(7, name) if name else b""
    made += message(9, raw) if raw is not None else b""
    if location is not None:
        where = string(1, location) + number(2, offset & (1 << 64) - 1) + number(3, length)
        made += message(12, where)
    return made + (string(13, key) if key else b"")


def _attribute(name, kind, content=b""):
    return string(1, name) + number(16, kind) + content


def _declared(name, dims=(2,), kind=1):
    return string(1, name) + message(2, _tensor(kind, dims))


SHAPE = message(5, _attribute("shape", 19, message(12, _tensor())))


def _node(called, inputs=("x",), output="y", shape=SHAPE, scope="Default/Op-op0"):
    given = b"".join(string(1, one) for one in inputs)
    return message(1, given + string(2, output) + string(4, called) + string(7, scope) + shape)


def _constant(name, value):
    return message(1, string(2, name) + string(4, "Constant") + message(5, value))


def _graph(body, name="g", inputs=(("x", (2,)),), output="y"):
    given = b"".join(message(5, _declared(*one)) for one in inputs)
    return body + string(2, name) + given + message(6, _declared(output))


def _primitive(name, kind=None, attributes=b""):
    return message(12, string(1, name) + string(2, kind or name) + attributes)


def _program(*parts):
    return string(1, "1.1") + string(2, "MindSpore") + number(10, 1) + b"".join(parts)


def _written(tmp_path, *parts):
    path = tmp_path / "p.mindir"
    path.write_bytes(_program(*parts))
    return path


def test_a_program_written_here(tmp_path):
    path = _written(tmp_path, message(7, _graph(_node("REF::P"))), _primitive("P", "ReLU"))
    (found,) = _computed(to_onnx(path), np.array([-1, 2], np.float32))
    np.testing.assert_array_equal(found, [0, 2])


def test_all_unknown_operators_are_refused_at_once(tmp_path):
    body = (
        _node("REF::P", output="a", scope="Default/first-Cell/P-op0")
        + _node("REF::P", ("a",), "b")
        + _node("REF::Q", ("b",))
    )
    primitives = _primitive("P", "NobodyKnows") + _primitive("Q", "NorThis")
    with pytest.raises(UnsupportedOperators) as caught:
        to_onnx(_written(tmp_path, message(7, _graph(body)), primitives))
    found = {one.operator: (one.count, one.node) for one in caught.value.operators}
    assert found == {
        "NobodyKnows": (2, "Default/first-Cell/P-op0"),
        "NorThis": (1, "Default/Op-op0"),
    }
    assert caught.value.status == 3


@pytest.mark.parametrize("kind", ["Assign", "AssignAdd", "Dropout", "UniformReal", "ScatterUpdate"])
def test_what_changes_or_is_random_is_in_no_table(kind):
    assert kind not in TABLE


@pytest.mark.parametrize(
    ("kind", "attributes", "reason"),
    [
        ("Conv2D", {"pad_mode": "full"}, "pad_mode = full"),
        ("Conv2D", {"format": "NHWC"}, "format = 'NHWC'"),
        ("Log", {"base": "2"}, "base = '2'"),
        ("DepthToSpace", {"data_format": "NHWC", "block_size": "2"}, "format = 'NHWC'"),
    ],
)
def test_what_is_not_the_same_is_refused(tmp_path, kind, attributes, reason):
    said = b"".join(
        message(3, _attribute(name, 8, string(5, value))) for name, value in attributes.items()
    )
    inputs = ("x", "x") if kind == "Conv2D" else ("x",)
    graph = _graph(_node("REF::P", inputs), inputs=(("x", (2, 2, 2, 2)),))
    with pytest.raises(UnsupportedOperators) as caught:
        to_onnx(_written(tmp_path, message(7, graph), _primitive("P", kind, said)))
    assert reason in str(caught.value)


# ***** Hostile programs *****


@pytest.mark.parametrize(
    "location",
    ["../secret", "/etc/passwd", "C:\\secret", "..\\secret", "a/../../secret", "", "a\0b"],
)
def test_weights_stay_in_their_folder(tmp_path, location):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 64)
    parameter = message(3, _tensor(name="g:w", location=location))
    path = _written(folder, message(7, _graph(_node("REF::Add", ("x", "g:w")) + parameter)))
    with pytest.raises(UnsafeInput):
        to_onnx(path)


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 64)
    (folder / "data").symlink_to(tmp_path / "secret")
    parameter = message(3, _tensor(name="g:w", location="data"))
    path = _written(folder, message(7, _graph(_node("REF::Add", ("x", "g:w")) + parameter)))
    with pytest.raises(UnsafeInput, match="leads out"):
        to_onnx(path)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"dims": (1 << 40, 1 << 40), "raw": b""}, "too many elements"),
        ({"dims": (-3,), "raw": b""}, "is not the size"),
        ({"dims": (3,), "raw": b"\0" * 8}, "8 bytes"),
        ({"dims": (2,) * 40, "raw": b""}, "40 dimensions"),
        ({"location": "data", "offset": 60}, "truncated"),
        ({"location": "data", "offset": -1}, "at -1"),
        ({"location": "data", "length": 1 << 40}, "truncated"),
        ({}, "no elements"),
    ],
)
def test_parameters_that_lie(tmp_path, more, reason):
    (tmp_path / "data").write_bytes(b"\0" * 64)
    parameter = message(3, _tensor(name="g:w", **more))
    path = _written(tmp_path, message(7, _graph(_node("REF::Add", ("x", "g:w")) + parameter)))
    with pytest.raises(UnsafeInput, match=reason):
        to_onnx(path)


def _calls(depth, width):
    """Graphs that call the next one so many times each."""
    made = []
    for level in range(depth):
        name = "g" if level == 0 else f"f{level}"
        called = "REF::P" if level == depth - 1 else f"REF::f{level + 1}"
        body = b"".join(
            _node(called, (f"{name}:x" if at == 0 else f"{name}{at}",), f"{name}{at + 1}")
            for at in range(width)
        )
        graph = _graph(body, name, ((f"{name}:x", (2,)),), f"{name}{width}")
        made.append(message(7 if level == 0 else 8, graph))
    return [*made, _primitive("P", "ReLU")]


def test_calls_that_follow_each_other_are_fine(tmp_path):
    model = to_onnx(_written(tmp_path, *_calls(5, 3)))
    assert sum(one.op_type == "Relu" for one in model.graph.node) == 3**5


@pytest.mark.parametrize(("depth", "width"), [(40, 4), (5000, 1)])
def test_calls_without_end_are_refused(tmp_path, depth, width):
    with pytest.raises(ConversionError):
        to_onnx(_written(tmp_path, *_calls(depth, width)))


def test_a_graph_that_only_calls_itself_is_refused(tmp_path):
    with pytest.raises(ConversionError):
        to_onnx(_written(tmp_path, message(7, _graph(_node("REF::g")))))


@pytest.mark.parametrize(
    ("kind", "first", "declared"),
    [("MakeTuple", "x", SHAPE), ("ScalarMul", "n", b""), ("SequenceAdd", "t", b"")],
)
def test_doubling_is_bounded(tmp_path, kind, first, declared):
    body = _constant("n", _attribute("value", 7, number(3, 3)))
    body += _constant("t", _attribute("value", 20, message(17, _attribute("", 7, number(10, 1)))))
    for level in range(200):
        last = first if level == 0 else f"v{level - 1}"
        body += _node("REF::P", (last, last), f"v{level}", declared)
    body += _node("REF::Q", ("x", "v199"))
    parts = (message(7, _graph(body)), _primitive("P", kind), _primitive("Q", "Reshape"))
    with pytest.raises(ConversionError):
        to_onnx(_written(tmp_path, *parts))


def test_tuples_within_tuples_are_bounded(tmp_path):
    body = b"".join(
        _node("REF::P", (f"v{level - 1}" if level else "x",), f"v{level}") for level in range(3000)
    )
    parts = (message(7, _graph(body, output="v2999")), _primitive("P", "MakeTuple"))
    with pytest.raises(UnsafeInput, match="too deep"):
        to_onnx(_written(tmp_path, *parts))


def test_values_within_values_are_bounded(tmp_path):
    value = _attribute("", 7, number(3, 1))
    for _ in range(2000):
        value = _attribute("", 20, message(17, value))
    body = _constant("c", _attribute("value", 20, message(17, value))) + _node("REF::P")
    with pytest.raises(UnsafeInput, match="too deep"):
        to_onnx(_written(tmp_path, message(7, _graph(body)), _primitive("P", "ReLU")))


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([], "no graph"),
        ([message(7, _graph(_node("REF::P", ("nobody",)))), _primitive("P", "ReLU")], "nobody"),
        ([message(7, _graph(_node("REF::nothing")))], "nothing"),
        ([message(7, _graph(_node("REF::P") * 2)), _primitive("P", "ReLU")], "twice"),
        ([message(7, _graph(b"", output="z"))], "'z'"),
        ([message(7, _graph(_node("REF::g", ("x", "x"))))], "2 arguments"),
        ([message(7, _graph(message(1, b"")))], "without output"),
        ([message(7, _graph(b"")), message(8, _graph(b""))], "two graphs"),
        ([b"\x3a\xff\xff\xff\x7f"], "truncated"),
    ],
)
def test_programs_that_contradict_themselves(tmp_path, parts, reason):
    with pytest.raises(UnsafeInput, match=reason):
        to_onnx(_written(tmp_path, *parts))


def test_two_constants_of_one_name_are_refused(tmp_path):
    both = b"".join(_constant("c", _attribute("value", 7, number(3, one))) for one in (1, 2))
    with pytest.raises(UnsafeInput, match="two constants"):
        to_onnx(_written(tmp_path, message(7, _graph(both + _node("REF::P")))))


def test_big_endian_is_refused(tmp_path):
    path = tmp_path / "p.mindir"
    path.write_bytes(string(1, "1.1") + string(2, "MindSpore") + number(10, 0))
    with pytest.raises(UnsupportedError, match="endian"):
        to_onnx(path)


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [("Zeros", (1 << 40, 1 << 40)), ("Tile", (1 << 50, 1 << 50)), ("Eye", (1 << 30, 1 << 30))],
)
def test_nothing_huge_is_made_of_few_bytes(tmp_path, kind, sizes):
    values = b"".join(message(17, _attribute("", 7, number(10, one))) for one in sizes)
    body = _constant("c", _attribute("value", 20, values)) + _constant(
        "n", _attribute("value", 7, number(3, sizes[0]))
    )
    inputs = {"Zeros": ("c", "n"), "Tile": ("x", "c"), "Eye": ("n", "n")}[kind]
    body += _node("REF::P", inputs)
    path = _written(tmp_path, message(7, _graph(body)), _primitive("P", kind))
    with contextlib.suppress(ConversionError):
        assert to_onnx(path).ByteSize() < 1 << 16


@needs_mindspore
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_broken_files_end_in_an_error_of_ours(exported, tmp_path_factory, data):
    name = data.draw(st.sampled_from(["modules", "attention", "loop", "branch_weights", "lstm"]))
    content = bytearray((exported / f"{name}.mindir").read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(0, 8))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "broken.mindir"
    path.write_bytes(content)
    with contextlib.suppress(ConversionError):
        to_onnx(path)
