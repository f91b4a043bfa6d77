"""Trains emitted models in the process of their framework; needs numpy and the framework alone.

python training_worker.py FRAMEWORK ROOT NAME ...

reads ROOT/NAME.npz (`training_nets`) and the folder ROOT/FRAMEWORK/NAME, writes ROOT/FRAMEWORK/NAME/done.npz:
the state before (`start:KEY`) and after one step of SGD (`eval:KEY`, `train:KEY`), what a fresh instance gives
that loaded a saved state (`again0`, `first0`), and done.json: the keys of `parameters`, or an `error`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("GLOG_v", "3")
RATE = 0.1
Arrays = dict[str, np.ndarray]


class PyTorch:
    """What the steps of a training are called in PyTorch."""

    def __init__(self) -> None:
        import torch

        self.torch = torch
        torch.set_num_threads(1)

    def tensor(self, array: np.ndarray) -> Any:
        return self.torch.from_numpy(array)

    def call(self, model: Any, inputs: list[Any]) -> list[np.ndarray]:
        with self.torch.no_grad():
            return [y.numpy() for y in listed(model(*inputs))]

    def step(self, model: Any, inputs: list[Any], targets: list[Any], training: bool) -> None:
        model.train(training)
        optimizer = self.torch.optim.SGD(model.parameters(), RATE)
        loss(model, inputs, targets).backward()
        optimizer.step()

    def parameters(self, model: Any) -> list[str]:
        return [name for name, p in model.named_parameters() if p.requires_grad]

    def state(self, model: Any) -> Arrays:
        return {
            k: v.numpy().copy() for k, v in model.state_dict().items() if "num_batches" not in k
        }

    def reloaded(self, model: Any, fresh: Any, path: str) -> Any:
        self.torch.save(model.state_dict(), path)
        fresh.load_state_dict(self.torch.load(path, weights_only=True), strict=True)
        return fresh.eval()


class Paddle:
    """... and in PaddlePaddle."""

    def __init__(self) -> None:
        import paddle

        self.paddle = paddle

    def tensor(self, array: np.ndarray) -> Any:
        return self.paddle.to_tensor(array)

    def call(self, model: Any, inputs: list[Any]) -> list[np.ndarray]:
        with self.paddle.no_grad():
            return [y.numpy() for y in listed(model(*inputs))]

    def step(self, model: Any, inputs: list[Any], targets: list[Any], training: bool) -> None:
        model.train() if training else model.eval()
        for layer in model.sublayers():
            # In inference mode these keep nothing for a gradient, whoever wrote the model.
            if isinstance(layer, self.paddle.nn.layer.rnn.RNNBase):
                layer.train()
        optimizer = self.paddle.optimizer.SGD(RATE, model.parameters())
        loss(model, inputs, targets).backward()
        optimizer.step()
        model.eval()

    def parameters(self, model: Any) -> list[str]:
        return [name for name, p in model.named_parameters() if not p.stop_gradient]

    def state(self, model: Any) -> Arrays:
        # A recurrent layer lists its weights twice: as its own and as those of its cells.
        named = dict(model.named_parameters()) | dict(model.named_buffers())
        return {k: v.numpy().copy() for k, v in named.items()}

    def reloaded(self, model: Any, fresh: Any, path: str) -> Any:
        self.paddle.save(model.state_dict(), path)
        missing, unused = fresh.set_state_dict(self.paddle.load(path))
        assert not missing, missing
        assert not unused, unused
        fresh.eval()
        return fresh


class MindSpore:
    """... and in MindSpore."""

    def __init__(self) -> None:
        import mindspore

        self.ms = mindspore

    def tensor(self, array: np.ndarray) -> Any:
        return self.ms.Tensor(array)

    def call(self, model: Any, inputs: list[Any]) -> list[np.ndarray]:
        return [y.asnumpy() for y in listed(model(*inputs))]

    def step(self, model: Any, inputs: list[Any], targets: list[Any], training: bool) -> None:
        model.set_train(training)
        weights = model.trainable_params()
        _, grads = self.ms.value_and_grad(
            lambda: loss(model, inputs, targets), grad_position=None, weights=weights
        )()
        self.ms.nn.SGD(weights, RATE)(grads)

    def parameters(self, model: Any) -> list[str]:
        return [p.name for p in model.trainable_params()]

    def state(self, model: Any) -> Arrays:
        return {p.name: p.asnumpy().copy() for p in model.get_parameters()}

    def reloaded(self, model: Any, fresh: Any, path: str) -> Any:
        self.ms.save_checkpoint(model, f"{path}.ckpt")
        missing, unused = self.ms.load_param_into_net(
            fresh, self.ms.load_checkpoint(f"{path}.ckpt"), strict_load=True
        )
        assert not missing, missing
        assert not unused, unused
        return fresh.set_train(False)


FRAMEWORKS: dict[str, Callable[[], Any]] = {
    "pytorch": PyTorch,
    "paddle": Paddle,
    "mindspore": MindSpore,
}


def listed(found: Any) -> list[Any]:
    return list(found) if isinstance(found, tuple) else [found]


def loss(model: Any, inputs: list[Any], targets: list[Any]) -> Any:
    pairs = zip(listed(model(*inputs)), targets, strict=True)
    return sum(((y * target).mean() for y, target in pairs), 0.0)


def script_of(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("infer", folder / "infer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def train(framework: Any, folder: Path, given: Arrays) -> tuple[dict[str, Any], Arrays]:
    script = script_of(folder)
    arrays = [given[name] for name in script.INPUTS]
    inputs = [framework.tensor(array) for array in arrays]
    count = sum(name.startswith("target") for name in given)
    targets = [framework.tensor(given[f"target{k}"]) for k in range(count)]
    found: Arrays = {}
    model = script.load("cpu")
    names = framework.parameters(model)
    found |= {f"start:{k}": v for k, v in framework.state(model).items()}
    framework.step(model, inputs, targets, training=False)
    found |= {f"eval:{k}": v for k, v in framework.state(model).items()}
    # What was trained is saved and goes into an instance that never saw the weights.
    with tempfile.TemporaryDirectory() as scratch:
        fresh = script.import_model()()
        fresh = framework.reloaded(model, fresh, str(Path(scratch) / "state"))
    found |= {f"first{k}": y for k, y in enumerate(framework.call(model, inputs))}
    found |= {f"again{k}": y for k, y in enumerate(framework.call(fresh, inputs))}
    model = script.load("cpu")
    framework.step(model, inputs, targets, training=True)
    found |= {f"train:{k}": v for k, v in framework.state(model).items()}
    return {"parameters": names, "error": ""}, found


def main() -> None:
    key, root, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    framework = FRAMEWORKS[key]()
    for name in names:
        folder = root / key / name
        facts: dict[str, Any] = {}
        try:
            with np.load(root / f"{name}.npz") as given:
                facts, found = train(framework, folder, dict(given))
            np.savez(folder / "done.npz", **found)
        except Exception:
            facts = {"error": traceback.format_exc()}
        (folder / "done.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
