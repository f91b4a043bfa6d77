from __future__ import annotations

import random
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

DATA = random.Random(0).randbytes(3_000_017)
IMMUTABLE = "public, max-age=31536000, immutable"


@pytest.fixture
def digest(upload):
    return upload(DATA)


def test_the_whole(http, digest):
    for method in ("GET", "HEAD"):
        response = http.request(method, f"/v1/blobs/sha256:{digest}")
        assert response.status_code == 200
        assert response.headers["content-length"] == str(len(DATA))
        assert response.headers["content-type"] == "application/octet-stream"
        assert response.headers["etag"] == f'"{digest}"'
        assert response.headers["cache-control"] == IMMUTABLE
        assert response.headers["accept-ranges"] == "bytes"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.content == (DATA if method == "GET" else b"")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-0", DATA[:1]),
        ("bytes=5-", DATA[5:]),
        ("bytes=-7", DATA[-7:]),
        ("bytes=1048575-2097153", DATA[1048575:2097154]),
        ("bytes=3000000-99999999999", DATA[3000000:]),
    ],
)
def test_ranges(http, digest, asked, expected):
    response = http.get(f"/v1/blobs/sha256:{digest}", headers={"Range": asked})
    assert response.status_code == 206
    assert response.content == expected
    assert response.headers["content-length"] == str(len(expected))
    start = DATA.find(expected)
    place = f"bytes {start}-{start + len(expected) - 1}/{len(DATA)}"
    if len(expected) > 1:
        assert response.headers["content-range"] == place
    head = http.head(f"/v1/blobs/sha256:{digest}", headers={"Range": asked})
    assert head.headers["content-range"] == response.headers["content-range"]
    assert (head.status_code, head.content) == (206, b"")


def test_conditions(http, digest, is_problem):
    def get(**headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return http.get(f"/v1/blobs/sha256:{digest}", headers=named)

    tag = f'"{digest}"'
    unchanged = get(If_None_Match=tag)
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == tag
    assert get(If_None_Match=f'W/{tag}, "x"').status_code == 304
    assert get(If_None_Match=tag, Range="bytes=0-1").status_code == 304
    assert get(If_None_Match='"x"').content == DATA
    assert get(Range="bytes=0-1", If_Range=tag).content == DATA[:2]
    assert get(Range="bytes=0-1", If_Range='"x"').content == DATA
    assert get(Range="bytes=0-1", If_Range=f"W/{tag}").content == DATA
    assert get(Range="bytes=0-1,5-6").content == DATA
    assert get(Range="lines=0-1").content == DATA
    assert get(If_Match=tag).status_code == 200
    is_problem(get(If_Match='"x"'), 412, "precondition-failed")
    refused = get(Range=f"bytes={len(DATA)}-")
    is_problem(refused, 416, "range-not-satisfiable")
    assert refused.headers["content-range"] == f"bytes */{len(DATA)}"


def test_an_empty_blob(http, upload):
    digest = upload(b"")
    for headers in ({}, {"Range": "bytes=-5"}):
        response = http.get(f"/v1/blobs/sha256:{digest}", headers=headers)
        assert (response.status_code, response.content) == (200, b"")
    asked = http.get(f"/v1/blobs/sha256:{digest}", headers={"Range": "bytes=0-"})
    assert asked.status_code == 416


def test_parts_at_once(http, digest):
    step = 300_000
    spans = [(i, min(i + step, len(DATA))) for i in range(0, len(DATA), step)]

    def part(span):
        headers = {"Range": f"bytes={span[0]}-{span[1] - 1}"}
        return http.get(f"/v1/blobs/sha256:{digest}", headers=headers).content

    with ThreadPoolExecutor(8) as pool:
        assert b"".join(pool.map(part, spans)) == DATA


def test_readers_that_leave_do_no_harm(http, digest, server):
    host, port = server.url.removeprefix("http://").split(":")
    for headers in ("", "Range: bytes=1-\r\n"):
        for _ in range(20):
            with socket.create_connection((host, int(port))) as connection:
                line = f"GET /v1/blobs/sha256:{digest} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"
                connection.sendall(line.encode())
                connection.recv(1000)
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get(f"/v1/blobs/sha256:{digest}").content == DATA


@pytest.mark.parametrize(
    ("address", "status", "code"),
    [
        ("/v1/blobs/sha256:" + "0" * 64, 404, "not-found"),
        ("/v1/blobs/sha256:" + "A" * 64, 422, "invalid-reference"),
        ("/v1/blobs/..", 404, "not-found"),
        ("/v1/blobs/%2e%2e%2f%2e%2e%2fzoo.db", 404, "not-found"),
        ("/v1/blobs/..%2f..%2fzoo.db", 404, "not-found"),
        ("/v1/blobs/sha256:%00", 422, "invalid-reference"),
        ("/v1/blobs/%ff", 422, "invalid-reference"),
    ],
)
def test_nothing_but_digests(server, is_problem, address, status, code):
    # httpx would tidy the address.
    with httpx.Client() as client:
        request = client.build_request("GET", server.url)
        request.url = request.url.copy_with(raw_path=address.encode())
        response = client.send(request)
    assert response.status_code == status
    assert response.json()["code"] == code
