from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import Server, serving


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One server that answers everything itself; tests of the scaled set-up follow its redirects."""
    with serving(request, tmp_path_factory, POLYZOO_BUCKET_DOWNLOADS="proxy") as running:
        yield running


@pytest.fixture
def http(server: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture
def upload(http: httpx.Client) -> Callable[..., str]:
    """Uploads bytes and gives their digest."""

    def send(data: bytes) -> str:
        digest = sha256(data)
        begun = http.post("/v1/uploads", json={"sha256": digest, "size": len(data)})
        if begun.status_code == 201:
            address = begun.headers["Location"]
            sent = http.patch(address, content=data, headers={"Upload-Offset": "0"})
            assert sent.status_code == 204, sent.text
        return digest

    return send


@pytest.fixture
def publish(http: httpx.Client, upload: Callable[..., str]) -> Callable[..., httpx.Response]:
    """Uploads and publishes a model of one ONNX file."""

    def send(model: str, content: bytes = b"weights", **changes: Any) -> httpx.Response:
        file = {"path": "sub/model ö.onnx", "sha256": upload(content), "size": len(content)}
        manifest = {
            "name": model,
            "version": "1.0.0",
            "task": "text-recognition",
            "summary": "Reads text.",
            "licence": {"expression": "Apache-2.0"},
            "lineage": {"publisher": "Org"},
            "artifacts": [
                {
                    "framework": "onnx",
                    "format": "onnx",
                    "precision": "fp32",
                    "entry": file["path"],
                    "files": [file],
                }
            ],
            **changes,
        }
        return http.post(f"/v1/models/{model}/versions", json=manifest)

    return send


@pytest.fixture
def is_problem() -> Callable[..., dict[str, Any]]:
    """Checks that a response is a problem of RFC 9457 and gives its members."""

    def check(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
        members: dict[str, Any] = response.json()
        assert members["status"] == status
        assert members["code"] == code
        assert members["type"] == f"urn:polyzoo:problem:{code}"
        assert members["instance"] == response.request.url.path
        for name in ("title", "detail", "fix"):
            assert members[name], name
        assert "Traceback" not in response.text
        return members

    return check
