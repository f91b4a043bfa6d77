"""Archives of numpy against numpy."""

import numpy as np
import pytest

from converters.checkpoints import open_checkpoint, write_npz
from converters.errors import UnsupportedError

ARRAYS = {
    "plain": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "big": np.arange(6, dtype=">i4"),
    "scalar": np.array(3, np.int8),
    "empty": np.zeros((0, 3)),
    "a/b": np.array([True, False]),
    "complex": np.array([1 + 2j], np.complex64),
    "long": np.zeros(300_000, np.float16),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_wrote(save, tmp_path):
    save(tmp_path / "x.npz", **ARRAYS)
    opened = open_checkpoint(tmp_path / "x.npz").tensors
    assert set(opened) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(opened[name].array(), array)
        assert b"".join(b.tobytes() for b in opened[name].blocks()) == array.astype(
            array.dtype.newbyteorder("<")
        ).tobytes("C")


def test_what_numpy_reads(tmp_path):
    write_npz(tmp_path / "x.npz", ARRAYS)
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        assert set(file) == set(ARRAYS)
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(file[name], array)


def test_a_single_array_is_called_by_its_file(tmp_path):
    np.save(tmp_path / "bias.npy", ARRAYS["fortran"])
    opened = open_checkpoint(tmp_path / "bias.npy")
    np.testing.assert_array_equal(opened.tensors["bias"].array(), ARRAYS["fortran"])


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([{}], object), np.zeros(2, "V3")])
def test_what_is_no_number(array, tmp_path):
    np.savez(tmp_path / "x.npz", a=array)
    with pytest.raises(UnsupportedError, match="element type"):
        open_checkpoint(tmp_path / "x.npz")
