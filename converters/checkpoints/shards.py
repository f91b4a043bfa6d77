"""A checkpoint in several files, which an index lists: `{"weight_map": {tensor: file}, "metadata": {...}}`.

transformers calls it `model.safetensors.index.json` or `pytorch_model.bin.index.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from converters.checkpoints.beside import beside
from converters.checkpoints.checkpoint import LARGEST_HEADER, Checkpoint
from converters.checkpoints.files import File
from converters.checkpoints.placing import placed
from converters.checkpoints.tensors import Tensor, Tensors, as_tensor
from converters.errors import UnsafeInput

SUFFIX = ".index.json"
MOST_SHARDS = 10_000


def read_sharded(path: Path, open_one: Callable[[Path], Checkpoint]) -> Checkpoint:
    """Read the tensors that an index lists.

    Args:
        path: The index.
        open_one: What opens a single file.

    Raises:
        UnsafeInput: The index is malformed, leads out of its folder, or lists what is not there.
        UnsupportedError: A shard cannot be read.
    """
    file = File(path)
    if file.size > LARGEST_HEADER:
        raise UnsafeInput(f"{path.name}: an index of {file.size} bytes")
    try:
        said = json.loads(bytes(file.bytes(0, file.size)))
        listed = said["weight_map"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnsafeInput(f"{path.name}: no index of shards: {error}") from error
    if not isinstance(listed, dict) or not all(isinstance(name, str) for name in listed.values()):
        raise UnsafeInput(f"{path.name}: weight_map is no map from tensors to files")
    names = list(dict.fromkeys(listed.values()))
    if len(names) > MOST_SHARDS:
        raise UnsafeInput(f"{path.name}: {len(names)} shards")
    shards = {name: open_one(beside(path.parent, name, path.name)) for name in names}
    tensors: dict[str, Tensor] = {}
    for tensor, name in listed.items():
        if tensor not in shards[name].tensors:
            raise UnsafeInput(
                f"{path.name}: {tensor!r} is not in {name}", fix="fetch index and shards again"
            )
        tensors[tensor] = shards[name].tensors[tensor]
    formats = {shard.format for shard in shards.values()}
    if len(formats) > 1:
        raise UnsafeInput(f"{path.name}: shards of different formats: {', '.join(sorted(formats))}")
    extra = [
        f"{name}: {tensor!r} is not in the index and was left out"
        for name, shard in shards.items()
        for tensor in shard.tensors
        if listed.get(tensor) != name
    ]
    first = next(iter(shards.values()), None)
    found = [finding for shard in shards.values() for finding in shard.findings]
    return Checkpoint(
        first.format if first else "safetensors",
        tensors,
        (path, *(part for shard in shards.values() for part in shard.files)),
        first.framework if first else None,
        first.metadata if first else {},
        (f"{len(names)} shards", *found, *extra),
    )


def write_sharded(
    path: Path,
    tensors: Tensors,
    write: Callable[[Path, Mapping[str, Tensor]], None],
    most: int,
) -> list[Path]:
    """Write tensors into files of at most `most` bytes, and an index beside them.

    Args:
        path: What the file would be called if it were one.
        tensors: By name.
        write: What writes a single file.
        most: Bytes of tensors in a file; a larger tensor has a file of its own.

    Returns:
        The files; the one file alone if all fits into it.
    """
    given = {name: as_tensor(tensor) for name, tensor in tensors.items()}
    parts = list(_parts(given, most))
    if len(parts) <= 1:
        write(path, given)
        return [path]
    files = [
        path.with_name(f"{path.stem}-{index:05}-of-{len(parts):05}{path.suffix}")
        for index in range(1, len(parts) + 1)
    ]
    for file, part in zip(files, parts, strict=True):
        write(file, part)
    index = path.with_name(path.name + SUFFIX)
    listed: dict[str, Any] = {
        "metadata": {"total_size": sum(tensor.nbytes for tensor in given.values())},
        "weight_map": {
            name: file.name for file, part in zip(files, parts, strict=True) for name in part
        },
    }
    with placed(index) as output:
        output.write(json.dumps(listed, indent=2, ensure_ascii=False).encode() + b"\n")
    return [*files, index]


def _parts(tensors: Mapping[str, Tensor], most: int) -> Iterator[dict[str, Tensor]]:
    part: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        if part and size + tensor.nbytes > most:
            yield part
            part, size = {}, 0
        part[name] = tensor
        size += tensor.nbytes
    if part:
        yield part
