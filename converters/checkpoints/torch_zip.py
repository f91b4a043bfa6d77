"""PyTorch's zip checkpoints (.pt .pth .bin .ckpt): a pickle, and one member for each storage.

    NAME/data.pkl       the pickle; storages are persistent ids
    NAME/byteorder      `little` or `big` (absent before torch 2.1: little)
    NAME/data/KEY       the bytes of a storage, stored, at a multiple of 64
    NAME/version        `3`

Tensors that share a storage share it in what we write, as views with the same offsets and strides.

Source: torch/serialization.py (`_save`, `_load`) of torch 2.13.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from converters.checkpoints.checkpoint import LARGEST_HEADER, Checkpoint
from converters.checkpoints.files import File, Span
from converters.checkpoints.pickled_torch import (
    STORAGE_TYPES,
    TORCH,
    UNTYPED,
    ScriptNames,
    SwappedSpan,
    storages,
)
from converters.checkpoints.pickles import read_pickle
from converters.checkpoints.pickling import named, plain
from converters.checkpoints.placing import placed, refuse_names
from converters.checkpoints.state_dict import WHOLE, choose
from converters.checkpoints.tensors import (
    Array,
    Storage,
    Tensor,
    Tensors,
    Viewed,
    as_tensor,
    gathered,
)
from converters.checkpoints.zips import STORED, Archive, Member, read_directory
from converters.errors import UnsafeInput, UnsupportedError

ALIGNMENT = 64
PICKLE = "data.pkl"
STORAGE_OF = {elements: storage for storage, elements in STORAGE_TYPES.items()}


def read_torch_zip(path: Path, key: str | None = None) -> Checkpoint:
    """Read a zip checkpoint of PyTorch.

    Args:
        path: The file.
        key: Where in it the weights are, as names joined with dots; None to find out.

    Raises:
        UnsafeInput: It is malformed, or its pickle names what no checkpoint needs.
        UnsupportedError: Tensors that are no plain arrays; no tensors.
    """
    file = File(path)
    members = read_directory(file)
    pickles = [name for name in members if name == PICKLE or name.endswith(f"/{PICKLE}")]
    if len(pickles) != 1:
        raise UnsafeInput(f"{path.name}: {len(pickles)} pickles where one is expected")
    prefix = pickles[0].removesuffix(PICKLE)
    script = any(name.startswith(f"{prefix}code/") for name in members)
    order = members.get(f"{prefix}byteorder")
    swapped = order is not None and order.read(16) == b"big"
    member = members[pickles[0]]
    if member.method != STORED or member.size > LARGEST_HEADER:
        raise UnsafeInput(f"{path.name}: {member.name} is compressed, or has {member.size} bytes")
    span = member.data
    fetch = _fetch(members, prefix, swapped, path.name)
    allowed = ScriptNames(TORCH) if script else TORCH
    read = read_pickle(file, span.offset, span.offset + span.length, allowed, storages(fetch))
    chosen = choose(read.value, path.name, WHOLE if script and key is None else key)
    return Checkpoint(
        "torch",
        chosen.tensors,
        (path,),
        framework="pytorch",
        metadata={**chosen.metadata, **({"byteorder": "big"} if swapped else {})},
        findings=(
            *chosen.findings,
            *(["a TorchScript program: its tensors only"] if script else []),
        ),
    )


def _fetch(
    members: Mapping[str, Member], prefix: str, swapped: bool, file: str
) -> Callable[[str, int], Span | Callable[[], Array]]:
    def fetch(key: str, nbytes: int) -> Span | Callable[[], Array]:
        member = members.get(f"{prefix}data/{key}")
        if member is None:
            raise UnsafeInput(f"{file}: storage {key} is not in the archive")
        if member.size < nbytes:
            raise UnsafeInput(f"{file}: storage {key} has {member.size} of {nbytes} bytes")
        data = member.data
        if member.method != STORED:
            if swapped:
                raise UnsupportedError(f"{file}: compressed, and of a big-endian machine")
            return lambda: gathered(member.pieces(), member.size)
        return (SwappedSpan if swapped else Span)(data.file, data.offset, nbytes)

    return fetch


def write_torch_zip(path: Path, tensors: Tensors) -> None:
    """Write tensors so that `torch.load(path, weights_only=True)` gives them by name.

    Args:
        path: The file to write; a file that is there is replaced in one step.
        tensors: Tensors by name, of any memory layout and byte order.

    Raises:
        UnsupportedError: An element type that torch lacks.
        UsageError: A tensor has no name, or one that is no text.
    """
    refuse_names(tensors, frozenset(), "PyTorch checkpoint")
    plan = {name: as_tensor(tensor) for name, tensor in tensors.items()}
    for name, tensor in plan.items():
        if tensor.kind.torch is None or tensor.kind.bits < 8:
            raise UnsupportedError(
                f"PyTorch checkpoints have no element type for {tensor.kind.name} (tensor {name!r})",
                fix="give --dtype, or write another format",
            )
    shared = _shared(plan)
    described: list[bytes] = []
    bodies: list[Tensor] = []
    keys: dict[Any, int] = {}
    for name, tensor in plan.items():
        storage = tensor.storage
        if storage is not None and storage.key in shared:
            index = keys.setdefault(storage.key, len(bodies))
            if index == len(bodies):
                bodies.append(Viewed(storage.data))
            described.append(_described(name, tensor, index, storage.data.size, storage))
        else:
            described.append(_described(name, tensor, len(bodies), tensor.size, None))
            bodies.append(tensor)
    root = path.name.partition(".")[0] or "archive"
    with placed(path) as output:
        archive = Archive(output, ALIGNMENT)
        archive.add(f"{root}/{PICKLE}", _pickle(described))
        archive.add(f"{root}/byteorder", b"little")
        for index, body in enumerate(bodies):
            archive.add(f"{root}/data/{index}", body)
        archive.add(f"{root}/version", b"3\n")
        archive.close()


def _shared(tensors: Mapping[str, Tensor]) -> set[Any]:
    """Storages that more than one tensor looks at; one that is looked at once is written compactly."""
    seen: set[Any] = set()
    twice: set[Any] = set()
    for tensor in tensors.values():
        if tensor.storage is not None:
            (twice if tensor.storage.key in seen else seen).add(tensor.storage.key)
    return twice


def _pickle(described: list[bytes]) -> bytes:
    entries = pickle.MARK + b"".join(described) + pickle.SETITEMS
    return pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + entries + pickle.STOP


def _described(name: str, tensor: Tensor, index: int, count: int, storage: Storage | None) -> bytes:
    """A name, and a call that makes its tensor."""
    kind = tensor.kind
    typed = STORAGE_OF.get(kind.torch or "")
    persistent = (
        pickle.MARK
        + plain("storage")
        + (named("torch", typed) if typed else named("torch.storage", UNTYPED))
        + plain(str(index))
        + plain("cpu")
        + plain(count if typed else count * kind.bytes)
        + pickle.TUPLE
        + pickle.BINPERSID
    )
    strides = _strides(tensor.shape) if storage is None else storage.strides
    hooks = named("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    arguments = (
        persistent
        + plain(storage.offset if storage else 0)
        + plain(tensor.shape)
        + plain(strides)
        + pickle.NEWFALSE
        + hooks
    )
    if typed:
        call = named("torch._utils", "_rebuild_tensor_v2")
    else:
        call = named("torch._utils", "_rebuild_tensor_v3")
        arguments += named("torch", str(kind.torch))
    return plain(name) + call + pickle.MARK + arguments + pickle.TUPLE + pickle.REDUCE


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * max(shape[axis + 1], 1)
    return tuple(strides)
