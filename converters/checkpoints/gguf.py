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
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.checkpoints.checkpoint import LARGEST_HEADER, Checkpoint
from converters.checkpoints.files import File, Span
from converters.checkpoints.gguf_blocks import BLOCK_TYPES, OTHER_TYPES, BlockType, unpack
from converters.checkpoints.tensors import Array, Decoded, Tensor, checked_shape, stored
from converters.dtypes import BY_NAME, ElementType
from converters.errors import UnsafeInput, UnsupportedError

VERSIONS = (2, 3)
ALIGNMENT = 32
SMALLEST_ALIGNMENT = 8
LONGEST_KEY = (1 << 16) - 1
LONGEST_NAME = 1 << 10
# Of tensors and of metadata; models of llama.cpp stack their experts and have a few thousand.
MOST_ENTRIES = 100_000
MOST_ARRAYS = 100_000
MOST_TEXTS = 2_000_000
DEEPEST = 4
MOST_DIMENSIONS = 8
# What is shown of the metadata: characters of a text, numbers of an array, characters of it all.
LONGEST_SHOWN = 200
MOST_SHOWN = 16
SHOWN = 1 << 20
# Elements that are unpacked at a time.
PIECE = 1 << 20
# The fewest bytes that an entry of metadata and a tensor take.
SMALLEST_ENTRY = 8 + 4 + 1
SMALLEST_TENSOR = 8 + 4 + 4 + 8

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


@dataclass(frozen=True)
class _Described:
    """What the file says of a tensor; the offset counts from the start of the data."""

    name: str
    shape: tuple[int, ...]
    number: int
    offset: int


class _Cursor:
    """A place in the description, the part of the file before the data, that moves on."""

    def __init__(self, file: File) -> None:
        self.name = file.path.name
        self.head = file.bytes(0, min(file.size, LARGEST_HEADER))
        self.at = 0
        self.arrays = self.texts = 0

    def skip(self, length: int) -> int:
        """Move on by some bytes, and say from where."""
        start, left = self.at, len(self.head) - self.at
        if length > left:
            raise UnsafeInput(
                f"{self.name}: {length} bytes at {start}, beyond the file or the largest"
                f" description of {LARGEST_HEADER} bytes; it is truncated or malformed",
                fix="fetch the file again",
            )
        self.at += length
        return start

    def take(self, form: str) -> Any:
        """A number."""
        form = "<" + form
        return struct.unpack_from(form, self.head, self.skip(struct.calcsize(form)))[0]

    def label(self, most: int) -> str:
        """A key or a name: a text that must be whole and right."""
        length = self.take("Q")
        if length > most:
            raise UnsafeInput(f"{self.name}: a name of {length} bytes at {self.at}")
        start = self.skip(length)
        try:
            return str(self.head[start : self.at], "utf-8")
        except UnicodeDecodeError:
            raise UnsafeInput(f"{self.name}: a name at {start} is not UTF-8") from None

    def text(self) -> str:
        """The beginning of a text."""
        start = self.skip(self.take("Q"))
        # A character is four bytes at most.
        raw = self.head[start : min(self.at, start + 4 * LONGEST_SHOWN + 4)]
        text = str(raw, "utf-8", "replace")
        return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."

    def skip_texts(self, count: int) -> None:
        """Move on by some texts: vocabularies have hundreds of thousands."""
        self.texts += count
        if self.texts > MOST_TEXTS:
            raise UnsafeInput(f"{self.name}: more than {MOST_TEXTS} strings of metadata")
        head, last, length_at = self.head, len(self.head) - 8, struct.Struct("<Q").unpack_from
        for _ in range(count):
            if self.at > last:
                break
            self.at += 8 + length_at(head, self.at)[0]
        else:
            self.skip(0)
            return
        self.skip(8)


def read(path: Path) -> Checkpoint:
    """Read a GGUF file.

    Raises:
        UnsafeInput: It is malformed, or tensors overlap or leave the file.
        UnsupportedError: Another version, or a file of a big-endian machine.
    """
    file = File(path)
    cursor = _Cursor(file)
    if bytes(cursor.head[:4]) != b"GGUF":
        raise UnsafeInput(f"{path.name}: no GGUF file")
    cursor.skip(4)
    version = cursor.take("I")
    if version not in VERSIONS:
        big = version.bit_length() > 16
        raise UnsupportedError(
            f"{path.name}: {'a big-endian GGUF file' if big else f'GGUF version {version}'}",
            fix="convert it with llama.cpp's own tools to version 3, little endian",
        )
    tensor_count, entry_count = cursor.take("Q"), cursor.take("Q")
    least = tensor_count * SMALLEST_TENSOR + entry_count * SMALLEST_ENTRY
    if max(tensor_count, entry_count) > MOST_ENTRIES or least > file.size - cursor.at:
        raise UnsafeInput(
            f"{path.name}: {tensor_count} tensors and {entry_count} entries of metadata"
            f" in a file of {file.size} bytes"
        )
    metadata, alignment, left_out = _metadata(cursor, entry_count)
    described = _all_described(cursor, tensor_count)
    start = -(-cursor.at // alignment) * alignment
    tensors: dict[str, Tensor] = {}
    places: list[tuple[int, int, str]] = []
    for one in described:
        where = f"{path.name}: {one.name!r}"
        if one.offset % alignment:
            raise UnsafeInput(f"{where}: its offset {one.offset} is no multiple of {alignment}")
        span = Span(file, start + one.offset, _bytes(one.number, one.shape, where))
        places.append((span.offset, span.length, one.name))
        tensors[one.name] = _tensor(one.number, one.shape, span, where)
    _refuse_overlaps(places, path.name)
    findings = (*left_out, *_findings(described))
    return Checkpoint("gguf", tensors, (path,), None, metadata, findings)


def _metadata(cursor: _Cursor, count: int) -> tuple[dict[str, Any], int, tuple[str, ...]]:
    """What is shown of the metadata, the alignment that it sets, and what was left out."""
    shown: dict[str, Any] = {}
    keys: set[str] = set()
    alignment: Any = ALIGNMENT
    room = SHOWN
    for _ in range(count):
        key = cursor.label(LONGEST_KEY)
        if key in keys:
            raise UnsafeInput(f"{cursor.name}: the key {key[:LONGEST_SHOWN]!r} stands there twice")
        keys.add(key)
        value = _value(cursor)
        if key == "general.alignment":
            alignment = value
        room -= len(key) + len(str(value))
        if room >= 0:
            shown[key] = value
    # True is an int of Python, and too small.
    whole = isinstance(alignment, int) and alignment >= SMALLEST_ALIGNMENT
    if not whole or alignment & (alignment - 1):
        raise UnsafeInput(
            f"{cursor.name}: an alignment of {alignment!r}, which must be a power of two from"
            f" {SMALLEST_ALIGNMENT} up"
        )
    hidden = len(keys) - len(shown)
    return shown, alignment, (f"{hidden} entries of metadata are not shown",) if hidden else ()


def _value(cursor: _Cursor) -> Any:
    """A value of metadata; a long one is told by its beginning or its length."""
    kind = cursor.take("I")
    if kind == TEXT:
        return cursor.text()
    if kind == ARRAY:
        return _array(cursor, 1)
    if kind not in SCALARS:
        raise UnsafeInput(f"{cursor.name}: a value of type {kind} before byte {cursor.at}")
    return cursor.take(SCALARS[kind])


def _array(cursor: _Cursor, depth: int) -> Any:
    """Numbers where they are few, else how many of what there are."""
    cursor.arrays += 1
    if depth > DEEPEST or cursor.arrays > MOST_ARRAYS:
        raise UnsafeInput(f"{cursor.name}: too many arrays in arrays before byte {cursor.at}")
    kind, count = cursor.take("I"), cursor.take("Q")
    if kind in SCALARS:
        start = cursor.skip(count * struct.calcsize("<" + SCALARS[kind]))
        if count > MOST_SHOWN:
            return f"{count} values"
        return list(struct.unpack_from(f"<{count}{SCALARS[kind]}", cursor.head, start))
    if kind == TEXT:
        cursor.skip_texts(count)
        return f"{count} strings"
    if kind != ARRAY:
        raise UnsafeInput(f"{cursor.name}: an array of type {kind} before byte {cursor.at}")
    for _ in range(count):
        _array(cursor, depth + 1)
    return f"{count} arrays"


def _all_described(cursor: _Cursor, count: int) -> list[_Described]:
    described: dict[str, _Described] = {}
    for _ in range(count):
        one = _described(cursor)
        if not one.name:
            raise UnsafeInput(f"{cursor.name}: a tensor without a name before byte {cursor.at}")
        if one.name in described:
            raise UnsafeInput(f"{cursor.name}: two tensors are called {one.name!r}")
        described[one.name] = one
    return list(described.values())


def _described(cursor: _Cursor) -> _Described:
    name = cursor.label(LONGEST_NAME)
    where = f"{cursor.name}: {name!r}"
    rank = cursor.take("I")
    if rank > MOST_DIMENSIONS:
        raise UnsafeInput(f"{where} has {rank} dimensions")
    sizes = [cursor.take("Q") for _ in range(rank)]
    return _Described(name, checked_shape(sizes[::-1], where), cursor.take("I"), cursor.take("Q"))


def _bytes(number: int, shape: tuple[int, ...], where: str) -> int:
    """Bytes of a tensor in the file; none of a type whose size nobody knows."""
    count = math.prod(shape)
    if number in PLAIN:
        return count * PLAIN[number].bytes
    if number in BLOCK_TYPES:
        elements, size = BLOCK_TYPES[number].elements, BLOCK_TYPES[number].bytes
    elif number in OTHER_TYPES:
        _, elements, size = OTHER_TYPES[number]
    else:
        return 0
    if (shape[-1] if shape else 1) % elements:
        raise UnsafeInput(f"{where}: rows of {list(shape)} are no multiple of {elements}")
    return count // elements * size


def _refuse_overlaps(places: list[tuple[int, int, str]], where: str) -> None:
    end = 0
    for begin, length, name in sorted(places):
        if begin < end and length:
            raise UnsafeInput(f"{where}: {name!r} overlaps another tensor")
        end = max(end, begin + length)


def _title(number: int) -> str:
    if number in BLOCK_TYPES:
        return BLOCK_TYPES[number].name
    return OTHER_TYPES[number][0] if number in OTHER_TYPES else f"type {number}"


def _findings(described: list[_Described]) -> Iterator[str]:
    """How many tensors are not given as they stand there, by type."""
    counts = Counter(one.number for one in described if one.number not in PLAIN)
    for number, count in counts.items():
        given = "given as float32" if number in BLOCK_TYPES else "which cannot be read"
        yield f"{count} tensors of {_title(number)}, {given}"


def _tensor(number: int, shape: tuple[int, ...], span: Span, where: str) -> Tensor:
    if number in PLAIN:
        return stored(PLAIN[number], shape, (span,), where)
    if number in BLOCK_TYPES:
        kind = BLOCK_TYPES[number]
        return Decoded(BY_NAME["float32"], shape, lambda: _pieces(span, kind), where)

    def refuse() -> Iterator[Array]:
        raise UnsupportedError(
            f"{where}: blocks of {_title(number)} cannot be read",
            fix="quantise it again with llama.cpp, to Q8_0 or F16",
        )

    return Decoded(BY_NAME["float32"], shape, refuse, where)


def _pieces(span: Span, kind: BlockType) -> Iterator[Array]:
    blocks = np.frombuffer(span.view(), np.uint8).reshape(-1, kind.bytes)
    step = PIECE // kind.elements
    for first in range(0, len(blocks), step):
        yield unpack(kind, blocks[first : first + step])
