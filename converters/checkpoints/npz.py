r"""numpy's .npz (a zip archive of .npy members) and single .npy files.

    \x93NUMPY  version  length of the header  {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n  data

Types that numpy lacks (bfloat16, eight-bit floats) stand there as raw bytes, `|V2` and `|V1`, which nobody
can tell apart; we refuse to write them. Reading them needs a word from the user, so they are refused as well.

Source: numpy/lib/format.py (NEP 1); versions 1.0 to 3.0.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from converters.checkpoints.checkpoint import MOST_TENSORS, Checkpoint
from converters.checkpoints.files import File, Span
from converters.checkpoints.placing import placed, refuse_names
from converters.checkpoints.tensors import (
    Array,
    Decoded,
    Tensor,
    Tensors,
    Viewed,
    as_tensor,
    checked_shape,
    gathered,
    stored,
)
from converters.checkpoints.zips import STORED, Archive, Member, read_directory
from converters.dtypes import BY_NUMPY, ElementType
from converters.errors import UnsafeInput, UnsupportedError

MAGIC = b"\x93NUMPY"
SUFFIX = ".npy"
ALIGNMENT = 64
LARGEST_HEADER = 1 << 16
HEAD_BYTES = 12


def read_npz(path: Path) -> Checkpoint:
    """Read an archive of arrays, compressed or not.

    Raises:
        UnsafeInput: The archive or a member is malformed.
        UnsupportedError: An array of objects, texts or raw bytes.
    """
    file = File(path)
    members = read_directory(file)
    if len(members) > MOST_TENSORS:
        raise UnsafeInput(f"{path.name}: {len(members)} members")
    tensors: dict[str, Tensor] = {}
    for name, member in members.items():
        if not name.endswith(SUFFIX):
            raise UnsafeInput(f"{path.name}: {name} is no .npy member")
        tensors[name.removesuffix(SUFFIX)] = _member(member, f"{path.name}: {name}")
    return Checkpoint("npz", tensors, (path,))


def read_npy(path: Path) -> Checkpoint:
    """Read a single array; it is called by the name of its file.

    Raises:
        UnsafeInput: It is malformed.
        UnsupportedError: An array of objects, texts or raw bytes.
    """
    file = File(path)
    head = bytes(file.bytes(0, min(file.size, HEAD_BYTES + LARGEST_HEADER)))
    dtype, shape, fortran, start = _header(head, path.name)
    span = Span(file, start, file.size - start)
    return Checkpoint("npy", {path.stem: _plain(span, dtype, shape, fortran, path.name)}, (path,))


def _member(member: Member, where: str) -> Tensor:
    if member.method == STORED:
        data = member.data
        head = bytes(data.view()[: HEAD_BYTES + LARGEST_HEADER])
        dtype, shape, fortran, start = _header(head, where)
        return _plain(data.cut(start, data.length - start), dtype, shape, fortran, where)
    head = b""
    for piece in member.pieces():
        head += piece[: HEAD_BYTES + LARGEST_HEADER].tobytes()
        if len(head) >= min(member.size, HEAD_BYTES + LARGEST_HEADER):
            break
    dtype, shape, fortran, start = _header(head, where)
    kind = BY_NUMPY[dtype.newbyteorder("=")]
    if member.size - start != math.prod(shape) * kind.bytes:
        raise UnsafeInput(f"{where}: {member.size - start} bytes for {kind.name} {list(shape)}")

    def decode() -> Iterator[Array]:
        whole = gathered(member.pieces(), member.size)[start:].view(dtype)
        array = whole.reshape(shape[::-1]).T if fortran else whole.reshape(shape)
        return Viewed(array).blocks()

    return Decoded(kind, shape, decode, where)


def _plain(
    span: Span, dtype: np.dtype[Any], shape: tuple[int, ...], fortran: bool, where: str
) -> Tensor:
    kind = BY_NUMPY[dtype.newbyteorder("=")]
    tensor = stored(kind, shape, (span,), where)
    if dtype.isnative and not fortran:
        return tensor
    flat = np.frombuffer(span.view(), dtype)
    return Viewed(flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape))


def _header(head: bytes, where: str) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    """Type, shape, whether columns come first, and where the data begins."""
    if not head.startswith(MAGIC) or len(head) < HEAD_BYTES:
        raise UnsafeInput(f"{where}: no array of numpy")
    width = 2 if head[6] == 1 else 4
    start = 8 + width
    size = int.from_bytes(head[8:start], "little")
    if head[6] not in (1, 2, 3) or size > LARGEST_HEADER or start + size > len(head):
        raise UnsafeInput(f"{where}: a header of {size} bytes, version {head[6]}")
    try:
        said = ast.literal_eval(head[start : start + size].decode("utf-8").strip())
        descr, fortran, shape = said["descr"], said["fortran_order"], said["shape"]
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise UnsafeInput(f"{where}: a header that cannot be read: {error}") from error
    if not isinstance(shape, tuple) or not isinstance(fortran, bool):
        raise UnsafeInput(f"{where}: a header without shape or order")
    dims = checked_shape(shape, where)
    dtype = DTYPES.get(descr) if isinstance(descr, str) else None
    if dtype is None:
        raise UnsupportedError(f"{where}: element type {descr!r}", fix="save it as numbers")
    return dtype, dims, fortran, start + size


def _dtypes() -> Iterator[tuple[str, np.dtype[Any]]]:
    for dtype in BY_NUMPY:
        if dtype.isbuiltin == 1:
            for order in "<>=|":
                yield order + dtype.str[1:], dtype.newbyteorder(">") if order == ">" else dtype


DTYPES: Mapping[str, np.dtype[Any]] = dict(_dtypes())


def write_npz(path: Path, tensors: Tensors) -> None:
    """Write tensors so that `numpy.load(path)` gives them by name, without a pickle.

    Args:
        path: The file to write; a file that is there is replaced in one step.
        tensors: Tensors or arrays by name, of any memory layout and byte order.

    Raises:
        UnsupportedError: An element type that numpy lacks.
        UsageError: A tensor has no name, or one that is no text.
    """
    refuse_names(tensors, frozenset(), "npz")
    given = {name: as_tensor(tensor) for name, tensor in tensors.items()}
    heads = {name: _head(name, tensor.kind, tensor.shape) for name, tensor in given.items()}
    with placed(path) as output:
        archive = Archive(output, ALIGNMENT)
        for name, tensor in given.items():
            archive.add(name + SUFFIX, heads[name], tensor)
        archive.close()


def _head(name: str, kind: ElementType, shape: tuple[int, ...]) -> bytes:
    if kind.numpy.isbuiltin != 1:
        raise UnsupportedError(
            f"npz has no element type for {kind.name} (tensor {name!r})",
            fix="give --dtype float32, or write another format",
        )
    text = f"{{'descr': {kind.numpy.str!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    version, width = (1, 2) if len(text) < (1 << 16) - ALIGNMENT else (2, 4)
    start = len(MAGIC) + 2 + width
    text += b" " * (-(start + len(text) + 1) % ALIGNMENT) + b"\n"
    return MAGIC + bytes([version, 0]) + len(text).to_bytes(width, "little") + text
