"""What was uploaded and is not published is seen by those who may see it, with what became of it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from tests.conftest import start_server
from zoo.access import LOCAL, Role
from zoo.hub.records import Addition
from zoo.jobs.jobs import Jobs
from zoo.jobs.records import Submission
from zoo.manifest import validate_manifest
from zoo.registry import Registry


def upload(registry, name, private=False):
    content = name.encode()
    digest = hashlib.sha256(content).hexdigest()
    registry.store.put([content], digest)
    registry.repositories.create(name, LOCAL, private=private)
    registry.repositories.change(name, "main", [Addition("notes.txt", digest)], LOCAL, title="x")


def manifest(registry, name):
    digest = hashlib.sha256(name.encode()).hexdigest()
    registry.store.put([name.encode()], digest)
    artifact = {"framework": "onnx", "format": "onnx", "precision": "fp32", "entry": "m",
                "files": [{"path": "m", "sha256": digest}]}  # fmt: skip
    head = {"name": name, "version": "1.0", "task": "ocr", "summary": "Reads.",
            "licence": {"expression": "MIT"}, "lineage": {"publisher": "Org"}}  # fmt: skip
    return validate_manifest({**head, "artifacts": [artifact]}, "test")


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A zoo with an upload in every state, and a token for the organisation with the private one."""
    monkeypatch.setenv("POLYZOO_ANONYMOUS", "read")
    registry = Registry(tmp_path)
    for name in ("acme/waiting", "acme/wrong", "acme/converting", "acme/done"):
        upload(registry, name)
    upload(registry, "org/hidden", private=True)
    registry.repositories.create("org/empty", LOCAL)
    for line in registry.intake.due(0):
        if line.name == "acme/wrong":
            registry.intake.refuse(line, "no model is here; add one")
        elif line.name in ("acme/converting", "acme/done"):
            registry.intake.done(line)
    jobs = Jobs(registry)
    jobs.submit(
        Submission(manifest=manifest(registry, "acme/converting"), convert={"targets": ["onnx"]})
    )
    jobs.close()
    registry.publish(manifest(registry, "acme/done"))
    secret = registry.access.create("ann", {"org": Role.READ})[1]
    yield registry, secret
    registry.close()


STATES = {
    "org/empty": "uploaded",
    "acme/converting": "queued",
    "acme/wrong": "refused",
    "acme/waiting": "waiting",
}


def test_everything_with_what_became_of_it(zoo):
    registry, secret = zoo
    with TestClient(create_app(registry)) as client:
        items = client.get("/v1/unpublished").json()["items"]
        assert {item["name"]: item["state"] for item in items} == STATES
        found = {item["name"]: item for item in items}
        assert found["acme/wrong"]["refused"][0]["problem"] == "no model is here; add one"
        job = client.get(f"/v1/jobs/{found['acme/converting']['job']}").json()
        assert job["name"] == "acme/converting"
        own = client.get("/v1/unpublished", headers={"Authorization": f"Bearer {secret}"}).json()[
            "items"
        ]
        assert {item["name"] for item in own} == {*STATES, "org/hidden"}
        assert [item["name"] for item in own if item["private"]] == ["org/hidden"]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"state": "waiting"}, ["acme/waiting"]),
        ({"state": "refused"}, ["acme/wrong"]),
        ({"org": "ORG"}, ["org/empty"]),
        ({"q": "wrong"}, ["acme/wrong"]),
        ({"state": "refused", "org": "org"}, []),
    ],
)
def test_filters(zoo, asked, names):
    with TestClient(create_app(zoo[0])) as client:
        assert [
            item["name"] for item in client.get("/v1/unpublished", params=asked).json()["items"]
        ] == names


def test_pages_have_each_of_them_once(zoo):
    with TestClient(create_app(zoo[0])) as client:
        cursor, names = None, []
        while True:
            asked = {"limit": 1, **({"cursor": cursor} if cursor else {})}
            page = client.get("/v1/unpublished", params=asked).json()
            names += [item["name"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert sorted(names) == sorted(STATES)
        assert client.get("/v1/unpublished?cursor=x").status_code == 422
        assert client.get("/v1/unpublished?state=published").status_code == 422


def test_the_command_line(zoo):
    server = start_server(zoo[0].data)

    def ls(*options):
        command = [sys.executable, "-m", "zoo", "--endpoint", server.url, "ls", *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    try:
        everything = json.loads(ls("--state", "unpublished", "--json").stdout)["items"]
        assert {item["name"] for item in everything} == set(STATES)
        shown = ls("--state", "refused")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert "acme/wrong" in shown.stdout
        assert "no model is here; add one" in shown.stdout
        assert "acme/waiting" not in shown.stdout
        assert "acme/done" in ls().stdout
        for wrong in (["--state", "nonsense"], ["--state", "refused", "--task", "ocr"]):
            assert ls(*wrong).returncode == 2
    finally:
        server.stop()
