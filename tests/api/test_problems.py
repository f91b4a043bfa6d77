from __future__ import annotations

import asyncio
import json

import pytest

from api.app import create_app
from zoo.errors import NoSpace, NotFound, ZooError
from zoo.registry import Registry


def call(app, path, headers=()):
    """One GET, straight into the application."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "scheme": "http", "headers": list(headers), "server": ("x", 80), "client": ("x", 1),
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:])


@pytest.fixture
def app(tmp_path):
    return create_app(Registry(tmp_path))


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (NotFound("nothing here", fix="look elsewhere"), 404, "nothing here"),
        (NoSpace("no space left", fix="free some"), 507, "no space left"),
        (ZooError("/secret/path: Permission denied"), 500, "the request could not be answered"),
        (RuntimeError("secret"), 500, "the request could not be answered"),
    ],
)
def test_errors_of_the_zoo_and_others(app, monkeypatch, error, status, said):
    def fail(*_args, **_named):
        raise error

    monkeypatch.setattr(app.state.registry, "model", fail)
    got, body = call(app, "/v1/models/a/b")
    members = json.loads(body)
    assert (got, members["status"], members["detail"]) == (status, status, said)
    assert b"secret" not in body


def test_no_two_mean_the_same():
    classes = [ZooError, *ZooError.__subclasses__()]
    codes = [row.code for row in classes]
    assert len(set(codes)) == len(codes)
