"""One step of a job: a model's own numbers, one route to ONNX, or a program of an artifact directory."""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

import numpy as np

from .cases import References, references
from .classes import Refused

# A program that took other steps is further off than this.
RELATIVE, ABSOLUTE = 1e-2, 1e-2


def main(job_path: str, answer_path: str) -> None:
    """Do the step that a job names and write the answer."""
    with open(job_path, encoding="utf-8") as file:
        job = json.load(file)
    framework = importlib.import_module(f".{job['framework']}", __package__)
    try:
        with framework.inference():
            answer = STEPS[job["step"]](framework, job)
    except Refused as error:
        answer = {"error": {"type": error.kind, "message": str(error), "fix": error.fix}}
    with open(answer_path, "w", encoding="utf-8") as file:
        json.dump(answer, file)


def _references(framework: Any, job: dict[str, Any]) -> dict[str, Any]:
    return {"facts": references(framework.called(job), job["folder"]).to_json()}


def _route(framework: Any, job: dict[str, Any]) -> dict[str, Any]:
    try:
        said: dict[str, Any] = framework.route(job, References.from_json(job["facts"]))
        return said
    except Refused:
        raise
    except Exception as error:
        # Whatever an exporter raises: it is a reason to try the next one.
        cause = _cause(error)
        return {"failed": f"{type(cause).__name__}: {cause}"}


def _save(framework: Any, job: dict[str, Any]) -> dict[str, Any]:
    sys.path.insert(0, job["artifact"])
    infer = importlib.import_module("infer")
    model = infer.load("cpu")
    given = _taken(infer, model, job["draws"])
    inputs = [{**spec, "example": given[spec["name"]]} for spec in job["inputs"]]
    if hasattr(framework, "readable"):
        model = framework.readable(job["artifact"], job["folder"])
    try:
        save = getattr(framework, job["how"])
        path = save(model, inputs, job["sizes"], os.path.join(job["folder"], "net"))
    except Exception as error:
        cause = _cause(error)
        return {"failed": f"{type(cause).__name__}: {cause}"}
    taken = {name: array.shape for name, array in given.items()}
    others = [_arrays(path) for path in job["others"]]
    cases = [case for case in others if {n: a.shape for n, a in case.items()} != taken]
    return {"program": path, "keeps": all(_keeps(framework, path, infer, model, c) for c in cases)}


def _keeps(framework: Any, path: str, infer: Any, model: Any, inputs: dict[str, Any]) -> bool:
    """Whether a program gives what its model gives at other sizes, as far as that can be asked here."""
    if not hasattr(framework, "run_saved"):
        return True
    try:
        wanted = list(infer.run(model, inputs).values())
    except Exception:
        # Sizes that the model itself does not take.
        return True
    try:
        found = framework.run_saved(path, [inputs[name] for name in infer.INPUTS])
    except Exception:
        return False
    return len(found) == len(wanted) and all(
        one.shape == other.shape and np.allclose(one, other, RELATIVE, ABSOLUTE, equal_nan=True)
        for one, other in zip(found, wanted, strict=True)
    )


def _taken(infer: Any, model: Any, draws: list[str]) -> dict[str, Any]:
    """The first inputs for which a model gives numbers, else the first that it takes at all, else the first."""
    found = [_arrays(path) for path in draws]
    taken: list[dict[str, Any]] = []
    for inputs in found:
        try:
            outputs = infer.run(model, inputs)
        except Exception:  # noqa: S112 - others may be taken
            continue
        if all(np.isfinite(a).all() for a in outputs.values() if a.dtype.kind in "fc"):
            return inputs
        taken.append(inputs)
    return [*taken, *found][0]


def _arrays(path: str) -> dict[str, Any]:
    with np.load(path) as file:
        return dict(file)


def _cause(error: BaseException) -> BaseException:
    """What an error came of: torch's exporter says of the outermost one only which of its steps failed."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


STEPS = {"references": _references, "route": _route, "save": _save}
