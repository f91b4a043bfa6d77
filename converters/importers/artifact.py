"""An artifact directory that was made here -> the hub graph: a model that was converted is converted once more.

Its framework saves it as a program of its own (`child/`), as a user would, and that program is read like any
other. The numbers that count are those of the directory's own infer.py; inputs, outputs and dimensions keep their
names, and what was made of it knows its whole way, back to what was uploaded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx

from converters.errors import ConversionError, RuntimeFailed, UnsafeInput, UnsupportedError
from converters.importers.imported import Imported
from converters.importers.renaming import rename
from converters.importers.routes import LIMITS, run_job, short
from converters.runtimes import FRAMEWORKS, Runtime
from converters.verify import TensorSpec, generate_cases
from converters.verify.inputs import LOWEST_HIGHEST

LARGEST_MANIFEST = 16 << 20
Bring: TypeAlias = Callable[[Path, Path, Path | None], Imported]
# The programs that a framework can make of a model, best first: functions of `child/` that save one.
WAYS: Mapping[str, tuple[str, ...]] = {
    # What depends on numbers, and steps along sizes that vary, only a script keeps.
    "pytorch": ("save", "script"),
    # Static programs know every rank; where it depends on a size, that must be known.
    "paddle": ("save", "save_as_taken"),
    "mindspore": ("save",),
}
# How many draws of inputs its framework may choose from, to save it with.
DRAWS = 3
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


def read_artifact(path: Path, folder: Path, bring: Bring) -> Imported:
    """Turn an artifact directory into ONNX; see `importers.bring`.

    Args:
        path: The directory.
        folder: Gets the program and what comes of it.
        bring: Turns a program into ONNX: the file, a folder for what comes of it, and an .npz file of inputs.
    """
    said = read_manifest(path)
    key, signature = said["framework"], said["signature"]
    if key == "onnx":
        return Imported(path / said["entry"], "onnx", "artifact")
    boxes = any("kind" in spec for side in signature.values() for spec in side)
    if boxes or any(spec["shape"] is None for spec in signature["inputs"]):
        raise UnsupportedError(
            f"{path}: has inputs of no known rank, or inputs or outputs that are no tensors, which no program has",
            fix="convert what it was made from",
        )
    imported = _brought(path, said, folder, bring)
    rename(imported.model, signature)
    # The truth is the directory's own, under its own names.
    return replace(imported, kind="artifact", program=path.resolve(), cases=())


def _brought(path: Path, said: Mapping[str, Any], folder: Path, bring: Bring) -> Imported:
    """The first program that keeps every size that varies, or else the one that keeps most."""
    found: list[tuple[int, Imported]] = []
    errors: list[ConversionError] = []
    for how in WAYS[said["framework"]]:
        part = folder / how
        part.mkdir(parents=True)
        try:
            program, keeps = _saved(path, said, how, part)
            given = program.with_suffix(".npz")
            imported = bring(program, part / "import", given if given.is_file() else None)
            # What is wrong at other sizes is worse than what has fixed them.
            found.append((_fixed(imported.model, said["signature"]) + 100 * (not keeps), imported))
        except ConversionError as error:
            errors.append(error)
            continue
        if not found[-1][0]:
            break
    if found:
        return min(found, key=lambda one: one[0])[1]
    if len(errors) == 1:
        raise errors[0]
    raise UnsupportedError(
        f"{path}: none of its programs can be read:" + "".join(f"\n  {e.message}" for e in errors),
        fix="convert what it was made from",
    )


def _fixed(model: Path, signature: Mapping[str, Any]) -> int:
    """How many sizes of inputs are numbers in a graph and vary in a signature."""
    graph = onnx.load(model, load_external_data=False).graph
    return sum(
        isinstance(size, str) and dim.HasField("dim_value")
        for value, spec in zip(graph.input, signature["inputs"], strict=False)
        for dim, size in zip(value.type.tensor_type.shape.dim, spec["shape"], strict=False)
    )


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


def ranges(folder: Path) -> dict[str, tuple[int, int]]:
    """Lowest and highest integers with which an artifact was verified, by name of input."""
    found: dict[str, tuple[int, int]] = {}
    for case in (read_manifest(folder).get("verification") or {}).get("cases", []):
        for name, (low, high) in case.get("ranges", {}).items():
            lowest, highest = found.get(name, (low, high))
            found[name] = min(low, lowest), max(high, highest)
    return found


def _saved(path: Path, said: Mapping[str, Any], how: str, folder: Path) -> tuple[Path, bool]:
    """The program that its framework makes of it, and whether it gives the same at all sizes that were verified.

    Where a program has no inputs of its own, they lie beside it.
    """
    specs = said["signature"]["inputs"]
    wanted = [TensorSpec(s["name"], s["dtype"], tuple(s["shape"])) for s in specs]
    verified = sizes(path)
    *others, case = generate_cases(wanted, sizes=verified, ranges=ranges(path))
    # The one that the program is saved with comes last.
    taken = {n: [*(s for s in verified.get(n, ()) if s != d), d] for n, d in case.dims.items()}
    draws = [case, case.made_again(highest=LOWEST_HIGHEST), *islice(case.drawn_again(), DRAWS)]
    files = [folder.resolve() / f"case{place}.npz" for place in range(len(draws) + len(others))]
    for file, draw in zip(files, (*draws, *others), strict=True):
        np.savez(file, **draw.inputs)
    job = {
        "framework": said["framework"],
        "step": "save",
        "how": how,
        "artifact": str(path.resolve()),
        "inputs": specs,
        "sizes": taken,
        "draws": [str(file) for file in files[: len(draws)]],
        "others": [str(file) for file in files[len(draws) :]],
        "folder": str(folder.resolve()),
    }
    try:
        with Runtime(said["framework"], limits=LIMITS) as runtime:
            answer = run_job(runtime, job)
        reason = answer.get("failed", "")
    except RuntimeFailed as error:
        reason = error.message
    if reason:
        raise UnsupportedError(
            f"{path}: {FRAMEWORKS[said['framework']].title} cannot save it as a program:"
            f" {short(reason)}",
            fix="convert what it was made from",
        )
    return Path(answer["program"]), answer["keeps"]
