"""Hands emitted models to the exporters of their framework; needs numpy and the framework alone.

python export_worker.py FRAMEWORK ROOT NAME ...

reads ROOT/NAME.npz with inputs at two sizes (`0:x`, `1:x`), exports what ROOT/FRAMEWORK/NAME loads with its
dynamic dimensions, runs every exported program at both sizes and writes ROOT/FRAMEWORK/NAME/exports.json: for
each way the largest difference from the emitted model, or an error.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("GLOG_v", "3")
Run = Callable[[list[np.ndarray]], list[np.ndarray]]


def listed(found: Any) -> list[Any]:
    return list(found) if isinstance(found, tuple | list) else [found]


class PyTorch:
    """`torch.export`, `torch.jit.trace`, `torch.onnx.export`."""

    def __init__(self) -> None:
        import torch

        self.torch = torch
        torch.set_num_threads(1)
        self.ways = {"export": self.export, "trace": self.trace, "onnx": self.onnx}

    def run(self, model: Any) -> Run:
        def call(arrays: list[np.ndarray]) -> list[np.ndarray]:
            with self.torch.no_grad():
                return [y.numpy() for y in listed(model(*map(self.torch.from_numpy, arrays)))]

        return call

    def shapes(self, specs: list[dict[str, Any]]) -> tuple[dict[int, Any], ...]:
        # AUTO finds the ranges; what it took for a constant would not run at the other size.
        free = self.torch.export.Dim.AUTO
        return tuple(
            {axis: free for axis, d in enumerate(spec["shape"]) if isinstance(d, str)}
            for spec in specs
        )

    def export(self, model: Any, specs: Any, arrays: list[np.ndarray], path: str) -> Run:
        inputs = tuple(map(self.torch.from_numpy, arrays))
        program = self.torch.export.export(model, inputs, dynamic_shapes=self.shapes(specs))
        self.torch.export.save(program, f"{path}.pt2")
        return self.run(self.torch.export.load(f"{path}.pt2").module())

    def trace(self, model: Any, specs: Any, arrays: list[np.ndarray], path: str) -> Run:
        traced = self.torch.jit.trace(model, tuple(map(self.torch.from_numpy, arrays)))
        traced.save(f"{path}.jit")
        return self.run(self.torch.jit.load(f"{path}.jit"))

    def onnx(self, model: Any, specs: Any, arrays: list[np.ndarray], path: str) -> Run:
        import onnxruntime

        names = [spec["name"] for spec in specs]
        self.torch.onnx.export(
            model,
            tuple(map(self.torch.from_numpy, arrays)),
            f"{path}.onnx",
            dynamo=True,
            input_names=names,
            dynamic_shapes=self.shapes(specs),
            verbose=False,
        )
        session = onnxruntime.InferenceSession(f"{path}.onnx")
        return lambda given: session.run(None, dict(zip(names, given, strict=True)))


class Paddle:
    """`paddle.jit.save`."""

    def __init__(self) -> None:
        import paddle

        self.paddle = paddle
        self.ways = {"save": self.save}

    def run(self, model: Any) -> Run:
        def call(arrays: list[np.ndarray]) -> list[np.ndarray]:
            with self.paddle.no_grad():
                return [y.numpy() for y in listed(model(*map(self.paddle.to_tensor, arrays)))]

        return call

    def save(self, model: Any, specs: Any, arrays: list[np.ndarray], path: str) -> Run:
        shapes = [[d if isinstance(d, int) else None for d in spec["shape"]] for spec in specs]
        wanted = [
            self.paddle.static.InputSpec(shape, spec["dtype"], spec["name"])
            for shape, spec in zip(shapes, specs, strict=True)
        ]
        self.paddle.jit.save(model, path, input_spec=wanted)
        loaded = self.paddle.jit.load(path)
        loaded.eval()
        return self.run(loaded)


class MindSpore:
    """`mindspore.export` to MindIR."""

    def __init__(self) -> None:
        import mindspore

        self.ms = mindspore
        self.ways = {"mindir": self.mindir}

    def run(self, model: Any) -> Run:
        return lambda arrays: [y.asnumpy() for y in listed(model(*map(self.ms.Tensor, arrays)))]

    def mindir(self, model: Any, specs: Any, arrays: list[np.ndarray], path: str) -> Run:
        inputs = [
            self.ms.Tensor(
                shape=[d if isinstance(d, int) else None for d in spec["shape"]],
                dtype=getattr(self.ms, spec["dtype"]),
            )
            for spec in specs
        ]
        self.ms.export(model, *inputs, file_name=path, file_format="MINDIR")
        # A program with control flow takes one set of shapes (MindSpore 2.10.0).
        return lambda arrays: self.run(self.ms.nn.GraphCell(self.ms.load(f"{path}.mindir")))(arrays)


FRAMEWORKS = {"pytorch": PyTorch, "paddle": Paddle, "mindspore": MindSpore}


def script_of(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("infer", folder / "infer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def difference(run: Run, plain: Run, cases: list[list[np.ndarray]]) -> float:
    found = [0.0]
    for arrays in cases:
        for got, wanted in zip(run(arrays), plain(arrays), strict=True):
            assert got.shape == wanted.shape, (got.shape, wanted.shape)
            found.append(float(np.abs(got - wanted).max()))
    return max(found)


def main() -> None:
    framework = FRAMEWORKS[sys.argv[1]]()
    root = Path(sys.argv[2])
    for name in sys.argv[3:]:
        folder = root / sys.argv[1] / name
        script = script_of(folder)
        specs = json.loads((folder / "manifest.json").read_text())["signature"]["inputs"]
        with np.load(root / f"{name}.npz") as file:
            cases = [[file[f"{k}:{spec['name']}"] for spec in specs] for k in range(2)]
        facts: dict[str, Any] = {}
        for way, export in framework.ways.items():
            model = script.load("cpu")
            try:
                path = str(folder / f"exported_{way}")
                run = export(model, specs, cases[0], path)
                facts[way] = difference(run, framework.run(script.load("cpu")), cases)
            except Exception:
                facts[way] = traceback.format_exc()
        (folder / "exports.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
