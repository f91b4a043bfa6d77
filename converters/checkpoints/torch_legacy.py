"""PyTorch's checkpoints before 1.6: pickles and bytes one after the other; and before 0.1.10: a tar archive.

    pickle  119547037146038801333356 (the magic number)
    pickle  1001 (the version)
    pickle  {"protocol_version", "little_endian", "type_sizes"}
    pickle  the object; storages are persistent ids
    pickle  [storage keys]
    then, for every key: int64 count of elements, and the bytes

A tar archive has the members `storages`, `tensors` and `pickle`: pickles as well, with bytes between them.

Source: torch/serialization.py (`_legacy_save`, `_legacy_load`) of torch 2.13.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from converters.checkpoints.checkpoint import MOST_TENSORS, Checkpoint
from converters.checkpoints.files import File, Span
from converters.checkpoints.pickled_numpy import Unreadable
from converters.checkpoints.pickled_torch import (
    STORAGE_TYPES,
    TORCH,
    Elements,
    PickledStorage,
    storages,
    tensor_over,
)
from converters.checkpoints.pickles import PLAIN, Call, Global, Named, Pickle, read_pickle
from converters.checkpoints.state_dict import choose
from converters.errors import UnsafeInput, UnsupportedError

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
# The magic number as a pickle says it, after the operation that says the protocol.
MAGIC_BYTES = b"\x8a\x0a" + MAGIC.to_bytes(10, "little") + b"."
TAR_MAGIC = b"ustar"
MOST_MEMBERS = 64
MOST_DIMENSIONS = 64


def read_torch_legacy(path: Path, key: str | None = None) -> Checkpoint:
    """Read a checkpoint as PyTorch wrote it before 1.6, or without its zip format since.

    Args:
        path: The file.
        key: Where in it the weights are, as names joined with dots; None to find out.

    Raises:
        UnsafeInput: It is malformed, or its pickle names what no checkpoint needs.
        UnsupportedError: Another version; tensors that are no plain arrays; no tensors.
    """
    file = File(path)
    at = 0
    heads: list[Any] = []
    for _ in range(3):
        head = read_pickle(file, at, file.size, PLAIN)
        heads.append(head.value)
        at = head.end
    if heads[0] != MAGIC:
        raise UnsafeInput(f"{path.name}: not a checkpoint of PyTorch")
    if heads[1] != VERSION:
        raise UnsupportedError(f"{path.name}: version {heads[1]!r} of PyTorch's old format")
    # Where the storages are is said after the pickle that names them, so it is read twice.
    sizes: dict[str, int] = {}
    first = read_pickle(file, at, file.size, TORCH, _noting(file, sizes))
    places = _storage_places(file, first.end, sizes)
    read = read_pickle(file, at, file.size, TORCH, storages(lambda key, nbytes: places[key]))
    chosen = choose(read.value, path.name, key)
    return Checkpoint(
        "torch-legacy", chosen.tensors, (path,), "pytorch", chosen.metadata, chosen.findings
    )


def _noting(file: File, sizes: dict[str, int]) -> Call:
    """What only notes which storages there are, with their bytes."""

    def note(key: str, nbytes: int) -> Span:
        if sizes.setdefault(key, nbytes) != nbytes:
            raise UnsafeInput(f"{file.path.name}: two sizes of storage {key}")
        return Span(file, 0, 0)

    find = storages(note)

    def noted(pid: Any) -> Unreadable:
        find(pid)
        return Unreadable("not read yet")

    return noted


def _storage_places(file: File, at: int, sizes: Mapping[str, int]) -> dict[str, Span]:
    """The bytes of every storage, from the list of their keys on."""
    listed = read_pickle(file, at, file.size, PLAIN)
    keys, at = listed.value, listed.end
    name = file.path.name
    if not isinstance(keys, list) or len(keys) > MOST_TENSORS:
        raise UnsafeInput(f"{name}: no list of storages")
    places: dict[str, Span] = {}
    for key in map(str, keys):
        if key not in sizes:
            raise UnsafeInput(f"{name}: a storage {key} that no tensor names")
        count = int.from_bytes(file.bytes(at, 8), "little")
        if sizes[key] and (count == 0 or sizes[key] % count):
            raise UnsafeInput(f"{name}: storage {key} has {count} elements in {sizes[key]} bytes")
        places[key] = Span(file, at + 8, sizes[key])
        at += 8 + sizes[key]
    if missing := set(sizes) - set(places):
        raise UnsafeInput(f"{name}: storage {min(missing)} is not in the file")
    return places


def read_torch_tar(path: Path, key: str | None = None) -> Checkpoint:
    """Read a checkpoint as PyTorch wrote it before 0.1.10.

    Raises:
        UnsafeInput: It is malformed, or its pickles name what no checkpoint needs.
        UnsupportedError: Tensors that are no plain arrays; no tensors.
    """
    file = File(path)
    parts = _tar_members(file)
    objects = _tar_storages(file, parts["storages"])
    objects |= _tar_tensors(file, parts["tensors"], objects)

    def find(pid: Any) -> Any:
        # A module's class comes with its source: (object, source file, source).
        return pid[0] if isinstance(pid, tuple) else objects[int(pid)]

    span = parts["pickle"]
    read = read_pickle(file, span.offset, span.offset + span.length, _TAR, find)
    chosen = choose(read.value, path.name, key)
    return Checkpoint(
        "torch-tar", chosen.tensors, (path,), "pytorch", chosen.metadata, chosen.findings
    )


def _tar_members(file: File) -> dict[str, Span]:
    found: dict[str, Span] = {}
    try:
        with tarfile.open(file.path, "r:") as archive:
            for _ in range(MOST_MEMBERS):
                member = archive.next()
                if member is None:
                    break
                if member.isreg() and not member.issparse():
                    found[member.name.removeprefix("./")] = Span(
                        file, member.offset_data, member.size
                    )
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise UnsafeInput(f"{file.path.name}: a broken tar archive: {error}") from error
    if missing := {"storages", "tensors", "pickle"} - set(found):
        raise UnsafeInput(f"{file.path.name}: a tar archive without {', '.join(sorted(missing))}")
    return found


class _Run:
    """Pickles and bytes that follow each other within a span."""

    def __init__(self, file: File, span: Span, allowed: Mapping[Global, Call]) -> None:
        self.file, self.at, self.end = file, span.offset, span.offset + span.length
        self.allowed = allowed

    def pickle(self) -> Any:
        read: Pickle = read_pickle(self.file, self.at, self.end, self.allowed)
        self.at = read.end
        return read.value

    def numbers(self, count: int) -> tuple[int, ...]:
        data = bytes(self.file.bytes(self.at, 8 * count))
        self.at += 8 * count
        return tuple(
            int.from_bytes(data[i : i + 8], "little", signed=True) for i in range(0, 8 * count, 8)
        )

    def count(self) -> int:
        count = self.pickle()
        if not isinstance(count, int) or not 0 <= count <= MOST_TENSORS:
            raise UnsafeInput(f"{self.file.path.name}: {count!r} is no number of tensors")
        return count


def _tar_storages(file: File, span: Span) -> dict[int, Any]:
    run = _Run(file, span, _TAR)
    found: dict[int, Any] = {}
    for _ in range(run.count()):
        described = run.pickle()
        if not isinstance(described, tuple) or len(described) != 3:
            raise UnsafeInput(f"{file.path.name}: a storage without key or type")
        key, _, storage_type = described
        elements = storage_type.call() if isinstance(storage_type, Named) else None
        if not isinstance(elements, Elements) or elements.kind is None:
            raise UnsupportedError(f"{file.path.name}: a storage of a type that cannot be read")
        (count,) = run.numbers(1)
        data = Span(file, run.at, count * elements.kind.bytes)
        run.at += data.length
        found[int(key)] = PickledStorage(str(key), elements, data.length, data)
    views = run.pickle()
    for target, root, offset, count in views if isinstance(views, list) else ():
        whole = found[int(root)]
        width = whole.elements.kind.bytes
        if not 0 <= offset <= offset + count <= whole.nbytes // width:
            raise UnsafeInput(f"{file.path.name}: a part beyond the end of storage {root}")
        found[int(target)] = PickledStorage(
            whole.key, whole.elements, count * width, whole.data, offset * width
        )
    return found


def _tar_tensors(file: File, span: Span, stored: Mapping[int, Any]) -> dict[int, Any]:
    run = _Run(file, span, _TAR)
    found: dict[int, Any] = {}
    for _ in range(run.count()):
        described = run.pickle()
        if not isinstance(described, tuple) or len(described) != 3:
            raise UnsafeInput(f"{file.path.name}: a tensor without key or storage")
        key, storage, _ = described
        # The upper half of this number is not set by every version.
        rank = run.numbers(1)[0] & 0xFFFFFFFF
        if rank > MOST_DIMENSIONS:
            raise UnsafeInput(f"{file.path.name}: a tensor of {rank} dimensions")
        shape, strides, (offset,) = run.numbers(rank), run.numbers(rank), run.numbers(1)
        found[int(key)] = tensor_over(stored[int(storage)], None, offset, shape, strides, None)
    return found


def _tensor_class(*arguments: Any) -> Any:
    raise TypeError("a call of a class of tensors")


_TAR: Mapping[Global, Call] = {
    **TORCH,
    **{
        (place, storage.replace("Storage", "Tensor")): _tensor_class
        for place in ("torch", "torch.cuda")
        for storage in STORAGE_TYPES
    },
}
