"""GGUF, the format of llama.cpp: metadata, then tensors, plain or quantised in blocks.

    "GGUF"  u32 version (2 or 3)  u64 tensors  u64 entries of metadata
    entry:  text key, u32 type, value             text: u64 bytes, UTF-8; array: u32 type, u64 count, values
    tensor: text name, u32 dims, u64 sizes (innermost first), u32 type, u64 offset from the start of the data
    data, at a multiple of `general.alignment` (32 where it is not said), as is every tensor

Quantised tensors are given as float32. Names and layouts are those of llama.cpp, matrices [outputs, inputs].

Source: docs/gguf.md of ggml, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from converters.checkpoints.checkpoint import MOST_TENSORS, Checkpoint
from converters.checkpoints.files import File, Span
from converters.checkpoints.gguf_blocks import BLOCK_TYPES, OTHER_TYPES, BlockType, unpack
from converters.checkpoints.tensors import Array, Decoded, Tensor, checked_shape, stored
from converters.dtypes import BY_NAME, ElementType
from converters.errors import UnsafeInput, UnsupportedError

VERSIONS = (2, 3)
ALIGNMENT = 32
LONGEST_KEY = 1 << 16
LONGEST_TEXT = 1 << 20
LONGEST_SHOWN = 200
MOST_ENTRIES = 100_000
MOST_VALUES = 2_000_000
DEEPEST = 4
MOST_DIMENSIONS = 8
# Elements that are unpacked at a time.
PIECE = 1 << 20

TEXT, ARRAY = 8, 9
# Values of metadata by the number of their type.
SCALARS: Mapping[int, str] = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
# Tensors whose elements stand there as they are.
PLAIN: Mapping[int, ElementType] = {
    number: BY_NAME[name]
    for number, name in {
        0: "float32", 1: "float16", 24: "int8", 25: "int16", 26: "int32", 27: "int64",
        28: "float64", 30: "bfloat16",
    }.items()
}  # fmt: skip


class _Cursor:
    """A place in the file that moves on."""

    def __init__(self, file: File) -> None:
        self.file, self.at = file, 0
        self.values = 0

    def take(self, form: str) -> Any:
        size = struct.calcsize("<" + form)
        data = self.file.bytes(self.at, size)
        self.at += size
        return struct.unpack("<" + form, data)[0]

    def text(self, most: int) -> str:
        length = self.take("Q")
        if length > most:
            raise UnsafeInput(f"{self.file.path.name}: a text of {length} bytes")
        data = bytes(self.file.bytes(self.at, length))
        self.at += length
        return data.decode("utf-8", "replace")

    def count(self) -> None:
        self.values += 1
        if self.values > MOST_VALUES:
            raise UnsafeInput(f"{self.file.path.name}: more than {MOST_VALUES} values of metadata")


def read(path: Path) -> Checkpoint:
    """Read a GGUF file.

    Raises:
        UnsafeInput: It is malformed, or tensors overlap or leave the file.
        UnsupportedError: Another version, or a file of a big-endian machine.
    """
    file = File(path)
    cursor = _Cursor(file)
    if bytes(cursor.file.bytes(0, 4)) != b"GGUF":
        raise UnsafeInput(f"{path.name}: no GGUF file")
    cursor.at = 4
    version = cursor.take("I")
    if version not in VERSIONS:
        big = version.bit_length() > 16
        raise UnsupportedError(
            f"{path.name}: {'a big-endian GGUF file' if big else f'GGUF version {version}'}",
            fix="convert it with llama.cpp's own tools to version 3, little endian",
        )
    tensor_count, entry_count = cursor.take("Q"), cursor.take("Q")
    if tensor_count > MOST_TENSORS or entry_count > MOST_ENTRIES:
        raise UnsafeInput(f"{path.name}: {tensor_count} tensors, {entry_count} entries")
    metadata: dict[str, Any] = {}
    for _ in range(entry_count):
        key = cursor.text(LONGEST_KEY)
        if key in metadata:
            raise UnsafeInput(f"{path.name}: {key!r} stands there twice")
        metadata[key] = _value(cursor, cursor.take("I"), 0)
    alignment = metadata.get("general.alignment", ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise UnsafeInput(f"{path.name}: an alignment of {alignment!r}")
    described = [_described(cursor) for _ in range(tensor_count)]
    start = -(-cursor.at // alignment) * alignment
    tensors: dict[str, Tensor] = {}
    quantised: dict[str, int] = {}
    places: list[tuple[int, int, str]] = []
    for name, shape, number, offset in described:
        where = f"{path.name}: {name!r}"
        if name in tensors or not name:
            raise UnsafeInput(f"{where}: two tensors are called so")
        if offset % alignment:
            raise UnsafeInput(f"{where}: it is not at a multiple of {alignment}")
        span = Span(file, start + offset, _bytes(number, shape, where))
        places.append((span.offset, span.length, name))
        tensors[name] = _tensor(number, shape, span, where)
        if number not in PLAIN:
            title = BLOCK_TYPES[number].name if number in BLOCK_TYPES else OTHER_TYPES[number][0]
            quantised[title] = quantised.get(title, 0) + 1
    end = 0
    for begin, length, name in sorted(places):
        if begin < end and length:
            raise UnsafeInput(f"{path.name}: {name!r} overlaps another tensor")
        end = max(end, begin + length)
    found = [f"{count} tensors of {title}, given as float32" for title, count in quantised.items()]
    return Checkpoint("gguf", tensors, (path,), None, metadata, tuple(found))


def _value(cursor: _Cursor, kind: int, depth: int) -> Any:
    """A value of metadata; a long one is told by its length."""
    cursor.count()
    if kind == TEXT:
        text = cursor.text(LONGEST_TEXT)
        return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
    if kind == ARRAY:
        inner, count = cursor.take("I"), cursor.take("Q")
        if depth >= DEEPEST:
            raise UnsafeInput(f"{cursor.file.path.name}: arrays that are nested too deeply")
        if inner in SCALARS:
            size = struct.calcsize("<" + SCALARS[inner])
            cursor.file.bytes(cursor.at, count * size)
            cursor.at += count * size
        else:
            for _ in range(count):
                _value(cursor, inner, depth + 1)
        return f"{count} values"
    if kind not in SCALARS:
        raise UnsafeInput(f"{cursor.file.path.name}: a value of type {kind}")
    return cursor.take(SCALARS[kind])


def _described(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
    name = cursor.text(LONGEST_KEY)
    rank = cursor.take("I")
    if rank > MOST_DIMENSIONS:
        raise UnsafeInput(f"{cursor.file.path.name}: {name!r} has {rank} dimensions")
    sizes = [cursor.take("Q") for _ in range(rank)]
    shape = checked_shape(sizes[::-1], f"{cursor.file.path.name}: {name!r}")
    return name, shape, cursor.take("I"), cursor.take("Q")


def _bytes(number: int, shape: tuple[int, ...], where: str) -> int:
    """Bytes of a tensor in the file."""
    count = math.prod(shape)
    if number in PLAIN:
        return count * PLAIN[number].bytes
    if number in BLOCK_TYPES:
        elements, size = BLOCK_TYPES[number].elements, BLOCK_TYPES[number].bytes
    elif number in OTHER_TYPES:
        _, elements, size = OTHER_TYPES[number]
    else:
        raise UnsupportedError(f"{where}: an unknown type {number} of GGUF")
    if (shape[-1] if shape else 1) % elements:
        raise UnsafeInput(f"{where}: rows of {list(shape)} are no multiple of {elements}")
    return count // elements * size


def _tensor(number: int, shape: tuple[int, ...], span: Span, where: str) -> Tensor:
    if number in PLAIN:
        return stored(PLAIN[number], shape, (span,), where)
    if number in OTHER_TYPES:

        def refuse() -> Iterator[Array]:
            raise UnsupportedError(
                f"{where}: blocks of {OTHER_TYPES[number][0]} cannot be read",
                fix="quantise it again with llama.cpp, to Q8_0 or F16",
            )

        return Decoded(BY_NAME["float32"], shape, refuse, where)
    kind = BLOCK_TYPES[number]
    return Decoded(BY_NAME["float32"], shape, lambda: _pieces(span, kind), where)


def _pieces(span: Span, kind: BlockType) -> Iterator[Array]:
    blocks = np.frombuffer(span.view(), np.uint8).reshape(-1, kind.bytes)
    step = PIECE // kind.elements
    for first in range(0, len(blocks), step):
        yield unpack(kind, blocks[first : first + step])
