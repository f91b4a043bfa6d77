"""Programs of Paddle and MindSpore -> ONNX, read without their framework, in a limited process.

Beside the graph a folder `program` is made: an artifact directory that runs the program as it came in its own
framework, so that everything made from the graph can be held against the source's own numbers.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import onnx

from converters.emitters import inference_script
from converters.emitters.signature import name_dimensions, signature
from converters.errors import RuntimeFailed, UnsafeInput, raised
from converters.graph import read_graph
from converters.importers import reading_job
from converters.importers.imported import Attempt, Imported
from converters.importers.paddle.ragged import SEQUENCES
from converters.runtimes import Limits, Runtime
from converters.runtimes.process import REFUSED

LIMITS = Limits(seconds=900, memory_bytes=16 << 30)


def importer(framework: str) -> ModuleType:
    """The importer of a framework: `to_onnx(path) -> ModelProto` and `files(path)`, names that
    its inference.py looks for -> files.
    """
    return importlib.import_module(f"converters.importers.{framework}")


def read_program(path: Path, framework: str, kind: str, folder: Path) -> Imported:
    """Turn a program into ONNX; see `importers.bring`.

    Args:
        path: The program, or the folder that holds it.
        framework: `paddle` or `mindspore`.
        kind: A row of `importers.KINDS`.
        folder: Gets `model.onnx` and `program`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = folder.resolve() / "model.onnx"
    read(path, framework, model)
    program = _runnable(path.absolute(), framework, kind, model, folder.resolve() / "program")
    return Imported(model, framework, kind, (Attempt("read"),), program=program)


def read(path: Path, framework: str, model: Path) -> None:
    """Write a program as an ONNX file.

    Args:
        path: The program, or the folder that holds it.
        framework: `paddle` or `mindspore`.
        model: The ONNX file, which is written.

    Raises:
        UnsupportedError: An operator or a type is not supported.
        UnsafeInput: The program was refused.
        RuntimeFailed: The process failed.
    """
    task, answer = model.with_name("read.json"), model.with_name("answer.json")
    job = {"source": str(path.absolute()), "framework": framework, "model": str(model)}
    task.write_text(json.dumps(job), encoding="utf-8")
    with Runtime("onnx", python=sys.executable, limits=LIMITS) as runtime:
        try:
            runtime.script(Path(reading_job.__file__), [str(task), str(answer)])
        except RuntimeFailed as error:
            if error.reason in REFUSED:
                raise UnsafeInput(
                    f"{path.name}: refused while reading it: {error.message}"
                ) from error
            raise
    said = json.loads(answer.read_text(encoding="utf-8"))
    if said:
        raise raised(said)


def _runnable(path: Path, framework: str, kind: str, model: Path, folder: Path) -> Path:
    """An artifact directory of the program itself, whose files are links to where it is."""
    found = importer(framework)
    folder.mkdir()
    for name, file in found.files(path).items():
        (folder / name).symlink_to(file)
    graph = read_graph(model)
    name_dimensions(graph)
    specs = signature(graph)
    script = inference_script(Path(str(found.__file__)).with_name("inference.py"), specs)
    # Sequences of different lengths, which only Paddle has.
    known = {
        item.key: item.value for item in onnx.load(model, load_external_data=False).metadata_props
    }
    if SEQUENCES in known:
        said = json.loads(known[SEQUENCES])
        script = script.replace("SEQUENCES: dict[str, str] = {}", f"SEQUENCES = {said!r}")
    (folder / "infer.py").write_text(script, encoding="utf-8")
    manifest = {
        "schema": 1,
        "framework": framework,
        "format": kind,
        "precision": "fp32",
        "inference": "infer.py",
        "signature": specs,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder
