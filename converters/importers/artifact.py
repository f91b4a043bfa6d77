"""An artifact directory that was made here -> the hub graph: a model that was converted is converted once more.

Its framework saves it as a program of its own (`artifact_job.py`), as a user would, and that program is read like any
other. The numbers that count are those of the directory's own infer.py; inputs, outputs and dimensions keep their
names, and what was made of it knows its whole way, back to what was uploaded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from converters.errors import RuntimeFailed, UnsafeInput, UnsupportedError
from converters.importers import artifact_job
from converters.importers.imported import Imported
from converters.runtimes import FRAMEWORKS, Limits, Runtime
from converters.verify import TensorSpec, generate_cases

LIMITS = Limits(seconds=900, memory_bytes=16 << 30)
LARGEST_MANIFEST = 16 << 20
# Fields of its manifest.json that the lineage repeats.
LINEAGE = ("framework", "source", "converter", "route")


def is_artifact(folder: Path) -> bool:
    """Whether a folder says that it is an artifact directory."""
    path = folder / "manifest.json"
    if not path.is_file() or path.stat().st_size > LARGEST_MANIFEST:
        return False
    try:
        said = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("schema") == 1 and "inference" in said


def read_manifest(folder: Path) -> dict[str, Any]:
    """What an artifact directory says of itself.

    Raises:
        UnsafeInput: It lacks something, or it is of a wrong form.
    """
    said: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    parameters, source = said.get("parameters", {}), said.get("source", {})
    sound = (
        said.get("framework") in FRAMEWORKS
        and isinstance(said.get("entry"), str)
        and isinstance(source, dict)
        and isinstance(parameters, dict)
        and all(isinstance(name, str) for name in parameters.values())
        and isinstance(said.get("signature"), dict)
        and all(
            isinstance(spec, dict) and {"name", "dtype", "shape"} <= spec.keys()
            for side in ("inputs", "outputs")
            for spec in said["signature"].get(side, [None])
        )
    )
    if not sound or Path(said["entry"]).name != said["entry"]:
        raise UnsafeInput(
            f"{folder}: its manifest.json is malformed", fix="convert the model again"
        )
    return said


def lineage(folder: Path) -> dict[str, Any]:
    """How an artifact came about: its framework, converter and route, and the same of what it was made from."""
    said = read_manifest(folder)
    return {name: said[name] for name in LINEAGE if name in said}


def names(folder: Path) -> Mapping[str, str]:
    """Parameters by the names that they have in an artifact -> the names in the form that was uploaded."""
    found: Mapping[str, str] = read_manifest(folder).get("parameters", {})
    return found


def read_artifact(path: Path, folder: Path, bring: Callable[[Path, Path], Imported]) -> Imported:
    """Turn an artifact directory into ONNX; see `importers.bring`.

    Args:
        path: The directory.
        folder: Gets the program and what comes of it.
        bring: Turns a program into ONNX.
    """
    said = read_manifest(path)
    key, signature = said["framework"], said["signature"]
    if key == "onnx":
        return Imported(path / said["entry"], "onnx", "artifact")
    if any("kind" in spec or spec["shape"] is None for side in signature.values() for spec in side):
        raise UnsupportedError(
            f"{path}: has inputs or outputs that are no tensors of a known rank, which no program has",
            fix="convert what it was made from",
        )
    folder.mkdir(parents=True)
    program = _saved(path, said, folder)
    imported = bring(program, folder / "import")
    _rename(imported.model, signature)
    # The truth is the directory's own, under its own names.
    return replace(imported, kind="artifact", program=path.resolve(), cases=())


def sizes(folder: Path) -> dict[str, list[int]]:
    """Sizes at which an artifact was verified, by name of dimension."""
    said = read_manifest(folder)
    found: dict[str, list[int]] = {}
    for case in (said.get("verification") or {}).get("cases", []):
        for spec in said["signature"]["inputs"]:
            for dim, size in zip(
                spec["shape"] or (), case["inputs"].get(spec["name"], ()), strict=False
            ):
                if isinstance(dim, str) and size not in found.setdefault(dim, []):
                    found[dim].append(size)
    return found


def _saved(path: Path, said: Mapping[str, Any], folder: Path) -> Path:
    """The program that its framework makes of it."""
    specs = said["signature"]["inputs"]
    wanted = [TensorSpec(s["name"], s["dtype"], tuple(s["shape"])) for s in specs]
    case = generate_cases(wanted, sizes=sizes(path))[-1]
    examples = {name: list(array.shape) for name, array in case.inputs.items()}
    task = folder / "save.json"
    job = {"framework": said["framework"], "folder": str(path.resolve()), "inputs": specs}
    out = folder / "saved"
    out.mkdir()
    task.write_text(json.dumps({**job, "shapes": examples, "out": str(out)}), encoding="utf-8")
    with Runtime(said["framework"], limits=LIMITS) as runtime:
        try:
            runtime.script(Path(artifact_job.__file__), [str(task)])
        except RuntimeFailed as error:
            lines = [line for line in (error.detail or "").splitlines() if "Error" in line]
            raise UnsupportedError(
                f"{path}: {FRAMEWORKS[said['framework']].title} cannot save it as a program:"
                f" {lines[-1].strip()[:300] if lines else error.message}",
                fix="convert what it was made from",
            ) from error
    return next(file for file in sorted(out.iterdir()) if file.suffix in artifact_job.SUFFIXES)


def _rename(path: Path, signature: Mapping[str, Any]) -> None:
    """Give inputs and outputs of a graph the names that they have in a signature, dimensions too."""
    model = onnx.load(path, load_external_data=False)
    sides = (model.graph.input, signature["inputs"]), (model.graph.output, signature["outputs"])
    new: dict[str, str] = {}
    for values, specs in sides:
        if len(values) != len(specs):
            raise UnsupportedError(
                f"the program has {len(values)} of {len(specs)} inputs or outputs",
                fix="convert what it was made from",
            )
        for value, spec in zip(values, specs, strict=True):
            new[value.name] = spec["name"]
            for dim, said in zip(value.type.tensor_type.shape.dim, spec["shape"], strict=False):
                if not dim.HasField("dim_value") and isinstance(said, str):
                    dim.dim_param = said
    # What has one of these names inside gives way.
    taken = set(new.values()) - new.keys()
    new |= {name: f"{name}.inner" for name in taken}
    for graph in _graphs(model.graph):
        for tensor in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
            tensor.name = new.get(tensor.name, tensor.name)
        for node in graph.node:
            for place in (node.input, node.output):
                place[:] = [new.get(name, name) for name in place]
    onnx.save(model, path)


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _graphs(attribute.g)
