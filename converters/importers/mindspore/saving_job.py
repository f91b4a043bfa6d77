"""A checkpoint and its Cell class -> MindIR, saved by MindSpore itself, as a program of its own. Imports nothing of this project.

python saving_job.py JOB.json ANSWER.json

JOB.json: {"weights", "model": "package.module:Class", "arguments", "inputs", "path", "out"}; OUT.mindir is written. The
first axis of inputs may have any size where MindSpore can save that. ANSWER.json gets {} or {"error": why}.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from pathlib import Path
from typing import Any


class Unfit(Exception):
    """The class, its arguments, the weights or the inputs do not fit each other."""


def made(job: dict[str, Any]) -> Any:
    """The cell with its weights, in inference mode."""
    import mindspore as ms

    module, _, name = job["model"].partition(":")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise Unfit(f"--model {job['model']}: {error}") from error
    given = job["arguments"]
    net = kind(**given) if isinstance(given, dict) else kind(*given)
    if not isinstance(net, ms.nn.Cell):
        raise Unfit(f"--model {job['model']}: {type(net).__name__} is no nn.Cell")
    weights = ms.load_checkpoint(job["weights"])
    own = {one.name: one.shape for one in net.get_parameters()}
    lacking = sorted(own.keys() - weights.keys())
    strange = sorted(weights.keys() - own.keys())
    if lacking or strange:
        said = f"the weights lack {lacking[:5]}" if lacking else f"the class lacks {strange[:5]}"
        raise Unfit(f"--model {job['model']}: {said}")
    for key, shape in own.items():
        if tuple(weights[key].shape) != tuple(shape):
            raise Unfit(
                f"{key}: {tuple(weights[key].shape)} in the weights, {tuple(shape)} in the class"
            )
    ms.load_param_into_net(net, weights, strict_load=True)
    net.set_train(False)
    return net


def main() -> None:
    """Do what JOB.json says."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.environ.setdefault("GLOG_v", "4")
    # Modules of ours must not stand before those of a user.
    sys.path[:] = [job["path"], *(one for one in sys.path if Path(one) != Path(__file__).parent)]
    answer: dict[str, Any] = {}
    try:
        save(job)
    except Unfit as error:
        answer = {"error": str(error)}
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


def save(job: dict[str, Any]) -> None:
    """Write OUT.mindir."""
    import mindspore as ms
    import numpy as np

    net = made(job)
    wanted = [*inspect.signature(net.construct).parameters.values()]
    with np.load(job["inputs"], allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    names = [one.name for one in wanted if one.name in arrays or one.default is one.empty]
    if {*names} != {*arrays}:
        raise Unfit(f"--inputs has {sorted(arrays)}, construct takes {names}")
    fixed = [ms.Tensor(arrays[name]) for name in names]
    loose = [
        ms.Tensor(shape=[None, *one.shape[1:]], dtype=one.dtype) if one.ndim else one
        for one in fixed
    ]
    try:
        ms.export(net, *loose, file_name=job["out"], file_format="MINDIR")
    except Exception:
        try:
            ms.export(net, *fixed, file_name=job["out"], file_format="MINDIR")
        except Exception as error:
            line = next((one for one in str(error).splitlines() if one.strip("- ")), "")
            raise Unfit(f"mindspore.export: {type(error).__name__}: {line[:300]}") from error


if __name__ == "__main__":
    main()
