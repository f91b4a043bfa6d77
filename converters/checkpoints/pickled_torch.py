"""Tensors of torch as they stand in pickles: a function's name, a storage's persistent id, and strides.

    torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata])
    persistent id: ("storage", torch.FloatStorage, key, location, numel[, view])

A storage is bytes that several tensors may look at. Counts, offsets and strides are in elements, but for an
`UntypedStorage`, which counts bytes. Tensors that are no plain arrays (quantised, sparse, nested, meta) are
`Unreadable`, with the reason.

Source: torch/_utils.py, torch/serialization.py (`_save`, `_load`) of torch 2.13.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.checkpoints.files import Span
from converters.checkpoints.pickled_numpy import NUMPY, Unreadable
from converters.checkpoints.pickles import Built, Call, Global, Named
from converters.checkpoints.tensors import (
    Array,
    Decoded,
    Storage,
    Stored,
    Tensor,
    Viewed,
    checked_shape,
)
from converters.dtypes import BY_TORCH, ElementType
from converters.errors import UnsafeInput

# Storages by the name of their class, with the element type's name in torch.
# fmt: off
STORAGE_TYPES: Mapping[str, str] = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32",
    "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128",
}
# Element types that are named and that numpy cannot hold.
UNREADABLE_TYPES = (
    "qint8", "quint8", "qint32", "quint4x2", "quint2x4", "complex32", "float4_e2m1fn_x2",
    "bits8", "bits16", "bits1x8", "bits2x4", "bits4x2",
    *(f"uint{n}" for n in range(1, 8)), *(f"int{n}" for n in range(1, 8)),
)
UNREADABLE_STORAGES = ("QInt8Storage", "QInt32Storage", "QUInt8Storage", "QUInt4x2Storage", "QUInt2x4Storage")
# fmt: on
UNTYPED = "UntypedStorage"
# A tensor that repeats its elements (stride 0) may take so many bytes, and no more.
MOST_REPEATED = 256 << 20

# What gives the bytes of a storage by its key and its size in bytes.
Fetch = Callable[[str, int], "Span | Callable[[], Array]"]


@dataclass(frozen=True)
class Elements:
    """An element type by its name in torch; `kind` is None where numpy cannot hold it."""

    name: str
    kind: ElementType | None


@dataclass(frozen=True)
class PickledStorage:
    """A storage: its key in the file, its elements, and where its bytes are.

    Attributes:
        key: Its name in the file.
        elements: Their type; None for an untyped one.
        nbytes: Its size.
        data: Its bytes in the file, or what computes them.
        first: Bytes before the first element, for a view of another storage.
    """

    key: str
    elements: Elements | None
    nbytes: int
    data: Span | Callable[[], Array]
    first: int = 0


class Parameter(Built):
    """A parameter: a tensor, and state that weights do not need."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor


def storages(fetch: Fetch) -> Call:
    """What gives the storage of a persistent id.

    Args:
        fetch: What gives the bytes of a storage, by key and size in bytes.
    """

    def find(pid: Any) -> PickledStorage | Unreadable:
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise TypeError("a persistent id that is no storage")
        _, storage_type, key, _, count, *view = pid
        elements = storage_type.call() if isinstance(storage_type, Named) else None
        if not isinstance(elements, Elements) or not isinstance(count, int) or count < 0:
            raise TypeError("a storage without type or size")
        if elements.kind is None and elements.name != UNTYPED:
            return Unreadable(f"a storage of torch's type {elements.name}")
        width = 1 if elements.kind is None else elements.kind.bytes
        if isinstance(key, int):
            key = str(key)
        if not isinstance(key, str) or count >= 1 << 60:
            raise TypeError("a storage without a key")
        data = fetch(key, count * width)
        typed = elements if elements.kind else None
        if not view or view[0] is None:
            return PickledStorage(key, typed, count * width, data)
        # Files before torch 1.6: a storage that is a part of another one.
        _, offset, size = view[0]
        if not 0 <= offset <= offset + size <= count:
            raise UnsafeInput(f"storage {key}: a part beyond its end")
        return PickledStorage(key, typed, size * width, data, first=offset * width)

    return find


def _rebuild(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor | Unreadable:
    """`_rebuild_tensor` and `_rebuild_tensor_v2`."""
    # requires_grad, hooks, metadata
    return tensor_over(storage, None, offset, size, stride, rest[2] if len(rest) > 2 else None)


def _rebuild_v3(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any,
    hooks: Any,
    elements: Any,
    metadata: Any = None,
) -> Tensor | Unreadable:
    named = elements.call() if isinstance(elements, Named) else None
    if not isinstance(named, Elements):
        raise TypeError("a tensor without an element type")
    return tensor_over(storage, named, offset, size, stride, metadata)


def tensor_over(
    storage: Any, elements: Elements | None, offset: Any, size: Any, stride: Any, metadata: Any
) -> Tensor | Unreadable:
    """A tensor that looks at a storage.

    Args:
        storage: A `PickledStorage`, or why there is none.
        elements: The element type; None for the storage's own.
        offset: Of its first element, in elements.
        size: Its shape.
        stride: Elements from one index to the next, by dimension.
        metadata: Bits of torch that change what the elements mean.

    Raises:
        UnsafeInput: It reaches beyond the storage, or repeats a few bytes to very many.
        TypeError: What a pickle gave is no storage, size or number.
    """
    if isinstance(storage, Unreadable):
        return storage
    if not isinstance(storage, PickledStorage):
        raise TypeError("a tensor without a storage")
    elements = elements or storage.elements
    if elements is None or elements.kind is None:
        return Unreadable(f"a tensor of torch's type {elements.name if elements else 'untyped'}")
    if isinstance(metadata, dict) and any(metadata.get(bit) for bit in ("conj", "neg")):
        return Unreadable("a conjugated or negated view; call .resolve_conj() before saving")
    kind, where = elements.kind, f"storage {storage.key}"
    if not isinstance(size, tuple) or not isinstance(stride, tuple) or len(size) != len(stride):
        raise TypeError("a tensor without size and strides")
    shape, steps = checked_shape(size, where), checked_shape(stride, where)
    if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
        raise TypeError("a tensor without an offset")
    count = storage.nbytes // kind.bytes
    empty = 0 in shape
    last = offset + sum((n - 1) * step for n, step in zip(shape, steps, strict=True))
    if not empty and last >= count:
        raise UnsafeInput(
            f"{where}: a tensor that reaches element {last} of {count}; the file is malformed"
        )
    if empty:
        return Viewed(np.empty(shape, kind.numpy))
    nbytes = kind.bytes * int(np.prod(shape, dtype=object))
    if nbytes > max(MOST_REPEATED, storage.nbytes):
        raise UnsafeInput(f"{where}: {storage.nbytes} bytes that are repeated to {nbytes}")
    return _placed(storage, kind, shape, steps, offset)


def _placed(
    storage: PickledStorage,
    kind: ElementType,
    shape: tuple[int, ...],
    steps: tuple[int, ...],
    offset: int,
) -> Tensor:
    size = int(np.prod(shape, dtype=object)) * kind.bytes
    first, last = storage.first, storage.first + storage.nbytes
    if not isinstance(storage.data, Span):
        compute = storage.data

        def whole() -> Array:
            return _strided(compute()[first:last].view(kind.numpy), shape, steps, offset)

        return Decoded(kind, shape, lambda: Viewed(whole()).blocks(), f"storage {storage.key}")
    data = storage.data
    raw = data.file.bytes(data.offset + first, storage.nbytes // kind.bytes * kind.bytes)
    if isinstance(data, SwappedSpan) and kind.bytes > 1:
        if kind.numpy.isbuiltin == 1:
            flat = np.frombuffer(raw, kind.numpy.newbyteorder(">"))
            return Viewed(_strided(flat, shape, steps, offset))
        turned = PickledStorage(
            storage.key,
            storage.elements,
            storage.nbytes,
            lambda: np.frombuffer(raw, f">u{kind.bytes}").astype(f"<u{kind.bytes}").view(np.uint8),
        )
        return _placed(turned, kind, shape, steps, offset)
    flat = np.frombuffer(raw, kind.numpy)
    shared = Storage((id(data.file), storage.key, kind.name), flat, offset, steps)
    if _row_major(shape, steps):
        span = Span(data.file, data.offset + first + offset * kind.bytes, size)
        return Stored(kind, shape, (span,), shared)
    return Viewed(_strided(flat, shape, steps, offset), shared)


def _strided(flat: Array, shape: tuple[int, ...], steps: tuple[int, ...], offset: int) -> Array:
    # The caller has checked that the last element is within.
    strides = tuple(step * flat.itemsize for step in steps)
    return np.lib.stride_tricks.as_strided(flat[offset:], shape, strides, writeable=False)


def _row_major(shape: tuple[int, ...], steps: tuple[int, ...]) -> bool:
    expected = 1
    for size, step in zip(reversed(shape), reversed(steps), strict=True):
        if size != 1 and step != expected:
            return False
        expected *= size
    return True


class SwappedSpan(Span):
    """A storage of a machine whose numbers begin with their highest byte."""


def _refusing(what: str) -> Call:
    return lambda *arguments: Unreadable(what)


def _named_elements(name: str) -> Call:
    elements = Elements(name, BY_TORCH.get(name))
    return lambda *arguments: elements


def _storage_class(elements: Elements) -> Call:
    return lambda *arguments: elements


def _parameter(data: Any = None, *_: Any) -> Any:
    return Parameter(data)


def _of_type(function: Any, _: Any, arguments: Any, *__: Any) -> Any:
    """`_rebuild_from_type_v2`: another class around what a function gives."""
    if not isinstance(function, Named) or not isinstance(arguments, tuple):
        raise TypeError("a tensor of a class without its function")
    return function(*arguments)


def _device(kind: Any = "cpu", index: Any = None) -> str:
    return f"{kind}" if index is None else f"{kind}:{index}"


def _size(items: Any = ()) -> tuple[Any, ...]:
    if not isinstance(items, tuple | list):
        raise TypeError("a size that is no tuple")
    return tuple(items)


_UTILS: Mapping[str, Call] = {
    "_rebuild_tensor": _rebuild,
    "_rebuild_tensor_v2": _rebuild,
    "_rebuild_tensor_v3": _rebuild_v3,
    "_rebuild_parameter": _parameter,
    "_rebuild_parameter_with_state": _parameter,
    "_rebuild_qtensor": _refusing("a quantised tensor"),
    "_rebuild_sparse_tensor": _refusing("a sparse tensor"),
    "_rebuild_nested_tensor": _refusing("a nested tensor"),
    "_rebuild_meta_tensor_no_storage": _refusing("a tensor on the meta device, without data"),
    "_rebuild_wrapper_subclass": _refusing("a tensor of a class that wraps others"),
    "_rebuild_device_tensor_from_numpy": lambda data=None, *_: data,
    "_rebuild_device_tensor_from_cpu_tensor": lambda data=None, *_: data,
}


class ScriptObject(Built):
    """A module of TorchScript: its attributes, some of them modules; its code stays in the file."""

    def __init__(self, *arguments: object) -> None:
        self.attributes: dict[Any, Any] = {}

    def build(self, state: object) -> None:
        """Take the attributes."""
        if isinstance(state, dict):
            self.attributes = state


class ScriptNames(dict[Global, Call]):
    """An allow-list that knows the classes of a TorchScript program as well, whatever they are called."""

    def get(self, key: Global, default: Any = None) -> Any:
        """What is called for a name."""
        if key[0].startswith("__torch__"):
            return ScriptObject
        if key[0] == "torch.jit._pickle":
            # Lists and dictionaries whose elements have a type.
            return lambda value=None, *_: value
        return super().get(key, default)


_PLACES = ("torch", "torch.cuda", "torch.storage")
TORCH: Mapping[Global, Call] = {
    **NUMPY,
    **{("torch._utils", name): call for name, call in _UTILS.items()},
    **{("torch", name): _named_elements(name) for name in (*BY_TORCH, *UNREADABLE_TYPES)},
    **{
        (place, storage): _storage_class(Elements(name, BY_TORCH[name]))
        for place in _PLACES
        for storage, name in STORAGE_TYPES.items()
    },
    **{
        (place, storage): _storage_class(Elements(storage, None))
        for place in _PLACES
        for storage in (*UNREADABLE_STORAGES, UNTYPED)
    },
    ("torch._tensor", "_rebuild_from_type_v2"): _of_type,
    ("torch.nn.parameter", "Parameter"): _parameter,
    ("torch.nn", "Parameter"): _parameter,
    ("torch", "Tensor"): _refusing("a bare torch.Tensor"),
    ("torch", "Size"): _size,
    ("torch", "device"): _device,
    ("torch.serialization", "_get_layout"): lambda name="": str(name),
    **{
        ("torch", scheme): _refusing(f"torch.{scheme}")
        for scheme in (
            "per_tensor_affine",
            "per_tensor_symmetric",
            "per_channel_affine",
            "per_channel_symmetric",
            "per_channel_affine_float_qparams",
        )
    },
}
