"""What the inference scripts of models that take or give text have beside the rest.

The script's own `to_tensor` and `to_array` know numbers; they get the names `number_to_tensor` and
`number_to_array`, and these functions stand before them.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def to_tensor(array: np.ndarray, dtype: str, **options: Any) -> Any:
    """An array as what the model takes; text stays an array."""
    if dtype == "string":
        return np.asarray(array, dtype=str)
    return number_to_tensor(array, dtype, **options)


def to_array(value: Any) -> np.ndarray:
    """What the model gives as an array."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "UO":
        return np.asarray(value, dtype=str)
    return number_to_array(value)
