"""What the inference scripts of models that take or give sequences and optionals have beside the rest.

The script's own `run`, `to_tensor` and `to_array` know tensors; they get the names `run_values`,
`one_tensor` and `one_array`, and these functions stand before them.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

# Stands for what the script has; so do `run_values`, `one_tensor` and `one_array`.
INPUTS: dict[str, str] = {}


def run(model: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compute all outputs from all inputs, by name.

    A sequence `xs` is the arrays `xs[0]`, `xs[1]` ..., or an empty array `xs[]` where it is empty; an
    optional that is not there has no array.
    """
    return spread(run_values(model, group(inputs)))


def group(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Arrays by name -> arrays, lists of arrays, and None."""
    values: dict[str, Any] = {}
    for name, kind in INPUTS.items():
        keys = (f"{name}[{position}]" for position in itertools.count())
        items = [arrays[key] for key in itertools.takewhile(arrays.__contains__, keys)]
        if kind.startswith("list") and (items or f"{name}[]" in arrays):
            values[name] = items
        elif name in arrays:
            values[name] = arrays[name]
        elif kind.endswith("None"):
            values[name] = None
    return values


def spread(values: dict[str, Any]) -> dict[str, np.ndarray]:
    """Arrays, lists of arrays and None -> arrays by name."""
    arrays = {}
    for name, value in values.items():
        if isinstance(value, list):
            arrays |= {f"{name}[{position}]": item for position, item in enumerate(value)}
            arrays |= {} if value else {f"{name}[]": np.empty(0, np.float32)}
        elif value is not None:
            arrays[name] = value
    return arrays


def to_tensor(value: Any, kind: str, **options: Any) -> Any:
    """An array, a list of arrays or None as what the model takes."""
    dtype = kind.removesuffix(" | None").removeprefix("list[").removesuffix("]")
    if isinstance(value, list):
        return [one_tensor(item, dtype, **options) for item in value]
    return None if value is None else one_tensor(value, dtype, **options)


def to_array(value: Any) -> Any:
    """What the model gives as an array, a list of arrays or None."""
    if isinstance(value, list | tuple):
        return [one_array(item) for item in value]
    return None if value is None else one_array(value)
