"""The bytes of a blob for the event loop, in pieces of a size that is quick to send.

What the system has in its cache is read at once, since that takes less than to wake a thread; a thread waits for
what comes from a disk or a bucket. That is quicker than the server's `pathsend`, which wakes a thread for each
piece and knows no ranges.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import anyio
from anyio import to_thread

from api.ranges import Span
from zoo.store import CHUNK, Blob

# Fits into the cache of a processor, from which it is then sent; smaller ones are more to do.
PIECE = 256 << 10  # bytes
# A server holds up to six pieces of a download. With many at once they become smaller, so that all of them take no
# more memory than so many pieces of the full size for each process, and never less than these.
AT_ONCE = 32
SMALLEST = 32 << 10  # bytes
# Only Linux can be asked for what is in its cache.
_CACHED = getattr(os, "RWF_NOWAIT", None)


_open: set[FileIO] = set()


def _piece() -> int:
    return max(min(PIECE, AT_ONCE * PIECE // max(len(_open), 1)), SMALLEST)


async def of_file(path: Path, span: Span) -> AsyncGenerator[bytes | bytearray, None]:
    """A range of a file; less of it where the file is shorter."""
    with FileIO(path) as file, _counted(file):
        at = span.start
        while at < span.stop:
            piece: bytes | bytearray = _cached(file, min(_piece(), span.stop - at), at)
            if not piece:
                piece = await to_thread.run_sync(_read, file, min(CHUNK, span.stop - at), at)
            if not piece:
                return
            at += len(piece)
            yield piece


@contextmanager
def _counted(file: FileIO) -> Iterator[None]:
    _open.add(file)
    try:
        yield
    finally:
        _open.discard(file)


async def of_blob(blob: Blob, span: Span) -> AsyncGenerator[bytes | bytearray, None]:
    """A range of a blob that is no file of this machine."""
    pieces = blob.pieces(span.start, span.stop)
    try:
        while piece := await to_thread.run_sync(next, pieces, b""):
            yield piece
    finally:
        if close := getattr(pieces, "close", None):
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(close)


def _cached(file: FileIO, length: int, at: int) -> bytearray:
    """What is to be had without waiting; nothing if it is not known what that is."""
    if _CACHED is None:
        return bytearray()
    # A new one each time: a server may hold on to it until it is sent.
    piece = bytearray(length)
    try:
        del piece[os.preadv(file.fileno(), [piece], at, _CACHED) :]
    except OSError:
        return bytearray()
    return piece


def _read(file: FileIO, length: int, at: int) -> bytes:
    file.seek(at)
    return file.read(length)
