"""Uploads by a stock hub client are converted when they are complete, or it is said why not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from zoo.errors import NotFound

sys.path.insert(0, str(Path(__file__).parent))
from zoo_of_workers import PATIENCE, Zoo, write_model

CARD = """---
license: apache-2.0
pipeline_tag: text-recognition
tags: [layers]
{more}
---
# A layer

Multiplies.
"""
# In a process of its own: the client reads its endpoint when it is imported.
UPLOAD = """
import sys
from huggingface_hub import HfApi
folder, name, *tags = sys.argv[1:]
api = HfApi()
api.create_repo(name, exist_ok=True)
api.upload_file(path_or_fileobj=b"first", path_in_repo="notes.txt", repo_id=name)
api.upload_folder(folder_path=folder, repo_id=name)
for tag in tags:
    api.create_tag(name, tag=tag)
"""
FETCH = """
import sys
from huggingface_hub import HfApi
print(*HfApi().list_repo_files(sys.argv[1], revision=sys.argv[2]))
"""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    made = Zoo(tmp_path_factory.mktemp("zoo"), POLYZOO_QUIET="2", POLYZOO_CONVERT="onnx,pytorch")
    made.work()
    yield made
    made.stop()


def hub(zoo: Zoo, program: str, *arguments: object) -> str:
    home = zoo.folder / "home"
    environment = {**os.environ, "HF_ENDPOINT": zoo.url, "HF_HOME": str(home), "HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True, text=True, check=False, env=environment, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def until_published(zoo: Zoo, name: str, version: str) -> dict[str, object]:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            return zoo.client.manifest(f"{name}@{version}").model_dump(mode="json")
        except NotFound:
            time.sleep(0.3)
        failed = [job for job in zoo.client.jobs("failed") if job.name == name]
        assert not failed, failed
    raise AssertionError(f"{name}@{version} was not published\n{zoo.said()}")


def refused(zoo: Zoo, name: str) -> list[dict[str, str]]:
    items: list[dict[str, str]] = httpx.get(f"{zoo.url}/v1/models/{name}/refused").json()["items"]
    return items


def test_an_upload_is_converted_when_it_is_quiet_and_for_a_tag(zoo: Zoo, tmp_path: Path) -> None:
    write_model(tmp_path / "model.onnx")
    (tmp_path / "README.md").write_text(CARD.format(more=""))
    hub(zoo, UPLOAD, tmp_path, "us/uploaded", "v1.2.0", "other")
    manifest = until_published(zoo, "us/uploaded", "1.2.0")
    assert manifest["task"] == "text-recognition"
    assert manifest["summary"] == "Multiplies."
    assert manifest["licence"]["expression"] == "Apache-2.0"  # type: ignore[index]
    # Begun, notes.txt, the folder: the third commit.
    until_published(zoo, "us/uploaded", "0.0.3")
    assert {job.version for job in zoo.client.jobs() if job.name == "us/uploaded"} == {
        "0.0.3",
        "1.2.0",
    }
    main = hub(zoo, FETCH, "us/uploaded", "main").split()
    assert {"model.onnx", "notes.txt", "pytorch/model.py", "onnx/model.onnx"} <= set(main)
    form = hub(zoo, FETCH, "us/uploaded", "pytorch").split()
    assert {"model.py", "model.safetensors", "infer.py"} <= set(form)
    assert refused(zoo, "us/uploaded") == []


def test_what_is_no_model_is_refused_in_words(zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(CARD.format(more="polyzoo: {convert: [onnx]}"))
    (tmp_path / "two.onnx").write_bytes(write_model(tmp_path / "one.onnx").read_bytes())
    hub(zoo, UPLOAD, tmp_path, "us/two")
    deadline = time.monotonic() + PATIENCE
    while not (items := refused(zoo, "us/two")) and time.monotonic() < deadline:
        time.sleep(0.3)
    (item,) = items
    assert item["revision"] == "main"
    assert item["problem"].startswith("two: ")  # the model, not a folder of the worker's
    assert "2 models: one.onnx, two.onnx" in item["problem"]
    # The card names one, and it is looked at anew.
    more = "polyzoo: {convert: [onnx], source: two.onnx}"
    (tmp_path / "README.md").write_text(CARD.format(more=more))
    hub(zoo, UPLOAD, tmp_path, "us/two")
    manifest = until_published(zoo, "us/two", "0.0.4")
    assert [artifact["framework"] for artifact in manifest["artifacts"]] == ["onnx"]  # type: ignore[index,attr-defined]
    assert refused(zoo, "us/two") == []


@pytest.mark.parametrize("more", ["polyzoo: 3", "polyzoo: {convert: {a: 1}}", "polyzoo: {convert: [x]}",
                                  "polyzoo: {sizes: [1]}", "polyzoo: {source: ../x}"])  # fmt: skip
def test_hostile_cards_are_refused(zoo: Zoo, tmp_path: Path, more: str) -> None:
    write_model(tmp_path / "model.onnx")
    (tmp_path / "README.md").write_text(CARD.format(more=more))
    name = f"us/card{abs(hash(more))}"
    hub(zoo, UPLOAD, tmp_path, name)
    deadline = time.monotonic() + PATIENCE
    while not (items := refused(zoo, name)) and time.monotonic() < deadline:
        time.sleep(0.3)
    assert "polyzoo" in items[0]["problem"] or "convert" in items[0]["problem"]


def test_an_exported_program_is_converted_too(zoo: Zoo, tmp_path: Path) -> None:
    program = """
import sys, torch
net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.GELU())
batch = torch.export.Dim("batch")
torch.export.save(torch.export.export(net, (torch.ones(2, 4),), dynamic_shapes=({0: batch},)), sys.argv[1])
"""
    subprocess.run([sys.executable, "-c", program, tmp_path / "net.pt2"], check=True)
    push = ["--task", "doubling", "--summary", "A layer.", "--licence", "MIT", "--publisher", "Us"]
    done = subprocess.run(
        [sys.executable, "-m", "zoo", "push", tmp_path / "net.pt2", "us/program@1.0.0", *push,
         "--convert", "onnx,paddle", "--wait"],
        capture_output=True, text=True, check=False, timeout=PATIENCE,
        env={**zoo.environment, "POLYZOO_SERVER": zoo.url},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + zoo.said()
    manifest = zoo.client.manifest("us/program")
    assert [a.framework for a in manifest.artifacts] == ["pytorch", "onnx", "paddle"]
    graph = manifest.artifact("onnx")
    assert graph is not None
    assert graph.verification is not None
    # Against PyTorch's own numbers, and Paddle's against the graph's.
    assert graph.verification.reference == "pytorch"
