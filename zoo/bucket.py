"""Blobs in a bucket of an S3-compatible service: `PREFIX/blobs/sha256/ab/cdef…`.

The same promise as on a disk (zoo/store.py): a blob is there whole, with the digest that its name says, or
it is not there. Bytes are hashed while they are sent, in parts; the service shows an object when its last
part is confirmed, which does not happen if the digest is another. What a killed writer has sent is never
seen; a lifecycle rule of the bucket removes it (docs/scaling.md). Objects with other names are
`Objects` of their own: what several servers and workers share besides blobs.

Credentials are those of the standard variables and files of AWS.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

from zoo.errors import InvalidSetting, NotFound, StorageUnavailable
from zoo.reference import is_digest, parse_digest
from zoo.settings import Settings
from zoo.store import CHUNK, pieces, require_digest

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import S3Store

# Parts of this size let an object have 10,000 of them: 156 GiB, and more than one is sent at a time.
PART = 16 << 20
# How long an address is good: to begin with the download, which may take longer.
LINK = timedelta(hours=1)
# For so many seconds a blob counts as new without a mark; the clocks differ by less.
FRESH = 300.0
_CLIENT: Any = {
    "allow_http": True,  # if the endpoint says so
    "connect_timeout": "5s",
    "read_timeout": "30s",
    "timeout": "24h",  # of a whole transfer
}
_RETRY: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}


@dataclass(frozen=True)
class Look:
    """What is known of an object.

    Attributes:
        size: In bytes.
        written: Seconds since 1970, by the service's clock.
    """

    size: int
    written: float

    @classmethod
    def at(cls, found: ObjectMeta) -> Look:
        """What the client tells."""
        return cls(int(found["size"]), found["last_modified"].timestamp())


class Objects:
    """Everything below a prefix of a bucket, by name.

    Args:
        store: The client.
        shown: The bucket's name, for errors.
        prefix: Ends in a slash, or is empty.
    """

    def __init__(self, store: S3Store, shown: str, prefix: str = "") -> None:
        self._store = store
        self._shown = shown
        self._prefix = prefix

    def below(self, prefix: str) -> Objects:
        """Those below a further prefix."""
        return Objects(self._store, self._shown, f"{self._prefix}{prefix}/")

    def check(self) -> None:
        """Ask the service for something.

        Raises:
            StorageUnavailable: It does not answer, has no such bucket, or does not let us in.
        """
        import obstore

        with self._told():
            next(iter(obstore.list(self._store, self._prefix + "?", chunk_size=1)), None)

    def look(self, name: str) -> Look | None:
        """What is known of an object; None if it is not there."""
        import obstore

        with self._told():
            try:
                return Look.at(obstore.head(self._store, self._prefix + name))
            except FileNotFoundError:
                return None

    def has(self, name: str) -> bool:
        """Whether an object is there."""
        return self.look(name) is not None

    def read(self, name: str) -> bytes | None:
        """An object, all of it; None if it is not there."""
        import obstore

        with self._told():
            try:
                return bytes(obstore.get(self._store, self._prefix + name).bytes())
            except FileNotFoundError:
                return None

    def pieces(self, name: str, start: int, stop: int) -> Iterator[bytes]:
        """A part of an object, which must be there and so long."""
        import obstore

        if stop <= start:
            return
        with self._told():
            found = obstore.get(self._store, self._prefix + name, options={"range": (start, stop)})
            for piece in found.stream(min_chunk_size=CHUNK):
                yield bytes(piece)

    def write(self, name: str, content: bytes | Iterable[bytes]) -> None:
        """Write an object, all of it or nothing: what the iterable raises, this raises."""
        import obstore

        content = content if isinstance(content, bytes) else _gathered(content)
        with self._told():
            obstore.put(
                self._store,
                self._prefix + name,
                content if isinstance(content, bytes) else _handed(content),
                chunk_size=PART,
                max_concurrency=3,
                attributes={"Content-Type": "application/octet-stream"},
            )

    def once(self, name: str, content: bytes) -> bytes:
        """Write an object, unless it is there; gives what is there then."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        found = self.read(name)
        if found is None:
            with self._told(), suppress(AlreadyExistsError):
                obstore.put(self._store, self._prefix + name, content, mode="create")
            # Services that ignore the condition let the last writer win.
            found = self.read(name)
        return content if found is None else found

    def all(self) -> Iterator[tuple[str, Look]]:
        """All objects, in the order of their names."""
        import obstore

        with self._told():
            for page in obstore.list(self._store, self._prefix or None):
                for found in page:
                    yield str(found["path"]).removeprefix(self._prefix), Look.at(found)

    def clear(self) -> None:
        """Remove all objects."""
        self.remove([name for name, _ in self.all()])

    def folders(self) -> list[str]:
        """What stands before the first slash of names."""
        import obstore

        with self._told():
            found = obstore.list_with_delimiter(self._store, self._prefix or None)
            return [str(path).removeprefix(self._prefix) for path in found["common_prefixes"]]

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; those that are not there do not matter."""
        import obstore

        listed = [self._prefix + name for name in names]
        with self._told():
            for at in range(0, len(listed), 1000):
                obstore.delete(self._store, listed[at : at + 1000])

    def link(self, name: str) -> str:
        """An address at which whoever has it may read an object for a while."""
        import obstore

        with self._told():
            return obstore.sign(self._store, "GET", self._prefix + name, LINK)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the service says into an error that says what to do."""
        from obstore.exceptions import (
            BaseError,
            PermissionDeniedError,
            UnauthenticatedError,
        )

        try:
            yield
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise StorageUnavailable(
                f"the bucket {self._shown} does not let the zoo in: {_line(error)}",
                fix="check the credentials (AWS_ACCESS_KEY_ID …) and what they may do: docs/scaling.md",
            ) from None
        except FileNotFoundError as error:
            raise StorageUnavailable(
                f"the bucket {self._shown}, or an object of it, is not there: {_line(error)}",
                fix="check POLYZOO_BUCKET",
            ) from None
        except BaseError as error:
            raise StorageUnavailable(
                f"the bucket {self._shown} does not answer: {_line(error)}",
                fix="check that the service runs, POLYZOO_BUCKET and POLYZOO_BUCKET_ENDPOINT",
            ) from None


class Bucket:
    """The blobs of a zoo in a bucket.

    Whoever relies on a blob leaves a mark, an empty object, since the time of an object cannot be changed.

    Args:
        objects: Where they are.
        marks: Where marks are.
        links: Whether clients may be sent to the bucket.
    """

    def __init__(self, objects: Objects, marks: Objects, *, links: bool = True) -> None:
        self._objects = objects
        self._marks = marks
        self._links = links

    def has(self, sha256: str) -> bool:
        """Whether the blob is there."""
        return self._objects.has(_name(sha256))

    def keep(self, sha256: str) -> bool:
        """Whether the blob is there; it then counts as new, so that it stays for whoever relies on it."""
        name = _name(sha256)
        found = self._objects.look(name)
        if found is None or time.time() - found.written < FRESH:
            return found is not None
        mark = self._marks.look(name)
        if mark is None or time.time() - mark.written >= FRESH:
            self._marks.write(name, b"")
        return self.has(sha256)

    def size(self, sha256: str) -> int:
        """Length of a blob in bytes.

        Raises:
            NotFound: There is no such blob.
        """
        found = self._objects.look(_name(sha256))
        if found is None:
            raise NotFound(
                f"there is no blob sha256:{sha256}", fix="upload the file before it is named"
            )
        return found.size

    def pieces(self, sha256: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes of a blob from `start` up to, and without, `stop`.

        Raises:
            NotFound: There is no such blob.
        """
        until = self.size(sha256) if stop is None else stop
        return self._objects.pieces(_name(sha256), start, until)

    def local(self, sha256: str) -> Path | None:
        """No blob is a file of this machine."""
        return None

    def link(self, sha256: str) -> str | None:
        """Where clients fetch the blob by themselves, unless a setting says that they cannot."""
        return self._objects.link(_name(sha256)) if self._links else None

    def put(self, source: BinaryIO | Path | Iterable[bytes], sha256: str) -> None:
        """Write a blob, unless it is there already.

        Args:
            source: An open file, the path of one, or its bytes in pieces.
            sha256: The digest that the bytes must have.

        Raises:
            DigestMismatch: The bytes have another digest; nothing was kept.
        """
        if self.keep(sha256):
            return
        if isinstance(source, Path):
            with source.open("rb") as file:
                self._objects.write(_name(sha256), _checked(pieces(file), sha256))
        elif isinstance(source, Iterable) and not hasattr(source, "read"):
            self._objects.write(_name(sha256), _checked(source, sha256))
        else:
            self._objects.write(_name(sha256), _checked(pieces(source), sha256))  # type: ignore[arg-type]

    def adopt(self, path: Path, sha256: str) -> None:
        """Make a file a blob.

        Args:
            path: The file; gone afterwards, unless its digest is wrong.
            sha256: The digest that its bytes must have.

        Raises:
            DigestMismatch: The bytes have another digest; the file was left where it is.
        """
        with path.open("rb") as file:
            self._objects.write(_name(sha256), _checked(pieces(file), sha256))
        path.unlink()

    def verify(self, sha256: str) -> None:
        """Read a blob again, all of it.

        Raises:
            NotFound: There is no such blob.
            DigestMismatch: The bucket has other bytes.
        """
        for _ in _checked(self.pieces(sha256), sha256):
            pass

    def remove(self, sha256: str) -> None:
        """Forget a blob, for one that is corrupt."""
        self._objects.remove([_name(sha256)])

    def rested(self, since: float) -> Iterator[tuple[str, int]]:
        """Blobs that nobody has written or relied on anew for a while: digest and length.

        Args:
            since: Seconds since 1970.
        """
        # Who relies on a blob that is fresh leaves no mark.
        until = since - FRESH
        marks = {name: mark.written for name, mark in self._marks.all()}
        for name, found in self._objects.all():
            if max(found.written, marks.get(name, 0.0)) < until and is_digest(_digest(name)):
                yield _digest(name), found.size

    def remove_rested(self, sha256: str, since: float) -> bool:
        """Remove a blob, unless somebody has relied on it meanwhile.

        Args:
            sha256: The digest.
            since: Seconds since 1970, as for `rested`.

        Returns:
            Whether it was removed.
        """
        name = _name(sha256)
        found, mark = self._objects.look(name), self._marks.look(name)
        newest = max((item.written for item in (found, mark) if item is not None), default=0.0)
        if found is None or newest >= since - FRESH:
            return False
        self._objects.remove([name])
        self._marks.remove([name])
        return True

    def __iter__(self) -> Iterator[str]:
        """The digests of all blobs, in order."""
        for name, _ in self._objects.all():
            if is_digest(_digest(name)):
                yield _digest(name)

    def sweep(self) -> int:
        """Nothing that killed writers left behind can be seen."""
        return 0


def open_bucket(settings: Settings) -> Objects:
    """The bucket of the settings.

    Raises:
        InvalidSetting: They name none.
    """
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    parts = urlsplit(settings.bucket)
    prefix = parts.path.strip("/")
    given: Any = {}
    if settings.bucket_endpoint:
        given["endpoint"] = settings.bucket_endpoint
    if settings.bucket_region:
        given["region"] = settings.bucket_region
    try:
        store = S3Store(parts.netloc, client_options=_CLIENT, retry_config=_RETRY, **given)
    except (BaseError, ValueError) as error:
        raise InvalidSetting(
            f"POLYZOO_BUCKET: {_line(error)}", fix="set it to s3://BUCKET/PREFIX, or unset it"
        ) from None
    return Objects(store, settings.bucket, f"{prefix}/" if prefix else "")


def _name(sha256: str) -> str:
    digits = parse_digest(sha256)
    return f"{digits[:2]}/{digits[2:]}"


def _digest(name: str) -> str:
    return name.replace("/", "")


def _gathered(source: Iterable[bytes]) -> bytes | Iterator[bytes]:
    """All of it, where it is sent at once; else its pieces."""
    iterator, head = iter(source), bytearray()
    for piece in iterator:
        head += piece
        if len(head) >= PART:
            return chain([bytes(head)], iterator)
    return bytes(head)


def _handed(source: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, made in a thread of their own.

    The client asks for them within its own loop, where nobody may ask it for anything, as whoever copies
    from the bucket does.
    """
    with ThreadPoolExecutor(1) as pool:
        iterator = iter(source)
        while (piece := pool.submit(next, iterator, None).result()) is not None:
            yield piece


def _checked(source: Iterable[bytes], sha256: str) -> Iterator[bytes]:
    """The same bytes; raises at the end if they have another digest."""
    digest = hashlib.sha256()
    for piece in source:
        digest.update(piece)
        yield piece
    require_digest(digest.hexdigest(), sha256)


def _line(error: BaseException) -> str:
    """What the service said, in one line and without the document that comes with it."""
    return str(error).partition("\n")[0].partition("<?xml")[0].strip(" -:")[:400]
