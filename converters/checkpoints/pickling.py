"""Pickles that are written, operation by operation.

`pickle.Pickler` would copy every tensor, write other bytes when two equal names are one object, and (with
numpy 2) name functions that older numpy lacks. Source of the operations: Lib/pickletools.py of CPython.
"""

from __future__ import annotations

import pickle
from typing import TypeAlias

Plain: TypeAlias = "str | bytes | bool | int | tuple[Plain, ...] | None"


def plain(value: Plain) -> bytes:
    """The operations that push a value, in protocol 2 (bytes: 3)."""
    if isinstance(value, tuple):
        return pickle.MARK + b"".join(map(plain, value)) + pickle.TUPLE
    if isinstance(value, str):
        text = value.encode()
        return pickle.BINUNICODE + len(text).to_bytes(4, "little") + text
    if isinstance(value, bytes):
        return pickle.BINBYTES + len(value).to_bytes(4, "little") + value
    if value is None:
        return pickle.NONE
    if isinstance(value, bool):
        return pickle.NEWTRUE if value else pickle.NEWFALSE
    if 0 <= value < 1 << 8:
        return pickle.BININT1 + value.to_bytes(1, "little")
    number = value.to_bytes(9, "little", signed=True)
    return pickle.LONG1 + bytes([len(number)]) + number


def named(module: str, name: str) -> bytes:
    """The operations that push a name of a module, in protocol 2."""
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def remember(index: int) -> bytes:
    """The operation that keeps what is on the top of the stack."""
    return pickle.LONG_BINPUT + index.to_bytes(4, "little")


def recall(index: int) -> bytes:
    """The operation that pushes what was kept."""
    return pickle.LONG_BINGET + index.to_bytes(4, "little")
