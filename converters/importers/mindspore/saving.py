"""A checkpoint of MindSpore and its Cell class -> MindIR, which is read as any other."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from converters.errors import RuntimeFailed, UnsafeInput, UsageError
from converters.importers.mindspore import saving_job
from converters.runtimes import Limits, Runtime
from converters.runtimes.process import REFUSED

LIMITS = Limits(seconds=900, memory_bytes=16 << 30)


def save_program(
    source: Path, folder: Path, *, model: str, arguments: Any, inputs: Path | None
) -> Path:
    """Let MindSpore save a program of a checkpoint and its class.

    Args:
        source: The checkpoint.
        folder: Gets the program; made if it is not there.
        model: `package.module:Class`, importable there or from the working directory.
        arguments: A list of the class's arguments, or an object of them by name.
        inputs: An .npz file of inputs by the names of `construct`'s arguments.

    Raises:
        UsageError: The class, its arguments, the weights or the inputs do not fit each other.
        UnsafeInput: The class did what it may not.
        MissingRuntime: MindSpore is not installed.
        RuntimeFailed: The process failed.
    """
    if inputs is None:
        raise UsageError(
            f"{source.name}: a class of MindSpore does not say what its inputs look like",
            fix="give an example of them: --inputs in.npz",
        )
    folder.mkdir(parents=True, exist_ok=True)
    weights, out = folder.resolve() / "weights.ckpt", folder.resolve() / "saved"
    # MindSpore knows checkpoints by the end of their names.
    weights.symlink_to(source.resolve())
    task, answer = folder.resolve() / "save.json", folder.resolve() / "saved.json"
    job = {
        "weights": str(weights),
        "model": model,
        "arguments": list(arguments) if isinstance(arguments, tuple) else arguments,
        "inputs": str(inputs.resolve()),
        "path": os.getcwd(),
        "out": str(out),
    }
    task.write_text(json.dumps(job), encoding="utf-8")
    with Runtime("mindspore", limits=LIMITS) as runtime:
        try:
            runtime.script(Path(saving_job.__file__), [str(task), str(answer)])
        except RuntimeFailed as error:
            if error.reason in REFUSED:
                message = f"{source.name}: refused while saving it: {error.message}"
                raise UnsafeInput(message) from error
            raise
    said = json.loads(answer.read_text(encoding="utf-8"))
    if said:
        raise UsageError(f"{source.name}: {said['error']}")
    return out.with_suffix(".mindir")


__all__ = ["save_program"]
