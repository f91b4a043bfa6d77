"""One blob from a server into the cache: parallel ranges, resumed after a break, digest checked.

A file on its way is `partial/<digest>`, at its full size, with the numbers of its finished parts, a line
each, in `partial/<digest>.parts`. It becomes a blob of the cache's store by a rename, once its whole
digest is right. A lock per blob keeps two downloads of one file from doing the work twice.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import httpx
from filelock import FileLock

from zoo.errors import DigestMismatch, ServerUnavailable
from zoo.store import Store, explained
from zoo.transport import Overloaded, Transport

Advance = Callable[[int], None]


class Download:
    """Fetches blobs from one server into one cache."""

    def __init__(self, transport: Transport, cache: Path) -> None:
        self.transport = transport
        self.store = Store(cache / "blobs")
        self._partial = cache / "partial"
        self._locks = cache / "locks"
        with explained(cache):
            self._partial.mkdir(parents=True, exist_ok=True)
            self._locks.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def alone(self, target: Path) -> Iterator[None]:
        """Keep other pulls into the same directory waiting."""
        name = hashlib.sha256(os.fsencode(target.absolute())).hexdigest()
        with explained(self._locks), FileLock(self._locks / f"directory-{name}.lock"):
            yield

    def blob(self, sha256: str, size: int, advance: Advance = lambda count: None) -> Path:
        """A blob's place in the cache, fetched if it is not there or no longer right.

        Args:
            sha256: Its digest.
            size: Its size in bytes.
            advance: Told of bytes as they arrive, those that were there already included.

        Raises:
            DigestMismatch: The server sent other bytes; they were discarded.
            NotFound: The server does not have it.
            ServerUnavailable: It broke off more often than we retry.
            NoSpace: The disk is full.
        """
        with explained(self._locks), FileLock(self._locks / f"{sha256}.lock"):
            if self.store.has(sha256):
                try:
                    self.store.verify(sha256)
                except DigestMismatch:
                    self.store.remove(sha256)
                else:
                    advance(size)
                    return self.store.path(sha256)
            return self._fetch(sha256, size, advance)

    def _fetch(self, sha256: str, size: int, advance: Advance) -> Path:
        path, done_path = self._partial / sha256, self._partial / f"{sha256}.parts"
        part = self.transport.settings.part
        count = -(-size // part)
        with explained(path):
            done = _finished(path, done_path, size, count)
            with path.open("r+b" if path.exists() else "w+b") as file:
                os.truncate(file.fileno(), size)
            advance(sum(min(part, size - number * part) for number in done))
            missing = [number for number in range(count) if number not in done]
            self._parts(sha256, size, missing, path, done_path, advance)
        try:
            blob = self.store.adopt(path, sha256)
        except DigestMismatch as error:
            path.unlink(missing_ok=True)
            raise DigestMismatch(
                f"the server sent other bytes than it named: {error.message}",
                fix="tell whoever runs the server: `zoo doctor` or a new upload mends it",
            ) from error
        finally:
            done_path.unlink(missing_ok=True)
        return blob

    def _parts(
        self, sha256: str, size: int, missing: list[int], path: Path, log: Path, advance: Advance
    ) -> None:
        """Fetch parts in parallel; the first failure stops the others at their next piece."""
        stop = Event()
        part = self.transport.settings.part
        target = os.open(path, os.O_WRONLY)

        def fetch(number: int) -> None:
            begin = number * part
            self._range(sha256, begin, min(begin + part, size), size, target, stop, advance)
            with log.open("a", encoding="ascii") as file:
                file.write(f"{part} {number}\n")

        try:
            with ThreadPoolExecutor(self.transport.settings.connections) as pool:
                jobs = [pool.submit(fetch, number) for number in missing]
                try:
                    finished, _ = wait(jobs, return_when=FIRST_EXCEPTION)
                    for job in finished:
                        job.result()
                finally:
                    stop.set()
                    pool.shutdown(cancel_futures=True)
        finally:
            os.close(target)

    def _range(
        self,
        sha256: str,
        begin: int,
        end: int,
        size: int,
        target: int,
        stop: Event,
        advance: Advance,
    ) -> None:
        """Fetch bytes [begin, end) to their place; after a break, go on where it was."""
        at = begin
        while at < end:
            before = at
            try:
                for attempt in self.transport.attempts():
                    with attempt:
                        for piece in self._pieces(sha256, at, end, size):
                            if stop.is_set():
                                return
                            os.pwrite(target, piece, at)
                            at += len(piece)
                            advance(len(piece))
                        if at < end:
                            raise httpx.ReadError("the server closed the connection")
            except (httpx.HTTPError, Overloaded) as error:
                # Whatever came through before the last failure counts as progress.
                if at == before:
                    raise self.transport.unavailable(error) from error

    def _pieces(self, sha256: str, begin: int, end: int, size: int) -> Iterator[bytes]:
        whole = begin == 0 and end == size
        # Without If-Range: a blob never changes, and a bucket that we are sent to has other entity tags.
        headers = {} if whole else {"Range": f"bytes={begin}-{end - 1}"}
        with self.transport.stream(f"/v1/blobs/sha256:{sha256}", headers) as response:
            skip = begin if response.status_code == 200 else 0
            if response.status_code == 206:
                said = response.headers.get("Content-Range", "")
                if not said.startswith(f"bytes {begin}-"):
                    raise ServerUnavailable(
                        f"{self.transport.endpoint} answered another range: {said!r}",
                        fix="check that --endpoint is a zoo's server",
                    )
            left = end - begin
            for piece in response.iter_raw():
                if skip >= len(piece):
                    skip -= len(piece)
                    continue
                piece = piece[skip:][:left]
                skip = 0
                left -= len(piece)
                yield piece
                if not left:
                    break


def _finished(path: Path, log: Path, size: int, count: int) -> set[int]:
    """Numbers of the parts that an earlier download has finished."""
    if not path.exists() or path.stat().st_size != size or not log.exists():
        log.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        return set()
    found = set()
    for line in log.read_text(encoding="ascii", errors="replace").splitlines():
        words = line.split()
        if len(words) == 2 and all(word.isdigit() for word in words):
            found.add((int(words[0]), int(words[1])))
    parts = {part for part, _ in found}
    if len(parts) != 1 or -(-size // max(parts)) != count:
        log.unlink(missing_ok=True)
        return set()
    return {number for _, number in found if number < count}
