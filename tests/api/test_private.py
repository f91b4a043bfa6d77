"""A private model is invisible on every route that there is, not only on those that somebody thought of."""

from __future__ import annotations

import hashlib
import re

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.hub.app import create_hub
from api.rates import Rates
from zoo.access import LOCAL, Role
from zoo.hub.records import Addition
from zoo.jobs.jobs import Jobs
from zoo.jobs.records import Submission
from zoo.manifest import validate_manifest
from zoo.registry import Registry
from zoo.settings import Settings

CONTENT = b"only ours"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
UPLOADED = b"ours, too"
ABSENT = {"job": "0" * 32, "digest": f"sha256:{'0' * 64}"}
# What stands in addresses, where it is not the model.
FILLED = {"version": "1.0.0", "framework": "onnx", "path": "model.onnx", "revision": "main", "rest": "main",
          "tag": "main", "branch": "main", "action": "cancel", "upload_id": "0" * 32, "kind": "default",
          "collection": "x", "xorb": "0" * 64, "name": "x"}  # fmt: skip


def manifest(name, version="1.0.0"):
    file = {"path": "model.onnx", "sha256": DIGEST, "size": len(CONTENT)}
    artifact = {"framework": "onnx", "format": "onnx", "precision": "fp32", "entry": "model.onnx",
                "files": [file]}  # fmt: skip
    head = {"name": name, "version": version, "task": "ocr", "summary": "Reads.",
            "licence": {"expression": "MIT"}, "lineage": {"publisher": "Org"}}  # fmt: skip
    return validate_manifest({**head, "artifacts": [artifact]}, "test")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """A zoo with a private model that has all that a model can have, and nothing else."""
    registry = Registry(tmp_path_factory.mktemp("zoo"), Settings(anonymous="read", metrics="open"))
    registry.store.put([CONTENT], DIGEST)
    digest = hashlib.sha256(UPLOADED).hexdigest()
    registry.store.put([UPLOADED], digest)
    registry.publish(manifest("org/zebra"))
    registry.repositories.change("org/zebra", "main", [Addition("notes", digest)], LOCAL, title="x")
    (waiting,) = registry.intake.due(0)
    registry.intake.refuse(waiting, "zebra words")
    jobs = Jobs(registry)
    asked = Submission(manifest=manifest("org/zebra", "2.0"), convert={"targets": ["pytorch"]})
    job, _ = jobs.submit(asked)
    jobs.close()
    registry.repositories.create("org/zebra-upload", LOCAL, private=True)
    registry.access.set_private("org/zebra", True)
    secrets = [
        registry.access.create("somebody", {org: Role.ADMIN})[1] for org in ("org", "elsewhere")
    ]
    yield registry, {"job": job.id, "digest": f"sha256:{DIGEST}"}, *secrets
    registry.close()


@pytest.fixture(scope="module")
def browser(zoo):
    with TestClient(create_app(zoo[0]), follow_redirects=False) as client:
        yield client


def routes(registry):
    for application in (create_app(registry), create_hub(registry, Rates("", ""))):
        for included in application.routes:
            router = getattr(included, "original_router", None)
            for route in getattr(router, "routes", ()):
                yield from ((method, route.path) for method in sorted(route.methods))


def address(path, name, given):
    known = {**FILLED, "org": "org", "repo": name, "model": name, **given}
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda found: known[found[1]], path)


def said(response):
    """An answer without what differs from one request to the next."""
    headers = {
        key: value
        for key, value in response.headers.items()
        if key not in ("x-request-id", "content-length", "date")
    }
    text = re.sub(r"[0-9a-f]{64}|[0-9a-f]{32}|okapi|zebra", "…", response.text)
    return response.status_code, {k: re.sub("okapi|zebra", "…", v) for k, v in headers.items()}, text  # fmt: skip


@pytest.mark.parametrize("accept", ["*/*", "text/html"])
@pytest.mark.parametrize("signed_in", [False, True])
def test_every_route_answers_as_if_it_had_never_been(zoo, browser, signed_in, accept):
    registry, hidden, mine, other = zoo
    headers = {"Accept": accept, **({"Authorization": f"Bearer {other}"} if signed_in else {})}
    seen = 0
    for method, path in routes(registry):
        if path in ("/metrics", "/api/whoami-v2", "/api/v1/models", "/api/repos/create"):
            continue  # numbers, the asker, and what makes a model
        if "{" not in path:
            answer = browser.request(method, path, headers=headers)
            assert not re.search("zebra", answer.text + str(answer.headers)), (method, path)
            continue
        options = {"headers": headers, "params": {"FilePath": "model.onnx", "Revision": "1.0.0"}}
        answers = [
            browser.request(method, address(path, name, given), **options)
            for name, given in (("zebra", hidden), ("okapi", ABSENT))
        ]
        assert said(answers[0]) == said(answers[1]), (method, path)
        assert CONTENT not in answers[0].content
        if method == "GET" and "/models/" in path and "{" in path:
            assert answers[0].status_code in (404, 401, 403), path
        seen += 1
    assert seen > 70
    # The owner sees that the addresses are right.
    found = browser.get(
        "/api/models/org/zebra/tree/main", headers={"Authorization": f"Bearer {mine}"}
    )
    assert {"notes"} <= {item["path"] for item in found.json()}


def test_lists_and_searches_leave_it_out(zoo, browser):
    _, _, mine, other = zoo
    for path in ("/?q=zebra", "/?q=reads", "/uploads", "/jobs", "/v1/models?q=zebra", "/v1/jobs?name=org/zebra",
                 "/v1/jobs", "/api/models?search=zebra&full=true", "/api/models?author=org",
                 "/openapi/v1/models?search=zebra&owner=org"):  # fmt: skip
        headers = {"Accept": "text/html,*/*"} if path.startswith(("/?", "/u", "/j")) else {}
        for secret in (None, other, mine):
            token = {"Authorization": f"Bearer {secret}"} if secret else {}
            text = browser.get(path, headers={**headers, **token}).text
            shown = "zebra" in re.sub(r'value="zebra"|q=zebra', "", text)
            assert shown == (secret == mine), (path, secret)
    counted = [
        browser.get(
            "/openapi/v1/models?page_size=1", headers={"Authorization": f"Bearer {secret}"}
        ).json()["data"]["total_count"]
        for secret in (mine, other)
    ]
    assert counted == [2, 0]


def test_bytes_that_no_version_has_are_for_those_who_upload(zoo, browser):
    _, _, mine, _ = zoo
    address = f"/v1/blobs/sha256:{hashlib.sha256(UPLOADED).hexdigest()}"
    assert browser.get(address).status_code == 404
    assert browser.head(address).status_code == 404
    assert browser.get(address, headers={"Authorization": f"Bearer {mine}"}).content == UPLOADED


def test_what_modelscope_keeps_in_a_browser_goes_over_https_only(zoo, tmp_path):
    registry = Registry(tmp_path, Settings(public="https://zoo.test"))
    secret = registry.access.create("ann", {"*": Role.READ})[1]
    with TestClient(create_app(registry)) as client:
        given = client.post("/api/v1/login", json={"AccessToken": secret}).headers["set-cookie"]
    assert {"Secure", "HttpOnly"} <= set(given.split("; "))
    with TestClient(create_app(zoo[0])) as client:
        given = client.post("/api/v1/login", json={"AccessToken": zoo[2]}).headers["set-cookie"]
    assert "Secure" not in given.split("; ")
    registry.close()


def test_what_modelscope_keeps_writes_where_no_browser_sends_it(zoo):
    with TestClient(create_app(zoo[0]), cookies={"m_session_id": zoo[2]}) as client:
        wanted = {"Path": "org", "Name": "by-cookie", "Visibility": 1}
        # Browsers name the site whose page, or form, writes.
        for origin in ("https://elsewhere.test", "null", "http://testserver"):
            refused = client.post("/api/v1/models", json=wanted, headers={"Origin": origin})
            assert refused.status_code in (401, 403)
        assert client.post("/api/v1/models", json=wanted).status_code == 200
        assert client.get("/api/v1/models/org/by-cookie").status_code == 200
        wrong = {"Authorization": "Bearer zoo_wrong"}
        assert client.get("/api/v1/models/org/by-cookie", headers=wrong).status_code == 401
