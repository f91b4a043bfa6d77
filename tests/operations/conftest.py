from __future__ import annotations

import hashlib
import os
import time

import pytest

from zoo.access import LOCAL
from zoo.hub.records import Addition
from zoo.jobs.jobs import Jobs
from zoo.manifest import validate_manifest
from zoo.registry import Registry

DAY = 24 * 3600


def put(zoo, content, age=0.0):
    """A blob; gives its digest."""
    digest = hashlib.sha256(content).hexdigest()
    place = zoo.store.put([content], digest)
    if age:
        rest(place, age)
    return digest


def rest(place, age):
    when = time.time() - age
    os.utime(place, (when, when))


def manifest(zoo, name, content, version="1.0"):
    artifact = {
        "framework": "onnx",
        "format": "x",
        "precision": "fp32",
        "entry": "m",
        "files": [{"path": "m", "sha256": put(zoo, content)}],
    }
    return validate_manifest(
        {
            "name": name,
            "version": version,
            "task": "ocr",
            "summary": "Reads.",
            "licence": {"expression": "MIT"},
            "lineage": {"publisher": "Org"},
            "artifacts": [artifact],
        },
        "test",
    )


def commit(zoo, name, files):
    operations = [Addition(path, put(zoo, content)) for path, content in files.items()]
    zoo.repositories.change(name, "main", operations, LOCAL, title="Change")


def everything_is_there(zoo):
    """Every file that a version or a commit names has its bytes."""
    needed = {*zoo.published_blobs(), *zoo.repositories.blobs()}
    assert needed
    for digest in needed:
        zoo.store.verify(digest)
    return needed


@pytest.fixture
def zoo(tmp_path):
    made = Registry(tmp_path / "zoo")
    yield made
    made.close()


@pytest.fixture
def jobs(zoo):
    made = Jobs(zoo)
    yield made
    made.close()
