"""Removing blobs that nobody needs, beside uploads and publications.

Needed is what a version, a commit of a repository, an open upload or a job that may still be run names.
Whoever relies on a blob makes it count as new (`Store.keep`), and looks again in the transaction that
names it. So what has rested longer than the grace is removed under the locks of these transactions, if what
was written since the look around does not name it either.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from zoo.access import LOCAL
from zoo.jobs.jobs import Jobs
from zoo.registry import Registry

DAY = 24 * 3600.0
BATCH = 200  # blobs that are removed under one lock


@dataclass(frozen=True)
class Collection:
    """What was removed, or would be.

    Attributes:
        digests: Of the blobs.
        size: Bytes of all of them.
        kept: How many blobs stay.
        uploads: How many uploads had rested too long.
        leftovers: How many files killed writers had left.
    """

    digests: tuple[str, ...]
    size: int
    kept: int
    uploads: int = 0
    leftovers: int = 0


@dataclass(frozen=True)
class _Seen:
    """How far things had gone before the look around: a line of the audit log, a commit's number."""

    line: int
    commit: int


def collect(jobs: Jobs, grace: float, *, dry_run: bool = False) -> Collection:
    """Remove the blobs that nobody needs.

    Args:
        jobs: Those of the zoo.
        grace: Seconds without a sign of interest after which an unneeded blob goes.
        dry_run: Only look.
    """
    registry = jobs.registry
    since = time.time() - grace
    uploads, leftovers = (0, 0) if dry_run else (registry.uploads.sweep(), registry.store.sweep())
    seen = _Seen(registry.access.last_line(), registry.repositories.last_commit())
    rested = dict(registry.store.rested(since))
    for digest in _needed(registry, jobs):
        rested.pop(digest, None)
    removed = list(rested)
    if not dry_run:
        removed = [
            digest
            for some in _batches(sorted(rested))
            for digest in _remove(jobs, some, since, seen)
        ]
        if removed:
            size = sum(rested[digest] for digest in removed)
            registry.access.note(LOCAL, "blobs.collect", f"{len(removed)} blobs", bytes=size)
    kept = sum(1 for _ in registry.store) - (len(removed) if dry_run else 0)
    size = sum(rested[digest] for digest in removed)
    return Collection(tuple(sorted(removed)), size, kept, uploads, leftovers)


def _needed(registry: Registry, jobs: Jobs) -> Iterator[str]:
    yield from registry.published_blobs()
    yield from registry.repositories.blobs()
    yield from (upload.sha256 for upload in registry.uploads)
    with jobs.needed() as needed:
        yield from needed


def _remove(jobs: Jobs, digests: Sequence[str], since: float, seen: _Seen) -> Iterator[str]:
    registry = jobs.registry
    with registry.alone(), jobs.needed() as needed:
        kept = {*needed, *registry.published_among(digests)}
        changed = registry.access.changed_since(seen.line)
        changed |= registry.repositories.committed_since(seen.commit)
        if changed:
            kept.update(registry.repositories.blobs(changed))
        for digest in digests:
            if digest not in kept and registry.store.remove_rested(digest, since):
                yield digest


def _batches(digests: Iterable[str]) -> Iterator[list[str]]:
    left = iter(digests)
    return iter(lambda: list(islice(left, BATCH)), [])
