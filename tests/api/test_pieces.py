"""Bytes of blobs on their way out, without a server between."""

from __future__ import annotations

import hashlib
import random

import anyio
import pytest

from api import pieces
from api.files import WATCHED, FileResponse
from api.ranges import Span
from zoo.store import Blob, Store

DATA = random.Random(1).randbytes(3 * pieces.PIECE + 17)
SPANS = [(0, len(DATA)), (0, 1), (5, pieces.PIECE + 5), (len(DATA) - 1, len(DATA)), (7, 7)]


@pytest.mark.parametrize("cached", ["as it is", "unknown"])
@pytest.mark.parametrize(("start", "stop"), SPANS)
def test_a_range(tmp_path, monkeypatch, cached, start, stop):
    if cached == "unknown":
        monkeypatch.setattr(pieces, "_CACHED", None)
    path = tmp_path / "file"
    path.write_bytes(DATA)

    async def read(span):
        return b"".join([piece async for piece in pieces.of_file(path, span)])

    assert anyio.run(read, Span(start, stop)) == DATA[start:stop]
    # What is no longer there does not come, and nothing comes instead of it.
    path.write_bytes(DATA[: stop // 2])
    assert anyio.run(read, Span(start, stop)) == DATA[start : stop // 2]


def test_nobody_reads_for_a_client_that_is_gone(tmp_path):
    content = bytes(2 * WATCHED)
    digest = hashlib.sha256(content).hexdigest()
    store = Store(tmp_path)
    store.put([content], digest)
    sent = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(len(message.get("body", b"")))

    async def ask():
        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        await FileResponse(Blob.of(store, digest), digest)(scope, receive, send)

    anyio.run(ask)
    assert sum(sent) < len(content)
