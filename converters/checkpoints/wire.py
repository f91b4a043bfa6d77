"""The protobuf wire format, written: fields without a schema.

Source: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

VARINT = 0
BYTES = 2


def varint(value: int) -> bytes:
    """A number of variable length, seven bits in a byte, the lowest first."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def number(field: int, value: int) -> bytes:
    """A field that is a number."""
    return varint(field << 3 | VARINT) + varint(value)


def open_bytes(field: int, length: int) -> bytes:
    """The head of a field of bytes; `length` bytes must follow."""
    return varint(field << 3 | BYTES) + varint(length)


def string(field: int, value: str) -> bytes:
    """A field of text."""
    return message(field, value.encode())


def message(field: int, content: bytes) -> bytes:
    """A field of bytes: a message within a message."""
    return open_bytes(field, len(content)) + content
