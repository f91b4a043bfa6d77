"""What every writer needs: a file that appears whole or not at all, and the bytes of an array."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from converters.errors import UsageError

Tensors: TypeAlias = Mapping[str, npt.NDArray[Any]]

# Halves of characters: a Python string may hold them, UTF-8 cannot.
SURROGATES = re.compile("[\ud800-\udfff]")


@contextmanager
def placed(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`; flush it to disk and rename it when the block succeeds.

    Raises:
        OSError: The disk is full, or the folder is missing or not writable; nothing is left behind.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb", buffering=1 << 20) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read; give what open() would have given.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """A rename is on disk only once its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def raw(array: npt.NDArray[Any]) -> memoryview:
    """The elements in row-major order, little endian, as bytes; a view where they are so already."""
    # ml_dtypes types (2) have one byte order, this machine's, and refuse to be given another.
    little = array.dtype if array.dtype.isbuiltin == 2 else array.dtype.newbyteorder("<")
    return np.ascontiguousarray(array, dtype=little).reshape(-1).view(np.uint8).data


def refuse_names(tensors: Tensors, reserved: frozenset[str], form: str) -> None:
    """Refuse names that a format keeps for itself, empty ones, and ones that are not Unicode text.

    Raises:
        UsageError: Names the first such name.
    """
    for name in tensors:
        if not name or name in reserved or SURROGATES.search(name):
            raise UsageError(f"{form}: {name!r} cannot name a tensor", fix="rename the tensor")
