from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml

from zoo.apply import apply
from zoo.errors import Conflict, DigestMismatch, InvalidManifest
from zoo.manifest import load_manifest

MANIFESTS = Path(__file__).parents[2] / "manifests"


@pytest.fixture
def write(tmp_path, fields):
    directory = tmp_path / "manifests"

    def one(name, content=b"new weights", **changes):
        folder = directory / Path(name).parent
        folder.mkdir(parents=True, exist_ok=True)
        source = folder / f"{Path(name).stem}.bin"
        source.write_bytes(content)
        data = fields(content, name=name, **changes)
        file = data["artifacts"][0]["files"][0]
        del file["size"]
        file["source"] = f"file:{source.name}"
        path = directory / f"{name}.yaml"
        path.write_text(yaml.safe_dump(data))
        return path

    one.directory = directory
    return one


def test_twice_changes_nothing(registry, write):
    write("org/b")
    write("org/a", b"others")
    told = []
    changes = apply(write.directory, registry, lambda *a: told.append(a))
    assert [(c.reference, c.change) for c in changes] == [
        ("org/a@1.0.0", "published"),
        ("org/b@1.0.0", "published"),
    ]
    assert sum(count for _, count, _ in told) == len(b"new weights" + b"others")
    assert registry.file("org/b", "latest", "onnx", "model.onnx").size == len(b"new weights")
    again = apply(write.directory, registry)
    assert {c.change for c in again} == {"unchanged"}
    assert [c.digest for c in again] == [c.digest for c in changes]


def test_one_file(registry, write):
    (change,) = apply(write("org/a"), registry)
    assert change.change == "published"


def test_nothing_is_done_unless_every_manifest_is_valid(registry, write):
    write("org/a")
    bad, worse = write("org/b", task="Not A Task"), write("org/c", summary="")
    with pytest.raises(InvalidManifest) as caught:
        apply(write.directory, registry)
    assert [line.split(": ")[:2] for line in caught.value.message.splitlines()] == [
        [str(bad), "task"],
        [str(worse), "summary"],
    ]
    assert registry.models().items == ()


def test_a_published_version_that_differs(registry, write):
    write("org/z")
    apply(write.directory, registry)
    write("org/a")
    write("org/z", summary="Other.")
    with pytest.raises(Conflict, match="differs in: summary"):
        apply(write.directory, registry)
    assert [item.name for item in registry.models().items] == ["org/z"]


def test_the_same_version_twice(registry, write):
    first = write("org/a")
    (write.directory / "org" / "b.yaml").write_text(first.read_text())
    with pytest.raises(InvalidManifest, match=r"org/a@1.0.0 is in .*a.yaml already"):
        apply(write.directory, registry)


def test_files_without_a_source(registry, write, fields, tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(yaml.safe_dump(fields(b"unknown")))
    with pytest.raises(InvalidManifest, match=r"files\[0\].source: is required"):
        apply(path, registry)
    path.write_text(yaml.safe_dump(fields(b"weights")))  # in the store already
    assert apply(path, registry)[0].change == "published"


def test_a_source_that_changed(registry, write):
    write("org/a")
    (write.directory / "org" / "a.bin").write_bytes(b"changed")
    with pytest.raises(DigestMismatch, match=r"file:a\.bin"):
        apply(write.directory, registry)
    assert registry.models().items == ()


def test_no_manifests(registry, tmp_path):
    for place in (tmp_path / "nothing", tmp_path):
        with pytest.raises(InvalidManifest, match="there is no manifest"):
            apply(place, registry)


def test_digests_of_files_in_the_project():
    checked = 0
    for path in MANIFESTS.rglob("*.yaml"):
        for artifact in load_manifest(path).artifacts:
            for file in artifact.files:
                if file.source and file.source.startswith("file:"):
                    content = (path.parent / file.source.removeprefix("file:")).read_bytes()
                    assert hashlib.sha256(content).hexdigest() == file.sha256, file.path
                    assert len(content) == file.size
                    checked += 1
    assert checked


@pytest.mark.real
def test_the_manifests_of_the_project(registry):
    changes = apply(MANIFESTS, registry)
    assert {"paddleocr/pp-ocrv4-rec@1.0.0"} <= {c.reference for c in changes}
    assert registry.file("paddleocr/pp-ocrv4-rec", "latest", "onnx", "model.onnx").size == 10857958
