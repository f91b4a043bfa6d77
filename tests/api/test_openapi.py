from __future__ import annotations

import pytest

from api.app import create_app
from zoo.registry import Registry

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    return create_app(Registry(tmp_path_factory.mktemp("zoo"))).openapi()


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_it_is_served(http, document):
    assert http.get("/openapi.json").json() == document


def test_every_route_of_the_contract_is_there(document):
    version = "/v1/models/{org}/{model}/versions/{version}"
    assert {name for name, _ in operations(document)} == {
        "GET /v1/models",
        "GET /v1/models/{org}/{model}",
        "GET /v1/models/{org}/{model}/versions",
        "POST /v1/models/{org}/{model}/versions",
        f"GET {version}",
        f"GET {version}/manifest",
        f"GET {version}/artifacts",
        f"GET {version}/artifacts/{{framework}}",
        f"GET {version}/artifacts/{{framework}}/files/{{path}}",
        f"HEAD {version}/artifacts/{{framework}}/files/{{path}}",
        "GET /v1/blobs/{digest}",
        "HEAD /v1/blobs/{digest}",
        "POST /v1/uploads",
        "GET /v1/uploads/{upload_id}",
        "HEAD /v1/uploads/{upload_id}",
        "PATCH /v1/uploads/{upload_id}",
        "DELETE /v1/uploads/{upload_id}",
        "POST /v1/jobs",
        "GET /v1/jobs",
        "GET /v1/jobs/{job}",
        "POST /v1/jobs/{job}/cancel",
        "POST /v1/jobs/{job}/retry",
        "GET /v1/jobs/{job}/events",
        "GET /v1/models/{org}/{model}/refused",
        "GET /v1/unpublished",
        "GET /healthz",
        "GET /readyz",
    }


def test_operations_have_names_of_their_own(document):
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)


def test_every_response_is_described(document):
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        for parameter in operation.get("parameters", []):
            assert parameter.get("description") or parameter["name"] == "task", (name, parameter)
        for status, response in operation["responses"].items():
            assert response["description"], (name, status)
            if int(status) >= 400:
                (media,) = response["content"]
                assert media == PROBLEM, (name, status)
                example = response["content"][media]["example"]
                assert example["status"] == int(status)
                assert example["type"].endswith(f":{example['code']}")
                assert all(example[key] for key in ("title", "detail", "fix", "instance"))


def test_every_route_with_a_parameter_can_be_refused(document):
    for name, operation in operations(document):
        statuses = set(operation["responses"])
        assert "500" in statuses, name
        if operation.get("parameters") or "requestBody" in operation:
            assert statuses & {"404", "422"}, name
        assert "HTTPValidationError" not in str(operation), name


def test_references_lead_somewhere(document):
    def walk(node):
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for value in node.values():
                yield from walk(value)
        elif isinstance(node, list):
            for value in node:
                yield from walk(value)

    for reference in set(walk(document)):
        target = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


def fill(path):
    values = {"org": "no", "model": "such", "version": "1", "framework": "onnx", "path": "x",
              "digest": "sha256:" + "0" * 64, "upload_id": "0" * 32, "job": "none"}  # fmt: skip
    return path.format(**values)


def test_every_error_that_is_given_is_documented(http, document):
    for name, operation in operations(document):
        method, path = name.split()
        attempts = [http.request(method, fill(path))]
        attempts.append(http.request(method, fill(path), json={"x": 1}))
        attempts.append(
            http.request(
                method, fill(path), content=b"{", headers={"Content-Type": "application/json"}
            )
        )
        for response in attempts:
            assert str(response.status_code) in operation["responses"], (name, response.text)
            if response.status_code >= 400:
                assert response.headers["content-type"] == PROBLEM


def test_other_methods(http, document, is_problem):
    for path, methods in document["paths"].items():
        response = http.request("PUT", fill(path))
        is_problem(response, 405, "method-not-allowed")
        assert response.headers["allow"]
        assert methods
