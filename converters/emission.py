"""Emission as a program of its own: what reads a foreign file runs apart from everything else.

python emission.py JOB.json ANSWER.json

It stands beside `emitters` rather than in it, because the folder of a script shadows packages: there,
`import onnx` would find our own room.

JOB.json: {"model", "name", "source": {...}, "targets": {framework: folder}}. ANSWER.json gets {} or the
error: {"type", "message", "fix"} and, for operators, {"framework", "operators"}.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from converters import errors
from converters.emitters import emit


def main() -> None:
    """Emit one model for every target; the first error ends it."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answer: dict[str, Any] = {}
    try:
        for key, folder in job["targets"].items():
            emit(Path(job["model"]), key, Path(folder), source=job["source"], name=job["name"])
    except errors.ConversionError as error:
        answer = {"type": type(error).__name__, "message": error.message, "fix": error.fix}
        if isinstance(error, errors.UnsupportedOperators):
            answer["framework"] = error.framework
            answer["operators"] = [asdict(operator) for operator in error.operators]
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


def raised(answer: dict[str, Any]) -> errors.ConversionError:
    """The error that an answer describes."""
    if "operators" in answer:
        found = [errors.Unsupported(**operator) for operator in answer["operators"]]
        return errors.UnsupportedOperators(answer["framework"], found)
    kind: type[errors.ConversionError] = getattr(errors, answer["type"])
    return kind(answer["message"], fix=answer["fix"])


if __name__ == "__main__":
    main()
