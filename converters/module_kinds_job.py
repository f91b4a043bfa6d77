"""Which classes the modules of a model are, asked in its framework's process. Imports nothing of this project.

python module_kinds_job.py JOB.json ANSWER.json

JOB.json: {"module", "name", "arguments", "path"}. ANSWER.json gets {"modules": {name: class}} or {"error"}.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from typing import Any


def main() -> None:
    """Make the model and list its modules."""
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    sys.path.insert(0, job["path"])
    try:
        kind = getattr(importlib.import_module(job["module"]), job["name"])
        given = job["arguments"]
        model = kind(**given) if isinstance(given, dict) else kind(*given)
        answer: dict[str, Any] = {
            "modules": {name: type(part).__name__ for name, part in modules(model)}
        }
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(answer, file)


def modules(model: Any) -> Iterator[tuple[str, Any]]:
    """A model and all modules in it, by name: torch, Paddle, MindSpore."""
    if hasattr(model, "named_modules"):
        yield from model.named_modules()
    elif hasattr(model, "named_sublayers"):
        yield from model.named_sublayers(include_self=True)
    else:
        yield from model.cells_and_names()


if __name__ == "__main__":
    main()
