"""An nginx in front of the zoo, with the configuration that docs/operations.md has, sends what the zoo allows."""

from __future__ import annotations

import hashlib
import re
import shutil
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.conftest import SETUP, start_server
from zoo.access import LOCAL, Role
from zoo.hub.records import Addition
from zoo.registry import Registry

pytestmark = [
    pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed"),
    pytest.mark.skipif(SETUP == "scaled", reason="blobs are in a bucket, not on a disk"),
]
GUIDE = Path(__file__).parents[2] / "docs" / "operations.md"
CONTENT = bytes(range(256)) * 50_000  # large, for hub clients
DIGEST = hashlib.sha256(CONTENT).hexdigest()
AROUND = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log; {user}
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port};
{locations}
  }}
}}
"""


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    """The address of an nginx before a zoo, the registry, and a token that reads everything."""
    folder = tmp_path_factory.mktemp("front")
    zoo = Registry(folder / "zoo")
    for content in (CONTENT, b""):
        zoo.store.put([content], hashlib.sha256(content).hexdigest())
    for name in ("org/open", "org/hidden"):
        content = CONTENT if name == "org/open" else b"hidden"
        digest = hashlib.sha256(content).hexdigest()
        zoo.store.put([content], digest)
        zoo.repositories.create(name, LOCAL, private=name == "org/hidden")
        zoo.repositories.change(name, "main", [Addition("model.bin", digest)], LOCAL, title="x")
    secret = zoo.access.create("ann", {"*": Role.READ})[1]
    server = start_server(zoo.data, POLYZOO_ACCEL="/zoo-blobs", POLYZOO_ANONYMOUS="read")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    (written,) = re.findall(r"```nginx\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    locations = written.replace("http://127.0.0.1:8000", server.url).replace("DATA", str(zoo.data))
    config = folder / "nginx.conf"
    # As root it would hand its files to another user, who may not read the folder.
    user = "user root;" if Path(folder).owner() == "root" else ""
    config.write_text(AROUND.format(folder=folder, port=port, locations=locations, user=user))
    command = ["nginx", "-c", str(config), "-p", str(folder), "-e", f"{folder}/error.log"]
    nginx = subprocess.Popen(command)
    address = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            httpx.get(f"{address}/healthz")
            break
        except httpx.TransportError:
            time.sleep(0.05)
    yield address, zoo, secret
    nginx.terminate()
    nginx.wait(30)
    server.stop()
    zoo.close()


@pytest.fixture
def http(front):
    address, _, secret = front
    headers = {"Authorization": f"Bearer {secret}"}
    with httpx.Client(base_url=address, headers=headers, timeout=30) as client:
        yield client


@pytest.mark.parametrize(
    "address", [f"/v1/blobs/sha256:{DIGEST}", "/org/open/resolve/main/model.bin"]
)
def test_bytes_ranges_and_headers_are_those_of_the_zoo(http, front, address):
    whole = http.get(address)
    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert whole.headers["etag"] == f'"{DIGEST}"'
    assert whole.headers["content-type"] == "application/octet-stream"
    assert "x-accel-redirect" not in whole.headers
    assert (
        "private" in whole.headers["cache-control"] or whole.headers["cache-control"] == "no-cache"
    )
    assert "sandbox" in whole.headers["content-security-policy"]
    for name, values in whole.headers.items():
        assert len(whole.headers.get_list(name)) == 1, (name, values)
    ranges = {
        "bytes=5-9": CONTENT[5:10],
        "bytes=-7": CONTENT[-7:],
        "bytes=5000000-": CONTENT[5_000_000:],
    }
    for asked, content in ranges.items():
        for condition, status in (
            ({}, 206),
            ({"If-Range": whole.headers["etag"]}, 206),
            ({"If-Range": '"x"'}, 200),
        ):
            part = http.get(address, headers={"Range": asked, **condition})
            assert (part.status_code, part.content) == (
                status,
                content if status == 206 else CONTENT,
            )
    assert http.get(address, headers={"Range": f"bytes={len(CONTENT)}-"}).status_code == 416
    assert http.get(address, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    head = http.head(address)
    assert (head.headers["content-length"], head.headers["etag"]) == (
        str(len(CONTENT)),
        f'"{DIGEST}"',
    )


def test_a_hub_client_finds_its_headers(http):
    found = http.get("/org/open/resolve/main/model.bin").headers
    assert re.fullmatch("[0-9a-f]{40}", found["x-repo-commit"])
    assert found["x-linked-size"] == str(len(CONTENT))
    assert "model.bin" in found["content-disposition"]


def test_nobody_gets_what_the_zoo_did_not_allow(http, front):
    address = front[0]
    hidden = "/org/hidden/resolve/main/model.bin"
    assert http.get(hidden).content == b"hidden"
    assert httpx.get(address + hidden).status_code in (401, 404)
    assert httpx.get(f"{address}/zoo-blobs/{DIGEST[:2]}/{DIGEST[2:]}").status_code == 404
    empty = hashlib.sha256(b"").hexdigest()
    assert http.get(f"/v1/blobs/sha256:{empty}").content == b""  # which the zoo sends itself
