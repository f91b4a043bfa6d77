"""What every writer needs: a file that appears whole or not at all, and tensors copied into it."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from converters.checkpoints.files import Span
from converters.checkpoints.tensors import BLOCK_BYTES, Tensor
from converters.errors import UsageError

Bytes: TypeAlias = "bytes | bytearray | memoryview"
# Bytes of a file, for the kernel to copy, or in memory.
Piece: TypeAlias = "Span | memoryview"

# Halves of characters: a Python string may hold them, UTF-8 cannot.
SURROGATES = re.compile("[\ud800-\udfff]")
# The kernel copies at most 2 GiB at a time.
LARGEST_COPY = 1 << 30
# Answers of a file system that cannot copy within the kernel.
NO_KERNEL_COPY = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM}
)


class Output:
    """A file that is written from its beginning to its end.

    Attributes:
        position: Bytes written so far.
    """

    def __init__(self, descriptor: int) -> None:
        self.position = 0
        self._descriptor = descriptor
        self._small = bytearray()

    def write(self, data: Bytes) -> None:
        """Append bytes; short ones wait for others."""
        size = memoryview(data).nbytes
        self.position += size
        if len(self._small) + size <= 1 << 16:
            self._small += data
            return
        self.flush()
        _write_all(self._descriptor, memoryview(data).cast("B"))

    def pad(self, alignment: int) -> None:
        """Append zeros up to a multiple of `alignment`."""
        self.write(bytes(-self.position % alignment))

    def tensor(self, tensor: Tensor) -> None:
        """Append the elements of a tensor, row-major and little endian; the kernel copies where it can.

        Raises:
            UnsafeInput: What they are decoded from is malformed.
        """
        for piece in pieces(tensor):
            self.piece(piece)

    def piece(self, piece: Piece) -> None:
        """Append bytes, wherever they are."""
        if isinstance(piece, Span):
            self._copy(piece)
        else:
            self.write(piece)

    def patch(self, offset: int, data: bytes) -> None:
        """Replace bytes that were written before."""
        self.flush()
        os.pwrite(self._descriptor, data, offset)

    def flush(self) -> None:
        """Hand what waits to the kernel."""
        small, self._small = self._small, bytearray()
        _write_all(self._descriptor, memoryview(small))

    def finish(self) -> None:
        """Hand over what waits; a hole at the end is a part of the file too."""
        self.flush()
        os.ftruncate(self._descriptor, self.position)

    def _copy(self, span: Span) -> None:
        if span.length <= 1 << 14:
            self.write(span.view())
            return
        self.flush()
        for start, length, is_hole in _runs(span):
            if is_hole:
                os.lseek(self._descriptor, length, os.SEEK_CUR)
            else:
                self._copy_run(span, start, length)
        self.position += span.length

    def _copy_run(self, span: Span, start: int, length: int) -> None:
        done = 0
        while done < length:
            try:
                copied = os.copy_file_range(
                    span.file.descriptor,
                    self._descriptor,
                    min(length - done, LARGEST_COPY),
                    span.offset + start + done,
                )
            except AttributeError:
                copied = 0
            except OSError as error:
                if error.errno not in NO_KERNEL_COPY:
                    raise
                copied = 0
            if not copied:
                _write_all(self._descriptor, span.view()[start + done : start + length])
                break
            done += copied


def pieces(tensor: Tensor) -> Iterator[Piece]:
    """The elements of a tensor, row-major and little endian: parts of files where that is what they are."""
    if tensor.spans is not None:
        yield from tensor.spans
        return
    for block in tensor.blocks():
        yield as_bytes(block)


def sliced(tensor: Tensor, most: int) -> Iterator[tuple[int, Iterator[Piece]]]:
    """The elements of a tensor in slices of `most` bytes, the last one shorter; each with its size.

    A slice is to be used up before the next is asked for.
    """
    waiting = list[Piece]()
    source = pieces(tensor)

    def part(size: int) -> Iterator[Piece]:
        while size:
            piece = waiting.pop() if waiting else next(source)
            length = piece.length if isinstance(piece, Span) else piece.nbytes
            if length > size:
                waiting.append(_cut(piece, size, length - size))
                piece, length = _cut(piece, 0, size), size
            size -= length
            yield piece

    for start in range(0, tensor.nbytes, most):
        size = min(most, tensor.nbytes - start)
        yield size, part(size)


def _cut(piece: Piece, start: int, length: int) -> Piece:
    return piece.cut(start, length) if isinstance(piece, Span) else piece[start : start + length]


def _runs(span: Span) -> Iterator[tuple[int, int, bool]]:
    """Parts of a span: where they begin, their bytes, and whether they are a hole of a sparse file."""
    at, end = span.offset, span.offset + span.length
    while at < end:
        try:
            hole = os.lseek(span.file.descriptor, at, os.SEEK_HOLE)
            data = at if hole > at else os.lseek(span.file.descriptor, at, os.SEEK_DATA)
        except OSError as error:
            # No data from here to the end of the file, or a file system that knows no holes.
            hole, data = (end, end) if error.errno == errno.ENXIO else (end, at)
        until = min(end, hole if data == at else data)
        yield at - span.offset, until - at, data != at
        at = until


def _write_all(descriptor: int, data: memoryview) -> None:
    while data.nbytes:
        data = data[os.write(descriptor, data[: BLOCK_BYTES * 4]) :]


@contextmanager
def placed(path: Path) -> Iterator[Output]:
    """Open a temporary file beside `path`; rename it when the block succeeds.

    It is not forced to disk: like the result of a compiler or of `cp`, it can be made again. Who must
    survive a power cut (the zoo's store) syncs what it takes in.

    Raises:
        OSError: The disk is full, or the folder is missing or not writable; nothing is left behind.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        try:
            output = Output(descriptor)
            yield output
            output.finish()
            # mkstemp makes files that only their owner can read; give what open() would have given.
            umask = os.umask(0)
            os.umask(umask)
            os.fchmod(descriptor, 0o666 & ~umask)
        finally:
            os.close(descriptor)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def as_bytes(array: npt.NDArray[Any]) -> memoryview:
    """The elements in row-major order, little endian, as bytes; a view where they are so already."""
    # ml_dtypes types (2) have one byte order, this machine's, and refuse to be given another.
    little = array.dtype if array.dtype.isbuiltin == 2 else array.dtype.newbyteorder("<")
    return np.ascontiguousarray(array, dtype=little).reshape(-1).view(np.uint8).data


def refuse_names(names: Iterable[str], reserved: frozenset[str], form: str) -> None:
    """Refuse names that a format keeps for itself, empty ones, and ones that are not Unicode text.

    Raises:
        UsageError: Names the first such name.
    """
    for name in names:
        if not name or name in reserved or SURROGATES.search(name):
            raise UsageError(f"{form}: {name!r} cannot name a tensor", fix="rename the tensor")
