"""Runs emitted folders in this process, one after the other; needs numpy and the framework alone.

python suite_worker.py ROOT < names      writes NAME/*.out.npz and NAME/done ({"error": ...}) for each
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np


def run(folder: Path) -> None:
    spec = importlib.util.spec_from_file_location("infer", folder / "infer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.load("cpu")
    for path in sorted(folder.glob("*.in.npz")):
        with np.load(path) as inputs:
            results = module.run(model, dict(inputs))
        np.savez(path.with_name(path.name.replace(".in.", ".out.")), **results)


def main() -> None:
    root = Path(sys.argv[1])
    for name in sys.stdin.read().split():
        error = ""
        try:
            run(root / name)
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"
        (root / name / "done").write_text(json.dumps({"error": error}))


if __name__ == "__main__":
    main()
