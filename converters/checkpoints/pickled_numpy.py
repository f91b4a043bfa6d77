"""Arrays of numpy as they stand in pickles: `_reconstruct`, then a state with type, shape and bytes.

    numpy.core.multiarray._reconstruct(numpy.ndarray, (0,), b'b')
    BUILD (1, shape, dtype, is_fortran, bytes)

Numpy 2 says `numpy._core`. Protocol 2 has no bytes: they stand as text in latin-1, so that a byte above 127
takes two. Source: `array_reduce` and `array_setstate` in numpy/core/src/multiarray/methods.c.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterator, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from converters.checkpoints.files import Span
from converters.checkpoints.pickles import PLAIN, Built, Call, Global, Text
from converters.checkpoints.tensors import (
    BLOCK_BYTES,
    Array,
    Decoded,
    Tensor,
    Viewed,
    checked_shape,
    stored,
)
from converters.dtypes import BY_NUMPY, element_type
from converters.errors import UnsafeInput


class Unreadable:
    """A value that is there and is no tensor that we can give; `reason` says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Dtype(Built):
    """A dtype: its code (`f4`), then a state that says the byte order."""

    code: str

    def __init__(self, code: object, *_: object) -> None:
        if isinstance(code, Dtype):
            self.dtype: np.dtype[Any] | None = code.dtype
            self.code = code.code
            return
        if not isinstance(code, str):
            raise TypeError("a dtype that is no text")
        self.code = code
        found = NUMBERS.get(code.lstrip("<>=|"))
        self.dtype = found and (found.newbyteorder(">") if code.startswith(">") else found)

    def build(self, state: object) -> None:
        """Take the byte order: the second entry."""
        if not isinstance(state, tuple) or len(state) < 2:
            raise TypeError("a dtype without a state")
        if state[1] == ">" and self.dtype is not None and self.dtype.isbuiltin == 1:
            self.dtype = self.dtype.newbyteorder(">")


# Codes of the types that tensors hold.
NUMBERS: Mapping[str, np.dtype[Any]] = {
    **{dtype.str[1:]: dtype for dtype in BY_NUMPY if dtype.isbuiltin == 1},
    "bool": np.dtype(np.bool_),
}
# Types of their own, which pickles name by their class.
ML_DTYPES: Mapping[str, np.dtype[Any]] = {
    dtype.name: dtype for dtype in BY_NUMPY if dtype.isbuiltin == 2
}


class PickledArray(Built):
    """An array: empty, until its state comes."""

    def __init__(self) -> None:
        self.tensor: Tensor | Unreadable = Unreadable("an array without its state")

    def build(self, state: object) -> None:
        """Take type, shape and bytes."""
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise TypeError("an array without a state")
        shape, dtype, fortran, data = state[-4:]
        self.tensor = tensor_of(data, dtype, shape, "F" if fortran else "C")


def tensor_of(data: object, dtype: object, shape: object, order: object) -> Tensor | Unreadable:
    """A tensor over the bytes of a pickle.

    Raises:
        UnsafeInput: More or fewer bytes than type and shape say.
        TypeError: A state that is none.
    """
    if not isinstance(dtype, Dtype):
        raise TypeError("an array without a dtype")
    if dtype.dtype is None:
        return Unreadable(f"an array of numpy's type {dtype.code!r}")
    if isinstance(shape, int):
        shape = (shape,)
    if not isinstance(shape, tuple):
        raise TypeError("an array without a shape")
    where = data.file.path.name if isinstance(data, Span) else "a pickled array"
    dims = checked_shape(shape, where)
    kind = element_type(dtype.dtype)
    plain = dtype.dtype == kind.numpy
    if isinstance(data, Span) and plain and order != "F":
        return stored(kind, dims, (data,), where)
    if isinstance(data, Text):
        nbytes, span, given = math.prod(dims) * kind.bytes, data.span, dtype.dtype
        if not nbytes <= span.length <= 2 * nbytes:
            raise UnsafeInput(f"{where}: {span.length} bytes of text for {nbytes} bytes")
        flat = Decoded(kind, (math.prod(dims),), lambda: _latin1(span, given), where)
        if order != "F":
            return Decoded(kind, dims, flat.blocks, where)
        return Viewed(flat.array().reshape(dims[::-1]).T)
    if isinstance(data, str):
        data = data.encode("latin-1")
    raw = data.view() if isinstance(data, Span) else data
    if not isinstance(raw, bytes | memoryview):
        raise TypeError("an array without bytes")
    if len(raw) != math.prod(dims) * kind.bytes:
        raise UnsafeInput(f"{where}: {len(raw)} bytes for {kind.name} {list(dims)}")
    flat_array = np.frombuffer(raw, dtype.dtype)
    return Viewed(flat_array.reshape(dims[::-1]).T if order == "F" else flat_array.reshape(dims))


def _latin1(span: Span, dtype: np.dtype[Any]) -> Iterator[Array]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = span.view()
    rest = b""
    try:
        for start in range(0, span.length, BLOCK_BYTES):
            text = decoder.decode(view[start : start + BLOCK_BYTES])
            data = rest + text.encode("latin-1")
            whole = len(data) // dtype.itemsize * dtype.itemsize
            yield np.frombuffer(data[:whole], dtype)
            rest = data[whole:]
        decoder.decode(b"", final=True)
    except UnicodeError as error:
        raise UnsafeInput(f"{span.file.path.name}: an array that is no text in latin-1") from error
    if rest:
        raise UnsafeInput(f"{span.file.path.name}: an array that ends within an element")


def _scalar(dtype: object, data: object = b"") -> object:
    if not isinstance(dtype, Dtype) or dtype.dtype is None:
        return Unreadable("a scalar of another type than a number")
    raw = data.encode("latin-1") if isinstance(data, str) else data
    if not isinstance(raw, bytes) or len(raw) != dtype.dtype.itemsize:
        raise TypeError("a scalar of the wrong size")
    return np.frombuffer(raw, dtype.dtype)[0].item()


def _from_buffer(
    data: object, dtype: object, shape: object, order: object = "C", *_: object
) -> Any:
    made = PickledArray()
    made.tensor = tensor_of(data, dtype, shape, order)
    return made


def _ml_dtype(name: str) -> Call:
    def make(*arguments: object) -> Any:
        raise TypeError(f"a call of {name}")

    return make


class _ArrayClass:
    """`numpy.ndarray`, which is named and never called."""

    def __call__(self, *arguments: object) -> Any:
        raise TypeError("a call of numpy.ndarray")


def _dtype(code: Any, *rest: object) -> Dtype:
    name = getattr(code, "name", "")
    if name in ML_DTYPES and getattr(code, "module", "") == ml_dtypes.__name__:
        made = Dtype("V1")
        made.dtype, made.code = ML_DTYPES[name], name
        return made
    return Dtype(code, *rest)


_CORES = ("numpy.core", "numpy._core")
NUMPY: Mapping[Global, Call] = {
    **PLAIN,
    ("numpy", "ndarray"): _ArrayClass(),
    ("numpy", "dtype"): _dtype,
    **{
        (f"{core}.multiarray", "_reconstruct"): lambda *arguments: PickledArray() for core in _CORES
    },
    **{(f"{core}.multiarray", "scalar"): _scalar for core in _CORES},
    **{(f"{core}.numeric", "_frombuffer"): _from_buffer for core in _CORES},
    **{("ml_dtypes", name): _ml_dtype(name) for name in ML_DTYPES},
}
