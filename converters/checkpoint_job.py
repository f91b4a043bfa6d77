"""The conversion of a checkpoint as a program of its own: what reads a foreign file runs apart.

python checkpoint_job.py JOB.json ANSWER.json

JOB.json: {"source", "targets", "out", "options"}. ANSWER.json gets {"facts": {target: {...}}} or
{"error": {"type", "message", "fix"}}.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from converters.checkpoints.checkpoint import Checkpoint
from converters.checkpoints.formats import FORMATS, NATIVE, Written, open_checkpoint, resolve
from converters.checkpoints.mapping import Map, parse_mapping
from converters.checkpoints.placing import placed
from converters.checkpoints.steps import Step, apply
from converters.checkpoints.tensors import Tensor, cast, is_float
from converters.checkpoints.translate import Plan, plan, require_closed
from converters.dtypes import BY_NAME
from converters.errors import ConversionError, UnsafeInput, UnsupportedError, UsageError, described

RECORD = "conversion.json"
LARGEST_RECORD = 256 << 20
# What a disk should keep free beside the result.
SPARE_BYTES = 64 << 20


def main() -> None:
    """Convert one checkpoint for every target; the first error ends it."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        answer: dict[str, Any] = {"facts": _convert(job)}
    except ConversionError as error:
        answer = {"error": described(error)}
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


def _convert(job: Mapping[str, Any]) -> dict[str, Any]:
    options = job["options"]
    source = resolve(Path(job["source"]))
    opened = open_checkpoint(source, options["key"])
    record = _record(source, opened)
    said = parse_mapping(options["mapping"], "--map")
    said = said.model_copy(update={"kinds": {**said.kinds, **options["kinds"]}})
    facts = {}
    for target in job["targets"]:
        folder = Path(job["out"]) / target
        folder.mkdir()
        facts[target] = _one(opened, record, target, folder, said, options)
    return facts


def _one(
    opened: Checkpoint,
    record: dict[str, Any] | None,
    target: str,
    folder: Path,
    said: Map,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    findings = list(opened.findings)
    found = Plan()
    framework = options["source"] or opened.framework
    tensors = dict(opened.tensors)
    if target in NATIVE:
        framework = _framework(opened, options["source"])
        if record is not None and not _speaks(said):
            # Through the first form, so that its names outlive any number of conversions.
            tensors = apply([step.inverse() for step in _steps(record)], tensors)
            framework = str(record["from"])
            findings.append(f"names of the first form ({framework}) restored from {RECORD}")
        found = plan(tensors, framework, target, said)
        require_closed(found, opened.files[0].name, target)
        tensors = apply(found.steps, tensors)
        form, origin, framework = FORMATS[NATIVE[target]], framework, target
    else:
        if _speaks(said):
            found = plan(tensors, framework or "pytorch", framework or "pytorch", said)
            tensors = apply(found.steps, tensors)
        form, origin = FORMATS[target], framework or ""
    tensors = _cast(tensors, options["dtypes"])
    _require_room(tensors, folder)
    written = Written(
        framework,
        {key: text for key, text in opened.metadata.items() if isinstance(text, str)},
        opened.parameters if target not in NATIVE or origin == target else None,
        options["shard_bytes"],
    )
    form.write(folder / f"model{form.suffix}", tensors, written)
    if target in NATIVE and origin != target:
        _note(folder / RECORD, opened, origin, target, found, tensors)
    return {
        "tensors": len(tensors),
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "from": origin,
        "decisions": [[one.module, one.kind, one.by] for one in found.decisions],
        "dropped": [step.sources[0] for step in found.steps if step.op == "drop"],
        "findings": findings,
    }


def _speaks(said: Map) -> bool:
    return bool(said.rename or said.kinds or said.rules)


def _framework(opened: Checkpoint, given: str | None) -> str:
    """Whose names and layouts a checkpoint has.

    Raises:
        UsageError: Neither the file nor the user says it.
        UnsupportedError: Its names are those of a graph, not of modules.
    """
    if opened.format == "pdiparams":
        raise UnsupportedError(
            f"{opened.files[0].name}: a program's parameters: their names do not say what they are",
            fix="convert them to a container (--to safetensors), or the layer's .pdparams",
        )
    framework = given or opened.framework
    if framework is None:
        raise UsageError(
            f"{opened.files[0].name}: a {opened.format} file does not say whose layout it has",
            fix=f"say --from {'|'.join(NATIVE)}",
        )
    return framework


def _cast(tensors: Mapping[str, Tensor], dtypes: Mapping[str, str]) -> dict[str, Tensor]:
    cast_to = {old: BY_NAME.get(new) for old, new in dtypes.items()}
    for new, kind in zip(dtypes.values(), cast_to.values(), strict=True):
        if kind is None:
            raise UsageError(f"--dtype: unknown type {new!r}", fix=f"use: {', '.join(BY_NAME)}")
    made = {}
    for name, tensor in tensors.items():
        kind = cast_to.get(tensor.kind.name)
        if kind is None and is_float(tensor.kind):
            kind = cast_to.get("float")
        made[name] = cast(tensor, kind, name) if kind is not None else tensor
    return made


def _require_room(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Refuse what the disk cannot hold, before anything is written.

    Raises:
        UsageError: It cannot.
    """
    needed = sum(tensor.nbytes for tensor in tensors.values())
    free = shutil.disk_usage(folder).free
    if needed + SPARE_BYTES > free:
        raise UsageError(
            f"{needed} bytes are to be written, and {free} are free",
            fix="free some space, or choose another --out",
        )


def _note(
    path: Path,
    opened: Checkpoint,
    origin: str,
    target: str,
    found: Plan,
    tensors: Mapping[str, Tensor],
) -> None:
    record = {
        "schema": 1,
        "from": origin,
        "to": target,
        "source": {"format": opened.format, "file": opened.files[0].name},
        "tensors": {name: [t.kind.name, list(t.shape)] for name, t in tensors.items()},
        "steps": [step.to_json() for step in found.steps],
    }
    with placed(path) as output:
        output.write(json.dumps(record, ensure_ascii=False, indent=1).encode() + b"\n")


def _record(source: Path, opened: Checkpoint) -> dict[str, Any] | None:
    """What a conversion of ours left beside a checkpoint, if it is this checkpoint that it tells of."""
    path = source.parent / RECORD
    if not path.is_file() or path.stat().st_size > LARGEST_RECORD:
        return None
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        tensors = {name: (kind, tuple(shape)) for name, (kind, shape) in record["tensors"].items()}
        steps = _steps(record)
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError, UnsafeInput):
        return None
    here = {name: (tensor.kind.name, tensor.shape) for name, tensor in opened.tensors.items()}
    if tensors != here or record.get("to") != opened.framework:
        return None
    made = {name for step in steps for name in step.targets}
    return record if made == set(here) and record["from"] in NATIVE else None


def _steps(record: Mapping[str, Any]) -> list[Step]:
    return [Step.from_json(step) for step in record["steps"]]


if __name__ == "__main__":
    main()
