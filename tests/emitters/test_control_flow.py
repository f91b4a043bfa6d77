"""Control flow, sequences and optionals: ONNX Runtime is the oracle, at inputs that take other ways.

Every model runs in every framework as emitted source.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parent))

import onnx_suite
from control_flow_models import MODELS, Model, integer, normal
from random_programs import random_model

from converters.convert import TARGETS, convert
from converters.emitters import NATIVE, emit
from converters.errors import UnsafeInput, UnsupportedError, UnsupportedOperators
from converters.graph import read_graph
from converters.graph.compared import compared_values
from converters.verify import Case, TensorSpec, generate_cases, verify
from zoo.settings import Settings
from zoo.sources import fetch


def save_case(
    folder: Path, name: str, model: onnx.ModelProto, feeds: Sequence[dict[str, Any]]
) -> Any:
    """A model as a case of the suite, with what ONNX Runtime gives for each of its inputs."""
    folder.mkdir(parents=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    for number, feed in enumerate(feeds):
        data_set = folder / f"test_data_set_{number}"
        data_set.mkdir()
        outputs = session.run(None, feed)
        write_values(
            data_set, "input", model.graph.input, [feed[v.name] for v in model.graph.input]
        )
        write_values(data_set, "output", model.graph.output, outputs)
    onnx.save(model, folder / "model.onnx")
    return onnx_suite.Case(name, "own", folder, 1e-4, 1e-5)


def write_values(
    folder: Path, side: str, infos: Sequence[onnx.ValueInfoProto], values: Sequence[Any]
) -> None:
    for position, (info, value) in enumerate(zip(infos, values, strict=True)):
        if info.type.HasField("optional_type"):
            proto = onnx.OptionalProto()
            if value is not None:
                proto = numpy_helper.from_optional(np.asarray(value))
        elif info.type.HasField("sequence_type"):
            proto = numpy_helper.from_list([np.asarray(item) for item in value])
        else:
            proto = numpy_helper.from_array(np.asarray(value))
        (folder / f"{side}_{position}.pb").write_bytes(proto.SerializeToString())


@pytest.mark.timeout(300)
@pytest.mark.parametrize("framework", NATIVE)
def test_every_way_gives_what_onnx_runtime_gives(framework: str, tmp_path: Path) -> None:
    cases = [
        save_case(tmp_path / "models" / name, name, model.proto(), model.feeds)
        for name, model in MODELS.items()
    ]
    outcomes = onnx_suite.run(framework, tuple(cases), tmp_path / "emitted")
    assert {n: o for n, o in outcomes.items() if o.status != "passed"} == {}


SCRIPTED: dict[str, tuple[dict[str, Any], ...]] = {
    "greedy": tuple(
        {"h": normal(rows, 8, seed=rows), "limit": integer(limit)}
        for rows, limit in ((1, 1), (3, 9))
    ),
    "halving": tuple(
        {"x": normal(2, 8) * scale, "limit": np.array(0.5, np.float32)} for scale in (0.1, 9)
    ),
    "branches": tuple(
        {"x": normal(rows, 6), "flag": np.array(flag)}
        for rows, flag in ((2, True), (3, False), (1, False))
    ),
    "rows": ({"x": normal(5, 4)}, {"x": normal(2, 4, seed=1) - 1}),
    "chunks": ({"x": normal(5, 6)}, {"x": normal(2, 6)}),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> list[onnx_suite.Case]:
    """What PyTorch exports of scripted modules, in a process of its own."""
    folder = tmp_path_factory.mktemp("scripted")
    script = Path(__file__).with_name("scripted.py")
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True)
    return [
        save_case(folder / name, name, onnx.load(folder / f"{name}.onnx"), feeds)
        for name, feeds in SCRIPTED.items()
    ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("framework", NATIVE)
def test_scripted_modules_give_what_onnx_runtime_gives(
    framework: str, exported: list[onnx_suite.Case], tmp_path: Path
) -> None:
    outcomes = onnx_suite.run(framework, tuple(exported), tmp_path)
    assert {n: o for n, o in outcomes.items() if o.status != "passed"} == {}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("framework", NATIVE)
def test_random_programs_give_what_onnx_runtime_gives(framework: str, tmp_path: Path) -> None:
    feeds = [
        {"x": normal(2, 3, seed=rounds), "y": normal(2, 3, seed=rounds + 9), "n": integer(rounds)}
        for rounds in (0, 1, 3)
    ]
    cases = [
        save_case(tmp_path / "models" / str(seed), str(seed), random_model(seed), feeds)
        for seed in range(30, 50)
    ]
    outcomes = onnx_suite.run(framework, tuple(cases), tmp_path / "emitted")
    assert {n: o for n, o in outcomes.items() if o.status != "passed"} == {}


# What decides between its networks for 16000 and 8000 samples a second is an input.
SILERO = "pypi:silero-vad==6.2.3!silero_vad/data/silero_vad.onnx"
DIGEST = "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"


@pytest.mark.parametrize(
    ("name", "choices"), [("rank_that_what_follows_asks_for", 0), ("rank_changes_in_branch", 1)]
)
def test_a_branch_after_which_nothing_could_be_computed_is_gone(
    name: str, choices: int, tmp_path: Path
) -> None:
    onnx.save(MODELS[name].proto(), tmp_path / "model.onnx")
    found = [node.key for node in read_graph(tmp_path / "model.onnx").nodes]
    assert found.count("If") == choices
    assert ("Squeeze" in found) is not bool(choices)


@pytest.mark.real
@pytest.mark.timeout(600)
def test_a_real_model_equals_its_source_whichever_way_it_goes(tmp_path: Path) -> None:
    path = fetch(SILERO, DIGEST, Settings.from_environment().cache)
    assert compared_values(read_graph(path)) == {"sr": [16000, None]}
    convert(path, TARGETS, tmp_path / "out")
    cases = [
        Case({"input": normal(2, size), "state": normal(2, 2, 128), "sr": integer(rate)})
        for rate, size in ((16000, 512), (8000, 256))
    ]
    for framework in NATIVE:
        report = verify(tmp_path / "out" / "onnx", tmp_path / "out" / framework, cases)
        assert report.passed, report.failures()


def test_inputs_take_the_values_that_they_are_compared_with(tmp_path: Path) -> None:
    text = """
    agraph (bool p, int64 rate, float[1] level, float[N] x) => (float[N] y, bool q, bool r)
    <int64 high = {44100}, float loud = {0.5}> {
      f = Cast <to = 7> (rate)
      q = Equal (high, f)
      r = Less (level, loud)
      y = If (p) <
        then_branch = t () => (float[N] a) { a = Exp (x) },
        else_branch = e () => (float[N] b) { b = Neg (x) }
      >
    }
    """
    found = compared_values(read_graph(refuse(tmp_path, text)))
    assert found == {"p": [True, False], "rate": [44100, None], "level": [-0.5, 0.5]}
    specs = [
        TensorSpec("p", "bool", ()), TensorSpec("rate", "int64", ()),
        TensorSpec("level", "float32", (1,)), TensorSpec("x", "float32", ("N",)),
    ]  # fmt: skip
    cases = generate_cases(specs, values=found)
    ways = {
        (bool(c.inputs["p"]), int(c.inputs["rate"]) == 44100, float(c.inputs["level"][0]) < 0.5)
        for c in cases
    }
    assert len(ways) == len(cases) == 8


def test_sequences_and_optionals_go_through_conversions(tmp_path: Path) -> None:
    """Inputs are made for them, and what comes out is compared."""
    for name in ("sequences_in_and_out", "optional_input"):
        path = tmp_path / f"{name}.onnx"
        onnx.save(MODELS[name].proto(), path)
        sizes = {"N": (3, 5)}
        for result in convert(path, NATIVE, tmp_path / name, sizes=sizes).results:
            assert result.report is not None
            assert result.report.passed
    given = {n for case in result.report.cases for n in case.inputs}
    assert given == {"maybe", "x"}


def refuse(
    folder: Path, text: str, change: Callable[[onnx.ModelProto], None] | None = None
) -> Path:
    model = Model(text, ()).proto()
    if change is not None:
        change(model)
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


LOOP = """
agraph (int64 n, float[2] x) => (float[2] y)
{ y = Loop (n, , x) <body = step (int64 i, bool go, float[2] a) => (bool on, float[2] b) {
    on = Identity (go)
    b = Add (a, a)
  }>
}
"""
CHOICE = """
agraph (bool p, float[2] x) => (float[2] y)
{ y = If (p) <
    then_branch = t () => (float[2] a) { a = Exp (x) },
    else_branch = f () => (float[2] b) { b = Neg (x) }
  >
}
"""


def body(model: onnx.ModelProto) -> onnx.GraphProto:
    return model.graph.node[0].attribute[0].g


@pytest.mark.parametrize(
    ("text", "change"),
    [
        (LOOP, lambda model: body(model).input.pop()),
        (LOOP, lambda model: body(model).output.pop()),
        (LOOP, lambda model: model.graph.node[0].attribute.pop()),
        (LOOP, lambda model: model.graph.node[0].output.append("z")),
        (LOOP, lambda model: body(model).node[1].input.__setitem__(0, "nowhere")),
        (CHOICE, lambda model: model.graph.node[0].attribute.pop()),
        (CHOICE, lambda model: model.graph.node[0].output.append("z")),
        (CHOICE, lambda model: model.graph.node[0].input.pop()),
        (CHOICE, lambda model: setattr(body(model).node[0], "op_type", "SequenceConstruct")),
    ],
)
def test_a_body_that_does_not_fit_is_refused(
    text: str, change: Callable[[onnx.ModelProto], None], tmp_path: Path
) -> None:
    with pytest.raises(UnsafeInput):
        read_graph(refuse(tmp_path, text, change))


def nested(depth: int) -> onnx.ModelProto:
    def inside(level: int) -> onnx.GraphProto:
        node = helper.make_node("Neg", ["x"], [f"x{level}"])
        if level < depth:
            other = helper.make_node("Exp", ["x"], [f"e{level}"])
            graph = helper.make_graph([other], "e", [], [onnx.ValueInfoProto(name=f"e{level}")])
            branches = {"then_branch": inside(level + 1), "else_branch": graph}
            node = helper.make_node("If", ["p"], [f"x{level}"], **branches)
        output = onnx.ValueInfoProto(name=f"x{level}")
        return helper.make_graph([node], f"g{level}", [], [output])

    model = Model(CHOICE, ()).proto()
    body(model).CopyFrom(inside(1))
    return model


def test_sub_graphs_within_each_other_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(nested(10), path)
    read_graph(path)
    onnx.save(nested(20), path)
    with pytest.raises(UnsafeInput, match="deep"):
        read_graph(path)


COUNTED = """
agraph (float[N] x, int64[M] m) => (float[N] y)
<int64 zero = {0}, int64 one = {1}>
{
    n = Size (m)
    some = Less (FIRST, n)
    i, y = Loop <body = round (int64 r, bool c, int64 k, float[N] v) => (bool more, int64 next, float[N] w) {
        next = Add (k, one)
        more = Less (next, LIMIT)
        f = Cast <to = 1> (k)
        w = Add (v, f)
    }> (nothing, some, FIRST, x)
}
"""


@pytest.mark.parametrize(
    ("first", "limit", "counted"), [("zero", "n", True), ("one", "n", False), ("zero", "r", False)]
)
def test_a_loop_that_counts_is_a_for(first: str, limit: str, counted: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = Model(COUNTED.replace("FIRST", first).replace("LIMIT", limit), ()).proto()
    # The text form has no way to leave out the first input.
    model.graph.node[-1].input[0] = ""
    onnx.save(model, path)
    (loop,) = [node for node in read_graph(path).nodes if node.key == "Loop"]
    assert (loop.inputs[0] is not None) == counted
    assert len(loop.inputs) == (3 if counted else 4)


def test_a_loop_that_nothing_ends_is_refused(tmp_path: Path) -> None:
    text = LOOP.replace("(n, , x)", "(absent, , x)")
    with pytest.raises(UnsupportedOperators, match="nothing ends it"):
        emit(refuse(tmp_path, text), "pytorch", tmp_path / "out", source={})
    assert not (tmp_path / "out").exists()


def test_old_scans_with_lengths_are_refused(tmp_path: Path) -> None:
    text = """
    agraph (int64[B] lengths, float[B,2] s, float[B,T,2] xs) => (float[B,2] y, float[B,T,2] ys)
    { y, ys = Scan <num_scan_inputs = 1, body = step (float[2] a, float[2] x) => (float[2] b, float[2] c) {
        b = Add (a, x)
        c = Identity (b)
      }> (lengths, s, xs)
    }
    """
    path = tmp_path / "model.onnx"
    onnx.save(Model(text, (), 8).proto(), path)
    with pytest.raises(UnsupportedError, match="sequence_lens"):
        read_graph(path)
