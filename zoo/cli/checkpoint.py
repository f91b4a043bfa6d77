"""What `zoo convert` and `zoo inspect` do with checkpoints: weights by name, without a graph."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo import present

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 1 << 10, "MI": 1 << 20, "GI": 1 << 30}
MOST_ROWS = 40


def is_checkpoint(source: Path, targets: Sequence[str], model: str | None) -> bool:
    """Whether a conversion is one of tensors alone: from weights without a class, or into containers.

    Args:
        source: What is converted.
        targets: Frameworks or containers.
        model: The class that was named for weights, if one was.

    Raises:
        UsageError: An unknown target; there is no such file; frameworks and containers at once.
        UnsafeInput: Nothing that is known.
        UnsupportedError: Something that is known and cannot be read.
    """
    from converters.checkpoints.formats import FORMATS
    from converters.convert import TARGETS
    from converters.errors import UsageError
    from converters.importers import KINDS, recognise

    known = dict.fromkeys([*TARGETS, *FORMATS])
    for target in targets:
        if target not in known:
            raise UsageError(f"unknown target {target!r}", fix=f"choose from: {', '.join(known)}")
    found = recognise(source)
    containers = [target for target in targets if target in FORMATS and target != "onnx"]
    if found.kind == "checkpoint":
        if model is not None and containers:
            raise UsageError(
                f"--model makes a whole model: {', '.join(containers)} hold weights alone",
                fix="leave --model out, or ask for frameworks",
            )
        return model is None
    if containers and len(containers) < len(targets):
        raise UsageError(
            f"{source.name} is {KINDS[found.kind]}: {', '.join(containers)} hold its weights alone",
            fix="ask for frameworks and containers in two calls",
        )
    return bool(containers)


def convert_checkpoint_file(
    source: Path,
    targets: list[str],
    out: Path,
    *,
    source_framework: str | None,
    key: str | None,
    map_file: Path | None,
    dtypes: Sequence[str],
    shard_size: str | None,
    kinds_from: str | None,
    arguments: Any,
    json: bool,
) -> None:
    """Convert, and say what was made."""
    from converters.checkpoint_conversion import Options, convert_checkpoint
    from converters.checkpoints.formats import NATIVE
    from converters.checkpoints.mapping import read_mapping
    from converters.errors import UsageError

    if source_framework is not None and source_framework not in NATIVE:
        raise UsageError(
            f"--from {source_framework}: no framework", fix=f"choose from: {', '.join(NATIVE)}"
        )
    options = Options(
        source=source_framework,
        key=key,
        mapping=read_mapping(map_file).model_dump() if map_file is not None else {},
        kinds=_kinds(kinds_from, arguments, source, source_framework) if kinds_from else {},
        dtypes=dict(_dtype(text) for text in dtypes),
        shard_bytes=None if shard_size is None else _bytes(shard_size),
    )
    with present.steps(quiet=json) as step:
        for target in targets:
            step(target, "convert")
        results = convert_checkpoint(source, targets, out, options)
        for target in targets:
            step(target, "done")
    rows: list[dict[str, Any]] = [
        {
            "target": result.target,
            "directory": str(result.directory),
            "files": list(result.files),
            **result.facts,
        }
        for result in results
    ]
    if json:
        present.document({"results": rows})
        return
    present.table(
        ("target", "tensors", "size", "files", "directory"),
        [
            (
                row["target"],
                row["tensors"],
                present.size(row["bytes"]),
                len(row["files"]),
                row["directory"],
            )
            for row in rows
        ],
    )
    for finding in dict.fromkeys(finding for row in rows for finding in row["findings"]):
        print(f"note: {finding}")
    for name in dict.fromkeys(name for row in rows for name in row["dropped"]):
        print(f"note: {name} has no equal there and was left out")


def show(source: Path, facts: dict[str, Any]) -> None:
    """Print what is known of a checkpoint."""
    framework = facts["framework"] or "no framework named"
    print(f"{source.name}: {facts['format']}, {framework}")
    print(f"{facts['parameters']:,} parameters, {present.size(facts['parameter_bytes'])}")
    tensors = facts["tensors"]
    present.table(
        ("tensor", "type", "shape"),
        [(one["name"], one["dtype"], one["shape"]) for one in tensors[:MOST_ROWS]],
    )
    if len(tensors) > MOST_ROWS:
        print(f"... and {len(tensors) - MOST_ROWS} more; --json lists them all")
    if facts["modules"]:
        counts = facts["modules"]
        print("modules: " + ", ".join(f"{kind} {count}" for kind, count in counts.items()))
    for key, value in facts["metadata"].items():
        print(f"{key}: {value}")
    for finding in facts["findings"]:
        print(f"note: {finding}")


def _dtype(text: str) -> tuple[str, str]:
    """`float16` -> all floats; `int64=int32` -> one type."""
    old, equals, new = text.partition("=")
    return (old, new) if equals else ("float", text)


def _bytes(text: str) -> int:
    from converters.errors import UsageError

    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?I?)B?", text.strip().upper())
    if match is None or match[2] == "I" or float(match[1]) <= 0:
        raise UsageError(f"--shard-size {text}: no size", fix="write 5GB, 500MB or 2GiB")
    return int(float(match[1]) * UNITS[match[2]])


def _kinds(
    model: str, arguments: Any, source: Path, source_framework: str | None
) -> dict[str, str]:
    """Kinds of modules, from a class of the source's framework."""
    from converters.checkpoints.formats import open_checkpoint
    from converters.errors import UsageError
    from converters.module_kinds import module_kinds

    framework = source_framework or open_checkpoint(source).framework
    if framework is None:
        raise UsageError("--kinds-from needs to know the framework", fix="say --from")
    return module_kinds(framework, model, arguments)
