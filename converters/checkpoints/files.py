"""A file that is read by mapping it into memory: nothing of it is copied before it is needed."""

from __future__ import annotations

import mmap
import os
import stat
import weakref
from dataclasses import dataclass
from pathlib import Path

from converters.errors import UnsafeInput, UsageError


class File:
    """An open file, mapped read-only. Closed when nothing refers to it any more.

    Attributes:
        path: Where it is.
        size: Bytes.
        descriptor: For the kernel to copy from.

    Raises:
        UsageError: There is no such file, or it is none (a folder, a device).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise UsageError(
                f"{path}: {error.strerror}", fix="name a file that is there and can be read"
            ) from error
        weakref.finalize(self, os.close, self.descriptor)
        status = os.fstat(self.descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{path}: not a file", fix="name the file itself")
        self.size = status.st_size
        # An empty file cannot be mapped.
        self._map = (
            mmap.mmap(self.descriptor, self.size, access=mmap.ACCESS_READ) if self.size else b""
        )
        self._view = memoryview(self._map)

    def bytes(self, offset: int, length: int) -> memoryview:
        """A view of some of the file.

        Args:
            offset: First byte.
            length: Bytes.

        Raises:
            UnsafeInput: It reaches beyond the file.
        """
        if offset < 0 or length < 0 or offset + length > self.size:
            raise UnsafeInput(
                f"{self.path.name}: bytes {offset} to {offset + length} of a file of"
                f" {self.size} bytes; it is truncated or malformed",
                fix="fetch the file again",
            )
        return self._view[offset : offset + length]


@dataclass(frozen=True)
class Span:
    """Some bytes of a file, within its bounds."""

    file: File
    offset: int
    length: int

    def __post_init__(self) -> None:
        self.file.bytes(self.offset, self.length)

    def view(self) -> memoryview:
        """The bytes, mapped."""
        return self.file.bytes(self.offset, self.length)

    def cut(self, start: int, length: int) -> Span:
        """A part of it."""
        return Span(self.file, self.offset + start, length)
