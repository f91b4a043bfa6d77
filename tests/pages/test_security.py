"""Errors as pages, headers of everything, and that nothing of a model is ever run in our name."""

from __future__ import annotations

import hashlib

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.pages.problems import WORDS
from zoo.access import LOCAL
from zoo.errors import ZooError
from zoo.hub.records import Addition

PROBLEM = "application/problem+json"


def test_browsers_get_pages_and_programs_get_problems(zoo, read):
    _, browser = zoo()
    for path, status in (("/nothing", 404), ("/v1/models/a/b", 404), ("/models/a/b/c/d/e", 404),
                         ("/jobs/none", 404), ("/v1/models?limit=x", 422), ("/models/a%20b/c", 404)):  # fmt: skip
        page = read(browser.get(path), status)
        assert page.find("a", href="/")
        assert page.find("main")
        program = browser.get(path, headers={"Accept": "*/*"})
        assert program.status_code == status
        assert program.headers["content-type"] == PROBLEM
        assert program.json()["detail"].split("\n")[0] in page.text
    assert read(browser.put("/"), 405).find("main")
    # Hub clients are answered in their own way, whatever they accept.
    hub = browser.get("/org/none/resolve/main/file")
    assert hub.status_code == 404
    assert hub.headers["content-type"] == "application/json"
    assert hub.headers["x-error-code"] == "RepoNotFound"


CHINESE = {"Accept-Language": "zh-CN"}


def test_errors_say_what_happened_in_the_language_of_the_page(zoo, read):
    _, browser = zoo()
    page = read(browser.get("/models/a/b", headers=CHINESE), 404)
    assert "这里什么都没有" in page.text
    assert "它可能从未存在，也可能是私有的" in page.text
    # What programs are told stands below, marked as English.
    detail = browser.get("/models/a/b", headers={"Accept": "*/*"}).json()["detail"]
    assert detail in page.text
    assert page.find("p", lang="en")
    assert "It may never have been there" in read(browser.get("/models/a/b"), 404).text
    asked = read(browser.get("/v1/models?limit=x", headers=CHINESE), 422)
    assert "地址或表单中的某一项" in asked.text
    refused = browser.put("/v1/models/a/b", headers=CHINESE)
    assert "在这里不能这样操作" in read(refused, 405).text


def test_every_error_of_the_zoo_that_pages_show_has_words():
    shown = {
        kind.code for kind in kinds(ZooError) if kind.http not in (422, 502) and kind.status != 2
    }
    assert shown - WORDS.keys() <= {"server-unavailable"}  # which only clients say


def kinds(root):
    """A class and all below it that are the zoo's own."""
    yield root
    for below in root.__subclasses__():
        if below.__module__ == "zoo.errors":
            yield from kinds(below)


def test_a_failure_of_ours_tells_nothing(zoo, read, monkeypatch):
    registry, browser = zoo()

    def fail(**_):
        raise RuntimeError("secret path")

    monkeypatch.setattr(registry, "models", fail)
    answer = browser.get("/")
    page = read(answer, 500)
    assert "Something went wrong" in page.text
    assert "secret" not in answer.text
    assert browser.get("/", headers={"Accept": "*/*"}).headers["content-type"] == PROBLEM


def test_pages_allow_nothing_from_elsewhere(zoo, add):
    registry, browser = zoo()
    add(registry, "org/model")
    for path in (
        "/",
        "/models/org/model",
        "/jobs",
        "/login",
        "/nothing",
        "/models/org/model/1.0.0/onnx/graph",
    ):
        headers = browser.get(path).headers
        assert browser.head(path).headers["content-type"].startswith("text/html")
        policy = dict(
            part.strip().partition(" ")[::2]
            for part in headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
        assert policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "unsafe" not in headers["content-security-policy"]


@pytest.mark.parametrize("name", ["page.html", "picture.svg", "script.js", "page.xhtml", "a.xml"])
def test_files_of_models_are_never_shown_as_ours(zoo, add, name):
    registry, browser = zoo()
    body = b"<html xmlns='http://www.w3.org/1999/xhtml'><script>alert(1)</script></html>"
    digest = hashlib.sha256(body).hexdigest()
    registry.store.put([body], digest)
    artifact = {"framework": "onnx", "format": "onnx", "precision": "fp32", "entry": name,
                "files": [{"path": name, "sha256": digest}]}  # fmt: skip
    add(registry, "org/model", artifacts=[artifact])
    registry.repositories.create("org/files", LOCAL)
    registry.repositories.change("org/files", "main", [Addition(name, digest)], LOCAL, title="x")
    for path in (
        f"/v1/models/org/model/versions/1.0.0/artifacts/onnx/files/{name}",
        f"/v1/blobs/sha256:{digest}",
        f"/org/model/resolve/main/onnx/{name}",
        f"/org/files/resolve/main/{name}",
        f"/org/files/raw/main/{name}",
        f"/api/resolve-cache/models/org/files/main/{name}",
        f"/api/v1/models/org/files/repo?FilePath={name}",
    ):
        for headers in ({}, {"Range": "bytes=0-"}):
            answer = browser.get(path, headers=headers)
            assert answer.content == body, path
            assert answer.headers["content-type"] == "application/octet-stream"
            assert answer.headers["x-content-type-options"] == "nosniff"
            policy = answer.headers["content-security-policy"]
            assert "sandbox" in policy
            assert "default-src 'none'" in policy
            if "blobs" not in path:
                assert answer.headers["content-disposition"].startswith("attachment")


def test_our_own_files_are_kept_while_they_are_the_same(zoo, read):
    registry, browser = zoo()
    (style,) = read(browser.get("/")).find("link", rel="stylesheet")
    kept = browser.get(style["href"])
    assert "immutable" in kept.headers["cache-control"]
    assert browser.get("/static/zoo.css").headers["cache-control"] == "no-cache"
    for name in ("nothing.css", "..%2Fsite.py", "%2e%2e/site.py", "zoo.css%00"):
        assert browser.get(f"/static/{name}").status_code == 404
    with TestClient(create_app(registry)) as other:
        assert other.get(style["href"]).content == kept.content
