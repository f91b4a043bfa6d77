"""Kinds of modules from a model's class, which the user names: it is run in its framework's own process."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from converters import module_kinds_job
from converters.checkpoints.layouts import CLASSES
from converters.errors import UsageError
from converters.runtimes import Limits, Runtime

LIMITS = Limits(seconds=600, memory_bytes=16 << 30)


def module_kinds(framework: str, model: str, arguments: Any) -> dict[str, str]:
    """What the modules of a class are.

    Args:
        framework: `pytorch`, `paddle` or `mindspore`.
        model: `package.module:Class`, importable here or from the working directory.
        arguments: A list of its arguments, or an object of them by name.

    Returns:
        Kinds by module name, for the modules whose class is known.

    Raises:
        UsageError: There is no such class, or it cannot be made of these arguments.
        MissingRuntime: The framework is not installed.
    """
    module, colon, name = model.partition(":")
    if not colon or not module or not name:
        raise UsageError(f"--kinds-from {model}: no class", fix="write package.module:Class")
    if not isinstance(arguments, list | dict):
        raise UsageError("--model-args: neither a list nor an object")
    with tempfile.TemporaryDirectory(prefix="polyzoo-") as folder:
        job, answer = Path(folder, "job.json"), Path(folder, "answer.json")
        job.write_text(
            json.dumps(
                {"module": module, "name": name, "arguments": arguments, "path": os.getcwd()}
            ),
            encoding="utf-8",
        )
        python = os.environ.get(f"POLYZOO_PYTHON_{framework.upper()}") or sys.executable
        with Runtime(framework, python=python, limits=LIMITS) as runtime:
            runtime.script(Path(module_kinds_job.__file__), [str(job), str(answer)])
        said = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in said:
        raise UsageError(
            f"--kinds-from {model}: {said['error']}", fix="check --kinds-from and --model-args"
        )
    return {module: CLASSES[kind] for module, kind in said["modules"].items() if kind in CLASSES}
