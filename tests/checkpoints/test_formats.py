"""Every container with every element type and memory layout, as we read it ourselves."""

import math

import numpy as np
import pytest

from converters.checkpoints import FORMATS, open_checkpoint
from converters.checkpoints.formats import Written
from converters.checkpoints.shards import write_sharded
from converters.checkpoints.tensors import Decoded, Viewed, as_tensor, cast
from converters.dtypes import BY_NAME, ELEMENT_TYPES
from converters.errors import UnsupportedError, UsageError

# Element types that a container cannot hold, and refuses.
LACKS = {
    "safetensors": {"complex128", "uint4", "int4"},
    "torch": {"uint4", "int4"},
    "pdparams": {
        "uint16", "uint32", "uint64", "uint4", "int4", "float8_e4m3fn", "float8_e4m3fnuz",
        "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu",
    },
    "ckpt": {
        "complex64", "complex128", "uint4", "int4", "float8_e4m3fn", "float8_e4m3fnuz",
        "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu",
    },
    "npz": {
        "bfloat16", "uint4", "int4", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2",
        "float8_e5m2fnuz", "float8_e8m0fnu",
    },
    "onnx": {"float8_e8m0fnu"},
}  # fmt: skip


def bits(array):
    return np.ascontiguousarray(array).tobytes()


def values(kind, shape, seed=0):
    random = np.random.default_rng(seed)
    data = random.integers(0, 256, size=math.prod(shape) * kind.bytes, dtype=np.uint8)
    if kind.name == "bool":
        data %= 2
    if kind.bits == 4:
        low = 0 if kind.name == "uint4" else -8
        return (data.astype(np.int8) % 16 + low).astype(kind.numpy).reshape(shape)
    return data.view(kind.numpy).reshape(shape)


@pytest.mark.parametrize("kind", ELEMENT_TYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("form", FORMATS)
def test_a_container_keeps_names_types_and_bits(form, kind, tmp_path):
    tensors = {
        "plain": values(kind, (3, 5)),
        "scalar": values(kind, ()),
        "turned": values(kind, (70, 53)).T,
        "strided": values(kind, (103, 205))[::2, ::-3],
        "名前.weight": values(kind, (7,)),
        "empty": values(kind, (0, 3)),
    }
    if form == "ckpt":
        del tensors["empty"]
    path = tmp_path / f"model{FORMATS[form].suffix}"
    if kind.name in LACKS[form]:
        with pytest.raises(UnsupportedError, match="no element type"):
            FORMATS[form].write(path, tensors, Written())
        assert not list(tmp_path.iterdir())
        return
    FORMATS[form].write(path, tensors, Written())
    opened = open_checkpoint(path)
    assert sorted(opened.tensors) == sorted(tensors)
    for name, array in tensors.items():
        tensor = opened.tensors[name]
        assert (tensor.kind, tensor.shape) == (kind, array.shape)
        assert bits(tensor.array()) == bits(array)
        assert b"".join(block.tobytes() for block in tensor.blocks()) == bits(array)


@pytest.mark.parametrize("form", FORMATS)
def test_large_matrices_are_turned_block_by_block(form, tmp_path):
    arrays = {
        name: np.random.default_rng(0).integers(0, 255, (1700, 2050 * width), np.uint8).view(dtype).T
        for name, (width, dtype) in {
            "half": (2, np.float16), "single": (4, np.float32), "double": (8, np.float64),
            "byte": (1, np.int8),
        }.items()
    }  # fmt: skip
    path = tmp_path / f"model{FORMATS[form].suffix}"
    FORMATS[form].write(path, arrays, Written())
    opened = open_checkpoint(path)
    for name, array in arrays.items():
        assert bits(opened.tensors[name].array()) == bits(array)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_from_every_container_into_every_other(source, form, tmp_path):
    tensors = {"w": values(BY_NAME["float32"], (40, 30)), "n": values(BY_NAME["int64"], (2,))}
    one = tmp_path / f"one{FORMATS[source].suffix}"
    two = tmp_path / f"two{FORMATS[form].suffix}"
    FORMATS[source].write(one, tensors, Written())
    FORMATS[form].write(two, open_checkpoint(one).tensors, Written())
    for name, tensor in open_checkpoint(two).tensors.items():
        assert bits(tensor.array()) == bits(tensors[name])


@pytest.mark.parametrize("form", ["safetensors", "torch"])
def test_shards_and_their_index(form, tmp_path):
    tensors = {f"w{i}": values(BY_NAME["float32"], (10, 10), i) for i in range(7)}
    path = tmp_path / f"model{FORMATS[form].suffix}"
    FORMATS[form].write(path, tensors, Written(shard_bytes=900))
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names[0] == f"model-00001-of-00004{path.suffix}"
    assert names[-1] == f"model{path.suffix}.index.json"
    opened = open_checkpoint(tmp_path)
    assert list(opened.tensors) == list(tensors)
    for name, array in tensors.items():
        assert bits(opened.tensors[name].array()) == bits(array)


def test_what_fits_into_one_file_is_one_file(tmp_path):
    def write(path, tensors):
        FORMATS["safetensors"].write(path, tensors, Written())

    path = tmp_path / "model.safetensors"
    assert write_sharded(path, {"a": np.ones(3)}, write, 1000) == [path]


def test_casting_rounds_floats_and_refuses_integers_that_do_not_fit():
    floats = cast(as_tensor(np.array([1.0, 1e30, np.nan], np.float32)), BY_NAME["float16"], "f")
    np.testing.assert_array_equal(floats.array(), np.array([1, np.inf, np.nan], np.float16))
    numbers = as_tensor(np.array([1, 1 << 40]))
    with pytest.raises(UnsupportedError, match=r"'n'.*int32"):
        cast(numbers, BY_NAME["int32"], "n").array()


def test_a_decoder_that_gives_too_little_is_refused(tmp_path):
    short = Decoded(BY_NAME["float32"], (3,), lambda: iter([np.zeros(2, np.float32)]), "short")
    with pytest.raises(Exception, match="fewer"):
        FORMATS["npz"].write(tmp_path / "x.npz", {"a": short}, Written())
    assert not list(tmp_path.iterdir())


def test_views_of_ones_own_are_not_copied():
    array = np.zeros((3, 4))
    assert Viewed(array).array() is array


def test_what_is_no_checkpoint(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        open_checkpoint(tmp_path / "missing")
    with pytest.raises(UsageError, match="a folder without weights"):
        open_checkpoint(tmp_path)
