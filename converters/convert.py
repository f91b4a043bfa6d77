"""A model file -> verified artifact directories: the whole way, all of it or nothing.

Everything is made in a folder beside the target and moved there at the end, so that a failure leaves
the target as it was. The file is read in a limited process without network; every artifact is then run
beside the source, each in its framework's process, and compared.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from converters import emission
from converters.emitters import NATIVE, sha256, write_manifest
from converters.errors import MismatchError, RuntimeFailed, UnsafeInput, UsageError
from converters.importers import recognise
from converters.runtimes import Limits, Runtime
from converters.verify import Case, Report, TensorSpec, generate_cases, read_case, verify

TARGETS = (*NATIVE, "onnx")
# What reading a foreign file and writing source may take.
EMISSION = Limits(seconds=900, memory_bytes=16 << 30)
VERIFICATION = Limits(seconds=300, memory_bytes=16 << 30)

Progress = Callable[[str, str], None]


@dataclass(frozen=True)
class Converted:
    """One artifact directory and what was found when it was run beside its source.

    Attributes:
        framework: `pytorch`, `paddle`, `mindspore` or `onnx`.
        directory: Where it stands now.
        report: The verification; None for the source's own form and where it was switched off.
    """

    framework: str
    directory: Path
    report: Report | None


def convert(
    source: Path,
    targets: Sequence[str],
    out: Path,
    *,
    inputs: Path | None = None,
    sizes: Mapping[str, Sequence[int]] | None = None,
    check: bool = True,
    name: str = "",
    progress: Progress = lambda framework, step: None,
) -> list[Converted]:
    """Convert a model file into artifact directories `out/<framework>`.

    Args:
        source: The model file; its format is recognised by its bytes.
        targets: Frameworks.
        out: The folder that gets one folder for each framework; others in it stay as they are.
        inputs: An .npz file to verify with; by default inputs are generated from the signature.
        sizes: Sizes to verify with by name of dynamic dimension, where the model takes some only.
        check: Whether to verify.
        name: What to call the model in the emitted source.
        progress: Told of each framework and step (`emit`, `verify`, `done`).

    Returns:
        One entry for each target, in the order given.

    Raises:
        UsageError: An unknown framework, no such file, a target that is not a folder of ours.
        UnsupportedError: Some operator or format cannot be converted (exit status 3).
        MismatchError: A result differs from the source (exit status 4).
        UnsafeInput: The file was refused (exit status 5).
        MissingRuntime: A framework is needed for verification and is not installed.
        RuntimeFailed: A framework's process failed.
    """
    wanted = list(dict.fromkeys(targets))
    for target in wanted:
        if target not in TARGETS:
            raise UsageError(
                f"unknown framework {target!r}", fix=f"choose from: {', '.join(TARGETS)}"
            )
    if not wanted:
        raise UsageError("no framework to convert to", fix=f"choose from: {', '.join(TARGETS)}")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is there and is not a folder", fix="choose another --out")
    found = recognise(source)
    given = None if inputs is None else [read_case(inputs)]
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        # Other processes have other working directories.
        made = Path(scratch).resolve()
        for target in wanted:
            progress(target, "emit")
        _emit(found.path, ["onnx", *(t for t in wanted if t != "onnx")], made, name, found.format)
        reports: dict[str, Report | None] = dict.fromkeys(wanted)
        if check:
            cases = given if given is not None else _cases(made / "onnx", sizes)
            for target in (t for t in wanted if t != "onnx"):
                progress(target, "verify")
                reports[target] = _verified(made / "onnx", made / target, cases)
        results = []
        for target in wanted:
            _place(made / target, out / target)
            progress(target, "done")
            results.append(Converted(target, out / target, reports[target]))
    return results


def verify_artifact(
    reference: Path, candidate: Path, sizes: Mapping[str, Sequence[int]] | None = None
) -> Report:
    """Run an artifact directory beside another one and write what was found into its manifest.json.

    Args:
        reference: The artifact directory of the hub graph.
        candidate: The one to check.
        sizes: As for `convert`.

    Raises:
        MismatchError: It differs; its manifest is as it was.
        ConversionError: Either cannot be run.
    """
    return _verified(reference, candidate, _cases(reference, sizes))


def _emit(model: Path, targets: Sequence[str], out: Path, name: str, kind: str) -> None:
    """Run the emission in a process of its own."""
    task, answer = out / "job.json", out / "answer.json"
    task.write_text(
        json.dumps(
            {
                "model": str(model.resolve()),
                "name": name,
                "source": {"format": kind, "sha256": sha256(model)},
                "targets": {target: str(out / target) for target in targets},
            }
        ),
        encoding="utf-8",
    )
    with Runtime("onnx", python=sys.executable, limits=EMISSION) as runtime:
        try:
            runtime.script(Path(emission.__file__), [str(task), str(answer)])
        except RuntimeFailed as error:
            if error.reason in ("TimeLimit", "MemoryLimit", "SIGSEGV", "SIGABRT"):
                raise UnsafeInput(
                    f"{model.name}: refused while reading it: {error.message}"
                ) from error
            if error.reason == "OSError":
                raise RuntimeFailed(
                    f"the result cannot be written beside {out.parent}: {error.message}",
                    fix="free some space there, or choose another --out",
                    detail=error.detail,
                ) from error
            raise
    said = json.loads(answer.read_text(encoding="utf-8"))
    if said:
        raise emission.raised(said)


def _cases(reference: Path, sizes: Mapping[str, Sequence[int]] | None) -> list[Case]:
    manifest = json.loads((reference / "manifest.json").read_text(encoding="utf-8"))
    specs = [
        TensorSpec(s["name"], s["dtype"], None if s["shape"] is None else tuple(s["shape"]))
        for s in manifest["signature"]["inputs"]
    ]
    names = {dim for spec in specs for dim in spec.shape or () if isinstance(dim, str)}
    return generate_cases(specs, sizes={k: v for k, v in (sizes or {}).items() if k in names})


def _verified(reference: Path, candidate: Path, cases: Sequence[Case]) -> Report:
    """Compare, and write what was found into the candidate's manifest."""
    report = verify(reference, candidate, cases, VERIFICATION)
    if not report.passed:
        failures = report.failures()
        raise MismatchError(
            f"{candidate.name} differs from its source: {failures[0]}"
            + (f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""),
            fix="nothing was written; --no-verify writes it unverified, for a closer look",
        )
    manifest = json.loads((candidate / "manifest.json").read_text(encoding="utf-8"))
    write_manifest(candidate, {**manifest, "verification": report.to_json()})
    return report


def _place(made: Path, target: Path) -> None:
    """Put a finished folder at its place; one that was there goes only when the new one is in place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        os.replace(made, target)
        return
    if not (target / "manifest.json").is_file():
        raise UsageError(
            f"{target} is there and is no artifact of ours", fix="choose another --out"
        )
    old = made.with_name(f"{made.name}.old")
    os.replace(target, old)
    try:
        os.replace(made, target)
    except OSError:
        os.replace(old, target)
        raise
    shutil.rmtree(old)
