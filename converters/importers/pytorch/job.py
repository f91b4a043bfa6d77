"""From PyTorch to ONNX, torch's side, as a program of its own. Imports nothing of this project.

python job.py JOB.json ANSWER.json

The interpreter may be another one than ours, with other packages, so that only the folder `child` is made
importable, under a name that no module of a user has.

JOB.json: {"source", "kind", "path", "folder", ...} as `child/sources.py` reads it, and "step": `references`
runs the module and saves its numbers, `route` writes model.onnx by one route. ANSWER.json gets {"facts"},
{"failed": why} where a route does not work, or {"error": {"type", "message", "fix"}}.
"""

from __future__ import annotations

import importlib
import os
import sys
import types

PACKAGE = "_polyzoo_pytorch"


def main() -> None:
    """Do what JOB.json says."""
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "child")
    package = types.ModuleType(PACKAGE)
    package.__path__ = [folder]
    sys.modules[PACKAGE] = package
    # Modules of ours must not stand before those of a user.
    sys.path[:] = [entry for entry in sys.path if entry != os.path.dirname(folder)]
    # Wherever torch reads a pickle, it builds nothing but tensors and containers.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    importlib.import_module(f"{PACKAGE}.main").main(sys.argv[1], sys.argv[2])


if __name__ == "__main__":
    main()
