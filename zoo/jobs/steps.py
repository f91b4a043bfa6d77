"""What the steps of a job do. Each leaves its result in a folder of its own and returns the folder's name.

A step that is begun again, by another worker too, starts with a new folder: whatever a stopped or
killed worker may still write is in a folder that nobody asks for.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zoo.client import collect
from zoo.jobs.jobs import Jobs
from zoo.jobs.process import run_part
from zoo.jobs.records import Submission
from zoo.manifest import Artifact
from zoo.sources import fetch as fetch_source
from zoo.store import copy_out
from zoo.submission import path_of


@dataclass(frozen=True)
class Work:
    """What a step is given.

    Attributes:
        jobs: The zoo's jobs.
        job_id: The job.
        submission: What was submitted.
        stopped: Whether the step should end at once.
        results: Folder names by the names of the steps that are done.
    """

    jobs: Jobs
    job_id: str
    submission: Submission
    stopped: Callable[[], bool]
    results: dict[str, str]

    @property
    def source(self) -> Artifact:
        """The artifact that is converted."""
        return self.submission.manifest.artifacts[0]

    def result(self, step: str) -> Path:
        """The folder of a step that is done."""
        return self.jobs.results.folder(self.job_id, self.results[step])

    def fresh(self) -> Path:
        """A new, empty folder."""
        return self.jobs.results.fresh(self.job_id)


def names(targets: tuple[str, ...]) -> tuple[str, ...]:
    """The steps of a job, in order."""
    native = [target for target in targets if target != "onnx"]
    emit = [f"emit {target}" for target in native]
    return ("fetch", "ingest", "hub graph", *emit, *(f"verify {t}" for t in native), "publish")


def perform(work: Work, name: str) -> str:
    """Do one step.

    Returns:
        What later steps need: a folder's name; of `publish` the digest of the version.
    """
    verb, _, target = name.partition(" ")
    if verb == "publish":
        return _publish(work)
    if verb == "emit":
        made = _convert(work, target)
    elif verb == "verify":
        made = _verify(work, target)
    else:
        made = {"fetch": _fetch, "ingest": _ingest, "hub": _hub}[verb](work)
    work.jobs.results.keep(work.job_id, made)
    return made


def _fetch(work: Work) -> str:
    """Files that name a source come into the store."""
    registry, folder = work.jobs.registry, work.fresh()
    for number, file in enumerate(work.source.files):
        if registry.store.keep(file.sha256) or file.source is None:
            continue
        found = fetch_source(
            file.source,
            file.sha256,
            work.jobs.settings.cache,
            size=file.size,
            settings=work.jobs.settings,
        )
        # Renamed into the store: a killed worker leaves nothing there.
        copy = folder / str(number)
        shutil.copyfile(found, copy)
        registry.store.adopt(copy, file.sha256)
    return folder.name


def _ingest(work: Work) -> str:
    """The source's files under their own names, checked."""
    folder = work.fresh()
    for file in work.source.files:
        place = folder / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        copy_out(work.jobs.registry.store, file.sha256, place)
    return folder.name


def _hub(work: Work) -> str:
    return _convert(work, "onnx")


def _convert(work: Work, target: str) -> str:
    """The hub graph is made of the source, everything else of the hub graph."""
    folder = work.fresh()
    task = {
        "do": "convert",
        "source": str(_came_from(work) if target == "onnx" else _graph(work)),
        "target": target,
        "out": str(folder / "out"),
        "name": work.submission.manifest.name.partition("/")[2],
        "sizes": work.submission.convert.sizes,
    }
    run_part(task, folder, work.jobs.settings, work.stopped)
    return folder.name


def _came_from(work: Work) -> Path:
    return path_of(work.result("ingest"), work.source.format, work.source.entry)


def _graph(work: Work) -> Path:
    """What native forms are made of: an ONNX model as it came, else the graph that it was turned into."""
    if work.source.framework == "onnx":
        return _came_from(work)
    return work.result("hub graph") / "out" / "onnx"


def _verify(work: Work, target: str) -> str:
    """A copy of the emitted form, with the report in its manifest."""
    folder = work.fresh()
    candidate = folder / "out" / target
    _copy(work.result(f"emit {target}") / "out" / target, candidate)
    task = {
        "do": "verify",
        "reference": str(work.result("hub graph") / "out" / "onnx"),
        "candidate": str(candidate),
        "sizes": work.submission.convert.sizes,
    }
    run_part(task, folder, work.jobs.settings, work.stopped)
    return folder.name


def _copy(form: Path, place: Path) -> None:
    """Let a form be at a second place: weights are shared, the one file that changes is copied."""
    for path in form.rglob("*"):
        if path.is_file():
            target = place / path.relative_to(form)
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.name == "manifest.json":
                shutil.copyfile(path, target)
            else:
                os.link(path, target)


def _publish(work: Work) -> str:
    """All forms, and the source where it is not one of them, as one version.

    What is published follows from the results of the steps before, so that publishing again changes
    nothing.
    """
    submitted = work.submission.manifest
    folder = work.fresh()
    for target in work.submission.convert.targets:
        step = "hub graph" if target == "onnx" else f"verify {target}"
        _copy(work.result(step) / "out" / target, folder / "out" / target)
    fields = submitted.model_dump(mode="json", exclude_defaults=True)
    del fields["artifacts"]
    fields["lineage"].setdefault("derived_from", _entry_digest(work.source))
    manifest, files = collect(folder / "out", fields)
    if manifest.artifact(work.source.framework) is None:
        manifest = manifest.model_copy(update={"artifacts": (work.source, *manifest.artifacts)})
    store = work.jobs.registry.store
    for file in files:
        if not store.keep(file.sha256):
            store.adopt(file.path, file.sha256)
    return work.jobs.registry.publish(manifest, by=work.jobs.submitter(work.job_id)).digest


def _entry_digest(source: Artifact) -> str:
    return next(file.sha256 for file in source.files if file.path == source.entry)
