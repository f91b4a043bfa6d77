import json
import os

import numpy as np
import pytest
import safetensors.numpy

from converters.checkpoints import write_safetensors
from converters.dtypes import BY_SAFETENSORS
from converters.errors import UnsupportedError, UsageError

TYPES = [kind.name for kind in BY_SAFETENSORS.values()]

READ_WITH_TORCH = """
import sys, torch
from safetensors.torch import load_file
answer = {
    name: [str(t.dtype).removeprefix("torch."), list(t.shape),
           t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes().hex()]
    for name, t in load_file(sys.argv[1]).items()
}
"""


def test_torch_reads_every_type_and_layout_bit_for_bit(tmp_path, named, expected, ask):
    tensors = named(TYPES) | {"empty": np.zeros((0, 3), np.float32), "名前.ä": np.ones(2)}
    write_safetensors(tmp_path / "x.safetensors", tensors)
    assert ask(READ_WITH_TORCH, tmp_path / "x.safetensors") == expected(tensors)


def test_bytes_are_those_of_the_library(tmp_path, named):
    # One type for each width: among types of one width the library has an order of its own.
    types = ["bool", "bfloat16", "float32", "int64"]
    tensors = {n: a for n, a in named(types).items() if n.endswith((".plain", ".scalar"))}
    write_safetensors(tmp_path / "x.safetensors", tensors, {"format": "pt"})
    theirs = safetensors.numpy.save(tensors, {"format": "pt"})
    assert (tmp_path / "x.safetensors").read_bytes() == theirs


def test_metadata_and_order_of_names_do_not_change_the_bytes(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    a, b = np.arange(3), np.ones(2, np.float32)
    write_safetensors(one, {"a": a, "b": b}, {"x": "1", "y": "2"})
    write_safetensors(two, {"b": b, "a": a}, {"y": "2", "x": "1"})
    assert one.read_bytes() == two.read_bytes()
    with safetensors.safe_open(one, "np") as file:
        assert file.metadata() == {"x": "1", "y": "2"}


def test_no_tensors_at_all(tmp_path):
    write_safetensors(tmp_path / "x", {})
    assert safetensors.numpy.load_file(tmp_path / "x") == {}


@pytest.mark.parametrize(
    ("tensors", "error", "says"),
    [
        ({"a": np.zeros(2, np.complex128)}, UnsupportedError, "complex128.*'a'"),
        ({"a": np.array(["text"])}, UnsupportedError, "<U4"),
        ({"__metadata__": np.zeros(2)}, UsageError, "__metadata__"),
        ({"": np.zeros(2)}, UsageError, "''"),
        ({"\ud800": np.zeros(2)}, UsageError, "ud800"),
    ],
)
def test_a_refusal_leaves_what_was_there(tmp_path, tensors, error, says):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"old")
    with pytest.raises(error, match=says):
        write_safetensors(path, tensors)
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
    assert path.read_bytes() == b"old"


def test_a_write_that_fails_half_way_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        write_safetensors(path, {"a": np.zeros(2)})
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
    assert path.read_bytes() == b"old"


def test_files_have_ordinary_permissions(tmp_path):
    write_safetensors(tmp_path / "x", {"a": np.zeros(2)})
    (tmp_path / "y").touch()
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "y").stat().st_mode


def test_header_is_padded_so_that_data_is_aligned(tmp_path):
    write_safetensors(tmp_path / "x", {"a": np.zeros(2)})
    data = (tmp_path / "x").read_bytes()
    size = int.from_bytes(data[:8], "little")
    assert size % 8 == 0
    assert json.loads(data[8 : 8 + size]) == {
        "a": {"dtype": "F64", "shape": [2], "data_offsets": [0, 16]}
    }
