"""Servers and connections that break or lie: what is placed is right, or nothing is placed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from zoo.client import Client
from zoo.errors import (
    Conflict,
    DigestMismatch,
    InvalidManifest,
    NotFound,
    ServerUnavailable,
    ZooError,
)  # fmt: skip

WEIGHTS = random.Random(0).randbytes(3_000_001)
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()


@dataclass
class Lair:
    """What a server says and how it fails.

    Attributes:
        blob: The bytes that it sends as the one blob.
        manifest: What it answers as the manifest.
        cut: Bytes of a body after which it closes the connection, for so many requests.
        slow: Seconds that it waits after each piece.
        ranges: Whether it knows ranges.
        statuses: Statuses that it answers first, instead of a blob.
        sent: Bytes of blobs that it has sent.
    """

    blob: bytes = WEIGHTS
    manifest: bytes = b""
    tag: str = ""
    cut: list[int] = field(default_factory=list)
    slow: float = 0
    ranges: bool = True
    statuses: list[int] = field(default_factory=list)
    sent: int = 0
    url: str = ""
    lock: Any = field(default_factory=threading.Lock)


def fields(path: str = "weights.bin", digest: str = DIGEST, size: int = len(WEIGHTS)) -> Any:
    file = {"path": path, "sha256": digest, "size": size}
    return {
        "name": "org/model",
        "version": "1.0.0",
        "task": "text-recognition",
        "summary": "Reads text.",
        "licence": {"expression": "Apache-2.0"},
        "lineage": {"publisher": "Org"},
        "artifacts": [
            {"framework": "onnx", "format": "onnx", "precision": "fp32", "entry": path,
             "files": [file]},
        ],
    }  # fmt: skip


def handler(lair: Lair) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with lair.lock:
                cut = lair.cut.pop() if lair.cut and "blobs" in self.path else len(body)
            for at in range(0, min(cut, len(body)), 1 << 16):
                piece = body[at : min(at + (1 << 16), cut)]
                self.wfile.write(piece)
                with lair.lock:
                    lair.sent += len(piece) if "blobs" in self.path else 0
                time.sleep(lair.slow)
            if cut < len(body):
                self.close_connection = True

        def do_GET(self) -> None:
            if self.path.endswith("/manifest"):
                self.answer(200, lair.manifest, **({"ETag": lair.tag} if lair.tag else {}))
                return
            with lair.lock:
                status = lair.statuses.pop(0) if lair.statuses else 0
            if status:
                self.answer(status, b"")
                return
            wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if wanted and lair.ranges:
                begin, end = int(wanted[1]), int(wanted[2]) + 1
                said = f"bytes {begin}-{end - 1}/{len(lair.blob)}"
                self.answer(206, lair.blob[begin:end], Content_Range=said)
            else:
                self.answer(200, lair.blob)

    return Handler


@pytest.fixture
def lair() -> Iterator[Lair]:
    """A server that can be told to fail."""
    made = Lair(manifest=json.dumps(fields()).encode())
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler(made))
    made.url = f"http://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield made
    running.shutdown()
    running.server_close()


def left(client: Client) -> list[str]:
    """What a client keeps of files on their way."""
    return [path.name for path in (client.settings.cache / "partial").iterdir()]


def test_a_broken_body_is_resumed(lair: Lair, connect: Any, tmp_path: Path) -> None:
    lair.cut = [1000, 70_000, 200_000, 0, 5]
    place = connect(lair.url).pull("org/model", "onnx", tmp_path / "out")
    assert (place / "weights.bin").read_bytes() == WEIGHTS
    assert lair.cut == []
    # Little is sent again: what had not been read when the connection broke.
    assert lair.sent < len(WEIGHTS) + 300_000


def test_a_body_that_breaks_in_every_request_still_arrives(
    lair: Lair, connect: Any, tmp_path: Path
) -> None:
    lair.cut = [100_000] * 40
    client = connect(lair.url, attempts=2)
    place = client.pull("org/model", "onnx", tmp_path / "out")
    assert (place / "weights.bin").read_bytes() == WEIGHTS


def test_an_overloaded_server_is_asked_again(lair: Lair, connect: Any, tmp_path: Path) -> None:
    lair.statuses = [503, 429]
    place = connect(lair.url).pull("org/model", "onnx", tmp_path / "out")
    assert (place / "weights.bin").read_bytes() == WEIGHTS
    assert lair.statuses == []


def test_a_server_without_ranges_will_do(lair: Lair, connect: Any, tmp_path: Path) -> None:
    lair.ranges = False
    place = connect(lair.url).pull("org/model", "onnx", tmp_path / "out")
    assert (place / "weights.bin").read_bytes() == WEIGHTS


@pytest.mark.parametrize("blob", [WEIGHTS[:-1] + b"?", bytes(len(WEIGHTS)), WEIGHTS + b"more"])
def test_wrong_bytes_are_discarded(lair: Lair, connect: Any, tmp_path: Path, blob: bytes) -> None:
    lair.blob = blob
    client = connect(lair.url)
    if blob.startswith(WEIGHTS):
        # More than was announced is not even read.
        client.pull("org/model", "onnx", tmp_path / "out")
        assert (tmp_path / "out" / "weights.bin").read_bytes() == WEIGHTS
        return
    with pytest.raises(DigestMismatch, match="other bytes"):
        client.pull("org/model", "onnx", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert left(client) == []
    lair.blob = WEIGHTS
    place = client.pull("org/model", "onnx", tmp_path / "out")
    assert (place / "weights.bin").read_bytes() == WEIGHTS


def test_a_blob_that_is_too_short_ends_in_an_error(
    lair: Lair, connect: Any, tmp_path: Path
) -> None:
    lair.blob = WEIGHTS[:-10]
    client = connect(lair.url, attempts=2)
    with pytest.raises(ZooError):
        client.pull("org/model", "onnx", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_a_server_that_goes_away_leaves_what_arrived(
    lair: Lair, connect: Any, tmp_path: Path
) -> None:
    lair.statuses = [0, 0, 0] + [503] * 60
    client = connect(lair.url, attempts=2, connections=1)
    with pytest.raises(ServerUnavailable) as caught:
        client.pull("org/model", "onnx", tmp_path / "out")
    assert "\n" not in caught.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    before, lair.sent, lair.statuses = lair.sent, 0, []
    assert before > 0
    client.pull("org/model", "onnx", tmp_path / "out")
    assert lair.sent == len(WEIGHTS) - before


PULL = """
import sys
from pathlib import Path
from zoo.client import Client
from zoo.settings import Settings
url, cache, part, out = sys.argv[1:]
Client(url, Settings(cache=cache, part=part)).pull("org/model", "onnx", Path(out))
"""


def pulling(lair: Lair, client: Client, out: Path) -> subprocess.Popen[bytes]:
    settings = client.settings
    return subprocess.Popen(
        [sys.executable, "-c", PULL, lair.url, settings.cache, str(settings.part), out]
    )


def test_a_killed_pull_is_gone_on_with(lair: Lair, connect: Any, tmp_path: Path) -> None:
    lair.slow = 0.02
    client = connect(lair.url)
    process = pulling(lair, client, tmp_path / "out")
    waited = time.monotonic() + 30
    while lair.sent < len(WEIGHTS) * 2 // 3 and time.monotonic() < waited:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    time.sleep(0.2)
    lair.slow, lair.sent = 0, 0
    place = client.pull("org/model", "onnx", tmp_path / "out")
    assert (place / "weights.bin").read_bytes() == WEIGHTS
    assert 0 < lair.sent < len(WEIGHTS) * 3 // 4
    assert left(client) == []


def test_two_pulls_at_once_fetch_once(lair: Lair, connect: Any, tmp_path: Path) -> None:
    lair.slow = 0.005
    client = connect(lair.url)
    processes = [pulling(lair, client, tmp_path / name) for name in ("one", "two")]
    assert [process.wait(30) for process in processes] == [0, 0]
    for name in ("one", "two"):
        assert (tmp_path / name / "weights.bin").read_bytes() == WEIGHTS
    assert lair.sent == len(WEIGHTS)


def test_two_pulls_into_one_directory(lair: Lair, connect: Any, tmp_path: Path) -> None:
    client = connect(lair.url)

    def pull(_: int) -> Path:
        return Path(client.pull("org/model", "onnx", tmp_path / "out"))

    with ThreadPoolExecutor(4) as pool:
        places = set(pool.map(pull, range(4)))
    assert places == {tmp_path / "out"}
    assert (tmp_path / "out" / "weights.bin").read_bytes() == WEIGHTS
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "out"}


@pytest.mark.parametrize(
    "path",
    [
        "../evil",
        "a/../../evil",
        "/tmp/evil",
        "C:\\evil",
        "a\\..\\..\\evil",
        ".",
        "a/",
        "CON",
        "a\0b",
    ],
)
def test_a_path_that_leaves_the_directory_is_refused(
    lair: Lair, connect: Any, tmp_path: Path, path: str
) -> None:
    lair.manifest = json.dumps(fields(path)).encode()
    with pytest.raises(InvalidManifest, match=r"files\[0\]\.path"):
        connect(lair.url).pull("org/model", "onnx", tmp_path / "deep" / "out")
    assert lair.sent == 0
    assert list(tmp_path.rglob("*evil*")) == []


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"<html>hello</html>",
        b"\xff\xfe",
        b"[" * 100_000,
        b"{}",
        json.dumps(fields(digest="../../evil")).encode(),
        json.dumps({**fields(), "name": "org/other"}).encode(),
    ],
)
def test_a_manifest_that_is_none_is_refused(
    lair: Lair, connect: Any, tmp_path: Path, manifest: bytes
) -> None:
    lair.manifest = manifest
    with pytest.raises(InvalidManifest):
        connect(lair.url).pull("org/model", "onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_manifest_is_compared_with_its_digest(lair: Lair, connect: Any, tmp_path: Path) -> None:
    lair.tag = f'"{DIGEST}"'
    with pytest.raises(DigestMismatch, match="manifest"):
        connect(lair.url).pull("org/model", "onnx", tmp_path / "out")


def test_what_is_no_zoo_is_said_to_be_none(lair: Lair, connect: Any) -> None:
    lair.statuses = [404]
    with pytest.raises(ServerUnavailable, match="not as a zoo does") as caught:
        list(connect(lair.url).models())
    assert "--endpoint" in caught.value.fix
    lair.blob = b"<html>hello</html>"
    with pytest.raises(ServerUnavailable, match="not as a zoo does"):
        list(connect(lair.url).models())


class Breaking(httpx.BaseTransport):
    """Sends requests on, and breaks some PATCHes: after half of the body, or before the answer."""

    def __init__(self, breaks: list[Callable[[httpx.Request, Any], httpx.Response]]) -> None:
        self.real = httpx.HTTPTransport()
        self.breaks = breaks

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH" and self.breaks:
            return self.breaks.pop(0)(request, self.real)
        return self.real.handle_request(request)


def half(request: httpx.Request, real: Any) -> httpx.Response:
    body = request.read()

    def cut() -> Iterator[bytes]:
        yield body[: len(body) // 2]
        raise httpx.WriteError("the connection broke", request=request)

    return real.handle_request(
        httpx.Request("PATCH", request.url, headers=request.headers, content=cut())
    )


def unanswered(request: httpx.Request, real: Any) -> httpx.Response:
    real.handle_request(request).read()
    raise httpx.ReadError("the connection broke", request=request)


def busy(request: httpx.Request, real: Any) -> httpx.Response:
    body = {"code": "conflict", "detail": "another request is writing to the upload"}
    return httpx.Response(409, json=body, request=request)


@pytest.mark.parametrize(
    "breaks",
    [[half], [unanswered], [half, busy], [unanswered] * 3, [busy, half, unanswered]],
    ids=["half", "unanswered", "busy after half", "never answered", "all"],
)
def test_a_broken_push_is_resumed(
    server: Any, connect: Any, conversion: Any, head: Any, content: Any, tmp_path: Path,
    breaks: list[Any], request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    name = f"broken/{request.node.callspec.id.replace(' ', '-')}"
    source = conversion(seed=hash(name))
    client = connect(server.url, attempts=4)
    breaking = Breaking(list(breaks))
    client.transport._client._transport = breaking
    client.push(source, head(name))
    assert breaking.breaks == []
    place = client.pull(name, "pytorch", tmp_path / "out")
    assert content(place) == content(source / "pytorch")


def test_a_push_that_stays_refused_ends(
    server: Any, connect: Any, conversion: Any, head: Any
) -> None:
    client = connect(server.url)
    client.transport._client._transport = Breaking([busy] * 100)
    with pytest.raises(Conflict, match="another request"):
        client.push(conversion(seed=500), head("broken/refused"))
    with pytest.raises(NotFound):
        client.manifest("broken/refused")


def test_a_file_that_changes_while_it_is_pushed_is_refused(
    server: Any, connect: Any, conversion: Any, head: Any
) -> None:
    source = conversion(seed=501)
    client = connect(server.url)

    def change(what: str, count: int, total: int) -> None:
        (source / "pytorch" / "weights.safetensors").write_bytes(b"short")

    with pytest.raises(ZooError):
        client.push(source, head("broken/changed"), progress=change)
    with pytest.raises(NotFound):
        client.manifest("broken/changed")
