"""Copies of a whole zoo, taken while it is in use, and zoos made of them.

A copy is a directory like that of a zoo: the databases as they were at one moment, and every blob that they
name, as a hard link where that is possible. It is made beside its place and renamed, so that it is there
whole or not at all. A `.tar` has the same files. It has the same form, and becomes a zoo of either kind,
whether the databases and blobs are files or in PostgreSQL and a bucket.

Jobs are copied first, so a job that the copy says has ended has its version in the copy too. What they were
doing is not copied: restored, they begin anew, unless their version is there. Unfinished uploads and the
chunks of hub clients are not copied; clients send them again.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from zoo.access import LOCAL
from zoo.databases import DATABASES, Database, is_embedded
from zoo.errors import Conflict, DigestMismatch, NotFound, ZooError
from zoo.jobs.jobs import Jobs
from zoo.registry import Registry
from zoo.settings import Settings
from zoo.store import Blobs, Store, copy_out, explained, sync_directory

SCHEMA = 1
HEAD = "backup.json"
# What was deleted and cleared away between the copy of the databases and that of the blobs.
ATTEMPTS = 3


class InvalidBackup(ZooError):
    """A file or a directory is no copy of a zoo, or not a whole one."""

    status, http, code, title = 5, 422, "invalid-backup", "The backup cannot be read"


@dataclass(frozen=True)
class Summary:
    """What is in a copy.

    Attributes:
        blobs: How many.
        size: Bytes of all of them.
        linked: How many of them share their bytes with the zoo, or with the copy that was there before.
    """

    blobs: int
    size: int
    linked: int = 0


def backup(registry: Registry, target: Path, *, link: bool = True, blobs: bool = True) -> Summary:
    """Copy a zoo; it may be in use.

    Args:
        registry: The zoo.
        target: A directory, or a file whose name ends in `.tar`; a copy that is there is replaced.
        link: Whether blobs may be hard links, which cost no space and share the fate of the disk.
        blobs: Whether they are copied; without, the copy fits a zoo that has them already.

    Raises:
        Conflict: Something else is there, or another copy is being made there.
    """
    target = target.absolute()
    _require_replaceable(target)
    with explained(target), _alone(target):
        for attempt in range(1, ATTEMPTS + 1):
            scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial.", dir=target.parent))
            try:
                return _copied(registry, target, scratch, link=link, blobs=blobs)
            except NotFound:
                if attempt == ATTEMPTS:
                    raise
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    raise AssertionError("the last attempt returns or raises")


def restore(source: Path, data: Path, settings: Settings) -> Summary:
    """Make a zoo of a copy; every byte is checked.

    Blobs that are there already need not be in the copy. They come first, then jobs, then the catalogue: a
    zoo without models is one that was not restored to the end.

    Args:
        source: What `backup` has made.
        data: Directory of the new zoo; it must not be there, or be empty.
        settings: Limits, and where databases and blobs are, if not in the directory.

    Raises:
        Conflict: There is a zoo already.
        InvalidBackup: The copy is none, or is not whole.
        DigestMismatch: A blob of the copy, or one that is there, has other bytes than its name says.
    """
    data = data.absolute()
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise Conflict(
            f"{data} is there and not empty", fix="name another directory, or move that one away"
        )
    for database in _elsewhere(data, settings):
        database.require_no_rows(database.url(data, settings))
    with explained(data):
        data.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{data.name}.partial.", dir=data.parent))
        try:
            found = _restored(source, scratch / "zoo", settings)
            if data.exists():
                data.rmdir()
            (scratch / "zoo").rename(data)
            sync_directory(data.parent)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return found


def _copied(registry: Registry, target: Path, scratch: Path, *, link: bool, blobs: bool) -> Summary:
    made = scratch / "new"
    made.mkdir(mode=0o700)
    for database in DATABASES:
        database.copy(database.url(registry.data, registry.settings), database.file(made))
    zoo = Registry(made, Settings())
    jobs = Jobs(zoo)
    needed = set(_needed(jobs, registry.store)) if blobs else set()
    size = sum(registry.store.size(digest) for digest in needed)
    pack = target.suffix == ".tar"
    linked = 0
    for digest in () if pack else sorted(needed):
        linked += _bring(registry.store, zoo, digest, target, link)
    _close(jobs, made)
    summary = Summary(len(needed), size, linked)
    head = {"schema": SCHEMA, "created_at": int(time.time()), **asdict(summary)}
    (made / HEAD).write_text(json.dumps(head) + "\n", encoding="utf-8")
    if pack:
        packed = scratch / "new.tar"
        _pack(registry.store, made, sorted(needed), packed)
        packed.replace(target)
    else:
        if target.exists():
            target.rename(scratch / "old")
        made.rename(target)
    sync_directory(target.parent)
    return summary


def _restored(source: Path, data: Path, settings: Settings) -> Summary:
    data.mkdir()
    wanted, names = {database.name for database in DATABASES}, set()
    with _contents(source) as files:
        for name, file in files:
            if name in wanted:
                names.add(name)
                with (data / name).open("xb") as copy:
                    shutil.copyfileobj(file, copy)
                    os.fsync(copy.fileno())
    if names != wanted:
        raise _invalid(source, f"it has no {', '.join(sorted(wanted - names))}")
    plain = Settings()
    databases = {"database": plain.database, "jobs_database": plain.jobs_database}
    zoo = Registry(data, settings.model_copy(update={"data": data, **databases}))
    jobs = Jobs(zoo)
    needed, size = set(_needed(jobs)), 0
    missing = set(needed)
    with _contents(source) as files:
        for name, file in files:
            digest = "".join(name.split("/")[2:]) if name.startswith("blobs/sha256/") else ""
            if digest in missing and not zoo.store.has(digest):
                zoo.store.put(file, digest)
                missing.discard(digest)
                size += zoo.store.size(digest)
    for digest in [digest for digest in missing if zoo.store.has(digest)]:
        zoo.store.verify(digest)
        missing.discard(digest)
        size += zoo.store.size(digest)
    count = len(needed - missing)
    with jobs.needed() as sources:
        missing -= sources
    if missing:
        raise _invalid(source, f"it lacks {len(missing)} blobs, first sha256:{min(missing)}")
    jobs.restart()
    zoo.access.note(LOCAL, "zoo.restore", str(source))
    _close(jobs, data)
    for database in _elsewhere(data, settings):
        database.copy(database.file(data), database.url(data, settings))
        (data / database.name).unlink()
    return Summary(count, size)


def _elsewhere(data: Path, settings: Settings) -> tuple[Database, ...]:
    return tuple(item for item in DATABASES if not is_embedded(item.url(data, settings)))


def _needed(jobs: Jobs, store: Blobs | None = None) -> Iterator[str]:
    """What the databases name; with a store, of jobs' sources only those that it has."""
    yield from jobs.registry.published_blobs()
    yield from jobs.registry.repositories.blobs()
    with jobs.needed() as needed:
        # A source that is fetched from elsewhere may not have come yet.
        yield from (digest for digest in needed if store is None or store.has(digest))


def _bring(store: Blobs, zoo: Registry, digest: str, older: Path, link: bool) -> bool:
    """Give a copy a blob; says whether by a link."""
    place = store.local(digest)
    if link:
        # What is far away need not come again: an older copy may have it.
        original = place or _sound(older, digest)
        if original is not None and _linked(original, zoo, digest):
            return True
    zoo.store.put(place or store.pieces(digest), digest)
    return False


def _sound(copy: Path, digest: str) -> Path | None:
    """A blob of an older copy, unless its bytes have changed."""
    if not (copy / "blobs").is_dir():
        return None
    kept = Store(copy / "blobs")
    try:
        kept.verify(digest)
    except (NotFound, DigestMismatch):
        return None
    return kept.path(digest)


def _linked(original: Path, zoo: Registry, digest: str) -> bool:
    place = zoo.data / "blobs" / "sha256" / digest[:2] / digest[2:]
    place.parent.mkdir(exist_ok=True)
    try:
        os.link(original, place)
    except FileNotFoundError:
        raise NotFound(f"blob sha256:{digest} is gone", fix="repeat the command") from None
    except OSError:
        return False  # another disk, or one without links
    return True


def _close(jobs: Jobs, data: Path) -> None:
    """Leave whole files behind: without a journal beside them, and without rooms that are empty."""
    jobs.close()
    jobs.registry.close()
    for database in DATABASES:
        with closing(sqlite3.connect(data / database.name)) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _pack(store: Blobs, made: Path, needed: list[str], packed: Path) -> None:
    with packed.open("xb") as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name in (HEAD, *(database.name for database in DATABASES)):
                archive.add(made / name, name)
            for digest in needed:
                item = tarfile.TarInfo(f"blobs/sha256/{digest[:2]}/{digest[2:]}")
                item.size, item.mode = store.size(digest), 0o444
                with _opened(store, digest, packed.with_name("blob")) as blob:
                    archive.addfile(item, blob)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _opened(store: Blobs, digest: str, scratch: Path) -> Iterator[BinaryIO]:
    """A blob as a file: its own, or one that is made for a moment."""
    place = store.local(digest)
    if place is None:
        copy_out(store, digest, scratch)
    with (place or scratch).open("rb") as file:
        yield file
    scratch.unlink(missing_ok=True)


@contextmanager
def _contents(source: Path) -> Iterator[Iterator[tuple[str, BinaryIO]]]:
    """The files of a copy, by their names in it."""
    if source.is_dir():
        _require_head(source, source / HEAD)
        yield _files(source)
        return
    try:
        with source.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            yield _members(archive)
    except tarfile.TarError as error:
        raise _invalid(source, str(error)) from error


def _files(folder: Path) -> Iterator[tuple[str, BinaryIO]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                yield path.relative_to(folder).as_posix(), file


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, BinaryIO]]:
    for item in archive:
        file = archive.extractfile(item) if item.isfile() else None
        if file is not None:
            yield item.name, file  # type: ignore[misc]  # it is read only


def _require_head(source: Path, head: Path) -> None:
    try:
        schema = json.loads(head.read_bytes())["schema"]
    except (OSError, ValueError, KeyError, TypeError):
        raise _invalid(source, f"it has no {HEAD} that can be read") from None
    if schema != SCHEMA:
        raise _invalid(source, f"its schema is {schema}, not {SCHEMA}")


def _require_replaceable(target: Path) -> None:
    if not target.exists():
        return
    packed = target.suffix == ".tar"
    fits = target.is_file() if packed else target.is_dir()
    if fits and not packed and any(target.iterdir()):
        try:
            _require_head(target, target / HEAD)
        except InvalidBackup:
            fits = False
    if not fits:
        raise Conflict(f"{target} is there and is no backup", fix="choose another name")


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise Conflict(f"{target} is being written by another process", fix="wait for it") from None
    try:
        for stale in target.parent.glob(f".{target.name}.partial.*"):
            shutil.rmtree(stale, ignore_errors=True)
        yield
    finally:
        lock.release()


def _invalid(source: Path, why: str) -> InvalidBackup:
    return InvalidBackup(f"{source}: {why}", fix="name what `zoo backup` has made")
