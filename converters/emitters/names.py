"""Names in a source as paths of modules: `encoder.layer.0.output.dense.bias`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

from converters.graph.load import INLINED
from converters.graph.model import Value

Path: TypeAlias = tuple[str, ...]
# `conv2d_10.w_0` is a generated name, not a path.
GENERATED = re.compile(r"(?:[wb]|tmp)_\d+(?:_\w+)?|\d+")


def parameter_path(value: Value) -> Path:
    """The path of a parameter; empty where its name is none."""
    parts = tuple(INLINED.sub("", value.name).split("."))
    plain = all(re.fullmatch(r"\w+", part) for part in parts)
    return parts if len(parts) > 1 and plain and not GENERATED.fullmatch(parts[-1]) else ()


def shared(paths: Sequence[Path]) -> Path:
    """The longest common beginning."""
    first, *rest = paths or [()]
    length = len(first)
    for path in rest:
        length = min(length, len(path))
        while path[:length] != first[:length]:
            length -= 1
    return first[:length]
