"""What no client would send: every answer is one of the client's kind, and never a 5xx."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import socket
from urllib.parse import urlsplit

import httpx
import pytest

NASTY = (
    "",
    "..",
    "%2e%2e",
    "a%2Fb",
    "%00",
    "%1f",
    "%ff",
    "%C3%A9",
    "a" * 300,
    "main%2F..%2Fx",
    "'\"",
    "%F0%9F%92%A9",
)


@pytest.fixture(scope="module")
def hub(server):
    with httpx.Client(base_url=server.url, timeout=30) as client:
        client.post("/api/repos/create", json={"name": "hostile", "organization": "org"})
        yield client


def fine(response):
    assert response.status_code < 500, (
        response.request.method,
        response.request.url,
        response.text,
    )
    if response.status_code >= 400:
        assert "Traceback" not in response.text
        assert response.headers.get("x-error-code") or "problem" in response.headers["content-type"]
    return response


PATHS = (
    "/api/models/{0}/{1}",
    "/api/models/org/hostile/revision/{0}",
    "/api/models/org/hostile/tree/{0}/{1}",
    "/api/models/org/hostile/tree/main/{0}",
    "/api/models/org/hostile/commits/{0}",
    "/{0}/{1}/resolve/main/x",
    "/org/hostile/resolve/{0}/{1}",
    "/{0}/resolve/main/x",
    "/api/resolve-cache/models/org/hostile/{0}/{1}",
    "/api/v1/models/{0}/{1}/repo/files",
    "/api/v1/models/org/hostile/repo?FilePath={0}&Revision={1}",
    "/api/models?search={0}&author={1}&filter={0}&sort={1}&page=99999",
    "/api/models/org/hostile/xet-write-token/{0}",
    "/cas/{0}/v1/chunks/default/{1}",
    "/api/lfs/uploads/{0}",
    "/hub/api/models/{0}/{1}",
    "/hub/../api/models",
    "/datasets/{0}/{1}/resolve/main/x",
)


@pytest.mark.parametrize("path", PATHS)
def test_addresses(hub, path):
    for pair in itertools.product(NASTY, NASTY[:6]):
        for method in ("GET", "HEAD", "PUT"):
            request = hub.build_request(method, "/")
            request.url = request.url.copy_with(raw_path=path.format(*pair).encode())
            fine(hub.send(request))


BODIES = (b"", b"{", b"[]", b"null", b'{"a":1}', b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"files":[1]}',
          b'{"files":[{"path":1}]}', b'{"objects":[{"oid":"x","size":-1}],"operation":"upload"}',
          b'{"objects":[{"oid":"' + b"0" * 64 + b'","size":"1"}],"operation":"upload"}',
          b'{"name":"\\ud800","organization":"org"}', b'{"name":"a\\u0000","organization":"\\u0007"}', b'{"name":"../x"}', b'{"name":"x","organization":[1]}',
          b'{"name":"x","type":"dataset"}', b'{"key":"file","value":{"path":"a","content":"%%%","encoding":"base64"}}',
          b'{"key":"file","value":{"path":"../a","content":"","encoding":"base64"}}',
          b'{"key":"lfsFile","value":{"path":"a","oid":"' + b"0" * 64 + b'"}}',
          b'{"key":"header","value":{"summary":"\\ud800"}}', b'{"key":"header","value":[]}',
          b'{"actions":[{"action":"create","path":"a","content":"!"}]}', b'{"content":"---\\na: [\\n---\\n"}',
          b'{"startingPoint":"nope"}', b'{"tag":"a b"}', b'{"AccessToken":"\\ud800"}')  # fmt: skip
POSTS = (
    "/api/repos/create", "/api/repos/move", "/api/models/org/hostile/preupload/main",
    "/api/models/org/hostile/commit/main", "/api/models/org/hostile/paths-info/main",
    "/api/models/org/hostile/branch/x%2Fy%2F..", "/api/models/org/hostile/tag/main", "/api/validate-yaml",
    "/org/hostile.git/info/lfs/objects/batch", "/org/hostile.git/info/lfs/verify", "/api/v1/login",
    "/api/v1/models", "/api/v1/repos/models/org/hostile/commit/master",
    "/api/v1/repos/models/org/hostile/info/lfs/objects/batch", "/cas/x/v1/shards",
    "/cas/x/v1/xorbs/default/zz", "/cas/x/v2/shards",
)  # fmt: skip


# What is refused before it is read ends the connection.
HEADERS = {"Content-Type": "application/json", "Connection": "close"}


@pytest.mark.parametrize("path", POSTS)
def test_bodies(hub, path):
    for body in BODIES:
        fine(hub.post(path, content=body, headers=HEADERS))
    fine(hub.post(path))


def test_a_commit_is_all_or_nothing(hub):
    head = hub.get("/api/models/org/hostile").json()["sha"]
    good = {
        "key": "file",
        "value": {"path": "a", "content": base64.b64encode(b"x").decode(), "encoding": "base64"},
    }
    bad = {
        "key": "lfsFile",
        "value": {"path": "b", "oid": hashlib.sha256(b"never sent").hexdigest(), "size": 3},
    }
    body = "\n".join(map(json.dumps, (good, bad)))
    refused = fine(hub.post("/api/models/org/hostile/commit/main", content=body))
    assert (refused.status_code, "has not been uploaded" in refused.json()["error"]) == (400, True)
    assert hub.get("/api/models/org/hostile").json()["sha"] == head


def test_what_no_database_keeps_and_no_client_encodes_is_refused(hub):
    head = hub.get("/api/models/org/hostile").json()["sha"]

    def commit(summary="x", **value):
        lines = (
            {"key": "header", "value": {"summary": summary}},
            {"key": "file", "value": {"path": "a", "content": "x", "encoding": "utf-8", **value}},
        )
        body = "\n".join(map(json.dumps, lines))
        return fine(hub.post("/api/models/org/hostile/commit/main", content=body))

    assert commit(summary="a\0b").status_code == 400
    assert commit(path="a\0b").status_code == 400
    assert commit(encoding="rot13").status_code == 400
    assert commit(encoding=["utf-8"]).status_code == 400
    assert hub.get("/api/models/org/hostile").json()["sha"] == head
    # In files it is a byte like others; a card's tags are read as well as they can be.
    assert commit(path="bytes", content="a\0b").status_code == 200
    assert hub.get("/org/hostile/resolve/main/bytes", follow_redirects=True).content == b"a\0b"
    card = '---\ntags: ["a\\0b"]\n---\n'
    assert commit(path="README.md", content=card).status_code == 200
    assert "a b" in hub.get("/api/models/org/hostile").json()["tags"]


def test_what_is_quoted_need_not_be_utf8(hub):
    line = json.dumps({"key": "header", "value": {"summary": "x", "parentCommit": "\ud800"}})
    assert fine(hub.post("/api/models/org/hostile/commit/main", content=line)).status_code == 400
    created = hub.post("/api/repos/create", content=b'{"name": "\\ud800/\\ud800"}')
    assert fine(created).status_code == 400


def test_no_folder_is_gits_own(hub):
    for path in (".git/config", "a/.git/config", "a/b/.GIT/hooks/x"):
        value = {"path": path, "content": "x", "encoding": "utf-8"}
        line = json.dumps({"key": "file", "value": value})
        answer = fine(hub.post("/api/models/org/hostile/commit/main", content=line))
        assert (answer.status_code, "cannot be the path" in answer.json()["error"]) == (400, True)


def test_a_body_that_breaks_off_changes_nothing_and_is_no_failure_of_ours(start, tmp_path, capfd):
    running = start(tmp_path / "zoo")
    address = urlsplit(running.url)
    with httpx.Client(base_url=running.url) as client:
        client.post("/api/repos/create", json={"name": "cut", "organization": "org"})
        head = client.get("/api/models/org/cut").json()["sha"]
        line = {"key": "file", "value": {"path": "a", "content": "x", "encoding": "utf-8"}}
        begun = f"POST /api/models/org/cut/commit/main HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n{json.dumps(line)}\n"
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(begun.encode())
        # A chunk whose length is no number.
        chunked = "POST /api/models/org/cut/commit/main HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(chunked.encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 400")
        assert client.get("/api/models/org/cut").json()["sha"] == head
    running.stop()
    assert "Traceback" not in capfd.readouterr().err


def test_an_upload_goes_on_where_it_broke_off(hub):
    data = b"0123456789" * 10
    digest = hashlib.sha256(data).hexdigest()
    batch = {
        "operation": "upload",
        "transfers": ["basic"],
        "objects": [{"oid": digest, "size": len(data)}],
    }

    def ask():
        (item,) = hub.post("/org/hostile.git/info/lfs/objects/batch", json=batch).json()["objects"]
        return item

    place = ask()["actions"]["upload"]["href"]
    assert fine(hub.put(place, content=data[:30])).status_code == 400
    assert fine(hub.put(place, content=data)).status_code == 200
    assert "actions" not in ask()
    wrong = {"operation": "upload", "objects": [{"oid": "1" * 64, "size": 4}]}
    place = hub.post("/org/hostile.git/info/lfs/objects/batch", json=wrong).json()["objects"][0][
        "actions"
    ]["upload"]["href"]
    assert fine(hub.put(place, content=b"evil")).status_code == 400
    assert fine(hub.put(place, content=b"more than was announced")).status_code == 404


def test_a_line_that_never_ends_is_refused(hub):
    def endless():
        for _ in range(40):
            yield b"x" * (1 << 20)

    response = hub.post("/api/models/org/hostile/commit/main", content=endless())
    assert response.status_code == 413


def test_listing_pages(hub):
    for number in range(5):
        hub.post("/api/repos/create", json={"name": f"page{number}", "organization": "paged"})
    found, address = [], "/api/models?author=paged&limit=2"
    while address:
        response = hub.get(address)
        found += [item["id"] for item in response.json()]
        address = response.links.get("next", {}).get("url")
    assert sorted(found) == [f"paged/page{number}" for number in range(5)]


def test_what_can_be_looked_at_has_headers_alone_too(hub):
    for path in ("", "/org/hostile", "/org/hostile/tree/main", "/org/hostile/refs", "/org/none"):
        address = f"/api/models{path}"
        head, whole = fine(hub.head(address)), hub.get(address)
        assert (head.status_code, head.content) == (whole.status_code, b"")
        assert head.headers["content-length"] == str(len(whole.content))
    refused = fine(hub.put("/api/models/org/hostile/refs"))
    assert (refused.status_code, "GET" in refused.headers["allow"]) == (405, True)
