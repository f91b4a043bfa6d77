"""Tokens, roles and private models as clients over HTTP meet them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import httpx
import pytest

from zoo.access import Identity, Role
from zoo.registry import Registry

CONTENT = b"only ours"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def manifest(name, version="1.0.0"):
    file = {"path": "model.onnx", "sha256": DIGEST, "size": len(CONTENT)}
    artifact = {"framework": "onnx", "format": "onnx", "precision": "fp32", "entry": "model.onnx",
                "files": [file]}  # fmt: skip
    return {"name": name, "version": version, "task": "ocr", "summary": "Reads.",
            "licence": {"expression": "MIT"}, "lineage": {"publisher": "Org"},
            "artifacts": [artifact]}  # fmt: skip


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"} if secret else {}


@pytest.fixture
def zoo(own_server):
    """The registry of a running server, and a function that makes tokens in it."""
    registry = Registry(own_server.data)
    yield (
        registry,
        lambda **grants: registry.access.create(
            "somebody", {org: Role[role.upper()] for org, role in grants.items()}
        )[1],
    )
    registry.close()


@pytest.fixture
def call(own_server):
    def send(method, path, secret=None, **options):
        headers = bearer(secret) | options.pop("headers", {})
        return httpx.request(method, own_server.url + path, headers=headers, **options)

    return send


def publish(call, secret, name, version="1.0.0"):
    begun = call("POST", "/v1/uploads", secret, json={"sha256": DIGEST, "size": len(CONTENT)})
    if begun.status_code == 201:
        place = begun.headers["Location"]
        call("PATCH", place, secret, content=CONTENT, headers={"Upload-Offset": "0"})
    return call("POST", f"/v1/models/{name}/versions", secret, json=manifest(name, version))


def test_without_any_token_loopback_may_write_and_later_not(zoo, call, is_problem):
    _, token = zoo
    assert publish(call, None, "org/a").status_code == 201
    reader, writer = token(org="read"), token(org="write")
    refused = publish(call, None, "org/b")
    is_problem(refused, 401, "unauthorized")
    assert refused.headers["www-authenticate"] == "Bearer"
    is_problem(publish(call, reader, "org/b"), 403, "forbidden")
    is_problem(publish(call, writer, "elsewhere/b"), 403, "forbidden")
    assert publish(call, writer, "ORG/b").status_code == 201
    is_problem(call("POST", "/v1/uploads", None, json={"sha256": DIGEST, "size": 1}), 401, "unauthorized")  # fmt: skip
    is_problem(call("GET", "/v1/models", "zoo_guess"), 401, "unauthorized")
    assert call("GET", "/v1/models").json()["items"][-1]["name"] == "ORG/b"


def test_revoked_and_expired_tokens_are_refused(zoo, call):
    registry, token = zoo
    secret = token(org="write")
    assert call("GET", "/v1/models", secret).status_code == 200
    registry.access.revoke(1)
    assert call("GET", "/v1/models", secret).status_code == 401
    from datetime import timedelta

    _, expired = registry.access.create("x", {"*": Role.ADMIN}, timedelta(seconds=0))
    assert call("GET", "/v1/models", expired).status_code == 401


def test_private_models_do_not_exist_for_others(zoo, call):
    registry, token = zoo
    mine, other = token(org="write"), token(elsewhere="admin")
    assert publish(call, mine, "org/hidden").status_code == 201
    registry.access.set_private("org/hidden", True)
    paths = (
        "/v1/models/org/hidden",
        "/v1/models/org/hidden/versions",
        "/v1/models/org/hidden/versions/latest",
        "/v1/models/org/hidden/versions/1.0.0/manifest",
        "/v1/models/org/hidden/versions/1.0.0/artifacts",
        "/v1/models/org/hidden/versions/1.0.0/artifacts/onnx/files/model.onnx",
        f"/v1/blobs/sha256:{DIGEST}",
    )
    for path in paths:
        for stranger in (None, other):
            answer = call("GET", path, stranger)
            assert answer.status_code == 404, path
        # Bytes in a bucket are fetched there.
        assert call("GET", path, mine).status_code in (200, 302), path
        assert "public" not in call("GET", path, mine).headers.get("cache-control", ""), path
    # The same words as for a model that was never there.
    unknown = call("GET", "/v1/models/org/unknown").json()
    hidden = call("GET", "/v1/models/ORG/hidden").json()
    assert unknown["detail"].replace("org/unknown", "ORG/hidden") == hidden["detail"]
    assert {**unknown, "detail": 0, "instance": 0} == {**hidden, "detail": 0, "instance": 0}
    assert call("GET", "/v1/models").json()["items"] == []
    assert [m["name"] for m in call("GET", "/v1/models", mine).json()["items"]] == ["org/hidden"]
    # Nor can it be told by writing.
    hidden, unknown = publish(call, other, "org/hidden"), publish(call, other, "org/unknown")
    assert (hidden.status_code, unknown.status_code) == (403, 403)
    assert hidden.json()["detail"] == unknown.json()["detail"]


def test_a_closed_zoo_needs_a_token_for_everything_but_its_health(start, tmp_path):
    running = start(tmp_path, POLYZOO_ANONYMOUS="none")
    registry = Registry(tmp_path)
    _, secret = registry.access.create("a", {"org": Role.READ})
    assert httpx.get(running.url + "/v1/models").status_code == 401
    assert httpx.get(running.url + "/healthz").status_code == 200
    assert httpx.get(running.url + "/v1/models", headers=bearer(secret)).status_code == 200
    elsewhere = httpx.get(running.url + "/v1/models/elsewhere/x", headers=bearer(secret))
    assert elsewhere.status_code == 403


def test_every_write_is_in_the_audit_log(zoo, call):
    registry, token = zoo
    secret = token(org="write")
    publish(call, secret, "org/a")
    lines = [
        (line.who, line.token_id, line.action, line.target) for line in registry.access.audit()
    ]
    assert lines == [
        ("local", None, "token.create", "1 somebody"),
        ("somebody", 1, "upload.begin", f"sha256:{DIGEST}"),
        ("somebody", 1, "version.publish", "org/a@1.0.0"),
    ]
    stored = [file.read_bytes() for file in registry.data.glob("zoo.db*")]
    assert not any(secret.encode() in content for content in stored)


def test_the_command_makes_the_first_token_and_the_client_sends_it(own_server, tmp_path):
    def run(*arguments, **environment):
        command = [sys.executable, "-m", "zoo", "--data", str(own_server.data), *arguments]
        import os

        return subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
        )

    made = run("token", "create", "me", "--grant", "org=admin", "--grant", "*=read", "--json")
    assert made.returncode == 0, made.stderr
    token = json.loads(made.stdout)
    assert token["grants"] == {"*": "read", "org": "admin"}
    listed = run("token", "list", "--json")
    assert token["secret"] not in listed.stdout
    show = ("--endpoint", own_server.url, "ls")
    assert run(*show, POLYZOO_TOKEN=token["secret"]).returncode == 0
    wrong = run(*show, POLYZOO_TOKEN="zoo_wrong")
    assert wrong.returncode == 1
    assert "the token is unknown" in wrong.stderr
    assert run("token", "revoke", "1").returncode == 0
    assert run(*show, POLYZOO_TOKEN=token["secret"]).returncode == 1
    again = run("token", "revoke", "1")
    assert (again.returncode, "Traceback" in again.stderr) == (1, False)
    assert run("token", "create", "me", "--grant", "org=owner").returncode == 2
    assert run("token", "create", "a b").returncode == 2


def test_roles_add_up():
    who = Identity("x", {"*": Role.READ, "org": Role.ADMIN}, Role.NONE, 1)
    assert (who.role("ORG"), who.role("other")) == (Role.ADMIN, Role.READ)


def test_a_zoo_that_others_reach_asks_for_a_token_before_anything_is_written(tmp_path):
    command = [sys.executable, "-m", "api.server", "--data", str(tmp_path), "--host", "0.0.0.0"]
    running = subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        url = running.stdout.readline().strip()
        assert httpx.get(url + "/v1/models").status_code == 200
        body = {"sha256": DIGEST, "size": len(CONTENT)}
        assert httpx.post(url + "/v1/uploads", json=body).status_code == 401
        hub = httpx.post(url + "/api/repos/create", json={"name": "m", "organization": "org"})
        assert (hub.status_code, hub.headers["x-error-code"]) == (401, "Unauthorized")
    finally:
        running.terminate()
        running.wait(60)
