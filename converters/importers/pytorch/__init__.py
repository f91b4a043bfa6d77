"""From PyTorch to the hub graph: exported programs, checkpoints with their class, Hugging Face folders, TorchScript.

Torch runs in a process of its own (`job.py`, `child/`), onnxruntime in another (`replay_job.py`). The module
is run first and its numbers are saved; then routes to ONNX are tried in order, and the first counts whose file
onnxruntime loads and whose numbers are the module's, at the sizes that were given and at others. Every step
makes the module anew. The first route goes on in the process that has run it, where torch has started; each
other one has a process of its own, for an exporter that fails leaves things behind, or no process at all.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from converters.checkpoint_conversion import Options, convert_checkpoint
from converters.errors import RuntimeFailed, UnsafeInput, UnsupportedError, UsageError, raised
from converters.importers import replay_job
from converters.importers.imported import Attempt, Imported, Reference
from converters.importers.pytorch import job as torch_job
from converters.runtimes import Limits, Runtime
from converters.runtimes.process import REFUSED
from converters.verify import Tolerance, compare, read_case, tolerance
from converters.verify.compare import PRECISION_OF

LIMITS = Limits(seconds=1800, memory_bytes=16 << 30)
# In order: all that may vary, then the batch alone; first the exporter that keeps most of the source.
ROUTES: tuple[tuple[str, str], ...] = tuple(
    (route, dynamic) for dynamic in ("all", "batch") for route in ("dynamo", "traced", "scripted")
)
REASON_LENGTH = 600
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def to_onnx(
    source: Path,
    kind: str,
    folder: Path,
    *,
    model: str | None = None,
    arguments: Any = (),
    inputs: Path | None = None,
    key: str | None = None,
) -> Imported:
    """Write a PyTorch model as ONNX into a folder.

    Args:
        source: The file or folder.
        kind: What it is, a row of `importers.KINDS` that a line of `SOURCES` in `child/sources.py` reads.
        folder: Gets model.onnx and the reference cases; made if it is not there.
        model: `package.module:Class` for a checkpoint, importable here or from the working directory.
        arguments: A list of the class's arguments, or an object of them by name.
        inputs: An .npz file whose keys are the argument names of `forward`; `hx.0`, `hx.1` are the members
            of a tuple `hx`.
        key: Where in a checkpoint the weights are.

    Returns:
        The graph, the route that made it, the routes that did not, and the reference cases.

    Raises:
        UsageError: The class, its arguments or the inputs do not fit, or inputs are needed.
        UnsupportedError: No route gives the module's numbers (exit status 3).
        UnsafeInput: The file was refused (exit status 5).
        MissingRuntime: PyTorch, or transformers for a folder of theirs, is not installed.
        RuntimeFailed: The process failed before a route was tried.
    """
    if kind == "checkpoint":
        _require_class(model)
    if not isinstance(arguments, list | tuple | dict):
        raise UsageError("--model-args: neither a list nor an object")
    if inputs is not None:
        read_case(inputs)
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    with tempfile.TemporaryDirectory(prefix=".import.", dir=folder) as scratch:
        job = {
            "source": str(source.resolve()),
            "name": source.name,
            "kind": kind,
            "model": model,
            "arguments": list(arguments) if isinstance(arguments, tuple) else arguments,
            "inputs": None if inputs is None else str(inputs.resolve()),
            "path": os.getcwd(),
            "folder": scratch,
        }
        if kind == "checkpoint":
            job["weights"] = str(_weights(source, Path(scratch), key))
        with Runtime("pytorch", limits=LIMITS) as torch:
            facts = _references(torch, job)
            (first, *others), job = _routes(kind, facts), {**job, "facts": facts}
            tried = [_attempt(torch, job, *first)]
        tried += _others(job, others if tried[0].reason else [])
        if tried[-1].reason:
            raise _no_route(source.name, tried)
        return _placed(tried, facts, kind, Path(scratch), folder)


def _require_class(model: str | None) -> None:
    module, colon, name = (model or "").partition(":")
    if not (module and colon and name):
        raise UsageError(f"--model {model}: no class", fix="write package.module:Class")


def _weights(source: Path, scratch: Path, key: str | None) -> Path:
    """The weights as our own readers see them; a pickle of the file itself is never loaded."""
    made = convert_checkpoint(source, ["torch"], scratch / "weights", Options(key=key))[0]
    return made.directory / made.files[0]


def _references(torch: Runtime, job: Mapping[str, Any]) -> dict[str, Any]:
    try:
        said = _step(torch, {**job, "step": "references"})
    except RuntimeFailed as error:
        if error.reason in REFUSED:
            message = f"{job['name']}: refused while running it: {error.message}"
            raise UnsafeInput(message) from error
        raise
    if "error" in said:
        raise raised(said["error"])
    facts: dict[str, Any] = said["facts"]
    return facts


def _routes(kind: str, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The routes that make sense for a source."""
    nothing_less = len(facts["classes"]) < 2
    return [
        (route, dynamic)
        for route, dynamic in ROUTES
        if not (dynamic == "batch" and nothing_less)
        and (route != "scripted" or kind == "torchscript")
    ]


def _others(job: Mapping[str, Any], routes: Sequence[tuple[str, str]]) -> Iterator[Attempt]:
    """Attempts, each in a process of its own, until one is good."""
    for route, dynamic in routes:
        with Runtime("pytorch", limits=LIMITS) as torch:
            attempt = _attempt(torch, job, route, dynamic)
        yield attempt
        if not attempt.reason:
            return


def _no_route(name: str, tried: Sequence[Attempt]) -> UnsupportedError:
    lines = "".join(f"\n  {a.route}, sizes {a.dynamic}: {a.reason}" for a in tried)
    return UnsupportedError(
        f"{name}: no route to ONNX gives the module's numbers:{lines}",
        fix="change what the reasons name, or export it to ONNX yourself",
    )


def _attempt(torch: Runtime, job: Mapping[str, Any], route: str, dynamic: str) -> Attempt:
    scratch = Path(job["folder"])
    for old in scratch.glob("model.onnx*"):
        old.unlink()
    try:
        said = _step(torch, {**job, "step": "route", "route": route, "dynamic": dynamic})
        if "facts" not in said:
            reason = said["failed"] if "failed" in said else said["error"]["message"]
            return Attempt(route, dynamic, _short(reason))
        reason, worst = _checked(job["facts"], scratch, dynamic)
    except RuntimeFailed as error:
        # A crash is a reason like any other.
        return Attempt(route, dynamic, _short(error.message))
    return Attempt(route, dynamic, _short(reason), worst, tuple(said["facts"]["findings"]))


def _checked(
    facts: Mapping[str, Any], scratch: Path, dynamic: str
) -> tuple[str, tuple[float, ...]]:
    """Run model.onnx in onnxruntime and compare: why it is no good, and the error of each case."""
    cases = facts["cases"] if dynamic == "all" else facts["cases"][:2]
    pairs = [(inputs, str(scratch / f"replay{n}.npz")) for n, (inputs, _) in enumerate(cases)]
    task, answer = scratch / "replay.json", scratch / "replayed.json"
    model = str(scratch / "model.onnx")
    task.write_text(json.dumps({"model": model, "cases": pairs}), encoding="utf-8")
    with Runtime("onnx", limits=LIMITS) as runtime:
        runtime.script(Path(replay_job.__file__), [str(task), str(answer)])
    said = json.loads(answer.read_text(encoding="utf-8"))
    if "failed" in said:
        return said["failed"], ()
    if said["outputs"] != facts["outputs"]:
        return f"the graph has the outputs {said['outputs']}, not {facts['outputs']}", ()
    limit = tolerance({PRECISION_OF.get(name, "fp32") for name in facts["precisions"]})
    reasons: list[str] = []
    worst: list[float] = []
    for (_, wanted), (inputs, got) in zip(cases, pairs, strict=True):
        found, largest = _compared(Path(wanted), Path(got), limit)
        worst.append(largest)
        shapes = {name: list(a.shape) for name, a in read_case(Path(inputs)).inputs.items()}
        reasons += [f"at {shapes}: {reason}" for reason in found]
    return "; ".join(reasons[:2]), tuple(worst)


def _compared(wanted: Path, got: Path, limit: Tolerance) -> tuple[list[str], float]:
    expected, actual = read_case(wanted).inputs, read_case(got).inputs
    reports = [compare(name, expected[name], actual.get(name), limit) for name in expected]
    largest = max((report.max_abs or 0.0 for report in reports), default=0.0)
    return [f"{r.name}: {r.reason}" for r in reports if not r.passed], largest


def _step(torch: Runtime, job: Mapping[str, Any]) -> dict[str, Any]:
    """Run one step in torch's process."""
    folder = Path(job["folder"])
    task, answer = folder / "job.json", folder / "answer.json"
    task.write_text(json.dumps(job), encoding="utf-8")
    torch.script(Path(torch_job.__file__), [str(task), str(answer)])
    said: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return said


def _placed(
    tried: list[Attempt], facts: Mapping[str, Any], kind: str, scratch: Path, folder: Path
) -> Imported:
    chosen = tried[-1]
    names = [name for name, _ in facts["classes"]]
    whole = chosen.dynamic == "all"
    pairs = facts["cases"] if whole else facts["cases"][:2]
    files = [*scratch.glob("model.onnx*"), *(Path(path) for pair in pairs for path in pair)]
    for path in files:
        shutil.move(path, folder / path.name)
    fixed = [] if whole else [f"fixed in this graph: {', '.join(names[1:])}"]
    return Imported(
        folder / "model.onnx",
        "pytorch",
        kind,
        tuple(tried),
        cases=tuple(Reference(*(folder / Path(path).name for path in pair)) for pair in pairs),
        dynamic=tuple(names if whole else names[:1]),
        constants=facts["constants"],
        precisions=tuple(facts["precisions"]),
        findings=(*facts["findings"], *fixed, *chosen.findings),
    )


def _short(reason: str) -> str:
    """The beginning of a reason, on one line; those of exporters are long."""
    line = " ".join(COLOUR.sub("", reason).split())
    return line if len(line) <= REASON_LENGTH else f"{line[:REASON_LENGTH]}..."
