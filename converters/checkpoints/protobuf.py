"""The protobuf wire format, read without a schema: fields one after the other, nothing copied.

A message is a run of fields; a field is a tag (number and wire type, one varint) and a value. Readers pick
the fields that they know by number::

    for field in fields(file.bytes(0, file.size), "model.onnx"):
        if field.number == 7:
            for inner in fields(whole, "graph", field.start, field.end): ...

Positions always count from the beginning of the view, however deep the message is nested: with the view of
a whole file they are offsets into the file, which is what a `Span` wants.

Refused as malformed: what reaches beyond its message, varints of more than ten bytes or 64 bits, field
numbers out of range, groups (no format here has them), and more than a million fields.

Source: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from converters.errors import UnsafeInput

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WIRE_NAMES = {VARINT: "a varint", FIXED64: "64 bits", BYTES: "bytes", FIXED32: "32 bits"}
FIXED_BYTES = {FIXED64: 8, FIXED32: 4}

LONGEST_VARINT = 10
LARGEST_NUMBER = (1 << 29) - 1
# Of one message, or of all that share a budget. More would keep a reader busy for long.
MOST_FIELDS = 1_000_000
# Bytes of packed numbers that are decoded at a time; each becomes eight bytes at most.
PACKED_BYTES = 1 << 19


class Field(NamedTuple):
    """A field of a message.

    Attributes:
        number: Which one it is.
        wire: Wire type: `VARINT`, `FIXED64`, `BYTES` or `FIXED32`.
        value: The number, unsigned; of `BYTES` how many they are.
        start: Where its value begins in the view; of `BYTES` behind their length.
        end: Where its value ends in the view.
    """

    number: int
    wire: int
    value: int
    start: int
    end: int


def fields(
    view: memoryview,
    where: str,
    start: int = 0,
    end: int | None = None,
    budget: Iterator[int] | None = None,
) -> Iterator[Field]:
    """The fields of a message, in order.

    Args:
        view: Bytes that hold the message.
        where: What it is called in errors.
        start: Where the message begins in the view.
        end: Where it ends; else with the view.
        budget: Each field takes one from it; `iter(range(n))`, shared by nested messages, bounds them all.

    Raises:
        UnsafeInput: The message is malformed, or has more fields than the budget.
    """
    end = view.nbytes if end is None else end
    budget = iter(range(MOST_FIELDS)) if budget is None else budget
    position = start
    while position < end:
        if next(budget, None) is None:
            raise UnsafeInput(f"{where}: too many fields, at byte {position}")
        begin = position
        tag, position = varint(view, position, end, where)
        number, wire = tag >> 3, tag & 7
        if not 1 <= number <= LARGEST_NUMBER:
            raise UnsafeInput(f"{where}: {number} is not the number of a field, at byte {begin}")
        first = position
        if wire == VARINT:
            value, position = varint(view, position, end, where)
        elif wire == BYTES:
            value, first = varint(view, position, end, where)
            position = first + value
        elif wire in FIXED_BYTES:
            position = first + FIXED_BYTES[wire]
            value = int.from_bytes(view[first : min(position, end)], "little")
        else:
            raise UnsafeInput(f"{where}: field {number} has wire type {wire}, at byte {begin}")
        if position > end:
            raise UnsafeInput(
                f"{where}: field {number} reaches to byte {position} of {end}; it is truncated or"
                " malformed"
            )
        yield Field(number, wire, value, first, position)


def varint(view: memoryview, position: int, end: int, where: str) -> tuple[int, int]:
    """An unsigned number of variable length.

    Returns:
        The number, and the position behind it.

    Raises:
        UnsafeInput: It is cut off, or longer than ten bytes or 64 bits.
    """
    if position < end and view[position] < 0x80:
        # Most are one byte.
        return view[position], position + 1
    value = 0
    for shift in range(0, 7 * LONGEST_VARINT, 7):
        if position >= end:
            raise UnsafeInput(f"{where}: cut off within a number, at byte {end}")
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, position
    raise UnsafeInput(f"{where}: a number of more than 64 bits, before byte {position}")


def signed(value: int, bits: int = 64) -> int:
    """An `int64`, `int32` or enum from its unsigned varint, which is always extended to 64 bits."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def expect(field: Field, wire: int, where: str) -> Field:
    """The field, if it is of the wire type that the schema says.

    Raises:
        UnsafeInput: It is of another.
    """
    if field.wire != wire:
        raise UnsafeInput(
            f"{where}: field {field.number} is {WIRE_NAMES[field.wire]}, not {WIRE_NAMES[wire]}"
        )
    return field


def text(view: memoryview, field: Field, where: str, most: int = 1 << 16) -> str:
    """A field of text.

    Raises:
        UnsafeInput: It is no text, or longer than `most` bytes.
    """
    expect(field, BYTES, where)
    if field.value > most:
        raise UnsafeInput(f"{where}: field {field.number} is a text of {field.value} bytes")
    try:
        return str(view[field.start : field.end], "utf-8")
    except UnicodeDecodeError as error:
        raise UnsafeInput(f"{where}: field {field.number} is not UTF-8 text") from error


def numbers(view: memoryview, field: Field, where: str) -> Iterator[int]:
    """Elements of a repeated varint field: several if they are packed, else one; unsigned.

    Raises:
        UnsafeInput: They are malformed.
    """
    if field.wire == VARINT:
        yield field.value
        return
    expect(field, BYTES, where)
    position = field.start
    while position < field.end:
        value, position = varint(view, position, field.end, where)
        yield value


def packed(view: memoryview, where: str = "packed numbers") -> Iterator[npt.NDArray[np.uint64]]:
    """Packed varints in pieces of at most some MiB; `.view(numpy.int64)` makes them signed.

    For many of them: `numbers` is for the dimensions of a tensor, this is for its elements.

    Raises:
        UnsafeInput: A number is cut off, or longer than ten bytes or 64 bits.
    """
    data = np.frombuffer(view, np.uint8)
    begin = 0
    while begin < data.size:
        piece = data[begin : begin + PACKED_BYTES]
        ends = np.flatnonzero(piece < 0x80) + 1
        starts = np.concatenate([[0], ends[:-1]])
        lengths = ends - starts if ends.size else np.array([piece.size])
        if lengths.max() > LONGEST_VARINT:
            raise UnsafeInput(f"{where}: a number of more than ten bytes")
        if not ends.size:
            raise UnsafeInput(f"{where}: cut off within a number")
        longest = starts[lengths == LONGEST_VARINT]
        if (piece[longest + LONGEST_VARINT - 1] > 1).any():
            raise UnsafeInput(f"{where}: a number of more than 64 bits")
        piece = piece[: ends[-1]]
        shifts = (np.arange(piece.size) - np.repeat(starts, lengths)).astype(np.uint64)
        parts = (piece & 0x7F).astype(np.uint64) << (shifts * np.uint64(7))
        yield np.bitwise_or.reduceat(parts, starts)
        begin += piece.size
