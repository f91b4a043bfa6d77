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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from zoo.errors import DigestMismatch, NoSpace, NotFound, ZooError
from zoo.reference import is_digest, parse_digest

CHUNK = 1 << 20  # bytes
# A writer that has been still for so long is dead; one that is not fails cleanly at its rename.
STALE_SECONDS = 24 * 3600.0
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


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
            raise NotFound(
                f"there is no blob sha256:{sha256}", fix="upload the file before it is named"
            )
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
        return self.path(sha256).stat().st_size

    def open(self, sha256: str) -> BinaryIO:
        """A blob, opened for reading.

        Raises:
            NotFound: There is no such blob.
        """
        return self.path(sha256).open("rb")

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

    def adopt(self, path: Path, sha256: str) -> Path:
        """Make a file of this file system a blob, by renaming it.

        Args:
            path: The file; gone afterwards, unless its digest is wrong.
            sha256: The digest that its bytes must have.

        Raises:
            DigestMismatch: The bytes have another digest; the file was left where it is.
        """
        require_digest(file_digest(path), sha256)
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

    def sweep(self, older_than: float = STALE_SECONDS) -> int:
        """Remove what killed writers left behind.

        Args:
            older_than: Seconds without a written byte after which a writer counts as dead.

        Returns:
            How many files were removed.
        """
        removed = 0
        for path in self._temporary.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > older_than:
                    path.unlink()
                    removed += 1
        return removed

    def _place(self, sha256: str) -> Path:
        digits = parse_digest(sha256)
        return self._blobs / digits[:2] / digits[2:]

    def _rename(self, path: Path, place: Path) -> None:
        if not place.parent.is_dir():
            place.parent.mkdir(exist_ok=True)
            sync_directory(place.parent.parent)
        path.replace(place)
        sync_directory(place.parent)


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
        if error.errno in _FULL:
            raise NoSpace(
                f"no space left to write {path}", fix="free some space and repeat the command"
            ) from error
        raise ZooError(
            f"{error.filename or path}: {error.strerror or error}",
            fix="check that the directory exists, and that this user may write there",
        ) from error


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
    digest = hashlib.sha256()
    # Read-only from the start: nobody writes to a blob but through this handle.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o444)
    with os.fdopen(handle, "wb") as file:
        for piece in parts if parts is not None else pieces(source):  # type: ignore[arg-type]
            file.write(piece)
            digest.update(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()
