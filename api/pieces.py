"""The bytes of a blob for the event loop, in pieces of a size that is quick to send.

What the system has in its cache is read at once, since that takes less than to wake a thread; a thread waits for
what comes from a disk or a bucket. That is quicker than the server's `pathsend`, which wakes a thread for each
piece and knows no ranges.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from io import FileIO
from pathlib import Path

import anyio
from anyio import to_thread

from api.ranges import Span
from zoo.store import CHUNK, Blob

# Fits into the cache of a processor, from which it is then sent; smaller ones are more to do.
PIECE = 256 << 10  # bytes
# Only Linux can be asked for what is in its cache.
_CACHED = getattr(os, "RWF_NOWAIT", None)


async def of_file(path: Path, span: Span) -> AsyncGenerator[bytes | bytearray, None]:
    """A range of a file; less of it where the file is shorter."""
    with FileIO(path) as file:
        at = span.start
        while at < span.stop:
            piece: bytes | bytearray = _cached(file, min(PIECE, span.stop - at), at)
            if not piece:
                piece = await to_thread.run_sync(_read, file, min(CHUNK, span.stop - at), at)
            if not piece:
                return
            at += len(piece)
            yield piece


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
