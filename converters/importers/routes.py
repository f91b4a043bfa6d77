"""Models that only their own framework can run -> the hub graph: the first of several routes that stands.

The framework runs in a process of its own (`job.py`, `child/`), onnxruntime in another (`replay_job.py`). The model
is run first and its numbers are saved; then routes to ONNX are tried in order, and the first counts whose file
onnxruntime loads and whose numbers are the model's, at the sizes that were given and at others. Every step
makes the model anew. The first route goes on in the process that has run it, where the framework has started; each
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

import onnx

from converters.checkpoint_conversion import Options, convert_checkpoint
from converters.errors import (
    ConversionError,
    RuntimeFailed,
    UnsafeInput,
    UnsupportedError,
    UsageError,
    raised,
)
from converters.graph.model import ROUNDING
from converters.importers import job as framework_job
from converters.importers import replay_job
from converters.importers.imported import Attempt, Imported, Reference
from converters.importers.products import use_integers
from converters.importers.reading import read
from converters.importers.renaming import every_graph, rename
from converters.runtimes import Limits, Runtime
from converters.runtimes.process import REFUSED
from converters.verify import Tolerance, compare, read_case, tolerance
from converters.verify.compare import PRECISION_OF

LIMITS = Limits(seconds=1800, memory_bytes=16 << 30)
# Routes of each framework, and which sizes are to vary. First the one that keeps most of the source, with
# all that may vary; `read` is a program that the framework saves and our own importer reads.
ROUTES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "pytorch": tuple(
        (route, dynamic)
        for dynamic in ("all", "batch")
        # A trace has the branches that one run took: whatever keeps them comes before it.
        for route in ("dynamo", "scripted", "traced")
    ),
    "paddle": (("read", "all"), ("read", "batch"), ("read", "none")),
    "mindspore": (
        ("read", "all"),
        ("read", "batch"),
        ("read", "none"),
        # MindSpore's own exporter knows no sizes that vary.
        ("mindspore.export", "none"),
    ),
}
# The container in which a framework gets its weights from us: what our readers see, never a file's own pickle.
CONTAINER: Mapping[str, str] = {"pytorch": "torch", "paddle": "pdparams", "mindspore": "ckpt"}
REASON_LENGTH = 600
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def to_onnx(
    framework: str,
    source: Path,
    kind: str,
    folder: Path,
    *,
    model: str | None = None,
    arguments: Any = (),
    inputs: Path | None = None,
    key: str | None = None,
) -> Imported:
    """Write a model as ONNX into a folder.

    Args:
        framework: Whose model it is, a key of `ROUTES`.
        source: The file or folder.
        kind: What it is, a row of `importers.KINDS` that `child/` reads.
        folder: Gets model.onnx and the reference cases; made if it is not there.
        model: `package.module:Class` for a checkpoint, importable here or from the working directory.
        arguments: A list of the class's arguments, or an object of them by name.
        inputs: An .npz file whose keys are the argument names of `forward` (`construct` in MindSpore); in
            PyTorch `hx.0`, `hx.1` are the members of a tuple `hx`.
        key: Where in a checkpoint the weights are.

    Returns:
        The graph, the route that made it, the routes that did not, and the reference cases.

    Raises:
        UsageError: The class, its arguments or the inputs do not fit, or inputs are needed.
        UnsupportedError: No route gives the model's numbers (exit status 3).
        UnsafeInput: The file was refused (exit status 5).
        MissingRuntime: The framework, or transformers for a folder of theirs, is not installed.
        RuntimeFailed: The process failed before a route was tried.
    """
    if framework not in ROUTES:
        raise UsageError(
            f"no framework with classes is called {framework!r}",
            fix=f"choose from: {', '.join(ROUTES)}",
        )
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
            "framework": framework,
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
            job["weights"] = str(_weights(framework, source, Path(scratch), key))
        with Runtime(framework, limits=LIMITS) as runtime:
            facts = _references(runtime, job)
            (first, *others), job = _routes(framework, kind, facts), {**job, "facts": facts}
            tried = [_attempt(runtime, job, *first)]
        tried += _others(job, others if tried[0].reason else [])
        if tried[-1].reason:
            raise _no_route(source.name, tried, facts)
        return _placed(tried, facts, framework, kind, Path(scratch), folder)


def _require_class(model: str | None) -> None:
    module, colon, name = (model or "").partition(":")
    if not (module and colon and name):
        raise UsageError(f"--model {model}: no class", fix="write package.module:Class")


def _weights(framework: str, source: Path, scratch: Path, key: str | None) -> Path:
    """The weights as our own readers see them; a pickle of the file itself is never loaded."""
    target = CONTAINER[framework]
    made = convert_checkpoint(source, [target], scratch / "weights", Options(key=key))[0]
    return made.directory / made.files[0]


def _references(runtime: Runtime, job: Mapping[str, Any]) -> dict[str, Any]:
    try:
        said = run_job(runtime, {**job, "step": "references"})
    except RuntimeFailed as error:
        if error.reason in REFUSED:
            message = f"{job['name']}: refused while running it: {error.message}"
            raise UnsafeInput(message) from error
        raise
    if "error" in said:
        raise raised(said["error"])
    facts: dict[str, Any] = said["facts"]
    return facts


def _varying(facts: Mapping[str, Any], dynamic: str) -> list[str]:
    """Names of the sizes that vary in a graph."""
    names = [name for name, _ in facts["classes"]]
    return {"all": names, "batch": names[:1]}.get(dynamic, [])


def _cases(facts: Mapping[str, Any], dynamic: str) -> list[list[str]]:
    """Runs of the model that a graph has to reproduce."""
    whole, same = facts["cases"], facts["same"]
    chosen: list[list[str]] = {"all": whole, "batch": whole[:2]}.get(dynamic, same)
    return chosen


def _routes(framework: str, kind: str, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The routes that make sense for a source: none twice with the same sizes."""
    found: dict[tuple[str, int], tuple[str, str]] = {}
    for route, dynamic in ROUTES[framework]:
        if route != "scripted" or kind == "torchscript":
            found.setdefault((route, len(_varying(facts, dynamic))), (route, dynamic))
    return [*found.values()]


def _others(job: Mapping[str, Any], routes: Sequence[tuple[str, str]]) -> Iterator[Attempt]:
    """Attempts, each in a process of its own, until one is good."""
    for route, dynamic in routes:
        with Runtime(job["framework"], limits=LIMITS) as runtime:
            attempt = _attempt(runtime, job, route, dynamic)
        yield attempt
        if not attempt.reason:
            return


def _no_route(name: str, tried: Sequence[Attempt], facts: Mapping[str, Any]) -> UnsupportedError:
    lines = "".join(f"\n  {a.route}, sizes {a.dynamic}: {a.reason}" for a in tried)
    # What a program computes in stands in it; weights of a class are kept as float32 by `child`.
    narrow = "bfloat16" in facts["precisions"]
    return UnsupportedError(
        f"{name}: no route to ONNX gives the model's numbers:{lines}",
        fix="ONNX Runtime computes little in bfloat16: save the model again in float32, `model.float()`"
        if narrow
        else "change what the reasons name, or export it to ONNX yourself",
    )


def _attempt(runtime: Runtime, job: Mapping[str, Any], route: str, dynamic: str) -> Attempt:
    scratch = Path(job["folder"])
    for old in scratch.glob("model.onnx*"):
        old.unlink()
    shutil.rmtree(scratch / "saved", ignore_errors=True)
    (scratch / "saved").mkdir()
    try:
        said = run_job(runtime, {**job, "step": "route", "route": route, "dynamic": dynamic})
        if "findings" not in said:
            reason = said["failed"] if "failed" in said else said["error"]["message"]
            return Attempt(route, dynamic, short(reason))
        if "program" in said:
            read(Path(said["program"]), job["framework"], scratch / "model.onnx")
        use_integers(scratch / "model.onnx")
        rename(scratch / "model.onnx", _signature(job["facts"], dynamic))
        reason, worst = _checked(job["facts"], scratch, dynamic)
    except ConversionError as error:
        # A crash is a reason like any other.
        return Attempt(route, dynamic, short(error.message))
    return Attempt(route, dynamic, short(reason), worst, tuple(said["findings"]))


def _signature(facts: Mapping[str, Any], dynamic: str) -> dict[str, Any]:
    """What inputs, outputs and dimensions are to be called."""
    called = {
        (index, axis): name
        for name, axes in facts["classes"]
        if name in _varying(facts, dynamic)
        for index, axis in axes
    }
    given, results = (read_case(Path(path)).inputs for path in facts["cases"][0])
    return {
        "inputs": [
            {
                "name": name,
                "shape": [called.get((i, a), size) for a, size in enumerate(given[name].shape)],
            }
            for i, name in enumerate(facts["inputs"])
        ],
        "outputs": [{"name": n, "dtype": results[n].dtype.name} for n in facts["outputs"]],
    }


def _checked(
    facts: Mapping[str, Any], scratch: Path, dynamic: str
) -> tuple[str, tuple[float, ...]]:
    """Run model.onnx in onnxruntime and compare: why it is no good, and the error of each case."""
    cases = _cases(facts, dynamic)
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
    graph = onnx.load(model, load_external_data=False).graph
    rounds = any(n.op_type in ROUNDING for inner in every_graph(graph) for n in inner.node)
    precisions = {PRECISION_OF.get(name, "fp32") for name in facts["precisions"]}
    limit = tolerance(precisions | ({"int8"} if rounds else set()))
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


def run_job(runtime: Runtime, job: Mapping[str, Any]) -> dict[str, Any]:
    """Run one step in a framework's process.

    Raises:
        RuntimeFailed: The process failed.
    """
    folder = Path(job["folder"])
    task, answer = folder / "job.json", folder / "answer.json"
    task.write_text(json.dumps(job), encoding="utf-8")
    runtime.script(Path(framework_job.__file__), [str(task), str(answer)])
    said: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return said


def _placed(
    tried: list[Attempt],
    facts: Mapping[str, Any],
    framework: str,
    kind: str,
    scratch: Path,
    folder: Path,
) -> Imported:
    chosen = tried[-1]
    varying = _varying(facts, chosen.dynamic)
    pairs = _cases(facts, chosen.dynamic)
    files = [*scratch.glob("model.onnx*"), *(Path(path) for pair in pairs for path in pair)]
    for path in files:
        shutil.move(path, folder / path.name)
    left = [name for name, _ in facts["classes"] if name not in varying]
    fixed = [f"fixed in this graph: {', '.join(left)}"] if left else []
    return Imported(
        folder / "model.onnx",
        framework,
        kind,
        tuple(tried),
        cases=tuple(Reference(*(folder / Path(path).name for path in pair)) for pair in pairs),
        dynamic=tuple(varying),
        constants=facts["constants"],
        precisions=tuple(facts["precisions"]),
        findings=(*facts["findings"], *fixed, *chosen.findings),
    )


def short(reason: str) -> str:
    """The beginning of a reason, on one line; those of exporters are long."""
    said = " ".join(COLOUR.sub("", reason).split())
    return said if len(said) <= REASON_LENGTH else f"{said[:REASON_LENGTH]}..."
