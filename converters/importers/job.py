"""A framework's side of an importer, as a program of its own. Imports nothing of this project.

python job.py JOB.json ANSWER.json

The interpreter may be another one than ours, with other packages, so that only the folder `child` is made
importable, under a name that no module of a user has.

JOB.json: {"framework", "folder", ...} and "step": `references` runs the model of "kind" and "source", or of "model",
"arguments" and "weights", and saves its numbers; `route` writes model.onnx by one route, or a program that our
readers know; `save` a program of the artifact directory "artifact". ANSWER.json gets {"facts"}, {"findings"} with
{"program"} where there is one, {"failed": why}, or {"error": {"type", "message", "fix"}}.
"""

from __future__ import annotations

import importlib
import os
import sys
import types

PACKAGE = "_polyzoo_importers"


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
