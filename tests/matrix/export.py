"""An artifact directory -> a program of its framework, as a user would save it; in that framework's process.

python export.py FRAMEWORK FOLDER OUT SPECS.json INPUTS.npz

FOLDER is what `zoo convert` wrote, OUT the file without suffix: OUT.pt2, OUT.json and OUT.pdiparams, OUT.mindir.
SPECS.json lists inputs with name, dtype and shape; dimensions that are names may have any size.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np


def pytorch(model: Any, specs: list[dict[str, Any]], arrays: list[np.ndarray], out: str) -> None:
    import torch

    axes = [{a: d for a, d in enumerate(s["shape"]) if isinstance(d, str)} for s in specs]
    shapes = tuple(dict.fromkeys(found, torch.export.Dim.AUTO) for found in axes)
    inputs = tuple(map(torch.from_numpy, arrays))
    torch.export.save(torch.export.export(model, inputs, dynamic_shapes=shapes), f"{out}.pt2")


def paddle(model: Any, specs: list[dict[str, Any]], arrays: list[np.ndarray], out: str) -> None:
    import paddle

    shapes = [[d if isinstance(d, int) else None for d in spec["shape"]] for spec in specs]
    wanted = [
        paddle.static.InputSpec(shape, spec["dtype"], spec["name"])
        for shape, spec in zip(shapes, specs, strict=True)
    ]
    paddle.jit.save(model, out, input_spec=wanted)


def mindspore(model: Any, specs: list[dict[str, Any]], arrays: list[np.ndarray], out: str) -> None:
    import mindspore as ms

    inputs = [
        ms.Tensor(
            shape=[d if isinstance(d, int) else None for d in spec["shape"]],
            dtype=getattr(ms, spec["dtype"]),
        )
        for spec in specs
    ]
    ms.export(model, *inputs, file_name=out, file_format="MINDIR")


SAVE = {"pytorch": pytorch, "paddle": paddle, "mindspore": mindspore}


def main() -> None:
    framework, folder, out, specs, inputs = sys.argv[1:]
    os.environ.setdefault("GLOG_v", "3")
    # What this script is called, and where it is, must not hide a framework.
    sys.path[:] = [folder, *(entry for entry in sys.path if entry != str(Path(__file__).parent))]
    model = importlib.import_module("infer").load("cpu")
    wanted = json.loads(Path(specs).read_text())
    with np.load(inputs) as file:
        arrays = [file[spec["name"]] for spec in wanted]
    SAVE[framework](model, wanted, arrays, out)


if __name__ == "__main__":
    main()
