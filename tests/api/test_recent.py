"""What a server remembers of the catalogue ends with the next thing that anybody writes there."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from zoo.access import LOCAL, Role
from zoo.catalogue.recent import MOST, Recent
from zoo.hub.records import Addition
from zoo.manifest import validate_manifest
from zoo.registry import Registry
from zoo.settings import Settings

ROOT = Path(__file__).parents[2]
CONTENT, OTHER = b"published", b"published, and then changed"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
MANIFEST = validate_manifest(
    {
        "name": "org/zebra", "version": "1.0.0", "task": "ocr", "summary": "Reads.",
        "licence": {"expression": "MIT"}, "lineage": {"publisher": "Org"},
        "artifacts": [{
            "framework": "onnx", "format": "onnx", "precision": "fp32", "entry": "model.onnx",
            "files": [{"path": "model.onnx", "sha256": DIGEST, "size": len(CONTENT)}],
        }],
    },
    "test",
)  # fmt: skip
ADDRESSES = (
    f"/v1/blobs/sha256:{DIGEST}",
    "/v1/models/org/zebra/versions/latest/artifacts/onnx/files/model.onnx",
    "/org/zebra/resolve/main/onnx/model.onnx",
    "/api/v1/models/org/zebra/repo?FilePath=onnx/model.onnx",
)
DETAILS = ("/v1/models/org/zebra", "/api/models/org/zebra?blobs=true")


@pytest.fixture
def zoo(tmp_path):
    registry = Registry(tmp_path / "zoo", Settings(anonymous="read"))
    registry.store.put([CONTENT], DIGEST)
    registry.publish(MANIFEST)
    yield registry
    registry.close()


@pytest.fixture
def client(zoo):
    with TestClient(create_app(zoo)) as client:
        yield client


def statuses(client, addresses=ADDRESSES, **headers):
    """Of every address that leads to the same bytes, asked twice: the second answer may be remembered."""
    return [
        {client.get(address, headers=headers).status_code for _ in range(2)}
        for address in addresses
    ]


def elsewhere(zoo, code):
    """Do something to the same zoo in another process."""
    head = (
        "import sys; from pathlib import Path; from zoo.registry import Registry; "
        "from zoo.settings import Settings; "
        "registry = Registry(Path(sys.argv[1]), Settings(anonymous='read')); "
    )
    command = [sys.executable, "-c", head + code, str(zoo.data)]
    subprocess.run(command, check=True, cwd=ROOT)


def test_hiding_and_revoking_act_at_once(zoo, client):
    token, secret = zoo.access.create("ann", {"org": Role.READ})
    bearer = {"Authorization": f"Bearer {secret}"}
    everything = (*ADDRESSES, *DETAILS)

    def seen(**headers):
        (found,) = set().union(*statuses(client, everything, **headers))
        return found

    assert (seen(), seen(**bearer)) == (200, 200)
    elsewhere(zoo, "registry.access.set_private('org/zebra', True)")
    assert (seen(), seen(**bearer)) == (404, 200)
    elsewhere(zoo, f"registry.access.revoke({token.id})")
    assert seen(**bearer) == 401


def test_writes_of_the_same_process_count_too(zoo, client):
    assert statuses(client) == [{200}] * len(ADDRESSES)
    zoo.access.set_private("org/zebra", True)
    assert statuses(client) == [{404}] * len(ADDRESSES)
    zoo.access.set_private("org/zebra", False)
    assert statuses(client) == [{200}] * len(ADDRESSES)


def test_the_first_token_closes_the_door(tmp_path):
    registry = Registry(tmp_path, Settings(anonymous="auto"))
    registry.store.put([CONTENT], DIGEST)
    with TestClient(create_app(registry)) as client:
        # Bytes that no version has are for those who may upload.
        assert client.get(ADDRESSES[0]).status_code == 200
        registry.access.create("ann", {"org": Role.READ})
        assert client.get(ADDRESSES[0]).status_code == 404
    registry.close()


def test_a_list_has_what_was_just_published_and_not_what_was_just_hidden(zoo, client):
    def names(**asked):
        pages = [client.get("/v1/models", params=asked).json() for _ in range(2)]
        assert pages[0] == pages[1]
        return [item["name"] for item in pages[0]["items"]]

    assert names() == names(q="zebra") == ["org/zebra"]
    zoo.publish(MANIFEST.model_copy(update={"name": "org/yak"}))
    assert (names(), names(q="zebra"), names(limit=1)) == (
        ["org/yak", "org/zebra"],
        ["org/zebra"],
        ["org/yak"],
    )
    zoo.access.set_private("org/zebra", True)
    assert (names(), names(q="zebra")) == (["org/yak"], [])


def test_bytes_that_are_gone_are_not_there(zoo, client):
    assert statuses(client) == [{200}] * len(ADDRESSES)
    zoo.store.remove(DIGEST)
    assert statuses(client) == [{404}] * len(ADDRESSES)


def test_a_branch_is_where_the_last_commit_is(zoo, client):
    address = "/org/zebra/resolve/main/notes.txt"
    for content in (CONTENT, OTHER):
        digest = hashlib.sha256(content).hexdigest()
        zoo.store.put([content], digest)
        change = [Addition("notes.txt", digest)]
        zoo.repositories.change("org/zebra", "main", change, LOCAL, title="x")
        assert [client.get(address).content for _ in range(2)] == [content, content]


def test_what_is_said_of_a_model_is_what_was_published_last(zoo, client):
    def said():
        answers = [[client.get(address).json() for address in DETAILS] for _ in range(2)]
        assert answers[0] == answers[1]
        model, repository = answers[0]
        return model["latest"], [file["rfilename"] for file in repository["siblings"]]

    assert said() == ("1.0.0", ["README.md", "onnx/model.onnx"])
    zoo.publish(MANIFEST.model_copy(update={"version": "2.0.0"}))
    digest = hashlib.sha256(OTHER).hexdigest()
    zoo.store.put([OTHER], digest)
    zoo.repositories.change("org/zebra", "main", [Addition("a/b.txt", digest)], LOCAL, title="x")
    assert said() == ("2.0.0", ["README.md", "a/b.txt", "onnx/model.onnx"])


def test_what_is_kept_and_for_how_long(zoo):
    recent = Recent(zoo._engine)
    now = datetime.now(timezone.utc)
    recent.keep("always", 1, recent.state(), None)
    recent.keep("soon over", 2, recent.state(), now + timedelta(hours=1))
    recent.keep("over", 3, recent.state(), now)
    assert [recent.get(key) for key in ("always", "soon over", "over", "never")] == [
        1,
        2,
        None,
        None,
    ]
    before = recent.state()
    zoo.access.note(LOCAL, "x", "y")
    recent.keep("asked before a write", 4, before, None)
    assert [recent.get(key) for key in ("always", "asked before a write")] == [None, None]
    # Together they are never more than so many bytes.
    large = bytes(MOST // 4)
    for number in range(4):
        recent.keep(number, large, recent.state(), None)
    assert [recent.get(number) for number in range(4)] == [None, None, None, large]
    recent.keep("too large", bytes(MOST), recent.state(), None)
    assert recent.get("too large") is None
    recent.close()
