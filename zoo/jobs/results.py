"""Results of steps: folders of a job that later steps read, on whatever machine they run.

    JOBS/<job>/<random>/              on the machine of the worker that made it, or fetched it
    jobs/<job>/<random>.json          in the bucket, where there is one: which files the folder has
    jobs/<job>/files/<sha256>         their bytes, each once

A folder never changes once its step is done, and is gone when the job has ended.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from zoo.bucket import Objects
from zoo.errors import NotFound
from zoo.store import file_digest, pieces, require_digest

# What a part leaves beside its result.
OWN = frozenset({"tmp", "log", "task.json", "answer.json"})
SWEEP_SECONDS = 60.0


class Results:
    """The folders of all jobs.

    Args:
        root: Where they are on this machine.
        objects: Where they are shared; None where the machines share a file system.
    """

    def __init__(self, root: Path, objects: Objects | None) -> None:
        self._root = root
        self._objects = objects
        self._swept = time.monotonic()

    def fresh(self, job: str) -> Path:
        """A new, empty folder."""
        place = self._root / job / secrets.token_hex(8)
        place.mkdir(parents=True)
        return place

    def keep(self, job: str, name: str) -> None:
        """Let other machines have a folder."""
        if self._objects is None:
            return
        place, shared = self._root / job / name, self._objects.below(job)
        listed = {}
        for path in sorted(place.rglob("*")):
            inside = path.relative_to(place)
            if path.is_file() and inside.parts[0] not in OWN:
                digest = listed[inside.as_posix()] = file_digest(path)
                if not shared.has(f"files/{digest}"):
                    with path.open("rb") as file:
                        shared.write(f"files/{digest}", pieces(file))
        shared.write(f"{name}.json", json.dumps(listed).encode())

    def folder(self, job: str, name: str) -> Path:
        """A folder that was kept, fetched if another machine has made it.

        Raises:
            NotFound: It is not there.
        """
        place = self._root / job / name
        if place.is_dir() or self._objects is None:
            return place
        shared = self._objects.below(job)
        listing = shared.read(f"{name}.json")
        if listing is None:
            raise NotFound(f"a result of job {job} is gone", fix=f"zoo jobs retry {job}")
        arriving = place.with_name(f"{name}.{secrets.token_hex(4)}")
        for path, digest in json.loads(listing).items():
            target = arriving / path
            target.parent.mkdir(parents=True, exist_ok=True)
            found = shared.look(f"files/{digest}")
            with target.open("wb") as file:
                for piece in shared.pieces(f"files/{digest}", 0, found.size if found else 0):
                    file.write(piece)
            require_digest(file_digest(target), digest)
        arriving.mkdir(parents=True, exist_ok=True)
        arriving.replace(place)
        return place

    def leave(self, job: str) -> None:
        """Remove what this machine has of a job."""
        shutil.rmtree(self._root / job, ignore_errors=True)

    def sweep(self, active: Callable[[], Iterable[str]]) -> None:
        """Remove what is left of jobs that have ended.

        Args:
            active: Gives those that have not; asked after looking at what is there.
        """
        folders = [path for path in self._root.iterdir() if path.name != "tmp"]
        shared = self._shared()
        living = set(active())
        for path in folders:
            if path.name not in living:
                shutil.rmtree(path, ignore_errors=True)
        for job in shared:
            if job not in living:
                self.drop(job)

    def _shared(self) -> list[str]:
        now = time.monotonic()
        if self._objects is None or now - self._swept < SWEEP_SECONDS:
            return []
        self._swept = now
        return self._objects.folders()

    def drop(self, job: str) -> None:
        """Remove all of a job that has ended, here and for others."""
        self.leave(job)
        if self._objects is not None:
            self._objects.below(job).clear()
