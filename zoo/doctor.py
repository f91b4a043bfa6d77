"""Looking over a zoo: is everything as it should be, and if not, what is to be done."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Literal

from converters.errors import ConversionError, MissingRuntime
from converters.runtimes import FRAMEWORKS, Limits, Runtime, framework
from zoo.bucket import Objects
from zoo.errors import DigestMismatch, NotFound, ZooError
from zoo.jobs.jobs import Jobs
from zoo.registry import Registry
from zoo.settings import Settings

Result = Literal["ok", "warning", "failed"]

SAMPLE = 100  # blobs whose digests a quick look checks
LEAST_FREE = 1 << 30  # bytes
LOAD_SECONDS = 180.0


@dataclass(frozen=True)
class Finding:
    """What one look has found.

    Attributes:
        what: What was looked at.
        result: How it is.
        says: In words.
        fix: The next thing to do, where something is.
    """

    what: str
    result: Result
    says: str
    fix: str = ""


def ready(jobs: Jobs) -> list[Finding]:
    """Whether a server can do its work now; quick."""
    found = [_database(jobs), _disk(jobs.registry.data)]
    bucket = jobs.registry.bucket
    return found if bucket is None else [*found, _guarded("bucket", partial(_bucket, bucket))]


def examine(
    data: Path, settings: Settings, *, full: bool = False, frameworks: bool = True
) -> Iterator[Finding]:
    """Look over a zoo, one finding after the other; nothing is changed but what any start changes.

    Args:
        data: Its directory.
        settings: That it runs with.
        full: Whether every byte is read.
        frameworks: Whether every framework is loaded once.
    """
    yield _guarded("directory", partial(_directory, data, settings))
    yield _disk(data)
    opened: list[Jobs] = []

    def opening() -> Finding:
        opened.append(Jobs(Registry(data, settings)))
        return Finding("schema", "ok", "the databases are of this release")

    yield _guarded("schema", opening)
    for jobs in opened:
        if jobs.registry.bucket is not None:
            yield _guarded("bucket", partial(_bucket, jobs.registry.bucket))
        yield _guarded("database", partial(_integrity, jobs, full))
        yield _guarded("blobs", partial(_blobs, jobs.registry, full))
        yield _guarded("jobs", partial(_jobs, jobs))
        jobs.close()
        jobs.registry.close()
    for name in FRAMEWORKS if frameworks else ():
        yield _framework(name)


def _guarded(what: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except ZooError as error:
        return Finding(what, "failed", error.message, error.fix)
    except OSError as error:
        return Finding(what, "failed", str(error), "see to the directory and its disk")


def _bucket(bucket: Objects) -> Finding:
    bucket.check()
    return Finding("bucket", "ok", "it answers")


def _directory(data: Path, settings: Settings) -> Finding:
    if not settings.bucket and not (data / "blobs").is_dir():
        raise NotFound(f"there is no zoo in {data}", fix="name its directory with --data")
    parts = (data, data / "blobs" / "sha256", data / "blobs" / "tmp", data / "uploads")
    for folder in filter(Path.is_dir, parts):
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            return Finding(
                "directory",
                "failed",
                f"{folder} cannot be written to: {error.strerror}",
                f"give it to the user that runs the zoo (now uid {os.getuid()}), with rights to write",
            )
    return Finding("directory", "ok", f"{data} can be written to")


def _disk(data: Path) -> Finding:
    try:
        disk = shutil.disk_usage(data)
    except OSError as error:
        return Finding("disk", "failed", f"{data}: {error.strerror}", "see to the disk")
    says = f"{disk.free / 1e9:.1f} of {disk.total / 1e9:.1f} GB are free"
    if disk.free < LEAST_FREE:
        result: Result = "failed" if disk.free < LEAST_FREE // 16 else "warning"
        return Finding("disk", result, says, "free some space: zoo gc, or a larger disk")
    return Finding("disk", "ok", says)


def _database(jobs: Jobs) -> Finding:
    try:
        jobs.registry.counts()
        jobs.counts()
    except ZooError as error:
        return Finding("database", "failed", error.message, error.fix)
    return Finding("database", "ok", "it answers")


def _integrity(jobs: Jobs, full: bool) -> Finding:
    problems = [*jobs.registry.integrity(full), *jobs.integrity(full)]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        fix = "stop the zoo, keep a copy of the files, and restore a backup (zoo restore)"
        return Finding("database", "failed", "; ".join(problems[:5]) + more, fix)
    models, versions = jobs.registry.counts()
    return Finding("database", "ok", f"{models} models, {versions} versions, nothing is broken")


def _blobs(registry: Registry, full: bool) -> Finding:
    needed = sorted({*registry.published_blobs(), *registry.repositories.blobs()})
    missing = [digest for digest in needed if not registry.store.has(digest)]
    if missing:
        return Finding(
            "blobs",
            "failed",
            f"{len(missing)} of {len(needed)} blobs are not there, first sha256:{missing[0]}",
            "bring blobs/sha256 back from a backup; publishing the same again also brings them",
        )
    some = min(SAMPLE, len(needed))
    drawn = list(registry.store) if full else Random().sample(needed, some)  # noqa: S311
    broken = [digest for digest in drawn if not _is_whole(registry, digest)]
    if broken:
        names = sorted(registry.models_with(broken[0]))
        of = f", of {', '.join(names[:3])}" if names else ""
        return Finding(
            "blobs",
            "failed",
            f"{len(broken)} of {len(drawn)} blobs have other bytes than their digest says, "
            f"first sha256:{broken[0]}{of}",
            "remove these files below blobs/sha256 and bring them back from a backup; see to the disk",
        )
    which = "all" if full else f"{len(drawn)} of {len(needed)}"
    return Finding("blobs", "ok", f"none is missing; {which} were read and are what they should be")


def _is_whole(registry: Registry, digest: str) -> bool:
    try:
        registry.store.verify(digest)
    except DigestMismatch:
        return False
    except NotFound:
        pass  # cleared away meanwhile
    return True


def _jobs(jobs: Jobs) -> Finding:
    counts, living = jobs.counts(), len(jobs.living())
    waiting = counts.get("queued", 0) + counts.get("running", 0) + counts.get("publishing", 0)
    says = f"{waiting} are to be done, {living} workers are alive"
    if waiting and not living:
        return Finding("jobs", "warning", says, "start one: zoo worker")
    return Finding("jobs", "ok", says)


def _framework(name: str) -> Finding:
    row = framework(name)
    try:
        with Runtime(name, limits=Limits(seconds=LOAD_SECONDS)) as runtime:
            version = runtime.versions.get(row.module, "")
            return Finding(name, "ok", f"{row.title} {version} loads ({runtime.python})")
    except MissingRuntime as error:
        return Finding(name, "warning", error.message, error.fix)
    except ConversionError as error:
        return Finding(name, "failed", error.message.splitlines()[0], error.fix)
