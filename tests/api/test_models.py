from __future__ import annotations

import hashlib
from urllib.parse import quote

import pytest

from zoo.catalogue.records import ModelDetail, ModelPage, Publication, VersionDetail
from zoo.manifest import Manifest

PATH = "sub/model ö.onnx"


def test_publish_and_look_up(http, publish):
    content = b"the weights of one"
    answer = publish("pub/one", content)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/models/pub/one/versions/1.0.0"
    publication = Publication.model_validate(answer.json())
    assert publication.created

    again = publish("pub/one", content)
    assert again.status_code == 200
    assert Publication.model_validate(again.json()).digest == publication.digest

    model = ModelDetail.model_validate(http.get("/v1/models/pub/one").json())
    assert (model.latest, model.versions, model.frameworks) == ("1.0.0", ("1.0.0",), ("onnx",))
    (version,) = http.get("/v1/models/pub/one/versions").json()["items"]
    assert version["size"] == len(content)

    for name in ("1.0.0", "latest"):
        detail = VersionDetail.model_validate(
            http.get(f"/v1/models/pub/one/versions/{name}").json()
        )
        assert detail.digest == publication.digest
        assert f"sha256:{detail.manifest.digest}" == publication.digest


def test_the_canonical_manifest_is_what_the_digest_is_of(http, publish):
    digest = publish("pub/canonical").json()["digest"].removeprefix("sha256:")
    response = http.get("/v1/models/pub/canonical/versions/1.0.0/manifest")
    assert hashlib.sha256(response.content).hexdigest() == digest
    assert response.headers["etag"] == f'"{digest}"'
    assert Manifest.model_validate_json(response.content).digest == digest
    for version, immutable in (("1.0.0", True), ("latest", False)):
        for end in ("", "/manifest"):
            address = f"/v1/models/pub/canonical/versions/{version}{end}"
            cached = http.get(address, headers={"If-None-Match": f'"{digest}"'})
            assert (cached.status_code, cached.content) == (304, b"")
            assert ("immutable" in http.get(address).headers["cache-control"]) is immutable


def test_artifacts_and_files(http, publish):
    content = b"the weights of files"
    publish("pub/files", content)
    base = "/v1/models/pub/files/versions/latest/artifacts"
    artifact = http.get(f"{base}/onnx").json()
    assert http.get(base).json() == {"items": [artifact]}
    (file,) = artifact["files"]
    assert http.get(file["url"]).content == content
    address = f"{base}/onnx/files/{quote(PATH)}"
    response = http.get(address)
    assert response.content == content
    assert response.headers["etag"] == f'"{file["sha256"]}"'
    assert response.headers["cache-control"] == "no-cache"
    name = "attachment; filename*=UTF-8''model%20%C3%B6.onnx"
    assert response.headers["content-disposition"] == name
    assert http.get(address, headers={"Range": "bytes=4-6"}).content == content[4:7]
    assert http.head(address).headers["content-length"] == str(len(content))
    fixed = http.head(address.replace("latest", "1.0.0"))
    assert "immutable" in fixed.headers["cache-control"]


def test_a_published_version_never_changes(publish, is_problem):
    publish("pub/fixed")
    members = is_problem(publish("pub/fixed", summary="Other."), 409, "conflict")
    assert members["fields"] == ["summary"]
    assert publish("pub/fixed", summary="Other.", version="1.0.1").status_code == 201


def test_missing_blobs(http, is_problem, publish):
    digest = "1" * 64
    answer = publish("pub/missing", artifacts=[
        {"framework": "onnx", "format": "onnx", "precision": "fp32", "entry": "x",
         "files": [{"path": "x", "sha256": digest, "size": 1}]}
    ])  # fmt: skip
    assert is_problem(answer, 422, "missing-blobs")["missing"] == [f"sha256:{digest}"]
    is_problem(http.get("/v1/models/pub/missing"), 404, "not-found")


def test_manifests_that_are_not_valid(http, publish, is_problem):
    members = is_problem(publish("pub/bad", task="No Task", x=1), 422, "invalid-request")
    assert [line.split(":")[0] for line in members["problems"]] == ["task", "x"]
    fields = publish("pub/other", name="pub/else")
    assert "as in the address" in is_problem(fields, 422, "invalid-manifest")["detail"]
    address = "/v1/models/pub/bad/versions"
    json = {"Content-Type": "application/json"}
    is_problem(http.post(address, content=b"{", headers=json), 400, "bad-request")
    is_problem(http.post(address, content=b"[" * 100_000, headers=json), 400, "bad-request")
    is_problem(http.post(address, content=b"\xff", headers=json), 400, "bad-request")
    is_problem(http.post(address, content=b"x: 1"), 422, "invalid-request")
    is_problem(http.post(address, content=b" " * (5 << 20), headers=json), 413, "too-large")

    def endless():
        for _ in range(80):
            yield b" " * 65536

    is_problem(http.post(address, content=endless(), headers=json), 413, "too-large")


def test_search(http, publish):
    for i in range(5):
        publish(f"find/m{i}", summary=f"Number {i} of them_all.", tags=["findable"])
    seen, cursor = [], None
    while True:
        query = {"q": "FINDABLE them_all", "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = ModelPage.model_validate(http.get("/v1/models", params=query).json())
        seen += [item.name for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [f"find/m{i}" for i in range(5)]
    none = {"q": "findable", "framework": "paddle"}
    assert http.get("/v1/models", params=none).json() == {"items": [], "next_cursor": None}
    some = {
        "q": "findable",
        "framework": "onnx",
        "licence": "apache-2.0",
        "task": "text-recognition",
    }
    assert len(http.get("/v1/models", params=some).json()["items"]) == 5


@pytest.mark.parametrize(
    "address",
    [
        "/v1/models/no/such",
        "/v1/models/no/such/versions",
        "/v1/models/no/such/versions/1",
        "/v1/models/no/such/versions/latest/manifest",
        "/v1/models/pub/there/versions/9",
        "/v1/models/pub/there/versions/1.0.0/artifacts/paddle",
        "/v1/models/pub/there/versions/1.0.0/artifacts/tensorflow",
        "/v1/models/pub/there/versions/1.0.0/artifacts/onnx/files/x",
        "/v1/models/pub/there/versions/1.0.0/artifacts/onnx/files/%2e%2e/%2e%2e/zoo.db",
        "/v1/models/%00/%ff",
        "/v1/uploads/x",
        "/v1",
        "/nothing",
    ],
)
def test_what_is_not_there(http, publish, is_problem, address):
    publish("pub/there")
    is_problem(http.get(address), 404, "not-found")


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": "x"}, {"framework": "x"}, {"q": "x" * 201}]
)
def test_queries_that_are_not_valid(http, is_problem, query):
    is_problem(http.get("/v1/models", params=query), 422, "invalid-request")


def test_cursors_that_are_not_valid(http, is_problem):
    is_problem(http.get("/v1/models", params={"cursor": "!"}), 422, "invalid-reference")
