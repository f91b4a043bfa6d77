"""Content-addressed blobs on disk: `blobs/sha256/ab/cdef…`.

A blob is there whole, with the digest that its name says, or it is not there: bytes go to a temporary
name on the same file system, are hashed on the way, synced, and renamed. Nothing is ever written to a
blob's own name, so readers need no locks, and writers of the same blob cannot disturb each other.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from zoo.errors import DigestMismatch, NoSpace, NotFound, ZooError
from zoo.reference import is_digest, parse_digest

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

CHUNK = 1 << 20  # bytes
# Pieces that wait to be hashed, at most; shorter ones are hashed sooner than a thread wakes.
HASHED_BEHIND = 2
WORTH_A_THREAD = 128 << 10  # bytes
# A writer has a lock on what it writes, which the system takes from whoever dies; it comes to it, and from it to the
# rename, in less than this.
REST_SECONDS = 10.0
# Where there are no locks, one that has been still for so long is dead; one that is not fails cleanly at its rename.
STALE_SECONDS = 24 * 3600.0
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Blobs(Protocol):
    """Where a zoo keeps its blobs: on its disk (`Store`), or in a bucket (zoo/bucket.py)."""

    def has(self, sha256: str) -> bool:
        """Whether the blob is there."""

    def keep(self, sha256: str) -> bool:
        """Whether the blob is there; it then counts as new, so that it stays for whoever relies on it."""

    def size(self, sha256: str) -> int:
        """Length of a blob in bytes; `NotFound` if it is not there."""

    def pieces(self, sha256: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes of a blob from `start` up to, and without, `stop`."""

    def local(self, sha256: str) -> Path | None:
        """The blob as a file of this machine; None where it is none."""

    def link(self, sha256: str) -> str | None:
        """An address, good for a while, at which others may fetch the blob; None where there is none."""

    def put(self, source: BinaryIO | Path | Iterable[bytes], sha256: str) -> object:
        """Write a blob, unless it is there already; `DigestMismatch` if the bytes are others."""

    def adopt(self, path: Path, sha256: str) -> object:
        """Make a file a blob; the file is gone afterwards, unless its digest is wrong."""

    def verify(self, sha256: str) -> None:
        """Read a blob again, all of it; `DigestMismatch` if its bytes have changed."""

    def remove(self, sha256: str) -> None:
        """Forget a blob."""

    def rested(self, since: float) -> Iterator[tuple[str, int]]:
        """Blobs that nobody has written or relied on anew since a time: digest and length."""

    def remove_rested(self, sha256: str, since: float) -> bool:
        """Remove a blob, unless somebody has relied on it meanwhile; gives whether it was removed."""

    def __iter__(self) -> Iterator[str]:
        """The digests of all blobs, in order."""

    def sweep(self) -> int:
        """Remove what killed writers left behind; gives how many."""


class Digest(Protocol):
    """A SHA-256 that is being computed."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Add bytes."""

    def hexdigest(self) -> str:
        """Of all bytes so far."""


class Hashing:
    """Hashes bytes in a thread of its own, while whoever has them writes them.

    Args:
        digest: Of the bytes before.
    """

    def __init__(self, digest: Digest) -> None:
        self._digest = digest
        self._thread = ThreadPoolExecutor(1)  # begun by the first piece that is worth it
        self._waiting: deque[Future[None]] = deque()

    def update(self, piece: bytes | memoryview) -> None:
        """Add bytes, which nobody may change any more."""
        if len(piece) < WORTH_A_THREAD and not self._waiting:
            self._digest.update(piece)
            return
        if len(self._waiting) == HASHED_BEHIND:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._digest.update, piece))

    def finish(self) -> Digest:
        """The digest with all of them."""
        self._thread.shutdown()
        for one in self._waiting:
            one.result()
        return self._digest


class Kept(Protocol):
    """Files by name that servers share: on a disk (`Folder`), or in a bucket (`Objects`)."""

    def has(self, name: str) -> bool:
        """Whether it is there."""

    def read(self, name: str) -> bytes | None:
        """All of it; None if it is not there."""

    def write(self, name: str, content: bytes) -> None:
        """Write it, all of it or nothing."""

    def once(self, name: str, content: bytes) -> bytes:
        """Write it, unless it is there; gives what is there then."""


@dataclass(frozen=True)
class Blob:
    """A blob that is there.

    Attributes:
        store: Where it is.
        sha256: Its digest.
        size: In bytes.
    """

    store: Blobs
    sha256: str
    size: int

    @classmethod
    def of(cls, store: Blobs, sha256: str) -> Blob:
        """The blob of a digest.

        Raises:
            NotFound: There is none.
        """
        return cls(store, sha256, store.size(sha256))

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Its bytes from `start` up to, and without, `stop`."""
        return self.store.pieces(self.sha256, start, stop)

    def read(self, most: int) -> bytes:
        """Its first bytes."""
        return b"".join(self.pieces(0, min(most, self.size)))


class Store:
    """The blobs under one directory."""

    def __init__(self, root: Path) -> None:
        """Open a store, and make its directories if they are missing.

        Args:
            root: Directory of the blobs.

        Raises:
            ZooError: The directory cannot be made or written to.
        """
        self._blobs = root / "sha256"
        self._temporary = root / "tmp"
        with explained(root):
            for directory in (self._blobs, self._temporary):
                directory.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Where a blob is; every byte at this path has been checked.

        Raises:
            InvalidReference: This is not a digest.
            NotFound: There is no such blob.
        """
        path = self._place(sha256)
        if not path.is_file():
            raise _absent(sha256)
        return path

    def has(self, sha256: str) -> bool:
        """Whether the blob is there."""
        return self._place(sha256).is_file()

    def keep(self, sha256: str) -> bool:
        """Whether the blob is there; it then counts as new, so that it stays for whoever relies on it."""
        place = self._place(sha256)
        with explained(place), suppress(FileNotFoundError):
            os.utime(place)
            return True
        return False

    def size(self, sha256: str) -> int:
        """Length of a blob in bytes.

        Raises:
            NotFound: There is no such blob.
        """
        try:
            return os.stat(self._place(sha256)).st_size
        except FileNotFoundError:
            raise _absent(sha256) from None

    def open(self, sha256: str) -> BinaryIO:
        """A blob, opened for reading.

        Raises:
            NotFound: There is no such blob.
        """
        return self.path(sha256).open("rb")

    def pieces(self, sha256: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes of a blob from `start` up to, and without, `stop`.

        Raises:
            NotFound: There is no such blob.
        """
        with self.open(sha256) as file:
            left = (self.size(sha256) if stop is None else stop) - start
            file.seek(start)
            while left > 0:
                piece = file.read(min(CHUNK, left))
                if not piece:
                    raise ZooError(f"blob sha256:{sha256} is shorter than it was")
                left -= len(piece)
                yield piece

    def local(self, sha256: str) -> Path | None:
        """The same as `path`: every blob is a file of this machine."""
        return self.path(sha256)

    def link(self, sha256: str) -> str | None:
        """Nobody can fetch a blob without us."""
        return None

    def put(self, source: BinaryIO | Path | Iterable[bytes], sha256: str) -> Path:
        """Write a blob, unless it is there already.

        Args:
            source: An open file, the path of one, or its bytes in pieces.
            sha256: The digest that the bytes must have.

        Returns:
            Where the blob is.

        Raises:
            DigestMismatch: The bytes have another digest; nothing was kept.
            NoSpace: The disk is full; nothing was kept.
        """
        place = self._place(sha256)
        if self.keep(sha256):
            return place
        temporary = self._temporary / f"{sha256[:16]}-{os.getpid()}-{secrets.token_hex(8)}"
        with explained(temporary), _removed_on_failure(temporary):
            found = _write(temporary, source)
            require_digest(found, sha256)
            self._rename(temporary, place)
        return place

    def adopt(self, path: Path, sha256: str, found: str | None = None) -> Path:
        """Make a file of this file system a blob, by renaming it.

        Args:
            path: The file; gone afterwards, unless its digest is wrong.
            sha256: The digest that its bytes must have.
            found: The digest that they have, where it was taken as they were written.

        Raises:
            DigestMismatch: The bytes have another digest; the file was left where it is.
        """
        require_digest(found or file_digest(path), sha256)
        place = self._place(sha256)
        with explained(path):
            with path.open("rb") as file:
                os.fsync(file.fileno())
            path.chmod(0o444)
            os.utime(path)
            self._rename(path, place)
        return place

    def verify(self, sha256: str) -> None:
        """Read a blob again, all of it.

        Raises:
            NotFound: There is no such blob.
            DigestMismatch: The disk has changed its bytes.
        """
        require_digest(file_digest(self.path(sha256)), sha256)

    def remove(self, sha256: str) -> None:
        """Forget a blob, for one that is corrupt."""
        self._place(sha256).unlink(missing_ok=True)

    def count(self) -> int:
        """How many blobs there are."""
        return sum(1 for folder in self._blobs.iterdir() for _ in os.scandir(folder))

    def rested(self, since: float) -> Iterator[tuple[str, int]]:
        """Blobs that nobody has written or relied on anew for a while: digest and length.

        Args:
            since: Seconds since 1970.
        """
        for digest in self:
            with suppress(FileNotFoundError):
                found = self._place(digest).stat()
                if found.st_mtime < since:
                    yield digest, found.st_size

    def remove_rested(self, sha256: str, since: float) -> bool:
        """Remove a blob, unless somebody has relied on it meanwhile.

        Args:
            sha256: The digest.
            since: Seconds since 1970, as for `rested`.

        Returns:
            Whether it was removed.
        """
        place = self._place(sha256)
        with explained(place), suppress(FileNotFoundError):
            if place.stat().st_mtime < since:
                place.unlink()
                return True
        return False

    def __iter__(self) -> Iterator[str]:
        """The digests of all blobs, in order."""
        for folder in sorted(self._blobs.iterdir()):
            for path in sorted(folder.iterdir()):
                digest = folder.name + path.name
                if is_digest(digest):
                    yield digest

    def sweep(self) -> int:
        """Remove what killed writers left behind.

        Returns:
            How many files were removed.
        """
        removed = 0
        for path in self._temporary.iterdir():
            with suppress(FileNotFoundError):
                still = time.time() - path.stat().st_mtime
                if still > STALE_SECONDS or (still > REST_SECONDS and _nobody_writes(path)):
                    path.unlink()
                    removed += 1
        return removed

    def _place(self, sha256: str) -> Path:
        digits = parse_digest(sha256)
        return self._blobs.joinpath(digits[:2], digits[2:])

    def _rename(self, path: Path, place: Path) -> None:
        if not place.parent.is_dir():
            place.parent.mkdir(exist_ok=True)
            sync_directory(place.parent.parent)
        path.replace(place)
        sync_directory(place.parent)


def _absent(sha256: str) -> NotFound:
    return NotFound(f"there is no blob sha256:{sha256}", fix="upload the file before it is named")


def copy_out(store: Blobs, sha256: str, place: Path) -> None:
    """Write a blob to a file, and check it on the way.

    Args:
        store: Where the blob is.
        sha256: Its digest.
        place: The file; its directory must exist.

    Raises:
        NotFound: There is no such blob.
        DigestMismatch: The store has changed its bytes.
    """
    digest = hashlib.sha256()
    with place.open("wb") as file:
        for piece in store.pieces(sha256):
            digest.update(piece)
            file.write(piece)
    require_digest(digest.hexdigest(), sha256)


class Folder:
    """Files below a directory, by name: what `Objects` of a bucket are on a disk.

    Args:
        root: The directory; made when the first file is written.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return (self._root / name).is_file()

    def read(self, name: str) -> bytes | None:
        """A file, all of it; None if it is not there."""
        with explained(self._root):
            try:
                return (self._root / name).read_bytes()
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file, all of it or nothing."""
        place = self._root / name
        with explained(place):
            self._new(place, content).replace(place)

    def once(self, name: str, content: bytes) -> bytes:
        """Write a file, unless it is there; gives what is there then."""
        place = self._root / name
        found = self.read(name)
        if found is None:
            with explained(place):
                temporary = self._new(place, content)
                with suppress(FileExistsError):
                    os.link(temporary, place)
                temporary.unlink()
                found = place.read_bytes()
        return found

    def _new(self, place: Path, content: bytes) -> Path:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.with_name(f"{place.name}.{secrets.token_hex(8)}")
        temporary.touch(mode=0o600)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return temporary


def pieces(source: BinaryIO) -> Iterator[bytes]:
    """The rest of a file in pieces of a size that disks and hashes like."""
    return iter(lambda: source.read(CHUNK), b"")


def file_digest(path: Path) -> str:
    """SHA-256 of a file: 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for piece in pieces(file):
            digest.update(piece)
    return digest.hexdigest()


def require_digest(found: str, expected: str) -> None:
    """Refuse bytes that are not those that were named.

    Raises:
        DigestMismatch: The digests differ.
    """
    if found != parse_digest(expected):
        raise DigestMismatch(
            f"expected sha256:{expected}, but the bytes have sha256:{found}",
            fix="send the file that the digest was taken of, or correct the digest",
        )


def sync_directory(directory: Path) -> None:
    """Make names in a directory last through a power cut, where the system can do that."""
    if os.name == "nt":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the system says about a path into an error that says what to do.

    Raises:
        NoSpace: The disk, a quota or a file size limit is full.
        ZooError: Any other failure.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise NoSpace(
                f"no space left to write {path}", fix="free some space and repeat the command"
            ) from error
        raise ZooError(
            f"{error.filename or path}: {error.strerror or error}",
            fix="check that the directory exists, and that this user may write there",
        ) from error


def _lock(file: BinaryIO) -> bool:
    """Take the lock on a file for as long as it is open; whether that could be done."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _nobody_writes(path: Path) -> bool:
    with path.open("rb") as file:
        return _lock(file)


@contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise


def _write(path: Path, source: BinaryIO | Path | Iterable[bytes]) -> str:
    if isinstance(source, Path):
        with source.open("rb") as file:
            return _write(path, pieces(file))
    parts = source if isinstance(source, Iterable) and not hasattr(source, "read") else None
    hashing = Hashing(hashlib.sha256())
    # Read-only from the start: nobody writes to a blob but through this handle.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o444)
    with os.fdopen(handle, "wb") as file:
        _lock(file)
        for piece in parts if parts is not None else pieces(source):  # type: ignore[arg-type]
            file.write(piece)
            hashing.update(piece)
        file.flush()
        os.fsync(file.fileno())
        os.utime(path)  # the lock goes before the rename
    return hashing.finish().hexdigest()
