"""Functions on arrays of text, whose source is copied into the emitted modules that use them.

No framework has tensors of text: it stays with numpy, as arrays of `str`, and what becomes of it is a tensor
again. numpy drops null characters at the end of a text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np


def look_up(
    x: np.ndarray, keys: Sequence[str | float], values: Sequence[str | float], default: str | float
) -> np.ndarray:
    """For every element the value at the place of its key."""
    kept = keys if x.dtype.kind == "U" else np.asarray(keys, x.dtype).tolist()
    table = dict(zip(kept, values, strict=True))
    found = [table.get(element, default) for element in x.ravel().tolist()]
    return np.asarray(found, type(default)).reshape(x.shape)


def normalize_strings(
    x: np.ndarray, case: str, case_sensitive: bool, stopwords: Sequence[str]
) -> np.ndarray:
    """Texts without stop words, in one case; x is [C] or [1, C], one empty text where none is left."""

    def changed(text: str, case: str) -> str:
        # Letter by letter: what becomes two letters stays.
        letters = ((c, c.upper() if case == "UPPER" else c.lower()) for c in text)
        return text if case == "NONE" else "".join(n if len(n) == 1 else o for o, n in letters)

    compared = "NONE" if case_sensitive else "LOWER"
    stop = {changed(word, compared) for word in stopwords}
    kept = [text for text in x.ravel().tolist() if changed(text, compared) not in stop]
    y = np.asarray([changed(text, case) for text in kept] or [""], str)
    return y.reshape(*[1] * (x.ndim - 1), -1)


def split_strings(x: np.ndarray, delimiter: str | None, most: int) -> np.ndarray:
    """The parts of every text along a new last axis, empty texts behind those that are fewer."""
    parts = [text.split(delimiter, most) if text else [] for text in x.ravel().tolist()]
    longest = max(map(len, parts), default=0)
    filled = [found + [""] * (longest - len(found)) for found in parts]
    return np.asarray(filled, str).reshape(*x.shape, longest)


def count_parts(x: np.ndarray, delimiter: str | None, most: int) -> np.ndarray:
    """In how many parts `split_strings` splits every text; an empty one has none."""
    parts = [len(text.split(delimiter, most)) if text else 0 for text in x.ravel().tolist()]
    return np.asarray(parts, np.int64).reshape(x.shape)


def matches(x: np.ndarray, pattern: str) -> np.ndarray:
    """Whether a whole text is what the pattern describes."""
    found = [re.fullmatch(pattern, text, re.ASCII) is not None for text in x.ravel().tolist()]
    return np.asarray(found, bool).reshape(x.shape)
