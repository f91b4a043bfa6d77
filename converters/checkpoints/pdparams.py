"""PaddlePaddle .pdparams: a pickle of numpy arrays by name, as `paddle.save(layer.state_dict())` writes it.

Layout: pickle protocol 4 of `{name: ndarray, ..., "StructuredToParameterName@@": {name: parameter}}`. The
last entry says how Paddle's own parameter objects are called; `paddle.load` drops it. Types that numpy lacks:
bfloat16 is stored as uint16, and uint16 is read back as bfloat16. Eight-bit floats come back as int8, uint32
and uint64 not at all, so both are refused here.

Source: paddle/framework/io.py (`_build_saved_state_dict`, `_parse_load_result`); Python's pickletools.
"""

from __future__ import annotations

import itertools
import math
import pickle
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from converters.checkpoints.checkpoint import Checkpoint
from converters.checkpoints.files import File
from converters.checkpoints.pickled_numpy import NUMPY, PickledArray
from converters.checkpoints.pickles import read_pickle
from converters.checkpoints.pickling import named, plain, recall, remember
from converters.checkpoints.placing import Output, placed, refuse_names
from converters.checkpoints.state_dict import choose
from converters.checkpoints.tensors import (
    Array,
    Decoded,
    Stored,
    Tensor,
    Tensors,
    Viewed,
    as_tensor,
    checked_shape,
)
from converters.dtypes import BY_NAME
from converters.errors import UnsafeInput, UnsupportedError

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


def read_pdparams(path: Path, key: str | None = None) -> Checkpoint:
    """Read a pickle of arrays: .pdparams and .pdopt of Paddle, or a dictionary of numpy arrays.

    Args:
        path: The file.
        key: Where in it the weights are, as names joined with dots; None to find out.

    Raises:
        UnsafeInput: It is malformed, or names what no checkpoint needs.
        UnsupportedError: There are no tensors; an array of another type than tensors have.
    """
    file = File(path)
    read = read_pickle(file, 0, file.size, NUMPY)
    value = read.value
    if isinstance(value, PickledArray) and isinstance(value.tensor, Tensor):
        value = {"tensor": value.tensor}
    if not isinstance(value, dict):
        raise UnsupportedError(f"{path.name}: a pickle that is no dictionary of arrays")
    table = value.pop(NAME_TABLE, None)
    slices = value.pop(SLICE_TABLE, None)
    if slices is not None:
        value = _joined(value, slices, path.name)
    names = table if isinstance(table, dict) else {}
    chosen = choose(value, path.name, key)
    known = {k: v for k, v in names.items() if isinstance(k, str) and isinstance(v, str)}
    findings = list(chosen.findings)
    if read.end < file.size:
        findings.append(f"{file.size - read.end} bytes after the pickle were not read")
    return Checkpoint(
        "pdparams",
        {name: _of_paddle(tensor) for name, tensor in chosen.tensors.items()},
        (path,),
        "paddle",
        chosen.metadata,
        tuple(findings),
        known,
    )


def _of_paddle(tensor: Tensor) -> Tensor:
    """Numpy lacks bfloat16, so Paddle keeps it as uint16, and reads every uint16 as bfloat16."""
    if tensor.kind.numpy != BFLOAT16_STORED_AS:
        return tensor
    kind = BY_NAME["bfloat16"]
    if isinstance(tensor, Stored):
        return Stored(kind, tensor.shape, tensor.parts, tensor.storage)
    if isinstance(tensor, Viewed):
        return Viewed(
            tensor.values.view(kind.numpy)
            if tensor.values.dtype.isnative
            else tensor.values.astype(BFLOAT16_STORED_AS).view(kind.numpy)
        )
    return Decoded(kind, tensor.shape, lambda: (b.view(kind.numpy) for b in tensor.blocks()))


def _joined(value: dict[Any, Any], slices: Any, file: str) -> dict[Any, Any]:
    """Tensors of more than 2^30 - 1 bytes, which protocols 2 and 3 hold in flat slices.

    Before: `{"w@@.0": A, "w@@.1": B}` and `{"w": {"OriginShape": S, "slices": ["w@@.0", "w@@.1"]}}`.
    Source: `_unpack_saved_dict` and `_pack_loaded_dict` in paddle/framework/io_utils.py.
    """
    if not isinstance(slices, dict):
        raise UnsafeInput(f"{file}: {SLICE_TABLE} is no dictionary")
    for name, entry in slices.items():
        parts = [value.pop(part) for part in entry["slices"]]
        opened = [part.tensor if isinstance(part, PickledArray) else part for part in parts]
        arrays = [part for part in opened if isinstance(part, Tensor)]
        if not arrays or len(arrays) < len(parts):
            raise UnsafeInput(f"{file}: {name!r} is made of slices that are no arrays")
        kind = arrays[0].kind
        shape = checked_shape(entry["OriginShape"], f"{file}: {name!r}")
        size = sum(array.size for array in arrays)
        if any(array.kind != kind for array in arrays) or size != math.prod(shape):
            raise UnsafeInput(f"{file}: the slices of {name!r} do not make {list(shape)}")
        spans = [span for array in arrays for span in array.spans or ()]
        if all(array.spans is not None for array in arrays):
            value[name] = Stored(kind, shape, tuple(spans))
        else:
            value[name] = Decoded(kind, shape, _chained(arrays), f"{file}: {name!r}")
    return value


def _chained(arrays: list[Tensor]) -> Callable[[], Iterator[Array]]:
    return lambda: itertools.chain.from_iterable(array.blocks() for array in arrays)


def write_pdparams(
    path: Path, tensors: Tensors, parameters: Mapping[str, str] | None = None
) -> None:
    """Write tensors so that `layer.set_state_dict(paddle.load(path))` takes them.

    Args:
        path: The file to write; a file that is there is replaced in one step.
        tensors: Tensors or arrays by name, of any memory layout and byte order.
        parameters: Names of Paddle's parameter objects by tensor name, for
            `set_state_dict(..., use_structured_name=False)`; a tensor's own name where it is absent.

    Raises:
        UnsupportedError: An element type that Paddle does not read back as it was.
        UsageError: A tensor has no name, or one that Paddle keeps for itself.
    """
    refuse_names(tensors, frozenset({NAME_TABLE, SLICE_TABLE}), "pdparams")
    given = {name: as_tensor(tensor) for name, tensor in tensors.items()}
    for name, tensor in given.items():
        if tensor.kind.name not in STORED:
            raise UnsupportedError(
                f"pdparams has no element type for {tensor.kind.name} (tensor {name!r})",
                fix="give --dtype, or write another format",
            )
    with placed(path) as output:
        output.write(pickle.PROTO + b"\x04" + pickle.EMPTY_DICT + pickle.MARK)
        written: dict[Hashable, int] = {}
        for name, tensor in given.items():
            output.write(plain(name))
            same = _identity(tensor)
            if same in written:
                output.write(recall(written[same]))
                continue
            _write_array(output, tensor)
            if same is not None:
                written[same] = len(written)
                output.write(remember(written[same]))
        output.write(plain(NAME_TABLE) + pickle.EMPTY_DICT + pickle.MARK)
        for name in given:
            output.write(plain(name) + plain((parameters or {}).get(name, name)))
        output.write(pickle.SETITEMS + pickle.SETITEMS + pickle.STOP)


def _identity(tensor: Tensor) -> Hashable:
    """Equal for tensors that are one and the same; None where nothing is shared."""
    storage = tensor.storage
    if storage is None:
        return None
    return storage.key, storage.offset, storage.strides, tensor.shape


def _write_array(output: Output, tensor: Tensor) -> None:
    """An array as `ndarray.__reduce__` says it: make an empty one, then set its state."""
    kind = tensor.kind
    dtype = BFLOAT16_STORED_AS if kind.name == "bfloat16" else kind.numpy
    output.write(
        named("numpy.core.multiarray", "_reconstruct")
        + named("numpy", "ndarray")
        + plain((0,))
        + plain(b"b")
        + pickle.TUPLE3
        + pickle.REDUCE
        + pickle.MARK
        + plain(1)
        + plain(tuple(tensor.shape))
        + _dtype(dtype)
        + pickle.NEWFALSE
        + pickle.BINBYTES8
        + tensor.nbytes.to_bytes(8, "little")
    )
    output.tensor(tensor)
    output.write(pickle.TUPLE + pickle.BUILD)


def _dtype(dtype: np.dtype[Any]) -> bytes:
    """A dtype as `dtype.__reduce__` says it, little endian on every machine."""
    order = "|" if dtype.itemsize == 1 else "<"
    return (
        named("numpy", "dtype")
        + plain(dtype.str[1:])
        + pickle.NEWFALSE
        + pickle.NEWTRUE
        + pickle.TUPLE3
        + pickle.REDUCE
        + plain((3, order, None, None, None, -1, -1, 0))
        + pickle.BUILD
    )
