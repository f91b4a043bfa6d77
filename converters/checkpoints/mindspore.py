"""MindSpore .ckpt: a run of protobuf messages, one tensor (or one slice of a large one) in each.

Layout (`checkpoint.proto`)::

    message Checkpoint { repeated Value value = 1; }
    message Value      { required string tag = 1; optional TensorProto tensor = 2; ... }
    message TensorProto { repeated int64 dims = 1; required string tensor_type = 2;
                          required bytes tensor_content = 3; }

The file is one `Checkpoint`: messages that follow each other merge into one. A tensor above 512 MiB is
several values that follow each other with the same tag and the full dims, each with a part of the bytes; the
reader joins them. Content is little endian and row-major. A scalar has no dims.

Limits: MindSpore drops tensors without elements when it saves and reads dims `[0]` as a scalar, and it
cannot load complex numbers or eight-bit floats that it saved itself; all of them are refused here.

Source: mindspore/train/serialization.py (`_write_parameter_bytes_data`, `_load_ckpt_into_param_dict`);
wire format: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from pathlib import Path

from converters.checkpoints.placing import Tensors, placed, raw, refuse_names
from converters.dtypes import element_type
from converters.errors import UnsupportedError

SLICE_BYTES = 512 << 20
WIRE_VARINT = 0
WIRE_BYTES = 2


def write_mindspore_ckpt(path: Path, tensors: Tensors, *, slice_bytes: int = SLICE_BYTES) -> None:
    """Write tensors so that `mindspore.load_checkpoint(path)` reads them.

    Args:
        path: The file to write; a file that is there is replaced in one step.
        tensors: Arrays by name, of any memory layout and byte order.
        slice_bytes: Tensors above this size, in bytes, are written in slices of it.

    Raises:
        UnsupportedError: A tensor without elements, or an element type that MindSpore cannot load.
        UsageError: A tensor has no name.
    """
    refuse_names(tensors, frozenset(), "MindSpore checkpoint")
    types = {name: _type(tensors, name) for name in tensors}
    with placed(path) as file:
        for name, array in tensors.items():
            data = raw(array)
            dims = b"".join(_number(1, size) for size in array.shape)
            head = dims + _text(2, types[name])
            for start in range(0, data.nbytes, slice_bytes):
                part = data[start : start + slice_bytes]
                # Innermost last: the content ends all three messages that it stands in.
                content = _open(3, part.nbytes)
                tensor = _open(2, len(head) + len(content) + part.nbytes) + head + content
                tag = _text(1, name)
                value = _open(1, len(tag) + len(tensor) + part.nbytes) + tag + tensor
                file.write(value)
                file.write(part)


def _type(tensors: Tensors, name: str) -> str:
    array = tensors[name]
    kind = element_type(array.dtype)
    if kind.mindspore_checkpoint is None:
        raise UnsupportedError(
            f"MindSpore checkpoints have no element type for {kind.name} (tensor {name!r})",
            fix="convert the tensor to another element type, or write safetensors",
        )
    if array.size == 0:
        raise UnsupportedError(
            f"MindSpore checkpoints cannot hold a tensor without elements: {name!r} {array.shape}",
            fix="leave the tensor out, or write safetensors",
        )
    return kind.mindspore_checkpoint


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | WIRE_VARINT) + _varint(value)


def _open(field: int, length: int) -> bytes:
    """The head of a field of bytes; `length` bytes must follow."""
    return _varint(field << 3 | WIRE_BYTES) + _varint(length)


def _text(field: int, value: str) -> bytes:
    data = value.encode()
    return _open(field, len(data)) + data
