"""An artifact directory -> a program of its framework, as a user would save it; in that framework's process.

python export.py FRAMEWORK FOLDER OUT SPECS.json INPUTS.npz

FOLDER is what `zoo convert` wrote, OUT the file without suffix: OUT.pt2, OUT.json and OUT.pdiparams, OUT.mindir.
SPECS.json: the inputs with name, dtype and shape, and for each dimension that is a name the sizes that the model
was verified at.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

Sizes = dict[str, list[int]]


def pytorch(
    model: Any, specs: list[dict[str, Any]], arrays: list[np.ndarray], out: str, sizes: Sizes
) -> None:
    import torch

    inputs = tuple(map(torch.from_numpy, arrays))
    taken = [found[-1] for found in sizes.values()]
    every = dict.fromkeys(sizes, torch.export.Dim.AUTO)
    # What has the same size in the example is one size to torch.export, unless it is told otherwise.
    dims = every if len(set(taken)) == len(taken) else _multiples(sizes)
    try:
        program = torch.export.export(model, inputs, dynamic_shapes=_shapes(specs, dims))
    except Exception:
        if dims is not every:
            raise
        shapes = _shapes(specs, _multiples(sizes))
        program = torch.export.export(model, inputs, dynamic_shapes=shapes)
    torch.export.save(program, f"{out}.pt2")


def _shapes(specs: list[dict[str, Any]], dims: dict[str, Any]) -> tuple[dict[int, Any], ...]:
    return tuple(
        {axis: dims[d] for axis, d in enumerate(spec["shape"]) if isinstance(d, str)}
        for spec in specs
    )


def _multiples(sizes: Sizes) -> dict[str, Any]:
    """Dimensions for models that do not take every size: multiples of what those that they took have in common."""
    import torch

    found: dict[str, Any] = {}
    for name, taken in sizes.items():
        common = math.gcd(*taken)
        if len(set(taken)) == 1:
            found[name] = torch.export.Dim.STATIC
        else:
            found[name] = common * torch.export.Dim(name) if common > 1 else torch.export.Dim(name)
    return found


def paddle(
    model: Any, specs: list[dict[str, Any]], arrays: list[np.ndarray], out: str, sizes: Sizes
) -> None:
    import paddle

    shapes = [[d if isinstance(d, int) else None for d in spec["shape"]] for spec in specs]
    wanted = [
        paddle.static.InputSpec(shape, spec["dtype"], spec["name"])
        for shape, spec in zip(shapes, specs, strict=True)
    ]
    paddle.jit.save(model, out, input_spec=wanted)


def mindspore(
    model: Any, specs: list[dict[str, Any]], arrays: list[np.ndarray], out: str, sizes: Sizes
) -> None:
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
    said = json.loads(Path(specs).read_text())
    wanted = said["inputs"]
    with np.load(inputs) as file:
        arrays = [file[spec["name"]] for spec in wanted]
    SAVE[framework](model, wanted, arrays, out, said["sizes"])


if __name__ == "__main__":
    main()
