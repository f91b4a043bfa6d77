from __future__ import annotations

import hashlib
import os
import select
import socket
import time

import anyio
import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from api.routes import uploads

DATA = os.urandom(1_500_000)


def begin(http, data, size=None):
    wanted = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data) if size is None else size,
    }
    return http.post("/v1/uploads", json=wanted)


def send(http, address, offset, data):
    return http.patch(address, content=data, headers={"Upload-Offset": str(offset)})


def test_in_parts(http):
    begun = begin(http, DATA)
    assert begun.status_code == 201
    assert begun.json()["exists"] is False
    address = begun.headers["location"]
    assert (begun.headers["upload-offset"], begun.headers["upload-length"]) == ("0", "1500000")
    assert send(http, address, 0, DATA[:700_001]).headers["upload-offset"] == "700001"
    for method in ("HEAD", "GET"):
        assert http.request(method, address).headers["upload-offset"] == "700001"
    assert http.get(address).json()["offset"] == 700001

    def pieces():
        for start in range(700_001, len(DATA), 1000):
            yield DATA[start : start + 1000]

    last = send(http, address, 700_001, pieces())
    assert (last.status_code, last.headers["upload-offset"]) == (204, "1500000")
    digest = hashlib.sha256(DATA).hexdigest()
    assert http.get(f"/v1/blobs/sha256:{digest}").content == DATA
    assert http.get(address).status_code == 404
    again = begin(http, DATA)
    assert (again.status_code, again.json()["exists"]) == (200, True)


def test_refusals(http, is_problem):
    data = os.urandom(1000)
    address = begin(http, data).headers["location"]
    assert is_problem(send(http, address, 5, b"x"), 409, "conflict")["offset"] == 0
    is_problem(http.patch(address, content=b"x"), 422, "invalid-request")
    is_problem(send(http, address, -1, b"x"), 422, "invalid-request")
    is_problem(send(http, address, 0, data + b"x"), 413, "too-large")
    is_problem(send(http, address, 0, b"x" * 1000), 422, "digest-mismatch")
    is_problem(send(http, address, 0, data), 404, "not-found")
    is_problem(begin(http, b"huge", 1 << 49), 413, "too-large")
    is_problem(begin(http, b"huge", -1), 422, "invalid-request")
    is_problem(http.post("/v1/uploads", json={"sha256": "x", "size": 1}), 422, "invalid-request")


def test_forgetting(http, is_problem):
    address = begin(http, os.urandom(10)).headers["location"]
    assert http.delete(address).status_code == 204
    is_problem(http.delete(address), 404, "not-found")


def raw_patch(server, address, length, data):
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    head = f"PATCH {address} HTTP/1.1\r\nHost: x\r\nUpload-Offset: 0\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(head.encode() + data)
    return connection


def wait_for(condition, seconds=20):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_what_came_before_a_broken_connection_stays(http, server, is_problem):
    data = os.urandom(2_500_000)
    address = begin(http, data).headers["location"]
    connection = raw_patch(server, address, len(data), data[:2_000_000])

    def waits_for_the_rest():
        nonlocal connection
        if select.select([connection], [], [], 0)[0]:
            # It has been answered: whoever asks here writes for a moment, too, and was first.
            connection.close()
            connection = raw_patch(server, address, len(data), data[:2_000_000])
        return "another request" in send(http, address, 9, b"x").json()["detail"]

    assert wait_for(waits_for_the_rest)
    is_problem(send(http, address, 9, b"x"), 409, "conflict")
    connection.close()
    assert wait_for(lambda: http.get(address).json()["offset"] == 2_000_000)
    assert wait_for(lambda: send(http, address, 2_000_000, data[2_000_000:]).status_code == 204)
    digest = hashlib.sha256(data).hexdigest()
    assert http.get(f"/v1/blobs/sha256:{digest}").content == data


def test_goes_on_after_the_server_was_killed(start, tmp_path):
    data = os.urandom(400_000)
    server = start(tmp_path / "zoo")
    with httpx.Client(base_url=server.url) as http:
        address = begin(http, data).headers["location"]
        assert send(http, address, 0, data[:150_000]).status_code == 204
    kill(server)
    server = start(tmp_path / "zoo")
    with httpx.Client(base_url=server.url, follow_redirects=True) as http:
        assert http.get(address).json()["offset"] == 150_000
        assert send(http, address, 150_000, data[150_000:]).status_code == 204
        digest = hashlib.sha256(data).hexdigest()
        assert http.get(f"/v1/blobs/sha256:{digest}").content == data


def kill(server):
    import psutil

    main = psutil.Process(server.process.pid)
    for process in [*main.children(recursive=True), main]:
        process.kill()
    server.process.wait(10)


def test_a_server_with_a_small_limit(start, tmp_path, is_problem):
    server = start(tmp_path / "zoo", POLYZOO_LARGEST_BLOB="1000")
    with httpx.Client(base_url=server.url) as http:
        is_problem(begin(http, b"x" * 1001), 413, "too-large")
        assert begin(http, b"x" * 1000).status_code == 201


class Slow:
    """A disk that takes its time."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.length = 0

    def write(self, piece):
        time.sleep(self.seconds)
        self.length += len(piece)


def test_a_client_that_stops_sending_is_late_and_a_slow_disk_is_not(monkeypatch):
    monkeypatch.setattr(uploads, "PATIENCE", 0.4)
    pieces = [bytes(uploads.BUFFER)] * 6 + [b"rest"]

    async def take(disk, ends):
        left = iter(pieces)

        async def receive():
            piece = next(left, None)
            if piece is None and not ends:
                await anyio.sleep_forever()
            return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

        await uploads.receive(Request({"type": "http"}, receive), disk)

    slow = Slow(0.3)
    anyio.run(take, slow, True)
    assert slow.length == sum(map(len, pieces))
    kept = Slow(0)
    with pytest.raises(HTTPException, match="no byte came") as refused:
        anyio.run(take, kept, False)
    assert (refused.value.status_code, kept.length) == (408, slow.length)
