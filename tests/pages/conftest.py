from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from zoo.manifest import Manifest
from zoo.registry import Registry
from zoo.settings import Settings

SOURCE = b'class Model:\n    """A model: <b>not bold</b>."""\n\n    size = 3\n'


class Document(HTMLParser):
    """What a browser would find in a page: elements with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def find(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        """The attributes of elements of a kind that have these."""
        return [
            found
            for name, found in self.elements
            if name == tag and attributes.items() <= found.items()
        ]

    @property
    def text(self) -> str:
        """All text, with single spaces."""
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="session")
def read() -> Callable[[Any], Document]:
    """Reads the page in a response, and makes sure that it is one."""

    def parse(response: Any, status: int = 200) -> Document:
        assert response.status_code == status, response.text[:500]
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        return Document(response.text)

    return parse


def publish(registry: Registry, name: str, graph: bytes | None = None, **changes: Any) -> Manifest:
    """Publish a model with a form for PyTorch that was verified, and what it was made from."""
    bodies = {"model.onnx": graph or name.encode(), "model.py": SOURCE, "weights": b"w" * 1500}
    files = {}
    for path, body in bodies.items():
        digest = hashlib.sha256(body).hexdigest()
        registry.store.put([body], digest)
        files[path] = {"path": path, "sha256": digest, "size": len(body)}
    outputs = [
        {"name": f"y{i}", "shape": [1, 3], "dtype": "float32", "max_abs": error, "max_rel": 2e-5,
         "cosine": 1.0, "passed": True}
        for i, error in enumerate((3e-6, 0.0))
    ]  # fmt: skip
    report = {"reference": "onnx", "candidate": "pytorch", "passed": True, "rtol": 1e-3,
              "atol": 1e-4, "cases": [{"inputs": {"x": [1, 4]}, "seed": 0, "outputs": outputs}]}  # fmt: skip
    manifest = Manifest.model_validate(
        {
            "name": name,
            "version": "1.0.0",
            "task": "text-recognition",
            "summary": "Reads a line.",
            "licence": {"expression": "Apache-2.0"},
            "lineage": {"publisher": "Org"},
            "signature": {
                "inputs": [{"name": "x", "dtype": "float32", "shape": ["N", 4]}],
                "outputs": [{"name": "y0", "dtype": "float32", "shape": ["N", 3]}],
            },
            "artifacts": [
                {
                    "framework": "onnx",
                    "format": "onnx",
                    "precision": "fp32",
                    "entry": "model.onnx",
                    "files": [files["model.onnx"]],
                },
                {
                    "framework": "pytorch",
                    "format": "safetensors",
                    "precision": "fp32",
                    "entry": "weights",
                    "files": [files["model.py"], files["weights"]],
                    "source": {"format": "onnx", "sha256": files["model.onnx"]["sha256"]},
                    "route": ["onnx", "pytorch"],
                    "converter": "polyzoo 0.1.0",
                    "verification": report,
                },
            ],
            **changes,
        }
    )
    registry.publish(manifest)
    return manifest


@pytest.fixture
def zoo(tmp_path: Path) -> Iterator[Callable[..., tuple[Registry, TestClient]]]:
    """Makes a zoo and a browser that looks at it: `zoo(anonymous="read")`."""
    opened: list[tuple[Registry, TestClient]] = []

    def make(**settings: Any) -> tuple[Registry, TestClient]:
        registry = Registry(tmp_path / f"zoo{len(opened)}", Settings(**settings))
        scheme = "https" if settings.get("public", "").startswith("https") else "http"
        browser = TestClient(
            create_app(registry),
            base_url=f"{scheme}://zoo.test",
            follow_redirects=False,
            raise_server_exceptions=False,
            headers={"Accept": "text/html,*/*;q=0.8"},
        )
        opened.append((registry, browser))
        return registry, browser

    yield make
    for registry, browser in opened:
        browser.close()
        registry.close()


@pytest.fixture(scope="session")
def add() -> Callable[..., Manifest]:
    """Publishes a model: `add(registry, "org/model", summary=…)`."""
    return publish
