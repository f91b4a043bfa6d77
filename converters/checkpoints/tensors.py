"""A tensor that is not in memory: its type, its shape, and three ways to its elements.

    Stored      bytes of a file as every format writes them (row-major, little endian): the kernel copies them
    Viewed      a numpy array, most often over a mapped file, of any strides and byte order
    Decoded     elements that are computed from a file, in order: compressed, quantised, cast

Readers make them, `layouts` changes them, writers take them. A numpy array is taken for `Viewed`.
"""

from __future__ import annotations

import math
import os
import tempfile
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from converters.checkpoints.files import Span
from converters.dtypes import ElementType, element_type
from converters.errors import UnsafeInput, UnsupportedError

Array: TypeAlias = npt.NDArray[Any]

# What is held in memory at a time.
BLOCK_BYTES = 8 << 20
# No format of a checkpoint holds more dimensions; numpy takes 32.
LARGEST_RANK = 32
LARGEST_SIZE = 1 << 62


@dataclass(frozen=True)
class Storage:
    """Bytes that several tensors may look at: what torch calls a storage.

    Attributes:
        key: Equal for tensors that share it.
        data: All of its elements, one-dimensional.
        offset: Where the tensor begins in it, in elements.
        strides: Elements from one index to the next, by dimension.
    """

    key: Hashable
    data: Array
    offset: int
    strides: tuple[int, ...]


class Tensor(ABC):
    """A tensor by type and shape, whose elements are read when they are wanted.

    Attributes:
        kind: Its element type.
        shape: Its dimensions, row-major.
        storage: What it shares with other tensors, where the format says so.
    """

    kind: ElementType
    shape: tuple[int, ...]
    storage: Storage | None = None

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes, one element after the other; four-bit integers take one each."""
        return self.size * self.kind.bytes

    @property
    def spans(self) -> tuple[Span, ...] | None:
        """Bytes of files that, joined, are the elements row-major and little endian; None without such."""
        return None

    @abstractmethod
    def blocks(self) -> Iterator[Array]:
        """The elements in row-major order, in contiguous pieces of some MiB, one-dimensional.

        A piece is valid until the next is asked for.
        """

    @abstractmethod
    def array(self) -> Array:
        """The whole tensor; over mapped files where that is possible, else in memory or a scratch file."""


@dataclass(frozen=True)
class Stored(Tensor):
    """Elements as they stand in files."""

    kind: ElementType
    shape: tuple[int, ...]
    parts: tuple[Span, ...]
    storage: Storage | None = None

    @property
    def spans(self) -> tuple[Span, ...]:
        """The parts."""
        return self.parts

    def blocks(self) -> Iterator[Array]:
        """Pieces of the mapped files; a part may end within an element."""
        if len(self.parts) > 1 and any(part.length % self.kind.bytes for part in self.parts):
            yield from _pieces(self.array().reshape(-1))
            return
        for part in self.parts:
            yield from _pieces(np.frombuffer(part.view(), self.kind.numpy))

    def array(self) -> Array:
        """A view of the mapped file; parts are joined in a scratch file."""
        if len(self.parts) == 1:
            return np.frombuffer(self.parts[0].view(), self.kind.numpy).reshape(self.shape)
        raw = (np.frombuffer(part.view(), np.uint8) for part in self.parts)
        whole = gathered(raw, self.nbytes)
        return whole.view(self.kind.numpy).reshape(self.shape)


@dataclass(frozen=True, eq=False)
class Viewed(Tensor):
    """A numpy array, of any strides and byte order."""

    values: Array
    storage: Storage | None = None

    def __post_init__(self) -> None:
        element_type(self.values.dtype)

    @property
    def kind(self) -> ElementType:  # type: ignore[override]
        """The array's element type."""
        return element_type(self.values.dtype)

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """The array's shape."""
        return self.values.shape

    def blocks(self) -> Iterator[Array]:
        """Contiguous copies of one part after the other."""
        yield from _contiguous(self.values, self.kind.numpy)

    def array(self) -> Array:
        """The array itself."""
        return self.values


@dataclass(frozen=True, eq=False)
class Decoded(Tensor):
    """Elements that are computed, from the first to the last.

    `decode` gives one-dimensional pieces; that they are as many as the shape says is checked here.
    """

    kind: ElementType
    shape: tuple[int, ...]
    decode: Callable[[], Iterator[Array]]
    where: str = "tensor"

    def blocks(self) -> Iterator[Array]:
        """What is decoded.

        Raises:
            UnsafeInput: There are more or fewer elements than the shape says.
        """
        left = self.size
        for piece in self.decode():
            left -= piece.size
            if left < 0:
                break
            yield np.ascontiguousarray(piece, self.kind.numpy)
        if left:
            raise UnsafeInput(
                f"{self.where}: {'more' if left < 0 else 'fewer'} elements than the"
                f" {self.size} that its shape {list(self.shape)} has"
            )

    def array(self) -> Array:
        """All of it, in a scratch file where it is large."""
        raw = (block.view(np.uint8) for block in self.blocks())
        return gathered(raw, self.nbytes).view(self.kind.numpy).reshape(self.shape)


Tensors: TypeAlias = Mapping[str, "Tensor | Array"]


def as_tensor(tensor: Tensor | Array) -> Tensor:
    """A tensor as it is; an array as a tensor.

    Raises:
        UnsupportedError: An array of something that no tensor holds.
    """
    return tensor if isinstance(tensor, Tensor) else Viewed(tensor)


def checked_shape(dims: Sequence[int], where: str) -> tuple[int, ...]:
    """Dimensions from a foreign file.

    Raises:
        UnsafeInput: A negative size, too many dimensions, or more elements than any machine holds.
    """
    if len(dims) > LARGEST_RANK:
        raise UnsafeInput(f"{where}: a tensor of {len(dims)} dimensions")
    for size in dims:
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < LARGEST_SIZE:
            raise UnsafeInput(f"{where}: {size!r} is not the size of a dimension")
    # Sizes beside a zero count too: what multiplies them to strides must not overflow either.
    if math.prod(size for size in dims if size) >= LARGEST_SIZE:
        raise UnsafeInput(f"{where}: the shape {list(dims)} has too many elements for any machine")
    return tuple(dims)


def stored(
    kind: ElementType, shape: tuple[int, ...], parts: tuple[Span, ...], where: str
) -> Stored:
    """A tensor over bytes of a file.

    Raises:
        UnsafeInput: The bytes are more or fewer than shape and type say.
    """
    length = sum(part.length for part in parts)
    if length != math.prod(shape) * kind.bytes:
        raise UnsafeInput(
            f"{where}: {length} bytes for {kind.name} {list(shape)}, which takes"
            f" {math.prod(shape) * kind.bytes}"
        )
    return Stored(kind, shape, parts)


def cast(tensor: Tensor, kind: ElementType, name: str) -> Tensor:
    """The same numbers in another element type: floats are rounded, integers must fit.

    Its blocks raise `UnsupportedError` where an integer does not fit.
    """
    if tensor.kind == kind:
        return tensor

    def decode() -> Iterator[Array]:
        for block in tensor.blocks():
            for piece in _pieces(block):
                # A float that is too large for the type becomes infinite, as in every framework.
                with np.errstate(over="ignore", invalid="ignore"):
                    made = piece.astype(kind.numpy)
                if not is_float(kind) and (made.astype(piece.dtype) != piece).any():
                    raise UnsupportedError(f"{name!r} has numbers that {kind.name} cannot hold")
                yield made

    return Decoded(kind, tensor.shape, decode, name)


def is_float(kind: ElementType) -> bool:
    """Whether a type is one of real numbers with a fraction."""
    return kind.name.startswith(("float", "bfloat"))


def _pieces(flat: Array) -> Iterator[Array]:
    step = max(1, BLOCK_BYTES // flat.itemsize)
    for start in range(0, flat.size, step):
        yield flat[start : start + step]


def gathered(parts: Iterator[Array], length: int) -> Array:
    """Bytes joined: in memory while they are few, else in an unnamed file."""
    if length <= BLOCK_BYTES:
        return np.concatenate([np.empty(0, np.uint8), *(part.copy() for part in parts)])
    with tempfile.TemporaryFile(prefix="polyzoo-") as scratch:
        for part in parts:
            scratch.write(part.data)
        scratch.flush()
        return np.memmap(scratch, np.uint8, "r", shape=(length,))


def _contiguous(array: Array, dtype: np.dtype[Any]) -> Iterator[Array]:
    """An array in row-major order and the given type, piece by piece."""
    if array.size == 0:
        return
    if array.flags.c_contiguous and array.dtype == dtype:
        yield from _pieces(array.reshape(-1))
        return
    rows = array.reshape(1) if array.ndim == 0 else array
    row_bytes = max(1, rows.nbytes // len(rows))
    if row_bytes > BLOCK_BYTES and rows.ndim > 1:
        for row in rows:
            yield from _contiguous(row, dtype)
        return
    step = max(1, BLOCK_BYTES // row_bytes)
    if rows.ndim == 2 and rows.strides[0] == rows.itemsize and rows.dtype == dtype:
        # Whole words of the source at a time.
        step = max(TILE, step // TILE * TILE)
    parts = [rows[start : start + step] for start in range(0, len(rows), step)]
    if len(parts) == 1:
        yield _packed(parts[0], dtype).reshape(-1)
        return
    with ThreadPoolExecutor(WORKERS) as pool:
        # Some pieces are made while others are written; numpy lets other threads run while it copies.
        ahead: deque[Future[Array]] = deque()
        for part in parts:
            ahead.append(pool.submit(_packed, part, dtype))
            if len(ahead) > WORKERS:
                yield ahead.popleft().result().reshape(-1)
        while ahead:
            yield ahead.popleft().result().reshape(-1)


WORKERS = min(4, os.cpu_count() or 1)
TILE = 512
WORD_BYTES = 8


def _packed(array: Array, dtype: np.dtype[Any]) -> Array:
    """A row-major copy. A transposed matrix is turned tile by tile, in words of several elements."""
    turned = (
        array.ndim == 2
        and array.dtype == dtype
        and array.strides[0] == array.itemsize
        and WORD_BYTES % array.itemsize == 0
    )
    if not turned:
        return np.ascontiguousarray(array, dtype)
    # Bits move, whatever they mean.
    plain = np.dtype(f"u{array.itemsize}")
    source = array.T.view(plain)
    out = np.empty(array.shape, plain)
    per_word = WORD_BYTES // array.itemsize
    for row in range(0, source.shape[0], TILE):
        for column in range(0, source.shape[1], TILE):
            tile = source[row : row + TILE, column : column + TILE]
            target = out[column : column + TILE, row : row + TILE]
            if tile.shape[1] % per_word:
                target[...] = tile.T
                continue
            words = np.ascontiguousarray(np.ascontiguousarray(tile).view(np.uint64).T)
            columns = words.view(plain).reshape(words.shape[0], -1, per_word)
            for index in range(per_word):
                target[index::per_word] = columns[..., index]
    return out.view(dtype)
