"""Resumable uploads into the store: `uploads/<id>.json` says what comes, `<id>.part` holds what came.

The length of the part is the offset, so that state survives a restart without any bookkeeping. One
request at a time writes to an upload; what it wrote is synced before its offset is acknowledged. The
last byte brings the digest check and the rename into the store.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from filelock import FileLock, Timeout

from zoo.errors import Conflict, DigestMismatch, NoSpace, NotFound, TooLarge
from zoo.reference import parse_digest
from zoo.store import Blobs, Digest, Hashing, Store, explained, sync_directory

_ID = re.compile(r"[0-9a-f]{32}\Z")
MOST_DIGESTS = 256
SYNC = 64 << 20  # bytes


@dataclass(frozen=True)
class Upload:
    """An upload that has begun.

    Attributes:
        id: Its name: 32 hex digits that nobody can guess.
        sha256: The digest that the whole must have.
        size: Of the whole, in bytes.
        offset: How many bytes have arrived.
    """

    id: str
    sha256: str
    size: int
    offset: int = 0

    @property
    def complete(self) -> bool:
        """Whether every byte has arrived."""
        return self.offset == self.size


class Writer(Protocol):
    """Whoever adds bytes to an upload.

    Attributes:
        upload: As it was when writing began.
        offset: How many bytes have arrived.
    """

    upload: Upload
    offset: int

    def write(self, piece: bytes) -> None:
        """Add bytes; `TooLarge` if there are more than the upload announced."""


class UploadsRoom(Protocol):
    """The unfinished uploads of a zoo: on its disk (`Uploads`), or shared (zoo/shared_uploads.py)."""

    def create(self, sha256: str, size: int) -> Upload | None:
        """Begin an upload; None if the blob is there already."""

    def status(self, upload_id: str) -> Upload:
        """How far an upload is."""

    def append(self, upload_id: str, offset: int) -> AbstractContextManager[Writer]:
        """Add bytes; when the last has come, the blob is placed in the store."""

    def forget(self, upload_id: str) -> None:
        """Drop an upload and what came of it."""

    def sweep(self) -> int:
        """Remove uploads that have rested too long; gives how many."""

    def __iter__(self) -> Iterator[Upload]:
        """All that have begun and have not ended."""


class Syncing:
    """Brings a file to the disk while it grows, so that little is left to wait for at its end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._begun = file.tell()
        self._thread = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def grown(self, size: int) -> None:
        """Let the disk begin with what has come, unless it is busy with what came before."""
        if size - self._begun < SYNC or not (self._last is None or self._last.done()):
            return
        self._check()
        self._begun = size
        self._last = self._thread.submit(os.fsync, self._file.fileno())

    def finish(self) -> None:
        """Wait until all of it is there.

        Raises:
            OSError: The disk failed, now or before.
        """
        self._thread.shutdown()
        self._check()
        os.fsync(self._file.fileno())

    def _check(self) -> None:
        # The system tells of a failure once only.
        if self._last is not None:
            self._last.result()


class Appending:
    """The one writer of an upload, for as long as it holds the lock."""

    def __init__(self, upload: Upload, file: BinaryIO, digest: Digest | None) -> None:
        """Begin to write.

        Args:
            upload: As it is.
            file: Where its bytes go.
            digest: Of the bytes that are there; None where it is not known.
        """
        self._file = file
        self._syncing = Syncing(file)
        self.upload = upload
        self.offset = upload.offset
        self._hashing = None if digest is None else Hashing(digest)

    def write(self, piece: bytes) -> None:
        """Add bytes.

        Raises:
            TooLarge: There are more than the upload announced; none of `piece` was kept.
        """
        if self.offset + len(piece) > self.upload.size:
            raise too_many(self.upload)
        left = memoryview(piece)
        while left:
            # A disk that is nearly full takes a part.
            written = self._file.write(left)
            if self._hashing is not None:
                self._hashing.update(left[:written])
            self.offset += written
            left = left[written:]
        self._syncing.grown(self.offset)

    def finish(self) -> Digest | None:
        """Wait until the disk has all that was written; gives its digest, if that of what was before is known."""
        try:
            return None if self._hashing is None else self._hashing.finish()
        finally:
            self._syncing.finish()


class Uploads:
    """The unfinished uploads of one store."""

    def __init__(self, root: Path, store: Store, largest: int, lifetime: float) -> None:
        """Open the uploads, and make their directory if it is missing.

        Args:
            root: Directory of the uploads, on the file system of the store.
            store: Where they end.
            largest: Bytes of the largest blob that is accepted.
            lifetime: Seconds without a byte after which an upload is removed.
        """
        self._root = root
        self._store = store
        self._largest = largest
        self._lifetime = lifetime
        # Of what has come through this process, so that most bytes are hashed as they come.
        self._digests: dict[str, tuple[int, Digest]] = {}
        with explained(root):
            root.mkdir(parents=True, exist_ok=True)

    def create(self, sha256: str, size: int) -> Upload | None:
        """Begin an upload.

        Args:
            sha256: The digest that the whole must have.
            size: Of the whole, in bytes.

        Returns:
            The upload, or None if the blob is there already.

        Raises:
            TooLarge: The server accepts no blob of that size.
            NoSpace: The disk has not so many bytes left.
        """
        upload = announced(self._store, sha256, size, self._largest)
        if upload is None:
            return None
        self.sweep()
        if shutil.disk_usage(self._root).free < size:
            raise NoSpace(
                f"{size} bytes do not fit on the disk of the zoo", fix="free some space there"
            )
        with explained(self._root):
            self._part(upload.id).touch(mode=0o600)
            # Last, because it is what makes the upload exist.
            self._write_state(upload)
        return upload

    def status(self, upload_id: str) -> Upload:
        """How far an upload is.

        Raises:
            NotFound: It never began, is complete, was forgotten, or rested too long.
        """
        return self._read(upload_id)

    @contextmanager
    def append(self, upload_id: str, offset: int) -> Iterator[Appending]:
        """Add bytes to an upload; when the last has come, the blob is placed in the store.

        Whatever arrived before a failure stays, except more bytes than were announced.

        Args:
            upload_id: Which.
            offset: Where the bytes belong: what `status` says.

        Raises:
            NotFound: There is no such upload.
            Conflict: Another request is writing, or the offset is out of step.
            DigestMismatch: The whole has another digest; the upload is gone.
            NoSpace: The disk is full; what fitted stays.
        """
        with self._locked(upload_id), explained(self._part(upload_id)):
            upload = self._read(upload_id)
            require_offset(upload, offset)
            known, digest = self._digests.pop(upload_id, (0, hashlib.sha256()))
            with self._part(upload_id).open("ab", buffering=0) as file:
                appending = Appending(upload, file, digest if known == offset else None)
                try:
                    yield appending
                except TooLarge:
                    file.truncate(offset)
                    raise
                finally:
                    found = appending.finish()
            if appending.offset == upload.size:
                self._finish(upload, found)
            elif found is not None:
                self._remember(upload_id, appending.offset, found)

    def forget(self, upload_id: str) -> None:
        """Drop an upload and what came of it.

        Raises:
            NotFound: There is no such upload.
            Conflict: Another request is writing to it.
        """
        with self._locked(upload_id):
            self._read(upload_id)
            self._remove(upload_id)

    def sweep(self) -> int:
        """Remove uploads that have rested too long.

        Returns:
            How many were removed.
        """
        removed = 0
        for part in self._root.glob("*.part"):
            with suppress(FileNotFoundError, Conflict, NotFound):
                if time.time() - part.stat().st_mtime > self._lifetime:
                    with self._locked(part.stem):
                        self._remove(part.stem)
                    removed += 1
        return removed

    def __iter__(self) -> Iterator[Upload]:
        """All that have begun and have not ended."""
        for state in sorted(self._root.glob("*.json")):
            with suppress(NotFound):
                yield self._read(state.stem)

    def _remember(self, upload_id: str, offset: int, digest: Digest) -> None:
        while len(self._digests) >= MOST_DIGESTS:
            self._digests.pop(next(iter(self._digests)), None)
        self._digests[upload_id] = offset, digest

    def _finish(self, upload: Upload, digest: Digest | None) -> None:
        found = None if digest is None else digest.hexdigest()
        try:
            self._store.adopt(self._part(upload.id), upload.sha256, found)
        except DigestMismatch:
            self._remove(upload.id)
            raise
        self._remove(upload.id)

    def _read(self, upload_id: str) -> Upload:
        self._check(upload_id)
        try:
            state = json.loads(self._state(upload_id).read_bytes())
            offset = self._part(upload_id).stat().st_size
        except FileNotFoundError:
            raise unknown(upload_id) from None
        return Upload(**{**state, "offset": offset})

    def _write_state(self, upload: Upload) -> None:
        path = self._state(upload.id)
        temporary = path.with_suffix(".new")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(asdict(upload), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(self._root)

    def _remove(self, upload_id: str) -> None:
        for path in (self._state(upload_id), self._part(upload_id), self._lock(upload_id)):
            path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, upload_id: str) -> Iterator[None]:
        self._check(upload_id)
        if not self._state(upload_id).is_file() and not self._part(upload_id).is_file():
            raise unknown(upload_id)
        # Taken in one thread and released in another: an upload lives across threads of a server.
        lock = FileLock(self._lock(upload_id), thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise Conflict(
                f"another request is writing to upload {upload_id}",
                fix="wait until it ends, then ask for the offset and send the rest",
            ) from None
        try:
            yield
        finally:
            lock.release()
            if not self._state(upload_id).is_file():
                self._lock(upload_id).unlink(missing_ok=True)

    def _check(self, upload_id: str) -> None:
        if not _ID.match(upload_id):
            raise unknown(upload_id)

    def _state(self, upload_id: str) -> Path:
        return self._root / f"{upload_id}.json"

    def _part(self, upload_id: str) -> Path:
        return self._root / f"{upload_id}.part"

    def _lock(self, upload_id: str) -> Path:
        return self._root / f"{upload_id}.lock"


def announced(store: Blobs, sha256: str, size: int, largest: int) -> Upload | None:
    """An upload of which nothing has come; None if the blob is there already.

    Args:
        store: Where the blob is to be.
        sha256: Its digest.
        size: Its length in bytes.
        largest: The most that is accepted.

    Raises:
        TooLarge: It is larger.
    """
    digest = parse_digest(sha256)
    if store.keep(digest):
        return None
    if size > largest:
        raise TooLarge(
            f"a blob of {size} bytes is larger than the {largest} that are accepted",
            fix="split the file, or raise POLYZOO_LARGEST_BLOB on the server",
        )
    return Upload(secrets.token_hex(16), digest, size)


def require_offset(upload: Upload, offset: int) -> None:
    """Refuse bytes that do not belong where an upload is.

    Raises:
        Conflict: They do not.
    """
    if offset != upload.offset:
        raise Conflict(
            f"upload {upload.id} is at offset {upload.offset}, not at {offset}",
            fix=f"send the bytes from offset {upload.offset}",
            details={"offset": upload.offset},
        )


def too_many(upload: Upload) -> TooLarge:
    """The error for more bytes than an upload announced."""
    return TooLarge(
        f"upload {upload.id} has {upload.size} bytes, and more were sent",
        fix="send the bytes from Upload-Offset to the announced size",
    )


def unknown(upload_id: str) -> NotFound:
    """The error for an upload that is not there."""
    return NotFound(
        f"there is no upload {upload_id[:64]!r}",
        fix="begin a new one; if it was complete, the blob is there",
    )
