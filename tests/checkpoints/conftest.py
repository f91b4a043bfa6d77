"""Tensors that every writer is tried on, and a way to ask a framework what it reads from a file."""

import ml_dtypes
import numpy as np
import pytest

from converters.dtypes import ELEMENT_TYPES

LAYOUTS = ("plain", "scalar", "fortran", "strided", "reversed", "big-endian")


def _values(kind):
    """Six elements of a type with every bit pattern that matters: signs, zero, the largest."""
    random = np.random.default_rng(0)
    data = random.integers(0, 256, size=6 * kind.bytes, dtype=np.uint8)
    if kind.name == "bool":
        return (data % 2).view(np.bool_)
    return data.view(kind.numpy)


def _layouts(kind):
    values = _values(kind).reshape(2, 3)
    yield "plain", values
    yield "scalar", np.array(values[1, 2])
    yield "fortran", np.asfortranarray(values)
    yield "strided", np.repeat(values, 2, axis=1)[:, ::2]
    yield "reversed", values[::-1, ::-1]
    if kind.numpy.isbuiltin == 1 and kind.bytes > 1:
        yield "big-endian", values.astype(kind.numpy.newbyteorder(">"))


@pytest.fixture(scope="session")
def tensors():
    """By element type name: arrays by layout name."""
    return {kind.name: dict(_layouts(kind)) for kind in ELEMENT_TYPES}


@pytest.fixture(scope="session")
def named(tensors):
    """Tensors of the given element types, by `type.layout`."""

    def choose(types):
        return {f"{t}.{name}": array for t in types for name, array in tensors[t].items()}

    return choose


@pytest.fixture(scope="session")
def expected():
    """What a reader must report of tensors: dtype, shape and bytes."""

    def report(tensors):
        return {
            name: [
                array.dtype.name,
                list(array.shape),
                np.ascontiguousarray(array, dtype=_little(array.dtype)).tobytes().hex(),
            ]
            for name, array in tensors.items()
        }

    return report


def _little(dtype):
    return dtype.newbyteorder("<") if dtype.type.__module__ == "numpy" else dtype


@pytest.fixture
def bfloat16():
    return np.dtype(ml_dtypes.bfloat16)
