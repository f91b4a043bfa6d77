"""PaddlePaddle .pdparams: a pickle of numpy arrays by name, as `paddle.save(layer.state_dict())` writes it.

Layout: pickle protocol 4 of `{name: ndarray, ..., "StructuredToParameterName@@": {name: parameter}}`. The
last entry says how Paddle's own parameter objects are called; `paddle.load` drops it. Types that numpy lacks:
bfloat16 is stored as uint16, and uint16 is read back as bfloat16. Eight-bit floats come back as int8, uint32
and uint64 not at all, so both are refused here.

The pickle is written opcode by opcode: numpy 2 calls its own functions by names that older numpy cannot
import, `pickle.Pickler` writes other bytes when two equal names are one object, and it copies every tensor.

Source: paddle/framework/io.py (`_build_saved_state_dict`, `_parse_load_result`); Python's pickletools.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from converters.checkpoints.placing import Tensors, placed, raw, refuse_names
from converters.dtypes import element_type
from converters.errors import UnsupportedError

NAME_TABLE = "StructuredToParameterName@@"
# Files of protocol 2 and 3 list sliced tensors under this name.
SLICE_TABLE = "UnpackBigParamInfor@@"
BFLOAT16_STORED_AS = np.dtype(np.uint16)
# Types that `paddle.load` gives back as they were.
# fmt: off
STORED = frozenset({
    "bool", "uint8", "int8", "int16", "int32", "int64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
})
# fmt: on

Plain: TypeAlias = "str | bytes | int | tuple[Plain, ...] | None"


def write_pdparams(
    path: Path, tensors: Tensors, parameters: Mapping[str, str] | None = None
) -> None:
    """Write tensors so that `layer.set_state_dict(paddle.load(path))` takes them.

    Args:
        path: The file to write; a file that is there is replaced in one step.
        tensors: Arrays by name, of any memory layout and byte order.
        parameters: Names of Paddle's parameter objects by tensor name, for
            `set_state_dict(..., use_structured_name=False)`; a tensor's own name where it is absent.

    Raises:
        UnsupportedError: An element type that Paddle does not read back as it was.
        UsageError: A tensor has no name, or one that Paddle keeps for itself.
    """
    refuse_names(tensors, frozenset({NAME_TABLE, SLICE_TABLE}), "pdparams")
    for name, array in tensors.items():
        if element_type(array.dtype).name not in STORED:
            raise UnsupportedError(
                f"pdparams has no element type for {array.dtype} (tensor {name!r})",
                fix="convert the tensor to another element type",
            )
    with placed(path) as file:
        file.write(pickle.PROTO + b"\x04" + pickle.EMPTY_DICT + pickle.MARK)
        for name, array in tensors.items():
            file.write(_plain(name))
            _write_array(file, array)
        file.write(_plain(NAME_TABLE) + pickle.EMPTY_DICT + pickle.MARK)
        for name in tensors:
            file.write(_plain(name) + _plain((parameters or {}).get(name, name)))
        file.write(pickle.SETITEMS + pickle.SETITEMS + pickle.STOP)


def _write_array(file: BinaryIO, array: npt.NDArray[Any]) -> None:
    """An array as `ndarray.__reduce__` says it: make an empty one, then set its state."""
    kind = element_type(array.dtype)
    dtype = BFLOAT16_STORED_AS if kind.name == "bfloat16" else kind.numpy
    data = raw(array)
    file.write(
        _global("numpy.core.multiarray", "_reconstruct")
        + _global("numpy", "ndarray")
        + _plain((0,))
        + _plain(b"b")
        + pickle.TUPLE3
        + pickle.REDUCE
        + pickle.MARK
        + _plain(1)
        + _plain(tuple(array.shape))
        + _dtype(dtype)
        + pickle.NEWFALSE
        + pickle.BINBYTES8
        + data.nbytes.to_bytes(8, "little")
    )
    file.write(data)
    file.write(pickle.TUPLE + pickle.BUILD)


def _dtype(dtype: np.dtype[Any]) -> bytes:
    """A dtype as `dtype.__reduce__` says it, little endian on every machine."""
    order = "|" if dtype.itemsize == 1 else "<"
    return (
        _global("numpy", "dtype")
        + _plain(dtype.str[1:])
        + pickle.NEWFALSE
        + pickle.NEWTRUE
        + pickle.TUPLE3
        + pickle.REDUCE
        + _plain((3, order, None, None, None, -1, -1, 0))
        + pickle.BUILD
    )


def _global(module: str, name: str) -> bytes:
    return _plain(module) + _plain(name) + pickle.STACK_GLOBAL


def _plain(value: Plain) -> bytes:
    """The opcodes that push a value."""
    if isinstance(value, tuple):
        return pickle.MARK + b"".join(map(_plain, value)) + pickle.TUPLE
    if isinstance(value, str):
        text = value.encode()
        return pickle.BINUNICODE + len(text).to_bytes(4, "little") + text
    if isinstance(value, bytes):
        return pickle.BINBYTES + len(value).to_bytes(4, "little") + value
    if value is None:
        return pickle.NONE
    number = value.to_bytes(9, "little", signed=True)
    return pickle.LONG1 + bytes([len(number)]) + number
