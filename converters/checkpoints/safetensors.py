"""safetensors: a JSON header, then the bytes of all tensors.

Layout: u64 little-endian size of the header; the header, a JSON object that begins with `{` and is padded
with spaces to a multiple of 8: for every tensor `{"dtype", "shape", "data_offsets": [begin, end]}`, offsets
counted from the end of the header, and optionally `__metadata__`, a map from text to text; then the data,
little endian, row-major, without gaps. Limits: 100 MB of header.

We write it ourselves because the library keeps metadata in an order that changes from run to run.
Wider elements come first, so that all are aligned; elements of one width are in the order of their names.

Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from converters.checkpoints.placing import Tensors, placed, raw, refuse_names
from converters.dtypes import element_type
from converters.errors import UnsupportedError

METADATA = "__metadata__"
LARGEST_HEADER = 100_000_000
ALIGNMENT = 8


def write_safetensors(
    path: Path, tensors: Tensors, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as a safetensors file.

    Args:
        path: The file to write; a file that is there is replaced in one step.
        tensors: Arrays by name, of any memory layout and byte order.
        metadata: Text by name, for the header; `{"format": "pt"}` is what transformers looks for.

    Raises:
        UnsupportedError: An element type that the format lacks, or a header above 100 MB.
        UsageError: A tensor is called `__metadata__`, or has no name.
    """
    refuse_names(tensors, frozenset({METADATA}), "safetensors")
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header = _header(tensors, names, metadata or {})
    with placed(path) as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for name in names:
            file.write(raw(tensors[name]))


def _header(tensors: Tensors, names: list[str], metadata: Mapping[str, str]) -> bytes:
    fields: dict[str, Any] = {METADATA: dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for name in names:
        array = tensors[name]
        kind = element_type(array.dtype)
        if kind.safetensors is None:
            raise UnsupportedError(
                f"safetensors has no element type for {kind.name} (tensor {name!r})",
                fix="convert the tensor to another element type",
            )
        begin, end = end, end + array.nbytes
        fields[name] = {
            "dtype": kind.safetensors,
            "shape": list(array.shape),
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
