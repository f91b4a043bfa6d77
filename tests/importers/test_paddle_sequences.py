"""Sequences of different lengths in Paddle's programs (LoD): its own numbers, and refusals of what mixes rows.

paddle_sequences.py saves and runs the cases, in a process of Paddle's own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from converters.dtypes import BY_NAME
from converters.errors import UnsupportedError, UnsupportedOperators
from converters.importers.paddle import convert, to_onnx
from converters.importers.paddle.program import Operator, Program, Variable
from tests.importers.paddle_sequences import CASES

HERE = Path(__file__).parent
FLOAT = BY_NAME["float32"]

needs_paddle = pytest.mark.skipif(
    importlib.util.find_spec("paddle") is None, reason="PaddlePaddle is not installed"
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sequences")
    subprocess.run(
        [sys.executable, HERE / "paddle_sequences.py", folder],
        env={**os.environ, "FLAGS_enable_pir_api": "0"},
        capture_output=True,
        timeout=300,
        check=True,
    )
    return folder


@needs_paddle
@pytest.mark.parametrize("name", CASES)
def test_the_numbers_of_paddle(saved, name):
    model = to_onnx(saved / f"{name}.pdmodel")
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for run in (0, 1):
        with np.load(saved / f"{name}.{run}.npz") as file:
            arrays = dict(file)
        wanted = arrays.pop("out")
        (got,) = session.run(None, {key[3:]: array for key, array in arrays.items()})
        lengths = arrays["in:x0_lengths"]
        if not name.startswith("pool"):
            for one, length in zip(got, lengths, strict=True):
                assert not one[length:].any()
            got = np.concatenate([x[:n] for x, n in zip(got, lengths, strict=True)])
        assert got.dtype == wanted.dtype
        assert np.ptp(wanted)
        np.testing.assert_allclose(got, wanted, 1e-5, 1e-6)


@needs_paddle
def test_sequences_become_native_models(saved, tmp_path):
    source, out = saved / "lstm_peepholes.pdmodel", tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "zoo", "convert", source, "--to", "pytorch", "--out", out, "--json"],
        capture_output=True,
        timeout=300,
        check=True,
    )
    (row,) = json.loads(done.stdout)["results"]
    shapes = [case["inputs"] for case in row["verification"]["cases"]]
    assert {shape["x0_lengths"][0] for shape in shapes} == {1, 3}
    assert len({shape["x0"][1] for shape in shapes}) == 2


def _program(*operators, levels=1, output="y"):
    known = [
        Variable("x", FLOAT, (-1, 4), levels=levels),
        Variable("z", FLOAT, (-1, 4), levels=levels),
    ]
    made = [Variable(one.outputs["Out"][0], FLOAT, (-1, 4)) for one in operators]
    return Program(
        "m", {v.name: v for v in (*known, *made)}, operators, ("x", "z"), (("y", output),)
    )


def _operator(kind, attributes=None, slots=("X",), out="y"):
    inputs = dict(zip(slots, (("x",), ("z",)), strict=False))
    return Operator(kind, inputs, {"Out": (out,)}, attributes or {})


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("reduce_mean", {"dim": (0,)}),
        ("reduce_sum", {"dim": (), "reduce_all": True}),
        ("softmax", {"axis": 0}),
        ("concat", {"axis": -2}),
        ("cumsum", {"axis": 0}),
        ("reshape2", {"shape": (-1, 2)}),
        ("mean", {}),
        ("split", {"axis": 0, "num": 2}),
    ],
)
def test_what_mixes_rows_is_refused(kind, attributes):
    with pytest.raises(UnsupportedOperators) as caught:
        convert(_program(_operator(kind, attributes)), {})
    (found,) = caught.value.operators
    assert (found.operator, found.reason) == (
        kind,
        "on sequences of different lengths (LoD): it may mix rows",
    )


def test_sequences_within_sequences_are_refused():
    with pytest.raises(UnsupportedError, match="'x' has 2 levels of detail"):
        convert(_program(_operator("relu"), levels=2), {})


def test_inputs_that_meet_have_their_lengths_together():
    program = _program(_operator("elementwise_add", slots=("X", "Y")))
    assert [one.name for one in convert(program, {}).graph.input] == ["x", "x_lengths", "z"]
    program = _program(_operator("relu"))
    names = [one.name for one in convert(program, {}).graph.input]
    assert names == ["x", "x_lengths", "z", "z_lengths"]
