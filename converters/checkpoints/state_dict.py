"""Tensors by name from whatever containers a file nests them in.

Before: `{"epoch": 3, "model_state": {"fc.weight": T}, "optimizer_state": {...}}`. After: `{"fc.weight": T}`,
with what was left out as findings. A dictionary of tensors at the top is taken as it is; inside one, names of
nested containers are joined with dots.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from converters.checkpoints.checkpoint import MOST_TENSORS
from converters.checkpoints.pickled_numpy import PickledArray, Unreadable
from converters.checkpoints.pickled_torch import Parameter, ScriptObject
from converters.checkpoints.tensors import Tensor
from converters.errors import UnsafeInput, UnsupportedError

# Keys under which training loops keep the weights of a model.
# fmt: off
WRAPPERS = frozenset({
    "state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "weights",
    "params", "params_ema", "ema", "ema_state_dict", "model_ema", "state_dict_ema", "teacher", "student",
    "generator", "g_ema", "backbone",
})
# Keys of what no model needs to run.
ASIDE = ("optim", "sched", "scaler", "callbacks", "loops", "rng", "lr_", "grad_")
# fmt: on
WHOLE = "."
DEEPEST = 64


@dataclass(frozen=True)
class Chosen:
    """Tensors by name, plain values beside them, and what was left out."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, Any]
    findings: tuple[str, ...]


def choose(value: Any, file: str, key: str | None = None) -> Chosen:
    """Find the weights in what a pickle holds.

    Args:
        value: What the pickle holds.
        file: Its name, for messages.
        key: Where they are, as names joined with dots; `.` for all of it; None to find out.

    Raises:
        UnsupportedError: There are no tensors, several places could be meant, or a tensor cannot be read.
        UnsafeInput: It is nested without end.
    """
    value = _opened(value)
    findings: list[str] = []
    metadata: dict[str, Any] = {}
    if key is not None and key != WHOLE:
        value = _under(value, key, file)
    elif key is None:
        place = _place(value, file)
        while place is not None:
            outside = {name: part for name, part in value.items() if name != place}
            findings += _left_out(outside)
            metadata |= _plain_values(outside)
            value = _opened(value[place])
            place = _place(value, file)
    leaves = dict(_leaves(value, file))
    unreadable = {
        name: leaf.reason for name, leaf in leaves.items() if isinstance(leaf, Unreadable)
    }
    tensors = {name: leaf for name, leaf in leaves.items() if isinstance(leaf, Tensor)}
    if unreadable:
        listed = "; ".join(f"{name}: {reason}" for name, reason in list(unreadable.items())[:10])
        more = f"; and {len(unreadable) - 10} more" if len(unreadable) > 10 else ""
        raise UnsupportedError(
            f"{file}: {len(unreadable)} tensor(s) that cannot be read: {listed}{more}",
            fix="save them as plain tensors",
        )
    # The weights of a class without any are a dictionary without any.
    if not tensors and value != {}:
        raise UnsupportedError(f"{file}: there are no tensors in it", fix="name another file")
    if isinstance(value, dict):
        metadata |= _plain_values(value)
    return Chosen(tensors, metadata, tuple(findings))


def _place(value: Any, file: str) -> str | None:
    """The key under which the weights are; None where they are here."""
    if not isinstance(value, dict) or any(isinstance(_opened(v), Tensor) for v in value.values()):
        return None
    holders = [name for name, part in value.items() if isinstance(name, str) and _holds(part)]
    wrappers = [name for name in holders if name in WRAPPERS]
    if len(wrappers) == 1:
        return wrappers[0]
    if len(wrappers) > 1:
        raise UnsupportedError(
            f"{file}: weights in several places: {', '.join(sorted(wrappers))}",
            fix=f"say which with --key {wrappers[0]}, or --key {WHOLE} for all of them",
        )
    models = [name for name in holders if not name.lower().startswith(ASIDE)]
    # A single dictionary of tensors between plain values is a wrapper of another name.
    return models[0] if len(models) == 1 and len(value) > 1 else None


def _under(value: Any, key: str, file: str) -> Any:
    """What is at a path; a key may itself have dots."""
    if not isinstance(value, dict):
        raise UnsupportedError(f"{file}: nothing is called {key!r} in it")
    if key in value:
        return _opened(value[key])
    for name, part in value.items():
        if isinstance(name, str) and key.startswith(f"{name}."):
            return _under(_opened(part), key[len(name) + 1 :], file)
    names = ", ".join(str(name) for name in list(value)[:20])
    raise UnsupportedError(f"{file}: nothing is called {key!r} in it", fix=f"there are: {names}")


def _opened(value: Any) -> Any:
    """A tensor out of its parameter or array; the attributes out of a module."""
    for _ in range(4):
        if isinstance(value, ScriptObject):
            return value.attributes
        if not isinstance(value, PickledArray | Parameter):
            break
        value = value.tensor
    return value


def _holds(value: Any) -> bool:
    """Whether a container holds a tensor, at most a few levels down."""
    seen: set[int] = set()
    waiting = [(value, 0)]
    while waiting:
        part, depth = waiting.pop()
        part = _opened(part)
        if isinstance(part, Tensor | Unreadable):
            return True
        if isinstance(part, dict | list | tuple) and depth < 8 and id(part) not in seen:
            seen.add(id(part))
            inner = part.values() if isinstance(part, dict) else part
            waiting += [(item, depth + 1) for item in inner]
    return False


def _leaves(value: Any, file: str) -> Iterator[tuple[str, Tensor | Unreadable]]:
    """Tensors with their names, in the file's order."""
    count = 0
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    taken: set[str] = set()
    while waiting:
        name, part, depth = waiting.pop()
        part = _opened(part)
        if isinstance(part, Tensor | Unreadable):
            if isinstance(part, Unreadable) and not name:
                raise UnsupportedError(f"{file}: {part.reason}")
            if name in taken:
                raise UnsafeInput(f"{file}: two tensors are called {name!r}")
            taken.add(name)
            yield name or "tensor", part
            continue
        items: list[tuple[Any, Any]] = []
        if isinstance(part, dict):
            items = list(part.items())
        elif isinstance(part, list | tuple):
            # `(name, array)` is how Paddle writes a tensor within other containers.
            if len(part) == 2 and isinstance(part[0], str) and isinstance(_opened(part[1]), Tensor):
                waiting.append((name or part[0], part[1], depth + 1))
                continue
            items = list(enumerate(part))
        count += len(items)
        if depth > DEEPEST or count > MOST_TENSORS * 4:
            raise UnsafeInput(f"{file}: containers that are nested too deeply, or in a circle")
        for key, item in reversed(items):
            inner = f"{name}.{key}" if name else str(key)
            item = _opened(item)
            if isinstance(item, Tensor | Unreadable | dict | list | tuple):
                waiting.append((inner, item, depth + 1))


def _left_out(outside: Mapping[Any, Any]) -> list[str]:
    return [f"left out: {name} (has tensors)" for name, part in outside.items() if _holds(part)]


def _plain_values(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        str(name): part
        for name, part in value.items()
        if isinstance(part, bool | int | float) or (isinstance(part, str) and len(part) <= 200)
    }
