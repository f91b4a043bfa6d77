"""An artifact directory -> a program of its framework, saved by that framework, in that framework's process.

python artifact_job.py JOB.json

JOB.json: {"framework", "folder", "inputs": the signature's, "shapes": of examples by name, "out": a folder that gets the
program}. Imports nothing of this project.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

SUFFIXES = (".json", ".mindir", ".pt2")


def pytorch(model: Any, inputs: list[dict[str, Any]], shapes: dict[str, Any], out: str) -> None:
    """`torch.export`, with every size that may vary."""
    import torch

    examples = tuple(
        torch.zeros(shapes[spec["name"]], dtype=getattr(torch, spec["dtype"])) for spec in inputs
    )
    axes = [[a for a, d in enumerate(s["shape"]) if isinstance(d, str)] for s in inputs]
    dims = tuple(dict.fromkeys(found, torch.export.Dim.AUTO) for found in axes)
    torch.export.save(torch.export.export(model, examples, dynamic_shapes=dims), f"{out}.pt2")


def paddle(model: Any, inputs: list[dict[str, Any]], _shapes: dict[str, Any], out: str) -> None:
    """`paddle.jit.save`."""
    import paddle

    wanted = [
        paddle.static.InputSpec(_open(spec["shape"]), spec["dtype"], spec["name"])
        for spec in inputs
    ]
    paddle.jit.save(model, out, input_spec=wanted)


def mindspore(model: Any, inputs: list[dict[str, Any]], _shapes: dict[str, Any], out: str) -> None:
    """`mindspore.export`."""
    import mindspore as ms

    wanted = [
        ms.Tensor(shape=_open(spec["shape"]), dtype=getattr(ms, spec["dtype"])) for spec in inputs
    ]
    ms.export(model, *wanted, file_name=out, file_format="MINDIR")


def _open(shape: list[int | str]) -> list[int | None]:
    return [size if isinstance(size, int) else None for size in shape]


SAVE = {"pytorch": pytorch, "paddle": paddle, "mindspore": mindspore}


def main() -> None:
    """Do what JOB.json says."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    # What lies beside this script must not hide a framework.
    sys.path[:] = [
        job["folder"], *(entry for entry in sys.path if entry != os.path.dirname(__file__))
    ]  # fmt: skip
    model = importlib.import_module("infer").load("cpu")
    SAVE[job["framework"]](model, job["inputs"], job["shapes"], os.path.join(job["out"], "net"))


if __name__ == "__main__":
    main()
