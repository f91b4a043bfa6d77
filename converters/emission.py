"""Emission as a program of its own: what reads a foreign file runs apart from everything else.

python emission.py JOB.json ANSWER.json

It stands beside `emitters` rather than in it, because the folder of a script shadows packages: there,
`import onnx` would find our own room.

JOB.json: {"model", "name", "source": {...}, "names", "targets": {framework: folder}}. ANSWER.json gets {} or the
error as `converters.errors.described` puts it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from converters.emitters import emit
from converters.errors import ConversionError, described


def main() -> None:
    """Emit one model for every target; the first error ends it."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answer: dict[str, Any] = {}
    try:
        for key, folder in job["targets"].items():
            known = {"source": job["source"], "names": job["names"], "name": job["name"]}
            emit(Path(job["model"]), key, Path(folder), **known)
    except ConversionError as error:
        answer = described(error)
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
