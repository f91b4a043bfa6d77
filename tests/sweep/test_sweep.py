"""A quick part of the sweep: odd ONNX files in all frameworks, each started once for all of them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from converters.emitters import emit
from converters.runtimes import Runtime
from converters.verify import compare, tolerance

HERE = Path(__file__).parent
# Opset 7 with initialisers among the inputs, recurrent outputs with an axis of directions, names that are no
# names in Python, tensors without elements, whole numbers, sizes of one, halves out of order.
QUICK = ("cnn7", "lstm7", "names", "collide", "empty", "ints", "dims1", "buckets", "halves")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cases with what onnxruntime makes of them."""
    folder = tmp_path_factory.mktemp("sweep")
    sources = load("onnx_sources")
    for name in QUICK:
        (folder / name).mkdir()
        sources.make_case(name, folder / name)
    return folder


@pytest.mark.parametrize("framework", ["pytorch", "paddle", "mindspore"])
def test_odd_files_give_the_same_numbers(cases: Path, framework: str) -> None:
    held_out = load("onnx_sources").held_out
    with Runtime(framework) as runtime:
        for name in QUICK:
            out = cases / name / framework
            emit(cases / name / "model.onnx", framework, out, source={"format": "onnx"})
            runtime.load(out)
            manifest = json.loads((out / "manifest.json").read_text())
            limit = tolerance({manifest["precision"]})
            for inputs, expected in held_out(cases / name):
                got = runtime.run(inputs)
                assert list(got) == [s["name"] for s in manifest["signature"]["outputs"]]
                for output, (key, have) in zip(expected, got.items(), strict=True):
                    report = compare(f"{name}: {key}", output, have, limit)
                    assert report.passed, report
