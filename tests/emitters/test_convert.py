"""Whole conversions: emitted folders run in their frameworks and equal their source, or nothing is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from converters.convert import TARGETS, convert
from converters.errors import MismatchError, UsageError
from converters.verify import made_up

SIZES = {
    "pp-ocrv4-rec": {"N": (1, 3), "H": (48, 48), "W": (320, 200)},
    "pp-ocr-cls": {"N": (1, 3), "H": (48, 48), "W": (192, 192)},
}


@pytest.mark.real
@pytest.mark.parametrize("model", sorted(SIZES))
def test_real_models_equal_their_source(
    model: str, real_model: Callable[[str], Path], tmp_path: Path
) -> None:
    results = convert(real_model(model), TARGETS, tmp_path / "out", sizes=SIZES[model]).results
    assert [r.framework for r in results] == list(TARGETS)
    for result in results[:-1]:
        assert result.report is not None
        assert result.report.passed
        assert result.report.max_abs < 1e-4
        assert len(result.report.cases) == 2
        manifest = json.loads((result.directory / "manifest.json").read_text())
        assert manifest["verification"]["passed"]
    assert sorted(p.name for p in (tmp_path / "out" / "mindspore").iterdir()) == [
        "infer.py", "manifest.json", "model.ckpt", "model.py",
    ]  # fmt: skip


def test_named_net_equals_its_source_everywhere(block_net: Path, tmp_path: Path) -> None:
    for result in convert(block_net, ["pytorch", "paddle", "mindspore"], tmp_path / "out").results:
        assert result.report is not None
        assert result.report.max_abs < 1e-4


def test_integers_are_tried_with_every_row_that_they_can_look_up(tmp_path: Path) -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    agraph (int64[N, T] tokens, int32[N, T] kinds, int64[N] plain) => (float[N, T, 2] y, int64[N] z) {
      places = Unsqueeze (tokens, two)
      words = Gather (table, places)
      flat = Squeeze (words, two)
      wide = Cast <to = 7> (kinds)
      kind = Gather (pair, wide)
      y = Add (flat, kind)
      z = Neg (plain)
    }
    """
    model = onnx.parser.parse_model(text)
    tables = {"table": (4000, 2), "pair": (2, 2)}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.random.default_rng(0).random(shape, np.float32), name)
        for name, shape in tables.items()
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array([2]), "two"))
    onnx.save(model, tmp_path / "model.onnx")
    (result,) = convert(tmp_path / "model.onnx", ["pytorch"], tmp_path / "out").results
    assert result.report is not None
    tried = [case.ranges for case in result.report.cases]
    assert 1000 < max(case["tokens"][1] for case in tried) < 4000
    assert {case["kinds"] for case in tried} == {(0, 1)}
    assert all(case["plain"][1] < 100 for case in tried)


def test_rows_of_a_view_are_those_of_the_view(tmp_path: Path) -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    agraph (float[N, 4, 5] x, int64[K] places) => (float[4, K, 5] y, float[N, 3, K, 5] z) {
      turned = Transpose <perm = [1, 0, 2]> (x)
      one = Shape <start = 0, end = 1> (x)
      inside = Mod (places, one)
      y = Gather <axis = 1> (turned, inside)
      wide = Unsqueeze (x, axis)
      part = Slice (wide, first, last, axis)
      both = Concat <axis = 1> (wide, wide, part)
      z = Gather <axis = 2> (both, inside)
    }
    """
    model = onnx.parser.parse_model(text)
    for name, number in {"axis": 1, "first": 0, "last": 1}.items():
        model.graph.initializer.append(numpy_helper.from_array(np.array([number]), name))
    onnx.save(model, tmp_path / "model.onnx")
    for result in convert(tmp_path / "model.onnx", TARGETS, tmp_path / "out").results:
        assert result.report is None or result.report.passed


def test_a_scale_is_never_close_to_zero(tmp_path: Path) -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    agraph (float[N, 4] boxes, float[N, 2] scale, float[N, 4] other) => (float[N, 4] y, float[N, 4] z) {
      h, w = Split <axis = 1> (scale)
      both = Concat <axis = 1> (w, h, w, h)
      y = Div (boxes, both)
      sum = Add (boxes, other)
      z = Div (sum, other)
    }
    """
    onnx.save(onnx.parser.parse_model(text), tmp_path / "model.onnx")
    (result,) = convert(tmp_path / "model.onnx", ["onnx"], tmp_path / "out").results
    made = json.loads((result.directory / "manifest.json").read_text())
    assert made["divisors"] == ["scale"]
    for case in made_up(result.directory):
        assert 0.5 <= case.inputs["scale"].min() <= case.inputs["scale"].max() < 2
        assert case.inputs["boxes"].min() < 0


def test_relative_paths_count_from_the_working_directory(
    block_net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (result,) = convert(Path("model.onnx"), ["pytorch"], Path("build")).results
    assert result.directory == Path("build/pytorch")
    assert (tmp_path / "build" / "pytorch" / "model.py").is_file()


def test_a_difference_leaves_nothing_behind(
    block_net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import converters.convert as room

    emitted = room._emit

    def spoiled(*args: object) -> None:
        emitted(*args)
        model = Path(str(args[4])) / "pytorch" / "model.py"
        model.write_text(model.read_text().replace("F.relu(", "F.elu("))

    monkeypatch.setattr(room, "_emit", spoiled)
    with pytest.raises(MismatchError, match="pytorch differs"):
        convert(block_net, ["pytorch"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.onnx"]


def test_a_failed_conversion_keeps_the_good_one(block_net: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(block_net, ["pytorch"], out)
    before = {p.name: p.read_bytes() for p in (out / "pytorch").iterdir()}
    checkpoint = tmp_path / "weights.safetensors"
    checkpoint.write_bytes((out / "pytorch" / "model.safetensors").read_bytes())
    with pytest.raises(UsageError, match="without an architecture"):
        convert(checkpoint, ["pytorch"], out)
    assert {p.name: p.read_bytes() for p in (out / "pytorch").iterdir()} == before


def test_a_folder_of_somebody_else_is_not_replaced(block_net: Path, tmp_path: Path) -> None:
    mine = tmp_path / "out" / "pytorch" / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(UsageError, match="no artifact of ours"):
        convert(block_net, ["pytorch"], tmp_path / "out", check=False)
    assert mine.read_text() == "mine"
