"""A checkpoint -> the same weights for other frameworks or in other containers: all of it, or nothing.

A target is a container (`safetensors`, `torch`, `pdparams`, `ckpt`, `npz`, `onnx`), which keeps names and bytes,
or a framework (`pytorch`, `paddle`, `mindspore`), whose names and layouts the tensors get. The file is read in
a limited process without network; results are made in a folder beside the target and moved there at the end.

    OUT/TARGET/    model.SUFFIX (or shards and an index)    conversion.json

conversion.json is written for frameworks: the steps that were taken. With it beside the weights, a conversion
back undoes them, so that names and bits are those of the first file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from converters import checkpoint_job
from converters.checkpoints.formats import FORMATS, NATIVE
from converters.errors import RuntimeFailed, UnsafeInput, UsageError, raised
from converters.runtimes import Limits, Runtime
from converters.runtimes.frameworks import Framework

# What reading a foreign file and writing it again may take.
LIMITS = Limits(seconds=6 * 3600, memory_bytes=4 << 30)
# The process needs no framework: numpy alone.
PLAIN = Framework("checkpoints", "Checkpoint", "ml_dtypes", "ml-dtypes", "")
OURS = re.compile(r"(conversion\.json|model[-.].*)")


@dataclass(frozen=True)
class Options:
    """What a user may say.

    Attributes:
        source: Whose names and layouts the checkpoint has, where it does not say so itself.
        key: Where in nested containers the weights are.
        mapping: What a mapping file says, as plain data.
        kinds: Kinds of modules by exact name, from a model's class.
        dtypes: Element types to cast: new by old name; `float` stands for all floats.
        shard_bytes: Bytes of tensors in a file at most.
    """

    source: str | None = None
    key: str | None = None
    mapping: Mapping[str, Any] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    shard_bytes: int | None = None


@dataclass(frozen=True)
class Converted:
    """What was made for one target.

    Attributes:
        target: The framework or container.
        directory: Where it stands now.
        files: Names of its files.
        facts: What was done: `tensors`, `bytes`, `decisions`, `dropped`, `findings`.
    """

    target: str
    directory: Path
    files: tuple[str, ...]
    facts: Mapping[str, Any]


def convert_checkpoint(
    source: Path, targets: Sequence[str], out: Path, options: Options | None = None
) -> list[Converted]:
    """Convert a checkpoint into `out/<target>`.

    Args:
        source: A file, an index of shards, or a folder that holds one.
        targets: Frameworks and containers.
        out: The folder that gets one folder for each target; others in it stay as they are.
        options: What the user says.

    Returns:
        One entry for each target, in the order given.

    Raises:
        UsageError: An unknown target, no such file, no room on the disk, options that do not fit.
        UnsupportedError: A type that the target lacks; tensors whose kind is not decided (exit status 3).
        UnsafeInput: The file was refused (exit status 5).
        RuntimeFailed: The process failed.
    """
    wanted = list(dict.fromkeys(targets))
    known = (*NATIVE, *FORMATS)
    for target in wanted:
        if target not in known:
            raise UsageError(f"unknown target {target!r}", fix=f"choose from: {', '.join(known)}")
    if not wanted:
        raise UsageError("nothing to convert to", fix=f"choose from: {', '.join(known)}")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is there and is not a folder", fix="choose another --out")
    for target in wanted:
        _require_ours(out / target)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        made = Path(scratch).resolve()
        facts = _run(source, wanted, made, options or Options())
        results = []
        for target in wanted:
            files = tuple(sorted(path.name for path in (made / target).iterdir()))
            _place(made / target, out / target)
            results.append(Converted(target, out / target, files, facts[target]))
    return results


def _run(source: Path, targets: list[str], made: Path, options: Options) -> dict[str, Any]:
    """Do it in a process of its own; give the facts by target."""
    job, answer = made / "job.json", made / "answer.json"
    said = {"source": str(source.resolve()), "targets": targets, "out": str(made)}
    job.write_text(json.dumps({**said, "options": asdict(options)}), encoding="utf-8")
    with Runtime(PLAIN, python=sys.executable, limits=LIMITS) as runtime:
        try:
            runtime.script(Path(checkpoint_job.__file__), [str(job), str(answer)])
        except RuntimeFailed as error:
            if error.reason in ("TimeLimit", "MemoryLimit", "SIGSEGV", "SIGABRT", "SIGBUS"):
                raise UnsafeInput(
                    f"{source.name}: refused while reading it: {error.message}"
                ) from error
            if error.reason == "OSError":
                raise RuntimeFailed(
                    f"the result cannot be written beside {made.parent}: {error.message}",
                    fix="free some space there, or choose another --out",
                    detail=error.detail,
                ) from error
            raise
    said = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in said:
        raise raised(said["error"])
    facts: dict[str, Any] = said["facts"]
    return facts


def _require_ours(target: Path) -> None:
    """Refuse a folder that holds what we did not make.

    Raises:
        UsageError: It does.
    """
    if not target.exists():
        return
    if not target.is_dir() or not all(OURS.fullmatch(path.name) for path in target.iterdir()):
        raise UsageError(
            f"{target} is there and is no checkpoint of ours", fix="choose another --out"
        )
    if (target / "model.py").exists():
        raise UsageError(f"{target} holds a model with its source", fix="choose another --out")


def _place(made: Path, target: Path) -> None:
    """Put a finished folder at its place; one that was there goes only when the new one is in place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        os.replace(made, target)
        return
    old = made.with_name(f"{made.name}.old")
    os.replace(target, old)
    try:
        os.replace(made, target)
    except OSError:
        os.replace(old, target)
        raise
    shutil.rmtree(old)
