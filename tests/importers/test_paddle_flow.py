"""Control flow of Paddle's programs: every branch has Paddle's numbers, in ONNX and in what is emitted of it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from converters.convert import convert
from converters.errors import UnsafeInput, UnsupportedError, UnsupportedOperators
from converters.importers.paddle import read, to_onnx
from tests.importers.paddle_flow import NETS, OLD

HERE = Path(__file__).parent
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}
# Nets that are converted into every framework: choices, loops, lists, and these in each other.
EMITTED = ["for_attention", "for_list", "while_with_if"]

needs_paddle = pytest.mark.skipif(
    importlib.util.find_spec("paddle") is None, reason="PaddlePaddle is not installed"
)


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """The folder with all nets."""
    folder = tmp_path_factory.mktemp("flow")
    done = subprocess.run(
        [sys.executable, HERE / "paddle_flow.py", folder], capture_output=True, timeout=500
    )
    assert not done.returncode, done.stderr.decode()[-2000:]
    return folder


def _runs(folder, name):
    """Inputs and outputs of each run."""
    for path in sorted(folder.glob(f"{name}.*.npz")):
        with np.load(path) as arrays:
            yield (
                {key[3:]: arrays[key] for key in arrays if key.startswith("in:")},
                {key[4:]: arrays[key] for key in arrays if key.startswith("out:")},
            )


@pytest.fixture(scope="session")
def older(tmp_path_factory):
    """The folder with programs of the older form."""
    folder = tmp_path_factory.mktemp("older")
    for name in OLD:
        subprocess.run(
            [sys.executable, HERE / "paddle_flow.py", folder, name],
            env={**os.environ, "FLAGS_enable_pir_api": "0"},
            check=True,
            timeout=200,
        )
    return folder


def _kinds(graph):
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            yield from _kinds(attribute.g)


@needs_paddle
@pytest.mark.parametrize("name", NETS)
def test_the_numbers_of_paddle_in_every_branch(saved, name):
    _same(saved / f"{name}.json", len(NETS[name].runs))


@needs_paddle
@pytest.mark.parametrize("name", OLD)
def test_the_older_form_is_read_too(older, name):
    _same(older / f"{name}.pdmodel", 2)


def _same(path, count):
    """Every run has Paddle's numbers."""
    model = to_onnx(path)
    onnx.checker.check_model(model, full_check=True)
    # What the shapes of inputs or a constant decide may be decided; nothing is unrolled.
    assert {"If", "Loop"} & {*_kinds(model.graph)}
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [one.name for one in session.get_outputs()]
    runs = [*_runs(path.parent, path.stem)]
    assert len(runs) == count
    for given, wanted in runs:
        found = dict(zip(names, session.run(None, given), strict=True))
        assert set(found) == set(wanted)
        for key, array in wanted.items():
            assert found[key].shape == array.shape
            assert found[key].dtype == array.dtype
            np.testing.assert_allclose(found[key], array, **TOLERANCE)


@needs_paddle
@pytest.mark.parametrize("name", EMITTED)
def test_every_branch_is_emitted(saved, tmp_path, name):
    frameworks = ("pytorch", "paddle", "mindspore")
    frameworks = [one for one in frameworks if importlib.util.find_spec(_package(one))]
    convert(saved / f"{name}.json", frameworks, tmp_path / "out")
    for framework in frameworks:
        source = (tmp_path / "out" / framework / "model.py").read_text()
        assert not re.search(r"_v\d+_", source)
        assert {"for_list": "for i in range("}.get(name, "while ") in source
        for given, wanted in _runs(saved, name):
            np.savez(tmp_path / "in.npz", **given)
            command = ["infer.py", "--inputs", tmp_path / "in.npz", "--outputs", "out.npz"]
            subprocess.run(
                [sys.executable, *command],
                cwd=tmp_path / "out" / framework,
                check=True,
                timeout=300,
            )
            with np.load(tmp_path / "out" / framework / "out.npz") as found:
                for key, array in wanted.items():
                    np.testing.assert_allclose(found[key], array, **TOLERANCE)


@needs_paddle
def test_branches_that_go_over_layers_are_saved_as_programs(tmp_path):
    """A variable that is another layer after one branch than after the other is in no program of Paddle's."""
    random = np.random.default_rng(0)
    weights, branches = [], []
    for name, operator in (("wide", "Tanh"), ("narrow", "Sigmoid")):
        nodes, x = [], "x"
        for k in range(2):
            weight = random.standard_normal((4, 4)).astype(np.float32)
            weights.append(onnx.numpy_helper.from_array(weight, f"{name}.{k}.fc.weight"))
            path = f"/{name}.{k}"
            nodes += [
                onnx.helper.make_node(
                    "MatMul", [x, weights[-1].name], [f"{path}/out"], f"{path}/fc/MatMul"
                ),
                onnx.helper.make_node(
                    operator, [f"{path}/out"], [f"{path}/y"], f"{path}/{operator}"
                ),
            ]
            x = f"{path}/y"
        given = onnx.helper.make_tensor_value_info(x, 1, ["N", 4])
        branches.append(onnx.helper.make_graph(nodes, name, [], [given]))
    nodes = [
        onnx.helper.make_node("Equal", ["rate", "high"], ["is_high"]),
        onnx.helper.make_node(
            "If", ["is_high"], ["y"], then_branch=branches[0], else_branch=branches[1]
        ),
    ]
    weights.append(onnx.numpy_helper.from_array(np.array(16000), "high"))
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "g", [info("x", 1, ["N", 4]), info("rate", 7, [])], [info("y", 1, ["N", 4])], weights
    )
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset]), tmp_path / "net.onnx")
    convert(tmp_path / "net.onnx", ["paddle"], tmp_path / "first")
    source = (tmp_path / "first/paddle/model.py").read_text()
    assert "for block in self.wide:" in source
    assert "for layer in self.narrow:" in source
    convert(tmp_path / "first/paddle", ["paddle"], tmp_path / "again")
    assert "if bool(rate == 16000):" in (tmp_path / "again/paddle/model.py").read_text()
    manifest = json.loads((tmp_path / "again/paddle/manifest.json").read_text())
    assert len(manifest["verification"]["cases"]) == 2


def _package(framework):
    return {"pytorch": "torch"}.get(framework, framework)


# ***** Hostile and malformed programs *****


def _tensor(*dims, kind="f32"):
    return {"#": "0.t_dtensor", "D": [{"#": f"0.t_{kind}"}, [*dims], "NCHW", [], 0]}


def _value(number, kind="f32"):
    return {"%": number, "TT": _tensor(2, kind=kind)}


def _program(tmp_path, *operators):
    feed = {"N": "name", "AT": {"#": "0.a_str", "D": "x"}}
    flag = {"N": "name", "AT": {"#": "0.a_str", "D": "c"}}
    said = [
        {"#": "1.data", "I": [], "O": [_value(1)], "A": [feed]},
        {"#": "1.data", "I": [], "O": [{"%": 2, "TT": _tensor(kind="bool")}], "A": [flag]},
        *operators,
    ]
    program = {"regions": [{"blocks": [{"args": [], "ops": said}]}]}
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"base_code": {"magic": "pir"}, "program": program}))
    return path


def _region(*operators, args=()):
    return {"blocks": [{"args": [*args], "ops": [*operators]}]}


def _yield(*numbers):
    return {"#": "2.yield", "I": [{"%": one} for one in numbers], "O": [], "A": []}


def _if(number, *regions):
    return {"#": "1.if", "I": [{"%": 2}], "O": [_value(number)], "A": [], "regions": [*regions]}


def _relu(number, read=1):
    return {"#": "1.relu", "I": [{"%": read}], "O": [_value(number)], "A": []}


def test_what_a_branch_computes_is_not_seen_outside(tmp_path):
    branch = _if(3, _region(_relu(4), _yield(4)), _region(_yield(1)))
    with pytest.raises(UnsafeInput, match="nothing computes"):
        read(_program(tmp_path, branch, _relu(5, read=4)))


def test_a_block_must_yield(tmp_path):
    with pytest.raises(UnsafeInput, match="yields nothing"):
        read(_program(tmp_path, _if(3, _region(_relu(4)), _region(_yield(1)))))


def test_control_flow_is_not_deeper_than_any_program_has_it(tmp_path):
    region, number = _region(_yield(1)), 3
    for number in range(3, 40):
        region = _region(_if(number, region, _region(_yield(1))), _yield(number))
    with pytest.raises(UnsupportedError, match="deep"):
        read(_program(tmp_path, _if(number + 1, region, _region(_yield(1)))))


def _fetch(number):
    name = {"N": "name", "AT": {"#": "0.a_str", "D": "y"}}
    return {"#": "1.fetch", "I": [{"%": number}], "O": [_value(99)], "A": [name]}


def _loop(*regions, given=(2, 1)):
    operands = [{"%": one} for one in given]
    return {"#": "1.while", "I": operands, "O": [_value(3)], "A": [], "regions": [*regions]}


def test_a_loop_gives_what_it_takes(tmp_path):
    argument = {"#": -1, "TT": _tensor(2)}
    region = _region(_yield(2), args=[argument])
    path = _program(tmp_path, _loop(region), _fetch(3))
    with pytest.raises(UnsafeInput, match="takes and gives other things"):
        to_onnx(path)


def test_a_state_keeps_its_type(tmp_path):
    argument = {"#": -1, "TT": _tensor(3)}
    path = _program(
        tmp_path,
        _loop(_region(_relu(4, read=-1), _yield(2, 4), args=[argument])),
        _fetch(3),
    )
    with pytest.raises(UnsupportedOperators, match="from round to round"):
        to_onnx(path)


def test_what_nothing_needs_is_left_out(tmp_path):
    unknown = {"#": "1.nobody_knows", "I": [{"%": 1}], "O": [_value(4)], "A": []}
    argument = {"#": -1, "TT": _tensor(3)}
    loop = _loop(_region(_yield(2, 4), args=[argument]))
    model = to_onnx(_program(tmp_path, unknown, loop, _relu(5), _fetch(5)))
    assert [*_kinds(model.graph)] == ["Relu"]


def test_what_is_refused_within_control_flow_is_named(tmp_path):
    unknown = {"#": "1.nobody_knows", "I": [{"%": 1}], "O": [_value(4)], "A": []}
    path = _program(tmp_path, _if(3, _region(unknown, _yield(4)), _region(_yield(1))), _fetch(3))
    with pytest.raises(UnsupportedOperators, match="nobody_knows"):
        to_onnx(path)
