"""Servers and workers that share a database and a bucket, and nothing else."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import make_url

from tests.conftest import Server
from tests.jobs.zoo_of_workers import Zoo, children_of, kill
from tests.services import Services, bucket_of
from zoo.client import Client
from zoo.settings import Settings

pytestmark = pytest.mark.scaled_only
SECRET = "a-secret-that-no-log-has"
CONTENT = bytes(range(256)) * 4096 * 20  # 20 MiB: more than a part of an upload
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def two(start: Callable[..., Server], tmp_path: Path) -> tuple[Server, Server]:
    """Two servers with directories of their own; the second passes downloads on."""
    first = start(tmp_path / "one")
    return first, start(tmp_path / "two", POLYZOO_BUCKET_DOWNLOADS="proxy")


def manifest_of(name: str, digest: str, size: int) -> dict[str, Any]:
    file = {"path": "model.bin", "sha256": digest, "size": size}
    return {
        "name": name, "version": "1.0.0", "task": "ocr", "summary": "Reads.",
        "licence": {"expression": "MIT"}, "lineage": {"publisher": "Org"},
        "artifacts": [{"framework": "onnx", "format": "onnx", "precision": "fp32",
                       "entry": "model.bin", "files": [file]}],
    }  # fmt: skip


def test_what_one_server_begins_another_ends(two: tuple[Server, Server], tmp_path: Path) -> None:
    one, other = two
    begun = httpx.post(f"{one.url}/v1/uploads", json={"sha256": DIGEST, "size": len(CONTENT)})
    assert begun.status_code == 201, begun.text
    address = begun.headers["Location"]
    half = 17 << 20

    def send(server: Server, content: bytes, offset: int) -> httpx.Response:
        headers = {"Upload-Offset": str(offset)}
        return httpx.patch(server.url + address, content=content, headers=headers, timeout=60)

    assert send(one, CONTENT[:half], 0).status_code == 204
    assert httpx.head(other.url + address).headers["upload-offset"] == str(half)
    assert send(other, CONTENT[:10], 0).json()["offset"] == half
    # Refused: neither half is a blob yet.
    manifest = manifest_of("org/shared", DIGEST, len(CONTENT))
    versions = "/v1/models/org/shared/versions"
    assert httpx.post(one.url + versions, json=manifest).json()["code"] == "missing-blobs"
    assert send(other, CONTENT[half:], half).status_code == 204
    assert httpx.head(one.url + address).status_code == 404
    assert httpx.post(one.url + versions, json=manifest).status_code == 201
    assert httpx.post(other.url + versions, json=manifest).status_code == 200
    for server in two:
        with Client(
            server.url, Settings(cache=tmp_path / f"cache {server.data.name}", part=1 << 20)
        ) as client:
            place = client.pull("org/shared", "onnx", tmp_path / f"from {server.data.name}")
        assert (place / "model.bin").read_bytes() == CONTENT
        assert not (server.data / "blobs").exists()

    blob = f"/v1/blobs/sha256:{DIGEST}"
    moved = httpx.get(one.url + blob)
    assert moved.status_code == 302
    assert moved.headers["etag"] == f'"{DIGEST}"'
    assert moved.headers["cache-control"] == "no-store"
    assert SECRET not in moved.headers["location"]
    part = {"Range": "bytes=5-9"}
    there = httpx.get(one.url + blob, headers=part, follow_redirects=True)
    assert (there.status_code, there.content) == (206, CONTENT[5:10])
    head = httpx.head(one.url + blob)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(CONTENT)))
    assert httpx.get(one.url + blob, headers={"If-None-Match": f'"{DIGEST}"'}).status_code == 304
    passed = httpx.get(other.url + blob, headers=part)
    assert (passed.status_code, passed.content) == (206, CONTENT[5:10])
    assert httpx.get(other.url + blob).content == CONTENT
    beyond = {"Range": f"bytes={len(CONTENT)}-"}
    assert httpx.get(other.url + blob, headers=beyond).status_code == 416

    # What hub clients read is on the answer that they end on, and on the way there.
    resolved = httpx.get(f"{one.url}/org/shared/resolve/onnx/model.bin")
    assert resolved.status_code == 302
    for answer in (resolved, httpx.head(f"{one.url}/org/shared/resolve/onnx/model.bin")):
        assert len(answer.headers["x-repo-commit"]) == 40
        assert answer.headers["x-linked-size"] == str(len(CONTENT))
        assert answer.headers["x-linked-etag"] == f'"{DIGEST}"'
    assert httpx.get(resolved.headers["location"]).content == CONTENT


def test_bytes_that_are_others_are_dropped(two: tuple[Server, Server]) -> None:
    one, other = two
    begun = httpx.post(f"{one.url}/v1/uploads", json={"sha256": "0" * 64, "size": 4})
    address = begun.headers["Location"]
    more = httpx.patch(other.url + address, content=b"12345", headers={"Upload-Offset": "0"})
    assert more.status_code == 413
    assert httpx.head(one.url + address).headers["upload-offset"] == "0"
    sent = httpx.patch(one.url + address, content=b"1234", headers={"Upload-Offset": "0"})
    assert (sent.status_code, sent.json()["code"]) == (422, "digest-mismatch")
    assert httpx.head(other.url + address).status_code == 404
    assert httpx.head(f"{one.url}/v1/blobs/sha256:{'0' * 64}").status_code == 404
    begun = httpx.post(f"{one.url}/v1/uploads", json={"sha256": "1" * 64, "size": 4})
    assert httpx.delete(other.url + begun.headers["Location"]).status_code == 204


def test_a_job_whose_machine_died_ends_on_another(tmp_path: Path) -> None:
    """The results of its steps are in the bucket; whatever was on the disk is gone."""
    zoo = Zoo(tmp_path)
    try:
        first = zoo.work()
        job = zoo.submit("us/moved", ["onnx", "pytorch"])
        zoo.until(job.id, lambda job: any(step.name == "verify pytorch" for step in job.steps))
        kill(first)
        shutil.rmtree(zoo.machines[first.pid])
        zoo.work()
        ended = zoo.ended(job.id)
        assert ended.state == "succeeded", zoo.said()
        assert sum(step.attempts - 1 for step in ended.steps) <= 1
        manifest = zoo.client.manifest("us/moved")
        assert {artifact.framework for artifact in manifest.artifacts} == {"onnx", "pytorch"}
        assert zoo.left_behind() == []
        assert SECRET not in zoo.said()
    finally:
        zoo.stop()


@pytest.fixture
def closed_door() -> Iterator[str]:
    """An S3 API that knows nobody's key."""

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<?xml version='1.0'?><Error><Code>InvalidAccessKeyId</Code></Error>"
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_PUT = do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def is_refused(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    problem = answer.json()
    assert problem["code"] == "storage-unavailable"
    assert problem["detail"] == "the zoo's database or bucket does not answer"


@pytest.mark.parametrize("failure", ["down", "locked"])
def test_a_bucket_that_fails_is_said_and_nothing_is_published(
    start: Callable[..., Server], tmp_path: Path, closed_door: str, failure: str, capfd: Any
) -> None:
    endpoint = closed_door if failure == "locked" else "http://127.0.0.1:1"
    server = start(tmp_path, POLYZOO_BUCKET_ENDPOINT=endpoint)
    with httpx.Client(base_url=server.url, timeout=60) as http:
        assert http.get("/healthz").status_code == 200
        is_refused(http.get(f"/v1/blobs/sha256:{DIGEST}"))
        is_refused(http.post("/v1/uploads", json={"sha256": DIGEST, "size": 1}))
        manifest = manifest_of("org/failing", DIGEST, 1)
        is_refused(http.post("/v1/models/org/failing/versions", json=manifest))
        assert http.get("/v1/models").json()["items"] == []
        made = http.post("/api/repos/create", json={"name": "m", "organization": "org"})
        assert made.status_code == 200
        file = {"path": "a.txt", "content": "YQ==", "encoding": "base64"}
        lines = [
            {"key": "header", "value": {"summary": "x"}},
            {"key": "file", "value": file},
        ]
        sent = http.post("/api/models/org/m/commit/main", content="\n".join(map(json.dumps, lines)))
        assert (sent.status_code, sent.headers["x-error-code"]) == (503, "StorageUnavailable")
        assert http.get("/api/models/org/m/tree/main").json() == []
    server.stop()
    said = capfd.readouterr().err
    words = "does not let the zoo in" if failure == "locked" else "does not answer"
    assert words in said
    assert SECRET not in said
    assert "Traceback" not in said


def test_a_database_that_fails_is_said(
    start: Callable[..., Server],
    tmp_path: Path,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Any,
) -> None:
    with services.fresh() as environment:
        server = start(tmp_path, **environment)
        assert httpx.get(f"{server.url}/v1/models").json()["items"] == []
        name = environment["POLYZOO_BUCKET"].rpartition("/")[2]
        with psycopg.connect(services.uri, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            is_refused(httpx.get(f"{server.url}/v1/models", timeout=60))
            hub = httpx.get(f"{server.url}/api/models/org/m", timeout=60)
            assert (hub.status_code, hub.headers["x-error-code"]) == (503, "StorageUnavailable")
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert httpx.get(f"{server.url}/v1/models").json()["items"] == []
        server.stop()
    assert "does not answer" in capfd.readouterr().err


def test_a_bucket_that_is_none(start: Callable[..., Server], tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exit status 2"):
        start(tmp_path, **bucket_of("http://127.0.0.1:1", "https://bucket"))
    with pytest.raises(RuntimeError, match="exit status 2"):
        start(tmp_path, POLYZOO_DATABASE="mysql://somewhere/zoo")


@contextmanager
def away(services: Services) -> Iterator[None]:
    """The database of this test takes nobody, as while it is started anew."""
    url = make_url(os.environ["POLYZOO_DATABASE"])
    with psycopg.connect(services.uri, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS false")
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        connection.execute(ended, [url.database])
        yield
        connection.execute(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS true")


def test_a_worker_outlives_a_database_that_was_away(tmp_path: Path, services: Services) -> None:
    zoo = Zoo(tmp_path)
    try:
        worker = zoo.work()
        job = zoo.submit("us/patient", ["pytorch"])
        zoo.until(job.id, lambda job: any(step.name == "hub graph" for step in job.steps))
        with away(services):
            for _ in range(1200):
                if "cannot start yet" in zoo.said():
                    break
                threading.Event().wait(0.1)
            assert "cannot start yet" in zoo.said()
        job = zoo.ended(job.id)
        assert (job.state, job.error) == ("succeeded", None), zoo.said()
        assert worker.poll() is None
        assert len(zoo.client.model("us/patient")["versions"]) == 1
        assert zoo.left_behind() == []
    finally:
        zoo.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of other processes are set")
def test_a_worker_without_space_says_so_in_words(tmp_path: Path) -> None:
    """No file of the worker itself may be longer than its limit, from the step before on."""
    import resource

    zoo = Zoo(tmp_path, POLYZOO_JOB_ATTEMPTS="2", POLYZOO_LOG_LEVEL="error")
    try:
        worker = zoo.work()
        job = zoo.submit("us/full", ["pytorch"])
        zoo.until(job.id, lambda job: any(s.name == "emit pytorch" for s in job.steps))
        zoo.until(job.id, lambda _: bool(children_of(worker)))
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
        job = zoo.ended(job.id)
        assert (job.state, job.error and job.error.status) == ("failed", 1), zoo.said()
        assert job.error.message == f"verify pytorch: {os.strerror(errno.EFBIG)}"
        assert zoo.left_behind() == []
    finally:
        zoo.stop()
