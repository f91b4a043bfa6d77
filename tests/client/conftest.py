"""Clients with a cache of their own and small parts, and artifact directories made by hand."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zoo.client import Client
from zoo.settings import Settings

HEAD = {
    "version": "1.0.0",
    "task": "text-recognition",
    "summary": "Reads text.",
    "licence": {"expression": "Apache-2.0"},
    "lineage": {"publisher": "Org"},
}
PART = 1 << 18


@pytest.fixture
def head() -> Callable[..., dict[str, Any]]:
    """The fields of a manifest that its author writes."""
    return lambda name, **changes: {"name": name, **HEAD, **changes}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Few attempts, and parts so small that every transfer here needs many."""
    return Settings(cache=tmp_path / "cache", part=PART, attempts=3, timeout=10)


@pytest.fixture
def connect(settings: Settings) -> Iterator[Callable[..., Client]]:
    """Connects to an address; closed at the end."""
    made: list[Client] = []

    def begin(url: str, **changes: Any) -> Client:
        made.append(Client(url, settings.model_copy(update=changes)))
        return made[-1]

    yield begin
    for client in made:
        client.close()


@pytest.fixture
def conversion(tmp_path: Path) -> Callable[..., Path]:
    """Writes what `zoo convert` leaves: a directory for PyTorch with random weights."""

    def write(seed: int = 0, size: int = 3_000_001, name: str = "made", **fields: Any) -> Path:
        folder = tmp_path / name / "pytorch"
        (folder / "sub").mkdir(parents=True)
        (folder / "model.py").write_text(f"SEED = {seed}\n")
        (folder / "infer.py").write_text("def load(device='auto'):\n    return device\n")
        (folder / "weights.safetensors").write_bytes(random.Random(seed).randbytes(size))
        (folder / "sub" / "empty.txt").write_bytes(b"")
        manifest = {
            "framework": "pytorch",
            "format": "safetensors",
            "precision": "fp32",
            "entry": "model.py",
            "inference": "infer.py",
            **fields,
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder.parent

    return write


@pytest.fixture
def content() -> Callable[[Path], dict[str, bytes]]:
    """All files below a directory."""

    def read(folder: Path) -> dict[str, bytes]:
        files = (path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    return read
