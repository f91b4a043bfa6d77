"""A model -> verified artifact directories: the whole way, all of it or nothing.

Everything is made in a folder beside the target and moved there at the end, so that a failure leaves
the target as it was. The file is read in a limited process without network; every artifact is then run,
each in its framework's process, and held against the numbers of the source itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters import emission
from converters.emitters import NATIVE, sha256, write_manifest
from converters.errors import (
    ConversionError,
    MismatchError,
    RuntimeFailed,
    UnsafeInput,
    UnsupportedError,
    UsageError,
    raised,
)
from converters.importers import Imported, Source, artifact, bring, recognise
from converters.runtimes import FRAMEWORKS, Limits, Runtime
from converters.runtimes.process import REFUSED
from converters.verify import (
    Case,
    Report,
    Truth,
    judge,
    made_up,
    observe,
    read_case,
    recorded,
)
from converters.verify.compare import PRECISION_OF
from converters.verify.inputs import Ranges

TARGETS = (*NATIVE, "onnx")
# What reading a foreign file and writing source may take.
EMISSION = Limits(seconds=900, memory_bytes=16 << 30)
# Weights up to this are verified in several frameworks at the same time.
SMALL = 512 << 20
VERIFICATION = Limits(seconds=300, memory_bytes=16 << 30)

# What ONNX Runtime says of a graph whose types or shapes do not fit, and how it says where it found out.
ILL_FORMED = re.compile(r"ShapeInferenceError|Type Error|INVALID_GRAPH")
TOO_NEW = re.compile(r"Opset (\d+) is under development")
NO_KERNEL = re.compile(r"Could not find an implementation for (\w+)")
LIBRARY = re.compile(r"^Load model from \S+ failed:")

Progress = Callable[[str, str], None]


@dataclass(frozen=True)
class Converted:
    """One artifact directory and what was found when it was held against its source.

    Attributes:
        framework: `pytorch`, `paddle`, `mindspore` or `onnx`.
        directory: Where it stands now.
        report: The verification; None for the source's own form and where it was switched off.
    """

    framework: str
    directory: Path
    report: Report | None


@dataclass(frozen=True)
class Conversion:
    """What came of a conversion.

    Attributes:
        source: How the source came to the hub graph.
        results: One for each framework that was asked for.
    """

    source: Imported
    results: tuple[Converted, ...]


def convert(
    source: Path,
    targets: Sequence[str],
    out: Path,
    *,
    inputs: Path | None = None,
    sizes: Mapping[str, Sequence[int]] | None = None,
    check: bool = True,
    name: str = "",
    model: str | None = None,
    arguments: Any = (),
    key: str | None = None,
    framework: str | None = None,
    progress: Progress = lambda framework, step: None,
) -> Conversion:
    """Convert a model into artifact directories `out/<framework>`.

    Args:
        source: The model; its format is recognised by its bytes.
        targets: Frameworks.
        out: The folder that gets one folder for each framework; others in it stay as they are.
        inputs: An .npz file to verify with; by default inputs are generated from the signature.
        sizes: Sizes to verify with by name of dynamic dimension, where the model takes some only.
        check: Whether the results are run and held against the source.
        name: What to call the model in its source; by default the file's name.
        model: The class of a checkpoint, `package.module:Class`.
        arguments: A list of the class's arguments, or an object of them by name.
        key: Where in a checkpoint the weights are, if it holds more.
        framework: Whose class and names a checkpoint has, where it does not say so itself.
        progress: Called with a framework and the step that begins.

    Raises:
        UsageError: The call is wrong; nothing is written. So it is for all that follow.
        UnsupportedError: The format or an operator is not supported; every operator is listed.
        MismatchError: A result differs from the source.
        UnsafeInput: The file is malformed, or reading it broke a limit.
        MissingRuntime: A framework is not installed and `check` needs it.
        RuntimeFailed: A process failed.
    """
    wanted = _targets(targets)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is there and is not a folder", fix="choose another --out")
    found = recognise(source)
    given = None if inputs is None else [read_case(inputs)]
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch,
        _Waiting() as waiting,
    ):
        # Other processes have other working directories.
        made = Path(scratch).resolve()
        native = [target for target in wanted if target != "onnx"]
        if found.kind != "onnx":
            progress("onnx", "import")
            if check and _size(found.path) <= SMALL:
                waiting.begin(native)
        imported = bring(
            found,
            made / "import",
            model=model,
            arguments=arguments,
            inputs=inputs,
            key=key,
            framework=framework,
        )
        for target in wanted:
            progress(target, "emit")
        names = artifact.names(found.path) if found.kind == "artifact" else {}
        origin = _origin(found, imported)
        _emit(imported, origin, names, ["onnx", *native], made, name or _title(source))
        ranges: Ranges = {}
        if found.kind == "artifact":
            sizes = {**artifact.sizes(found.path), **(sizes or {})}
            ranges = artifact.ranges(found.path)
        reports: dict[str, Report | None] = dict.fromkeys(wanted)
        if check:
            # What ONNX itself says is true; a graph that was imported has to prove itself first.
            checked = native if imported.framework == "onnx" else ["onnx", *native]
            if checked:
                progress(checked[0], "verify")
                truth = _truth(imported, made / "onnx", given, sizes, ranges)
                for target in checked:
                    progress(target, "verify")
                reports |= _all_verified(truth, [made / target for target in checked], waiting)
        results = []
        for target in wanted:
            _place(made / target, out / target)
            progress(target, "done")
            results.append(Converted(target, out / target, reports[target]))
    return Conversion(imported, tuple(results))


def _targets(targets: Sequence[str]) -> list[str]:
    wanted = list(dict.fromkeys(targets))
    fix = f"choose from: {', '.join(TARGETS)}"
    for target in wanted:
        if target not in TARGETS:
            raise UsageError(f"unknown framework {target!r}", fix=fix)
    if not wanted:
        raise UsageError("no framework to convert to", fix=fix)
    return wanted


def _title(source: Path) -> str:
    return source.stem if source.is_file() else source.resolve().name


def _origin(found: Source, imported: Imported) -> dict[str, Any]:
    """What manifests say of the source."""
    origin: dict[str, Any] = {"format": found.kind, "sha256": _digest(found.path)}
    if found.kind == "artifact":
        origin["lineage"] = artifact.lineage(found.path)
    if imported.framework == "onnx":
        return origin
    return {
        **origin,
        "framework": imported.framework,
        "routes": [attempt.to_json() for attempt in imported.tried],
        **({"constants": dict(imported.constants)} if imported.constants else {}),
        **({"findings": list(imported.findings)} if imported.findings else {}),
    }


def _digest(path: Path) -> str:
    """The digest of a file; of a folder, that of the list of its files' digests and names."""
    if path.is_file():
        return sha256(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    lines = [f"{sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _emit(
    imported: Imported,
    origin: Mapping[str, Any],
    names: Mapping[str, str],
    targets: Sequence[str],
    out: Path,
    name: str,
) -> None:
    """Run the emission in a process of its own."""
    task, answer = out / "job.json", out / "answer.json"
    task.write_text(
        json.dumps(
            {
                "model": str(imported.model.resolve()),
                "name": name,
                "source": origin,
                "names": names,
                "targets": {target: str(out / target) for target in targets},
            }
        ),
        encoding="utf-8",
    )
    with Runtime("onnx", python=sys.executable, limits=EMISSION) as runtime:
        try:
            runtime.script(Path(emission.__file__), [str(task), str(answer)])
        except RuntimeFailed as error:
            if error.reason in REFUSED:
                raise UnsafeInput(f"{name}: refused while reading it: {error.message}") from error
            if error.reason == "OSError":
                raise RuntimeFailed(
                    f"the result cannot be written beside {out.parent}: {error.message}",
                    fix="free some space there, or choose another --out",
                    detail=error.detail,
                ) from error
            raise
    said = json.loads(answer.read_text(encoding="utf-8"))
    if said:
        raise raised(said)


def _truth(
    imported: Imported,
    graph: Path,
    given: Sequence[Case] | None,
    sizes: Mapping[str, Sequence[int]] | None,
    ranges: Ranges,
) -> Truth:
    """The source's own numbers: recorded, or those of a program that runs it; ONNX runs itself."""
    if imported.cases:
        runs = [(read_case(c.inputs).inputs, read_case(c.outputs).inputs) for c in imported.cases]
        return recorded(
            imported.framework, runs, {PRECISION_OF.get(p, "fp32") for p in imported.precisions}
        )
    reference = graph if imported.program is None else imported.program
    cases = made_up(graph, sizes, ranges) if given is None else given
    try:
        return _observed(reference, cases)
    except RuntimeFailed as error:
        name = imported.model.name
        if imported.program is None and ILL_FORMED.search(error.message):
            said = LIBRARY.sub("", error.message.rpartition(": FAIL : ")[2])
            raise UnsafeInput(f"{name}: malformed graph: {said}") from error
        if imported.program is None and (found := TOO_NEW.search(error.message)):
            raise UnsupportedError(
                f"{name}: opset {found[1]} is newer than ONNX Runtime knows",
                fix="export it again with an older opset; --no-verify writes it unverified",
            ) from error
        if imported.program is None and (found := NO_KERNEL.search(error.message)):
            raise UnsupportedError(
                f"{name}: ONNX Runtime has no kernel for {found[1]} in the types that it has here",
                fix="export it again in float32; --no-verify writes it unverified",
            ) from error
        raise


def _observed(reference: Path, cases: Sequence[Case]) -> Truth:
    """What a model answers; refuses one that does not take its inputs."""
    truth = observe(reference, cases, VERIFICATION)
    error = next((answer.error for answer in truth.answers if answer.outputs is None), None)
    if error is not None:
        raise RuntimeFailed(
            f"{FRAMEWORKS[truth.framework].title} itself fails on this model, so that there is nothing to"
            f" compare with: {error}",
            fix="give inputs that it takes with --inputs or --size; --no-verify writes it unverified",
        )
    return truth


def _verified(truth: Truth, candidate: Path, runtime: Runtime | None = None) -> Report:
    """Compare, and write what was found into the candidate's manifest."""
    report = judge(truth, candidate, VERIFICATION, runtime=runtime)
    if not report.passed:
        failures = report.failures()
        raise MismatchError(
            f"{candidate.name} {report.verdict} its source in {FRAMEWORKS[truth.framework].title}:"
            f" {failures[0]}" + (f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""),
            fix="nothing was written; --no-verify writes it unverified, for a closer look",
        )
    manifest = json.loads((candidate / "manifest.json").read_text(encoding="utf-8"))
    write_manifest(candidate, {**manifest, "verification": report.to_json()})
    return report


class _Waiting:
    """Frameworks that start while the source is read: it takes most of a processor for as long as they do."""

    def __init__(self) -> None:
        self._runtimes: dict[str, Runtime] = {}

    def __enter__(self) -> _Waiting:
        return self

    def begin(self, frameworks: Sequence[str]) -> None:
        """Start their processes; one that cannot start says so when it is needed."""
        for name in frameworks:
            runtime = Runtime(name, limits=VERIFICATION)
            with suppress(ConversionError):
                runtime.begin()
                self._runtimes[name] = runtime

    def take(self, framework: str) -> Runtime | None:
        """The process of a framework, if it has begun; whoever takes it closes it."""
        return self._runtimes.pop(framework, None)

    def __exit__(self, *error: object) -> None:
        for runtime in self._runtimes.values():
            runtime.close()


def _all_verified(truth: Truth, candidates: Sequence[Path], waiting: _Waiting) -> dict[str, Report]:
    """Compare several, at the same time where they are small: frameworks take longer to start than to run."""
    together = os.cpu_count() or 1 if _size(candidates[0]) <= SMALL else 1
    with ThreadPoolExecutor(together) as pool:
        found = {
            path.name: pool.submit(_verified, truth, path, waiting.take(path.name))
            for path in candidates
        }
        return {name: report.result() for name, report in found.items()}


def _size(path: Path) -> int:
    """Bytes of a file, or of what is in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


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
    return _verified(_observed(reference, made_up(reference, sizes)), candidate)


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
