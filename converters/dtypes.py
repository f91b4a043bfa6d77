"""One table of element types, and what each format and framework calls them.

A name is None where the format has no such type. Numpy stands for itself and for `ml_dtypes`, which
gives numpy the types that it lacks (bfloat16, the eight-bit floats, four-bit integers).

Sources: onnx.proto3 `TensorProto.DataType`; the `Dtype` list of the safetensors format; MindSpore's
`checkpoint.proto` strings (`mindspore/train/serialization.py`) and `mind_ir.proto` `TensorProto.DataType`;
`torch.dtype` and `paddle.dtype` names of torch 2.13 and PaddlePaddle 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

import ml_dtypes
import numpy as np
import numpy.typing as npt

from converters.errors import UnsupportedError


@dataclass(frozen=True)
class ElementType:
    """An element type and its names.

    Attributes:
        name: Its name here: what `numpy.dtype.name` says.
        numpy: The numpy dtype, in this machine's byte order.
        bits: Width of one element where elements are packed as tightly as the type allows.
        onnx: Number in `TensorProto.DataType`.
        onnx_name: Name in `TensorProto.DataType`.
        safetensors: `dtype` in a safetensors header.
        torch: Attribute of the `torch` module.
        paddle: Attribute of the `paddle` module.
        mindspore: Attribute of the `mindspore` module.
        mindspore_checkpoint: `tensor_type` in a MindSpore `.ckpt`, for types that it can load again.
        mindir: Number in `TensorProto.DataType` of `mind_ir.proto`.
        mindir_name: Name in `TensorProto.DataType` of `mind_ir.proto`.
    """

    name: str
    numpy: np.dtype[Any]
    bits: int
    onnx: int | None = None
    onnx_name: str | None = None
    safetensors: str | None = None
    torch: str | None = None
    paddle: str | None = None
    mindspore: str | None = None
    mindspore_checkpoint: str | None = None
    mindir: int | None = None
    mindir_name: str | None = None

    @property
    def bytes(self) -> int:
        """Bytes that one element takes in a numpy array."""
        return self.numpy.itemsize


def _row(scalar: Any, bits: int, *names: Any) -> ElementType:
    dtype = np.dtype(scalar)
    return ElementType(dtype.name, dtype, bits, *names)


# fmt: off
ELEMENT_TYPES: tuple[ElementType, ...] = (
    #    numpy                   bits  onnx                  safetensors    torch              paddle           mindspore        .ckpt       MindIR
    _row(np.bool_,                  8,  9, "BOOL",           "BOOL",        "bool",            "bool",          "bool_",         "Bool",      9, "BOOL"),
    _row(np.uint8,                  8,  2, "UINT8",          "U8",          "uint8",           "uint8",         "uint8",         "UInt8",     2, "UINT8"),
    _row(np.int8,                   8,  3, "INT8",           "I8",          "int8",            "int8",          "int8",          "Int8",      3, "INT8"),
    _row(np.uint16,                16,  4, "UINT16",         "U16",         "uint16",          "uint16",        "uint16",        "UInt16",    4, "UINT16"),
    _row(np.int16,                 16,  5, "INT16",          "I16",         "int16",           "int16",         "int16",         "Int16",     5, "INT16"),
    _row(np.uint32,                32, 12, "UINT32",         "U32",         "uint32",          "uint32",        "uint32",        "UInt32",   12, "UINT32"),
    _row(np.int32,                 32,  6, "INT32",          "I32",         "int32",           "int32",         "int32",         "Int32",     6, "INT32"),
    _row(np.uint64,                64, 13, "UINT64",         "U64",         "uint64",          "uint64",        "uint64",        "UInt64",   13, "UINT64"),
    _row(np.int64,                 64,  7, "INT64",          "I64",         "int64",           "int64",         "int64",         "Int64",     7, "INT64"),
    _row(np.float16,               16, 10, "FLOAT16",        "F16",         "float16",         "float16",       "float16",       "Float16",  10, "FLOAT16"),
    _row(ml_dtypes.bfloat16,       16, 16, "BFLOAT16",       "BF16",        "bfloat16",        "bfloat16",      "bfloat16",      "BFloat16", 16, "BFLOAT16"),
    _row(np.float32,               32,  1, "FLOAT",          "F32",         "float32",         "float32",       "float32",       "Float32",   1, "FLOAT"),
    _row(np.float64,               64, 11, "DOUBLE",         "F64",         "float64",         "float64",       "float64",       "Float64",  11, "DOUBLE"),
    _row(np.complex64,             64, 14, "COMPLEX64",      "C64",         "complex64",       "complex64",     "complex64",     None,       14, "COMPLEX64"),
    _row(np.complex128,           128, 15, "COMPLEX128",     None,          "complex128",      "complex128",    "complex128",    None,       15, "COMPLEX128"),
    _row(ml_dtypes.float8_e4m3fn,   8, 17, "FLOAT8E4M3FN",   "F8_E4M3",     "float8_e4m3fn",   "float8_e4m3fn", "float8_e4m3fn"),
    _row(ml_dtypes.float8_e4m3fnuz, 8, 18, "FLOAT8E4M3FNUZ", "F8_E4M3FNUZ", "float8_e4m3fnuz"),
    _row(ml_dtypes.float8_e5m2,     8, 19, "FLOAT8E5M2",     "F8_E5M2",     "float8_e5m2",     "float8_e5m2",   "float8_e5m2"),
    _row(ml_dtypes.float8_e5m2fnuz, 8, 20, "FLOAT8E5M2FNUZ", "F8_E5M2FNUZ", "float8_e5m2fnuz"),
    _row(ml_dtypes.float8_e8m0fnu,  8, None, None,           "F8_E8M0",     "float8_e8m0fnu"),
    _row(ml_dtypes.uint4,           4, 21, "UINT4",          None,          "uint4"),
    _row(ml_dtypes.int4,            4, 22, "INT4",           None,          "int4"),
)
# fmt: on

Key = TypeVar("Key")


def _by(key: Callable[[ElementType], Key | None]) -> Mapping[Key, ElementType]:
    keyed = ((key(row), row) for row in ELEMENT_TYPES)
    return MappingProxyType({name: row for name, row in keyed if name is not None})


BY_NAME = _by(lambda row: row.name)
BY_NUMPY = _by(lambda row: row.numpy)
BY_ONNX = _by(lambda row: row.onnx)
BY_SAFETENSORS = _by(lambda row: row.safetensors)
BY_TORCH = _by(lambda row: row.torch)
BY_PADDLE = _by(lambda row: row.paddle)
BY_MINDSPORE = _by(lambda row: row.mindspore)
BY_MINDSPORE_CHECKPOINT = _by(lambda row: row.mindspore_checkpoint)
BY_MINDIR = _by(lambda row: row.mindir)


def element_type(dtype: npt.DTypeLike) -> ElementType:
    """The row of a numpy dtype, whatever its byte order.

    Args:
        dtype: Anything that `numpy.dtype` takes, `ml_dtypes` types and their names included.

    Raises:
        UnsupportedError: Strings, objects, dates, structures: nothing that a tensor holds.
    """
    try:
        return BY_NUMPY[_native(np.dtype(dtype))]
    except (KeyError, TypeError):
        known = ", ".join(BY_NAME)
        raise UnsupportedError(
            f"element type {dtype} is not one that tensors hold", fix=f"use one of: {known}"
        ) from None


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    # ml_dtypes types refuse newbyteorder, and have only one order.
    return dtype if dtype.isnative else dtype.newbyteorder("=")
