"""safetensors: a JSON header, then the bytes of all tensors.

Layout: u64 little-endian size of the header; the header, a JSON object that begins with `{` and is padded
with spaces to a multiple of 8: for every tensor `{"dtype", "shape", "data_offsets": [begin, end]}`, offsets
counted from the end of the header, and optionally `__metadata__`, a map from text to text; then the data,
little endian, row-major, without gaps or overlaps. Limits: 100 MB of header.

We write it ourselves because the library keeps metadata in an order that changes from run to run, and copies.
Wider elements come first, so that all are aligned; elements of one width are in the order of their names.

Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from converters.checkpoints.checkpoint import Checkpoint
from converters.checkpoints.files import File, Span
from converters.checkpoints.placing import placed, refuse_names
from converters.checkpoints.tensors import Tensor, Tensors, as_tensor, checked_shape, stored
from converters.dtypes import BY_SAFETENSORS
from converters.errors import UnsafeInput, UnsupportedError

METADATA = "__metadata__"
LARGEST_HEADER = 100_000_000
ALIGNMENT = 8
# What writers put under `format`, and whose names and layouts that means.
FRAMEWORKS = {"pt": "pytorch", "pd": "paddle", "paddle": "paddle", "ms": "mindspore"}
LONGEST_METADATA = 4096


def read_safetensors(path: Path) -> Checkpoint:
    """Read a safetensors file.

    Raises:
        UnsafeInput: The header is malformed, or offsets leave the file, overlap or leave gaps.
        UnsupportedError: An element type that numpy cannot hold.
    """
    file = File(path)
    fields = _fields(file)
    metadata = fields.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise UnsafeInput(f"{path.name}: {METADATA} is no map from text to text")
    start = 8 + int.from_bytes(file.bytes(0, 8), "little")
    ends: list[tuple[int, int, str]] = []
    tensors: dict[str, Tensor] = {}
    for name, entry in fields.items():
        tensors[name], begin, end = _tensor(file, name, entry, start)
        ends.append((begin, end, name))
    at = 0
    for begin, end, name in sorted(ends):
        if begin != at:
            what = "overlaps another tensor" if begin < at else "leaves a gap before it"
            raise UnsafeInput(f"{path.name}: {name!r} {what}")
        at = end
    if start + at != file.size:
        raise UnsafeInput(
            f"{path.name}: {file.size} bytes where the header tells of {start + at}",
            fix="fetch the file again",
        )
    shown = {k: v for k, v in metadata.items() if len(v) <= LONGEST_METADATA}
    framework = FRAMEWORKS.get(metadata.get("format", ""))
    return Checkpoint("safetensors", tensors, (path,), framework, shown)


def _fields(file: File) -> dict[str, Any]:
    size = int.from_bytes(file.bytes(0, 8), "little")
    if size > LARGEST_HEADER:
        raise UnsafeInput(f"{file.path.name}: a header of {size} bytes")
    try:
        fields = json.loads(bytes(file.bytes(8, size)), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise UnsafeInput(f"{file.path.name}: a header that is no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise UnsafeInput(f"{file.path.name}: a header that is no object")
    return fields


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name that stands there twice")
    return found


def _tensor(file: File, name: str, entry: Any, start: int) -> tuple[Tensor, int, int]:
    where = f"{file.path.name}: {name!r}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise UnsafeInput(f"{where}: not dtype, shape and data_offsets")
    offsets = entry["data_offsets"]
    if (
        not isinstance(offsets, list)
        or len(offsets) != 2
        or not all(type(offset) is int and offset >= 0 for offset in offsets)
        or offsets[0] > offsets[1]
    ):
        raise UnsafeInput(f"{where}: data_offsets {offsets!r}")
    if not isinstance(entry["shape"], list):
        raise UnsafeInput(f"{where}: shape {entry['shape']!r}")
    shape = checked_shape(entry["shape"], where)
    kind = BY_SAFETENSORS.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if kind is None:
        raise UnsupportedError(
            f"{where}: element type {entry['dtype']!r}", fix="save it in another element type"
        )
    begin, end = offsets
    return stored(kind, shape, (Span(file, start + begin, end - begin),), where), begin, end


def write_safetensors(
    path: Path, tensors: Tensors, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as a safetensors file.

    Args:
        path: The file to write; a file that is there is replaced in one step.
        tensors: Tensors or arrays by name, of any memory layout and byte order.
        metadata: Text by name, for the header; `{"format": "pt"}` is what transformers looks for.

    Raises:
        UnsupportedError: An element type that the format lacks, or a header above 100 MB.
        UsageError: A tensor is called `__metadata__`, or has no name.
    """
    refuse_names(tensors, frozenset({METADATA}), "safetensors")
    given = {name: as_tensor(tensor) for name, tensor in tensors.items()}
    ordered = dict(sorted(given.items(), key=lambda item: (-item[1].kind.bytes, item[0])))
    header = _header(ordered, metadata or {})
    with placed(path) as output:
        output.write(len(header).to_bytes(8, "little"))
        output.write(header)
        for tensor in ordered.values():
            output.tensor(tensor)


def _header(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    fields: dict[str, Any] = {METADATA: dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for name, tensor in tensors.items():
        kind = tensor.kind
        if kind.safetensors is None:
            raise UnsupportedError(
                f"safetensors has no element type for {kind.name} (tensor {name!r})",
                fix="give --dtype, or write another format",
            )
        begin, end = end, end + tensor.nbytes
        fields[name] = {
            "dtype": kind.safetensors,
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    if len(text) > LARGEST_HEADER:
        raise UnsupportedError(
            f"safetensors: a header of {len(text)} bytes is above the format's {LARGEST_HEADER}",
            fix="write the tensors into several files",
        )
    return text
