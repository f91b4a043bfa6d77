"""The quick part of the matrix: a small net from every framework to every one, and its whole way in the manifests.

PyTorch saves it and it becomes all four forms. Each form is then converted once more, as it is, and back: its
framework saves it and everything is held against its own numbers. `make matrix` has every pair.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ALL = ("pytorch", "paddle", "mindspore", "onnx")
MODULES = {"torch": "PyTorch", "paddle": "PaddlePaddle", "mindspore": "MindSpore"}
NET = """
import sys
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Linear(8, 5)

    def forward(self, image):
        return self.head(self.stem(image).mean((2, 3)))

torch.manual_seed(0)
net = Net().eval()
net.stem[1].running_mean.normal_()
n, h, w = (torch.export.Dim(name) for name in "nhw")
shapes = ({0: n, 2: h, 3: w},)
torch.export.save(
    torch.export.export(net, (torch.randn(2, 3, 12, 17),), dynamic_shapes=shapes), sys.argv[1]
)
"""
NAMES = {
    *("stem.0.weight", "stem.0.bias", "stem.1.weight", "stem.1.bias"),
    *("stem.1.running_mean", "stem.1.running_var", "head.weight", "head.bias"),
}

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{title} is not installed")
    for module, title in MODULES.items()
]


def converted(source: Path, out: Path, *targets: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "zoo", "convert", source, "--to", ",".join(targets), "--out", out, "--json"],
        capture_output=True,
        text=True,
        timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    folder = tmp_path_factory.mktemp("matrix")
    subprocess.run([sys.executable, "-c", NET, folder / "net.pt2"], check=True, capture_output=True)
    converted(folder / "net.pt2", folder / "first", *ALL)
    return folder


@pytest.mark.parametrize(
    ("framework", "targets"),
    [
        ("pytorch", ["paddle"]),
        ("paddle", ["mindspore", "pytorch"]),
        ("mindspore", ["pytorch"]),
        ("onnx", ["pytorch"]),
    ],
)
def test_every_form_is_a_source(first, tmp_path, framework, targets):
    said = converted(first / "first" / framework, tmp_path, *targets)
    assert (said["source"]["kind"], said["source"]["framework"]) == ("artifact", framework)
    for target in targets:
        made, before = manifest(tmp_path / target), manifest(first / "first" / target)
        assert made["verification"]["passed"]
        assert made["signature"] == before["signature"]
        # Names in this form, and in the very first one.
        assert made["parameters"] == before["parameters"]
        assert {*made["parameters"].values()} == NAMES
        twice = ["pytorch", "onnx", framework, "onnx", target]
        assert made["route"] == (twice if framework != "onnx" else ["pytorch", "onnx", target])
        lineage = made["source"]["lineage"]
        assert (lineage["framework"], lineage["converter"]) == (framework, made["converter"])
        upload = hashlib.sha256((first / "net.pt2").read_bytes()).hexdigest()
        assert lineage["source"]["sha256"] == upload
        assert lineage["source"]["routes"][-1]["route"] == "dynamo"


def test_a_malformed_artifact_is_refused(tmp_path):
    folder = tmp_path / "paddle"
    folder.mkdir()
    said = {"schema": 1, "inference": "infer.py", "framework": "paddle", "entry": "../x"}
    (folder / "manifest.json").write_text(json.dumps(said))
    done = subprocess.run(
        [sys.executable, "-m", "zoo", "convert", folder, "--to", "onnx", "--out", tmp_path / "out"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 5
    assert "manifest.json is malformed" in done.stderr
    assert not (tmp_path / "out").exists()
