"""A class that the user names, its arguments, and the arrays that it is given. Of no framework."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

Arrays = dict[str, Any]
LONGEST = 500


class Refused(Exception):
    """A source that cannot be used.

    Attributes:
        kind: Name of the error class that the parent raises.
        fix: What to do.
    """

    def __init__(self, kind: str, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.fix = fix


def made(job: Mapping[str, Any], base: type, noun: str) -> Any:
    """The user's class with its arguments; it has to be one of a framework's."""
    sys.path.insert(0, job["path"])
    package, _, name = job["model"].partition(":")
    given = job["arguments"]
    try:
        kind = getattr(importlib.import_module(package), name)
        model = kind(**given) if isinstance(given, dict) else kind(*given)
    except Exception as error:
        raise Refused(
            "UsageError", f"--model {job['model']}: {line(error)}", "check --model and --model-args"
        ) from error
    if not isinstance(model, base):
        raise Refused("UsageError", f"--model {job['model']}: a {type(model).__name__}, no {noun}")
    return model


def require_fit(
    name: str, own: Mapping[str, Sequence[int]], given: Mapping[str, Sequence[int]]
) -> None:
    """Refuse weights that are not all those of a class, by name and shape."""
    lacking, strange = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    other = [key for key in own.keys() & given.keys() if [*own[key]] != [*given[key]]]
    if lacking:
        said = f"they lack {some(lacking)}"
    elif strange:
        said = f"the class lacks {some(strange)}"
    elif other:
        key = min(other)
        said = f"{key}: {tuple(given[key])} in the weights, {tuple(own[key])} in the class"
    else:
        return
    raise Refused(
        "UsageError",
        f"{name}: not the weights of this class: {said}",
        "check --model and --model-args",
    )


def read_inputs(job: Mapping[str, Any]) -> Arrays:
    """The arrays of --inputs."""
    with np.load(job["inputs"], allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def ordered_inputs(job: Mapping[str, Any], forward: Any) -> Arrays:
    """The arrays of --inputs in the order of a function's arguments, of which they are the first."""
    listed = parameters(forward)
    names = [p.name for p in listed]
    if job["inputs"] is None:
        raise no_inputs(f"{job['model']}: a class", names)
    given = read_inputs(job)
    require_names(given, names, [p.name for p in listed if p.default is p.empty])
    # A program of it is called with its inputs by their place.
    first = names[: len(given)]
    if left_out := [name for name in first if name not in given]:
        raise Refused(
            "UsageError",
            f"--inputs: no array for {some(left_out)}, which stands before others that are given",
            f"{getattr(forward, '__name__', 'forward')} takes: {', '.join(names)}",
        )
    return {name: given[name] for name in first}


def parameters(forward: Any) -> list[inspect.Parameter]:
    """The arguments of a function that have names."""
    listed = inspect.signature(forward).parameters.values()
    return [p for p in listed if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def require_names(given: Arrays, known: Sequence[str], required: Sequence[str]) -> None:
    """Refuse arrays that are no arguments, and arguments without an array."""
    fix = f"forward takes: {', '.join(known)}"
    if unknown := [name for name in given if name not in known]:
        raise Refused("UsageError", f"--inputs: forward has no argument {some(unknown)}", fix)
    if missing := [name for name in required if name not in given]:
        raise Refused("UsageError", f"--inputs: no array for {some(missing)}", fix)


def no_inputs(what: str, names: Sequence[str]) -> Refused:
    """The refusal of a source that does not say what its inputs look like."""
    return Refused(
        "UsageError",
        f"{what} does not say what its inputs look like",
        f"give --inputs in.npz, whose keys are the arguments of forward: {', '.join(names)}",
    )


def not_taken(
    inputs: Mapping[str, Any], error: BaseException, findings: Sequence[str] = ()
) -> Refused:
    """The refusal of inputs that a model does not take; what was changed of it may be why."""
    shown = ", ".join(
        f"{name} {list(value.shape)} {value.dtype}"
        for name, value in inputs.items()
        if hasattr(value, "shape")
    )
    return Refused(
        "UsageError",
        "; ".join((f"the module does not take these inputs ({shown}): {line(error)}", *findings)),
        "give --inputs in.npz with inputs that it takes",
    )


def named_outputs(result: Any, tensor: type) -> dict[str, Any]:
    """The tensors in what a model returns, by where they are in it: `output`, `output_0`, `logits`, `hidden_1`."""
    found = {_joined(path): leaf for path, leaf in _leaves(result, ()) if isinstance(leaf, tensor)}
    return {
        f"output_{name}" if name[:1].isdigit() else name or "output": leaf
        for name, leaf in found.items()
    }


def _leaves(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        # In the order of their names, as Paddle has them in its programs.
        for key in sorted(value):
            yield from _leaves(value[key], (*path, key))
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from _leaves(part, (*path, index))
    else:
        yield path, value


def _joined(path: tuple[Any, ...]) -> str:
    return re.sub(r"\W", "_", "_".join(map(str, path)))


def some(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def line(error: BaseException) -> str:
    """An error on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:LONGEST]}"
