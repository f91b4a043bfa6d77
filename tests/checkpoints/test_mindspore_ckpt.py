import numpy as np
import pytest

from converters.checkpoints import write_mindspore_ckpt
from converters.dtypes import BY_MINDSPORE_CHECKPOINT
from converters.errors import UnsupportedError, UsageError

TYPES = [kind.name for kind in BY_MINDSPORE_CHECKPOINT.values()]

READ_WITH_MINDSPORE = """
import sys, numpy as np, mindspore as ms
answer = {
    name: [p.asnumpy().dtype.name, list(p.shape), np.ascontiguousarray(p.asnumpy()).tobytes().hex()]
    for name, p in ms.load_checkpoint(sys.argv[1]).items()
}
"""

LOAD_INTO_CELL = """
import sys, mindspore as ms
from mindspore import nn
class M(nn.Cell):
    def __init__(self):
        super().__init__()
        self.fc, self.bn = nn.Dense(2, 3), nn.BatchNorm1d(3)
m = M()
missing, unexpected = ms.load_param_into_net(m, ms.load_checkpoint(sys.argv[1]), strict_load=True)
answer = [missing, unexpected, {p.name: p.asnumpy().tolist() for p in m.get_parameters()}]
"""

MINDSPORE_WRITES = """
import sys, numpy as np, mindspore as ms
data = np.arange(6, dtype=np.float32).reshape(2, 3)
ms.save_checkpoint([
    {"name": "a", "data": ms.Tensor(data)},
    {"name": "b", "data": ms.Tensor(data[0, 1])},
    {"name": "c", "data": ms.Tensor(data > 2)},
    {"name": "d", "data": ms.Tensor(data).astype(ms.bfloat16)},
    {"name": "e", "data": ms.Tensor(np.zeros((1, 200), np.int64))},
], sys.argv[1])
answer = None
"""


def test_mindspore_reads_every_type_and_layout_bit_for_bit(tmp_path, named, expected, ask):
    tensors = named(TYPES) | {"名前": np.ones((1, 2))}
    write_mindspore_ckpt(tmp_path / "x.ckpt", tensors)
    assert ask(READ_WITH_MINDSPORE, tmp_path / "x.ckpt") == expected(tensors)


def test_large_tensors_are_sliced_and_joined(tmp_path, expected, ask):
    tensors = {
        "large": np.arange(60, dtype=np.float32).reshape(3, 4, 5),
        "exact": np.arange(8, dtype=np.float32),
        "small": np.arange(3, dtype=np.float32),
        "uneven": np.arange(33, dtype=np.uint8),
    }
    write_mindspore_ckpt(tmp_path / "x.ckpt", tensors, slice_bytes=32)
    assert (tmp_path / "x.ckpt").read_bytes().count(b"large") == 8
    assert (tmp_path / "x.ckpt").read_bytes().count(b"exact") == 1
    assert ask(READ_WITH_MINDSPORE, tmp_path / "x.ckpt") == expected(tensors)


def test_a_cell_takes_the_parameters(tmp_path, ask):
    state = {
        "fc.weight": np.arange(6, dtype=np.float32).reshape(3, 2),
        "fc.bias": np.array([1, 2, 3], np.float32),
        "bn.moving_mean": np.array([0.5, 1, 2], np.float32),
        "bn.moving_variance": np.array([1, 1, 3], np.float32),
        "bn.gamma": np.array([4, 5, 6], np.float32),
        "bn.beta": np.array([7, 8, 9], np.float32),
    }
    write_mindspore_ckpt(tmp_path / "x.ckpt", state)
    found = ask(LOAD_INTO_CELL, tmp_path / "x.ckpt")
    assert found == [[], [], {name: array.tolist() for name, array in state.items()}]


def test_bytes_are_those_of_mindspore(tmp_path, ask, bfloat16):
    ask(MINDSPORE_WRITES, tmp_path / "theirs.ckpt")
    data = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensors = {
        "a": data,
        "b": np.array(data[0, 1]),
        "c": data > 2,
        "d": data.astype(bfloat16),
        "e": np.zeros((1, 200), np.int64),
    }
    write_mindspore_ckpt(tmp_path / "ours.ckpt", tensors)
    assert (tmp_path / "ours.ckpt").read_bytes() == (tmp_path / "theirs.ckpt").read_bytes()


@pytest.mark.parametrize(
    ("tensors", "error", "says"),
    [
        ({"a": np.zeros((0, 3), np.float32)}, UnsupportedError, "without elements: 'a'"),
        ({"a": np.zeros(2, np.complex64)}, UnsupportedError, "complex64.*'a'"),
        ({"": np.zeros(2)}, UsageError, "''"),
    ],
)
def test_refusals(tmp_path, tensors, error, says):
    with pytest.raises(error, match=says):
        write_mindspore_ckpt(tmp_path / "x", tensors)
    assert list(tmp_path.iterdir()) == []
