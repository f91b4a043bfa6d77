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

from collections.abc import Iterator
from pathlib import Path

from converters.checkpoints.checkpoint import MOST_TENSORS, Checkpoint
from converters.checkpoints.files import File, Span
from converters.checkpoints.placing import placed, refuse_names, sliced
from converters.checkpoints.protobuf import BYTES, Field, expect, fields, numbers, signed, text
from converters.checkpoints.tensors import (
    Stored,
    Tensor,
    Tensors,
    as_tensor,
    checked_shape,
    stored,
)
from converters.checkpoints.wire import number, open_bytes, string
from converters.dtypes import BY_MINDSPORE_CHECKPOINT, ElementType
from converters.errors import UnsafeInput, UnsupportedError

SLICE_BYTES = 512 << 20
# What a file with a check sum ends with, and the sum behind it: a CRC-32 as ten bytes, big endian.
CRC_MARK = b"crc_num"
CRC_BYTES = 10
TEXT = "str"
# Two four-bit integers in a byte; the dims count bytes.
PAIRS = {"Int4": "Int8"}
LONGEST_TEXT = 4096
MOST_DIMENSIONS = 64


def read_mindspore_ckpt(path: Path) -> Checkpoint:
    """Read a MindSpore checkpoint.

    Raises:
        UnsafeInput: It is malformed, or encrypted.
        UnsupportedError: An element type that numpy cannot hold; map parameters.
    """
    file = File(path)
    end, findings = _end(file)
    view = file.bytes(0, end)
    budget = iter(range(16 * MOST_TENSORS))
    parts: dict[str, list[tuple[ElementType | None, tuple[int, ...], Span]]] = {}
    last = ""
    for value in fields(view, path.name, budget=budget):
        if value.number != 1:
            raise UnsafeInput(
                f"{path.name}: no MindSpore checkpoint, or an encrypted one: field {value.number}"
            )
        expect(value, BYTES, path.name)
        tag = ""
        tensor: Field | None = None
        for field in fields(view, path.name, value.start, value.end, budget):
            if field.number == 1:
                tag = text(view, field, path.name)
            elif field.number == 2:
                tensor = expect(field, BYTES, path.name)
            elif field.number == 3:
                raise UnsupportedError(f"{path.name}: {tag!r} is a map parameter")
        if not tag or tensor is None:
            raise UnsafeInput(f"{path.name}: an entry without tag or tensor, at byte {value.start}")
        if tag in parts and tag != last:
            raise UnsafeInput(f"{path.name}: two tensors are called {tag!r}")
        parts.setdefault(tag, []).append(_slice(file, view, tensor, tag, budget))
        last = tag
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for tag, slices in parts.items():
        kind, shape, content = slices[0]
        where = f"{path.name}: {tag!r}"
        if kind is None:
            metadata[tag] = _read_text(content, where)
            continue
        if any((other, dims) != (kind, shape) for other, dims, _ in slices):
            raise UnsafeInput(f"{where}: slices of different types or shapes")
        tensors[tag] = _tensor(kind, shape, tuple(span for _, _, span in slices), where)
    return Checkpoint("mindspore-ckpt", tensors, (path,), "mindspore", metadata, tuple(findings))


def _end(file: File) -> tuple[int, list[str]]:
    """Where the messages end, and what is said of a check sum behind them."""
    tail = len(CRC_MARK) + CRC_BYTES
    if file.size >= tail and bytes(file.bytes(file.size - tail, len(CRC_MARK))) == CRC_MARK:
        return file.size - tail, ["it ends with a check sum, which is not checked here"]
    return file.size, []


def _slice(
    file: File, view: memoryview, tensor: Field, tag: str, budget: Iterator[int]
) -> tuple[ElementType | None, tuple[int, ...], Span]:
    where = f"{file.path.name}: {tag!r}"
    dims: list[int] = []
    name = ""
    content: Field | None = None
    for field in fields(view, where, tensor.start, tensor.end, budget):
        if field.number == 1:
            dims += [signed(size) for size in numbers(view, field, where)]
        elif field.number == 2:
            name = text(view, field, where)
        elif field.number == 3:
            content = expect(field, BYTES, where)
        if len(dims) > MOST_DIMENSIONS:
            raise UnsafeInput(f"{where}: more than {MOST_DIMENSIONS} dimensions")
    if content is None:
        raise UnsafeInput(f"{where}: a tensor without content")
    span = Span(file, content.start, content.value)
    if name == TEXT:
        return None, (), span
    kind = BY_MINDSPORE_CHECKPOINT.get(PAIRS.get(name, name))
    if kind is None:
        raise UnsupportedError(
            f"{where}: element type {name!r}", fix="save it in another element type"
        )
    return kind, checked_shape(dims, where), span


def _tensor(
    kind: ElementType, shape: tuple[int, ...], spans: tuple[Span, ...], where: str
) -> Stored:
    # Old versions write the dims of a scalar as [0].
    scalar = shape == (0,) and sum(span.length for span in spans) == kind.bytes
    return stored(kind, () if scalar else shape, spans, where)


def _read_text(content: Span, where: str) -> str:
    try:
        return bytes(content.view()[: 4 * LONGEST_TEXT]).decode("utf-32-le")
    except UnicodeDecodeError as error:
        raise UnsafeInput(f"{where}: text that is not UTF-32") from error


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
    given = {name: as_tensor(tensor) for name, tensor in tensors.items()}
    types = {name: _type(tensor, name) for name, tensor in given.items()}
    with placed(path) as output:
        for name, tensor in given.items():
            dims = b"".join(number(1, size) for size in tensor.shape)
            head = dims + string(2, types[name])
            for size, part in sliced(tensor, slice_bytes):
                # Innermost last: the content ends all three messages that it stands in.
                content = open_bytes(3, size)
                message = open_bytes(2, len(head) + len(content) + size) + head + content
                tag = string(1, name)
                output.write(open_bytes(1, len(tag) + len(message) + size) + tag + message)
                for piece in part:
                    output.piece(piece)


def _type(tensor: Tensor, name: str) -> str:
    kind = tensor.kind
    if kind.mindspore_checkpoint is None:
        raise UnsupportedError(
            f"MindSpore checkpoints have no element type for {kind.name} (tensor {name!r})",
            fix="give --dtype, or write safetensors",
        )
    if tensor.size == 0:
        raise UnsupportedError(
            f"MindSpore checkpoints cannot hold a tensor without elements: {name!r} {tensor.shape}",
            fix="leave the tensor out, or write safetensors",
        )
    return kind.mindspore_checkpoint
