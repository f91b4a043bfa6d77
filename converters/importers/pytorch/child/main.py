"""One step of a job: the module's own numbers, or one route to ONNX."""

from __future__ import annotations

import json
import os
import warnings
from typing import Any

import torch

from .cases import References, references
from .routes import ROUTES
from .sources import SOURCES, Refused

MOST_WARNINGS = 5


def main(job_path: str, answer_path: str) -> None:
    """Do the step that a job names and write the answer."""
    with open(job_path, encoding="utf-8") as file:
        job = json.load(file)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    # The fused kernel of transformer layers has no ONNX form; what it fuses has.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            answer = STEPS[job["step"]](job)
    except Refused as error:
        answer = {"error": {"type": error.kind, "message": str(error), "fix": error.fix}}
    with open(answer_path, "w", encoding="utf-8") as file:
        json.dump(answer, file)


def _references(job: dict[str, Any]) -> dict[str, Any]:
    source = SOURCES[job["kind"]](job)
    return {"facts": references(source, job["folder"]).to_json()}


def _route(job: dict[str, Any]) -> dict[str, Any]:
    source = SOURCES[job["kind"]](job)
    found = References.from_json(job["facts"])
    path = os.path.join(job["folder"], "model.onnx")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", torch.jit.TracerWarning)
        try:
            ROUTES[job["route"]](source, found, job["dynamic"], path)
        except Exception as error:
            # Whatever an exporter raises: it is a reason to try the next one.
            cause = _cause(error)
            return {"failed": f"{type(cause).__name__}: {cause}"}
    decided = (w for w in heard if issubclass(w.category, torch.jit.TracerWarning))
    return {"facts": {"findings": list(dict.fromkeys(_said(w) for w in decided))[:MOST_WARNINGS]}}


def _cause(error: BaseException) -> BaseException:
    """What an error came of: torch's exporter says of the outermost one only which of its steps failed."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _said(warning: warnings.WarningMessage) -> str:
    """What the tracer could not follow, and where."""
    place = f"{os.path.basename(warning.filename)}:{warning.lineno}"
    return f"traced, {place}: {str(warning.message).partition('.')[0]}"


STEPS = {"references": _references, "route": _route}
