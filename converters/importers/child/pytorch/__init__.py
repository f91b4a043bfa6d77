"""PyTorch's side: programs, classes with weights, Hugging Face folders.

sources   a file, folder or class -> a module and how to call it
scripting an emitted model -> source that TorchScript reads
scripts   TorchScript -> an ordinary module that runs its graph operation by operation
routes    a module -> model.onnx; `decompositions` and `symbolics`: what its exporters lack; `operators`: ours;
          `packing`: sequences of different lengths
"""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..cases import Called, References
from . import operators, packing, scripting, sources
from .routes import ROUTES

MOST_WARNINGS = 5


@contextlib.contextmanager
def inference() -> Iterator[None]:
    """How models are run here."""
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    # The fused kernel of transformer layers has no ONNX form; what it fuses has.
    torch.backends.mha.set_fastpath_enabled(False)
    operators.define()
    packing.install()
    with torch.no_grad():
        yield


def called(job: Mapping[str, Any]) -> Called:
    """The source of a job, to be run."""
    return sources.called(sources.SOURCES[job["kind"]](job))


def route(job: Mapping[str, Any], found: References) -> dict[str, Any]:
    """Write model.onnx by one route."""
    source = sources.SOURCES[job["kind"]](job)
    path = os.path.join(job["folder"], "model.onnx")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", torch.jit.TracerWarning)
        ROUTES[job["route"]](source, found, job["dynamic"], path)
    decided = (w for w in heard if issubclass(w.category, torch.jit.TracerWarning))
    return {"findings": list(dict.fromkeys(_said(w) for w in decided))[:MOST_WARNINGS]}


def save(
    model: Any, inputs: Sequence[Mapping[str, Any]], sizes: Mapping[str, Any], out: str
) -> str:
    """`torch.export`, with every size that may vary."""
    taken = [found[-1] for found in sizes.values()]
    # Numbers that the model takes: they travel with the program, and its routes to ONNX are tried with them.
    examples = tuple(
        torch.from_numpy(spec["example"]).to(getattr(torch, spec["dtype"])) for spec in inputs
    )
    auto, said = dict.fromkeys(sizes, torch.export.Dim.AUTO), _multiples(sizes)
    # What has the same size in the example is one size to torch.export, unless it is told otherwise.
    first, second = (auto, said) if len(set(taken)) == len(taken) else (said, auto)
    try:
        program = torch.export.export(model, examples, dynamic_shapes=_dims(inputs, first))
    except Exception:
        program = torch.export.export(model, examples, dynamic_shapes=_dims(inputs, second))
    torch.export.save(program, f"{out}.pt2")
    return f"{out}.pt2"


def run_saved(path: str, arrays: Sequence[Any]) -> list[Any]:
    """Outputs of a program that `save` or `script` wrote, in order; it may refuse sizes."""
    exported = path.endswith(".pt2")
    program = torch.export.load(path).module() if exported else torch.jit.load(path)
    found = program(*map(torch.from_numpy, arrays))
    return [one.numpy() for one in (found if isinstance(found, tuple) else (found,))]


def script(
    model: Any, inputs: Sequence[Mapping[str, Any]], sizes: Mapping[str, Any], out: str
) -> str:
    """`torch.jit.script`, which keeps what depends on numbers and sizes; with inputs beside it, which it has none of."""
    made = scripting.made_again(model, f"{out}.py")
    program = torch.jit.script(made)
    program.save(f"{out}.pt")
    names = [argument.name for argument in program.forward.schema.arguments[1:]]
    pairs = zip(names, inputs, strict=True)
    np.savez(f"{out}.npz", **{name: spec["example"] for name, spec in pairs})
    return f"{out}.pt"


def _dims(
    inputs: Sequence[Mapping[str, Any]], dims: Mapping[str, Any]
) -> tuple[dict[int, Any], ...]:
    return tuple(
        {axis: dims[d] for axis, d in enumerate(spec["shape"]) if isinstance(d, str)}
        for spec in inputs
    )


def _multiples(sizes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Dimensions of models that do not take every size: multiples of what all that they took have in common."""
    found: dict[str, Any] = {}
    for name, taken in sizes.items():
        common = math.gcd(*taken)
        if len(set(taken)) == 1:
            found[name] = torch.export.Dim.STATIC
        else:
            found[name] = common * torch.export.Dim(name) if common > 1 else torch.export.Dim(name)
    return found


def _said(warning: warnings.WarningMessage) -> str:
    """What the tracer could not follow, and where."""
    place = f"{os.path.basename(warning.filename)}:{warning.lineno}"
    return f"traced, {place}: {str(warning.message).partition('.')[0]}"
