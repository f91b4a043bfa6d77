from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo.manifest import Manifest, validate_manifest
from zoo.registry import Registry
from zoo.settings import Settings


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def manifest_fields(content: bytes = b"weights", **changes: Any) -> dict[str, Any]:
    file = {"path": "model.onnx", "sha256": sha256(content), "size": len(content)}
    return {
        "name": "org/model",
        "version": "1.0.0",
        "task": "text-recognition",
        "summary": "Reads text.",
        "licence": {"expression": "Apache-2.0"},
        "lineage": {"publisher": "Org"},
        "signature": {
            "inputs": [{"name": "x", "dtype": "float32", "shape": ["N", 3, 48, "W"]}],
            "outputs": [{"name": "y", "dtype": "float32", "shape": ["N", 10]}],
        },
        "artifacts": [
            {
                "framework": "onnx",
                "format": "onnx",
                "precision": "fp32",
                "targets": ["cpu"],
                "entry": "model.onnx",
                "files": [file],
            }
        ],
        **changes,
    }


@pytest.fixture
def fields() -> Callable[..., dict[str, Any]]:
    return manifest_fields


@pytest.fixture
def manifest() -> Callable[..., Manifest]:
    def make(content: bytes = b"weights", **changes: Any) -> Manifest:
        return validate_manifest(manifest_fields(content, **changes), "test")

    return make


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    changes = {"data": tmp_path / "data", "cache": tmp_path / "cache", "attempts": 3, "timeout": 5}
    return Settings.from_environment().model_copy(update=changes)


@pytest.fixture
def registry(tmp_path: Path, settings: Settings) -> Registry:
    made = Registry(tmp_path / "zoo", settings)
    made.store.put([b"weights"], sha256(b"weights"))
    return made
