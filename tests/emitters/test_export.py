"""Exporters and serving formats of each vendor take emitted models, and sizes that vary keep varying.

Each exported program is loaded again and run at two sizes; the emitted model is the truth.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from converters.emitters import NATIVE, emit

HERE = Path(__file__).parent
NETS = (
    "cnn", "gated", "gru", "lstm", "minilm-small", "norms", "pnet", "resizes", "rnet", "rnn",
    "transformer", "vgg", "wave",
)  # fmt: skip
WAYS = {"pytorch": ("export", "trace", "onnx"), "paddle": ("save",), "mindspore": ("mindir",)}
TOLERANCE = 1e-5
# What the frameworks themselves do not export for sizes that are known only when the model runs.
REFUSED = {
    ("mindspore", "mindir", "cnn"): "nn.MaxPool2d checks sizes that graph mode does not know yet",
    ("mindspore", "mindir", "vgg"): "nn.MaxPool2d checks sizes that graph mode does not know yet",
    ("mindspore", "mindir", "gru"): "nn.GRU stacks a list of steps (MindSpore 2.10.0)",
    ("mindspore", "mindir", "rnn"): "nn.RNN stacks a list of steps (MindSpore 2.10.0)",
    (
        "pytorch",
        "export",
        "gru",
    ): "torch.export unrolls recurrent modules over the steps (torch 2.13)",
    (
        "pytorch",
        "export",
        "lstm",
    ): "torch.export unrolls recurrent modules over the steps (torch 2.13)",
    (
        "pytorch",
        "export",
        "rnn",
    ): "torch.export unrolls recurrent modules over the steps (torch 2.13)",
    (
        "pytorch",
        "onnx",
        "gru",
    ): "torch.export unrolls recurrent modules over the steps (torch 2.13)",
    (
        "pytorch",
        "onnx",
        "rnn",
    ): "torch.export unrolls recurrent modules over the steps (torch 2.13)",
}

pytestmark = [
    pytest.mark.skipif(
        not all(importlib.util.find_spec(name) for name in ("torch", "paddle", "mindspore")),
        reason="torch, paddle and mindspore are needed",
    ),
    pytest.mark.timeout(1800),
]
Exported = Callable[[str, str], dict[str, float | str]]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """What came of every way of a framework: a difference, or an error."""
    root = tmp_path_factory.mktemp("exports")
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([sys.executable, HERE / "training_nets.py", root, *NETS], **quiet)
    for framework in NATIVE:
        for name in NETS:
            source = {"format": "onnx", "sha256": "0" * 64}
            emit(root / f"{name}.onnx", framework, root / framework / name, source=source)
        command = [sys.executable, HERE / "export_worker.py", framework, root, *NETS]
        # Compilers leave files in the working directory.
        subprocess.run(command, **quiet, cwd=root, env=os.environ | {"GLOG_v": "3"})
    return lambda framework, name: json.loads(
        (root / framework / name / "exports.json").read_text()
    )


@pytest.mark.parametrize(("framework", "way"), [(f, w) for f, ways in WAYS.items() for w in ways])
@pytest.mark.parametrize("name", NETS)
def test_exported_models_are_the_same_at_every_size(
    name: str, framework: str, way: str, exported: Exported
) -> None:
    result = exported(framework, name)[way]
    if (framework, way, name) in REFUSED:
        assert isinstance(result, str), "it is taken now: take it off the list"
        return
    assert isinstance(result, float), result
    assert result < TOLERANCE
