"""The initialisers of an ONNX model, with external data: read without onnx, and written as a model of them alone.

    ModelProto    ir_version 1, producer_name 2, graph 7, opset_import 8, metadata_props 14
    GraphProto    node 1, name 2, initializer 5
    TensorProto   dims 1, data_type 2, float_data 4, int32_data 5, int64_data 7, name 8, raw_data 9,
                  double_data 10, uint64_data 11, external_data 13, data_location 14

Four-bit integers are packed in pairs, the first one low. Tensors that are one share their bytes in external
data. A protobuf message ends at 2 GiB: above `INLINE_BYTES` the data goes to `FILE.data`.

Source: onnx/onnx.proto3 and docs/ExternalData.md of ONNX 1.17.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters.checkpoints.beside import beside
from converters.checkpoints.checkpoint import MOST_TENSORS, Checkpoint
from converters.checkpoints.files import File, Span
from converters.checkpoints.placing import placed, refuse_names
from converters.checkpoints.protobuf import (
    BYTES,
    FIXED32,
    FIXED64,
    Field,
    expect,
    fields,
    numbers,
    packed,
    signed,
    text,
    varint,
)
from converters.checkpoints.tensors import (
    Array,
    Decoded,
    Tensor,
    Tensors,
    as_tensor,
    checked_shape,
    stored,
)
from converters.checkpoints.wire import message, number, open_bytes, string
from converters.dtypes import BY_NAME, BY_ONNX, ElementType
from converters.errors import UnsafeInput, UnsupportedError

IR_VERSION = 10
OPSET = 21
INLINE_BYTES = 1 << 30
ALIGNMENT = 4096
EXTERNAL = 1
PACKED_BITS = 4
MOST_DIMENSIONS = 64
# Under this key of its metadata, a model that we write says whose names and layouts its tensors have.
LAYOUT = "polyzoo.layout"

FLOATS, INTS32, INTS64, DOUBLES, UINTS64 = 4, 5, 7, 10, 11
# Elements of the typed fields as they stand in the file, where that is not as varints.
WIDE: Mapping[int, np.dtype[Any]] = {FLOATS: np.dtype("<f4"), DOUBLES: np.dtype("<f8")}
VARINTS = {INTS32, INTS64, UINTS64}


@dataclass
class _Tensor:
    """What a TensorProto says, before it is made a tensor."""

    name: str = ""
    dims: list[int] = field(default_factory=list)
    type: int = 0
    raw: Field | None = None
    typed: dict[int, list[Field]] = field(default_factory=dict)
    external: dict[str, str] = field(default_factory=dict)
    location: int = 0


def read_onnx_initializers(path: Path) -> Checkpoint:
    """Read the initialisers of a model, those of its main graph.

    Raises:
        UnsafeInput: The model is malformed, or external data leaves its folder or its file.
        UnsupportedError: Texts, or an element type that numpy cannot hold.
    """
    file = File(path)
    view = file.bytes(0, file.size)
    budget = iter(range(16 * MOST_TENSORS))
    metadata: dict[str, str] = {}
    tensors: dict[str, Tensor] = {}
    opened: dict[Path, File] = {}
    nodes, graphs = 0, 0
    for part in fields(view, path.name, budget=budget):
        if part.number == 2 and part.wire == BYTES:
            metadata["producer"] = text(view, part, path.name)
        if part.number == 14 and part.wire == BYTES:
            key, value = _entry(view, part, path.name, budget)
            metadata[key] = value
        if part.number != 7:
            continue
        expect(part, BYTES, path.name)
        graphs += 1
        for inner in fields(view, path.name, part.start, part.end, budget):
            nodes += inner.number == 1
            if inner.number == 5:
                said = _said(view, expect(inner, BYTES, path.name), path.name, budget)
                if not said.name or said.name in tensors:
                    raise UnsafeInput(f"{path.name}: two initialisers are called {said.name!r}")
                tensors[said.name] = _tensor(file, said, opened)
    if not graphs:
        raise UnsafeInput(f"{path.name}: a model without a graph; it is truncated or none")
    framework = metadata.pop(LAYOUT, None)
    found = [f"{nodes} nodes, which a checkpoint does not keep"] if nodes else []
    return Checkpoint(
        "onnx",
        tensors,
        (path, *opened),
        framework if framework in ("pytorch", "paddle", "mindspore") else None,
        metadata,
        tuple(found),
    )


def has_nodes(path: Path) -> bool:
    """Whether a model computes anything, or holds initialisers only.

    Raises:
        UnsafeInput: It is malformed.
    """
    file = File(path)
    view = file.bytes(0, file.size)
    for part in fields(view, path.name):
        if part.number == 7 and part.wire == BYTES:
            inner = fields(view, path.name, part.start, part.end)
            if any(piece.number == 1 for piece in inner):
                return True
    return False


def _entry(view: memoryview, part: Field, where: str, budget: Iterator[int]) -> tuple[str, str]:
    """A StringStringEntryProto."""
    said = {
        inner.number: text(view, inner, where)
        for inner in fields(view, where, part.start, part.end, budget)
        if inner.number in (1, 2)
    }
    return said.get(1, ""), said.get(2, "")


def _said(view: memoryview, part: Field, where: str, budget: Iterator[int]) -> _Tensor:
    said = _Tensor()
    for inner in fields(view, where, part.start, part.end, budget):
        if inner.number == 1:
            said.dims += [signed(size) for size in numbers(view, inner, where)]
        elif inner.number == 2:
            said.type = signed(inner.value, 32)
        elif inner.number == 8:
            said.name = text(view, inner, where)
        elif inner.number == 9:
            said.raw = expect(inner, BYTES, where)
        elif inner.number == 13:
            key, value = _entry(view, expect(inner, BYTES, where), where, budget)
            said.external[key] = value
        elif inner.number == 14:
            said.location = inner.value
        elif inner.number in WIDE or inner.number in VARINTS:
            said.typed.setdefault(inner.number, []).append(inner)
        if len(said.dims) > MOST_DIMENSIONS:
            raise UnsafeInput(f"{where}: more than {MOST_DIMENSIONS} dimensions")
    return said


def _tensor(file: File, said: _Tensor, opened: dict[Path, File]) -> Tensor:
    where = f"{file.path.name}: {said.name!r}"
    kind = BY_ONNX.get(said.type)
    if kind is None:
        raise UnsupportedError(
            f"{where}: element type {said.type} of ONNX", fix="save it in another element type"
        )
    shape = checked_shape(said.dims, where)
    if said.location == EXTERNAL:
        return _raw(_external(file, said, kind, shape, opened, where), kind, shape, where)
    if said.raw is not None:
        return _raw(Span(file, said.raw.start, said.raw.value), kind, shape, where)
    if len(said.typed) > 1:
        raise UnsafeInput(f"{where}: elements in {len(said.typed)} fields")
    number_, found = next(iter(said.typed.items()), (0, []))
    # Every element takes a byte at least: no shape may ask for more than there is.
    if math.prod(shape) > 2 * sum(max(part.end - part.start, 1) for part in found):
        raise UnsafeInput(f"{where}: fewer elements than its shape {list(shape)} has")
    return Decoded(kind, shape, _decoder(file, number_, found, kind, shape, where), where)


def _external(
    file: File,
    said: _Tensor,
    kind: ElementType,
    shape: tuple[int, ...],
    opened: dict[Path, File],
    where: str,
) -> Span:
    path = beside(file.path.parent, said.external.get("location", ""), where)
    if path not in opened:
        opened[path] = File(path)
    try:
        offset = int(said.external.get("offset", "0"))
        needed = -(-math.prod(shape) * kind.bits // 8)
        length = int(said.external.get("length", str(needed)))
    except ValueError as error:
        raise UnsafeInput(f"{where}: external data at no number") from error
    return Span(opened[path], offset, length)


def _raw(span: Span, kind: ElementType, shape: tuple[int, ...], where: str) -> Tensor:
    if kind.bits != PACKED_BITS:
        return stored(kind, shape, (span,), where)
    count = math.prod(shape)
    if span.length != -(-count // 2):
        raise UnsafeInput(f"{where}: {span.length} bytes for {count} elements of four bits")

    def decode() -> Iterator[Array]:
        view = span.view()
        for start in range(0, span.length, 1 << 22):
            pairs = np.frombuffer(view[start : start + (1 << 22)], np.uint8)
            yield _unpacked(pairs, kind)[: count - 2 * start]

    return Decoded(kind, shape, decode, where)


def _unpacked(pairs: Array, kind: ElementType) -> Array:
    """Bytes of two elements each -> elements, the low half first."""
    both: Array = np.stack([pairs & 0x0F, pairs >> 4], axis=-1).reshape(-1)
    if kind.name == "int4":
        both = (both ^ 8).astype(np.int8) - 8
    return both.astype(kind.numpy)


def _decoder(
    file: File,
    number_: int,
    found: list[Field],
    kind: ElementType,
    shape: tuple[int, ...],
    where: str,
) -> Callable[[], Iterator[Array]]:
    """What decodes the typed fields, which hold one element in one or more of theirs."""
    view = file.bytes(0, file.size)

    def values() -> Iterator[Array]:
        for part in found:
            if number_ in WIDE:
                if part.wire not in (BYTES, FIXED32, FIXED64) or (
                    (part.end - part.start) % WIDE[number_].itemsize
                ):
                    raise UnsafeInput(f"{where}: elements of another width")
                yield np.frombuffer(view[part.start : part.end], WIDE[number_])
            elif part.wire == BYTES:
                yield from packed(view[part.start : part.end], where)
            else:
                value, _ = varint(view, part.start, part.end, where)
                yield np.array([value], np.uint64)

    def decode() -> Iterator[Array]:
        left = math.prod(shape)
        for piece in values():
            if number_ in WIDE:
                plain = piece.astype(WIDE[number_].newbyteorder("="))
                if kind.name.startswith("complex"):
                    plain = plain.view(kind.numpy)
                yield plain.astype(kind.numpy)
            elif kind.bits == PACKED_BITS:
                pairs = _unpacked(piece.astype(np.uint8), kind)[:left]
                left -= pairs.size
                yield pairs
            elif kind.name in BITS:
                yield piece.astype(f"u{kind.bytes}").view(kind.numpy)
            elif kind.name == "bool":
                yield piece != 0
            else:
                yield piece.view(np.int64).astype(kind.numpy)

    return decode


# Types whose bits stand in int32_data, as numbers.
BITS = {name for name in BY_NAME if name.startswith(("float16", "bfloat16", "float8"))}


def write_onnx_initializers(
    path: Path,
    tensors: Tensors,
    metadata: Mapping[str, str] | None = None,
    *,
    inline_bytes: int = INLINE_BYTES,
) -> None:
    """Write tensors as the initialisers of a model without nodes.

    Args:
        path: The file to write, and `path` + `.data` beside it where there is more than `inline_bytes`.
        tensors: Tensors or arrays by name, of any memory layout and byte order.
        metadata: Text by name, for `metadata_props`.
        inline_bytes: Tensors of more bytes in all are written as external data.

    Raises:
        UnsupportedError: An element type that ONNX lacks.
        UsageError: A tensor has no name, or one that is no text.
    """
    refuse_names(tensors, frozenset(), "ONNX")
    given = {name: _four_bits(name, as_tensor(tensor)) for name, tensor in tensors.items()}
    total = sum(body.nbytes for _, _, body in given.values())
    data = path.with_name(f"{path.name}.data")
    places: dict[str, tuple[int, int]] = {}
    if total > inline_bytes:
        places = _write_external(data, {name: body for name, (_, _, body) in given.items()})
    protos = []
    for name, (kind, shape, body) in given.items():
        head = b"".join(number(1, size) for size in shape)
        head += number(2, kind.onnx or 0) + string(8, name)
        if name in places:
            offset, length = places[name]
            for key, value in {"location": data.name, "offset": offset, "length": length}.items():
                head += message(13, string(1, key) + string(2, str(value)))
            head += number(14, EXTERNAL)
        elif body.nbytes:
            head += open_bytes(9, body.nbytes)
        protos.append((head, None if name in places or not body.nbytes else body))
    sizes = [len(head) + (body.nbytes if body else 0) for head, body in protos]
    opens = [open_bytes(5, size) for size in sizes]
    graph_name = string(2, "weights")
    graph = len(graph_name) + sum(sizes) + sum(map(len, opens))
    with placed(path) as output:
        output.write(number(1, IR_VERSION) + string(2, "polyzoo"))
        output.write(message(8, string(1, "") + number(2, OPSET)))
        for key, value in sorted((metadata or {}).items()):
            output.write(message(14, string(1, key) + string(2, value)))
        output.write(open_bytes(7, graph) + graph_name)
        for start, (head, inline) in zip(opens, protos, strict=True):
            output.write(start + head)
            if inline is not None:
                output.tensor(inline)


def _write_external(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, int]]:
    places: dict[str, tuple[int, int]] = {}
    shared: dict[Hashable, tuple[int, int]] = {}
    with placed(path) as output:
        for name, tensor in tensors.items():
            storage = tensor.storage
            same = storage and (storage.key, storage.offset, storage.strides, tensor.shape)
            if same is None or same not in shared:
                output.pad(ALIGNMENT if tensor.nbytes >= ALIGNMENT else 64)
                shared[same or (name,)] = output.position, tensor.nbytes
                output.tensor(tensor)
            places[name] = shared[same or (name,)]
    return places


def _four_bits(name: str, tensor: Tensor) -> tuple[ElementType, tuple[int, ...], Tensor]:
    """Type, shape, and the bytes as they go into the file."""
    kind = tensor.kind
    if kind.onnx is None:
        raise UnsupportedError(
            f"ONNX has no element type for {kind.name} (tensor {name!r})",
            fix="give --dtype, or write another format",
        )
    if kind.bits != PACKED_BITS:
        return kind, tensor.shape, tensor
    size = -(-tensor.size // 2)

    def decode() -> Iterator[Array]:
        rest = np.empty(0, np.uint8)
        end = np.zeros(tensor.size % 2, np.uint8)
        for block in itertools.chain(tensor.blocks(), [end]):
            both = np.concatenate([rest, block.astype(np.int8).view(np.uint8) & 0x0F])
            whole = both.size // 2 * 2
            rest = both[whole:]
            yield both[:whole:2] | both[1:whole:2] << 4

    return kind, tensor.shape, Decoded(BY_NAME["uint8"], (size,), decode, name)
