"""What a server tells of itself: log, readiness, numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import httpx
import pytest

from zoo.access import Role
from zoo.logs import hidden
from zoo.registry import Registry

SECRET = "zoo_" + "x" * 43


@pytest.fixture
def watched(tmp_path):
    """Starts a server whose log is kept; gives its address and the file."""
    started = []

    def start(*arguments, **settings):
        log = (tmp_path / f"log{len(started)}").open("w+")
        command = [
            sys.executable,
            "-m",
            "api.server",
            "--data",
            str(tmp_path / "zoo"),
            "--port",
            "0",
        ]
        process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=log, text=True,
            env={**os.environ, **settings},
        )  # fmt: skip
        started.append(process)
        return process.stdout.readline().strip(), log, process

    yield start
    for process in started:
        # Killed, it would leave its own processes behind.
        process.terminate()
        process.wait(60)


def numbers(text):
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_every_request_leaves_a_line_and_is_counted(watched):
    url, log, process = watched(POLYZOO_LOG="json", POLYZOO_WORKERS="2")
    bearer = {"Authorization": f"Bearer {SECRET}"}
    with httpx.Client(base_url=url) as http:
        given = http.get("/v1/models", headers={"X-Request-Id": "mine-1"})
        assert given.headers["x-request-id"] == "mine-1"
        for bad in ("a b", "x" * 65, 'x"'):
            assert (
                http.get("/v1/models", headers={"X-Request-Id": bad}).headers["x-request-id"] != bad
            )
        assert http.get(f"/v1/models/a/b?q={SECRET}", headers=bearer).status_code == 401
        http.get("/api/models?search=x")
        assert http.get("/healthz").json() == {"status": "ok"}
        ready = http.get("/readyz").json()
        assert ready["checks"].keys() - {"bucket"} == {"database", "disk"}
        assert ready == {"status": "ready", "checks": dict.fromkeys(ready["checks"], "ok")}
    # From a connection for each, so that either process is asked.
    found = [numbers(httpx.get(f"{url}/metrics").text) for _ in range(4)]
    for page in found:
        assert page['polyzoo_requests_total{method="GET",route="/v1/models",status="200"}'] == 4
        assert page['polyzoo_requests_total{method="GET",route="/api/models",status="200"}'] == 1
        assert page['polyzoo_jobs{state="queued"}'] == page["polyzoo_workers"] == 0
        assert page["polyzoo_disk_free_bytes"] > 0
        assert page["polyzoo_sent_bytes_total"] > 0
    process.terminate()
    assert process.wait(60) == 0
    log.seek(0)
    text = log.read()
    assert SECRET not in text
    lines = [json.loads(line) for line in text.splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert [line["path"] for line in requests if line["request_id"] == "mine-1"] == ["/v1/models"]
    assert {line["path"] for line in requests} == {"/v1/models", "/v1/models/a/b", "/api/models"}
    assert all(line["client"] == "127.0.0.1" and line["seconds"] >= 0 for line in requests)


def test_numbers_are_for_admins_where_the_zoo_is_not_on_loopback(watched, tmp_path):
    zoo = Registry(tmp_path / "zoo")
    grants = {"admin": {"*": Role.ADMIN}, "writer": {"*": Role.WRITE}, "org": {"org": Role.ADMIN}}
    secrets = {name: zoo.access.create(name, grant)[1] for name, grant in grants.items()}
    url, *_ = watched("--host", "0.0.0.0")

    def status(secret=None):
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        return httpx.get(f"{url}/metrics", headers=headers).status_code

    assert status() == 401
    found = {name: status(secret) for name, secret in secrets.items()}
    assert found == {"admin": 200, "writer": 403, "org": 403}


@pytest.mark.embedded("its database is a file; tests/scaled takes a server's away")
def test_not_ready_without_its_database(watched, tmp_path):
    url, *_ = watched()
    for path in (tmp_path / "zoo").glob("jobs.db*"):
        path.unlink()
    with httpx.Client(base_url=url) as http:
        # Connections that are open see the old file; one for each is opened anew.
        (tmp_path / "zoo" / "zoo.db").write_bytes(b"no database" * 1000)
        for path in (tmp_path / "zoo").glob("zoo.db-*"):
            path.unlink()
        answer = http.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["database"] == "failed"
        assert str(tmp_path) not in answer.text
        assert http.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"used {SECRET}!", "used zoo_…!"),
        ("postgresql://me:pass@host/d", "postgresql://me:…@host/d"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer …"),
        ("/api/lfs/uploads/" + "0" * 32, "/api/lfs/uploads/00000000…"),
        ("zoo_search and https://host/a@b", "zoo_search and https://host/a@b"),
    ],
)
def test_secrets_are_hidden(text, shown):
    assert hidden(text) == shown
