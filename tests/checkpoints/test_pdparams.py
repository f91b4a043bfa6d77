import hashlib
import pickle
import pickletools

import numpy as np
import pytest

from converters.checkpoints import write_pdparams
from converters.checkpoints.pdparams import STORED
from converters.errors import UnsupportedError, UsageError

READ_WITH_PADDLE = """
import sys, paddle
def raw(t):
    return t.numpy().tobytes().hex()
answer = {
    name: [str(t.dtype).removeprefix("paddle."), list(t.shape), raw(t)]
    for name, t in paddle.load(sys.argv[1]).items()
}
"""

SET_STATE = """
import sys, paddle
class M(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.fc, self.bn = paddle.nn.Linear(2, 3), paddle.nn.BatchNorm1D(3)
        self.scale = self.create_parameter([], dtype="float32")
m = M()
if len(sys.argv) > 2: m.to(dtype=sys.argv[2])
missing, unexpected = m.set_state_dict(paddle.load(sys.argv[1]))
answer = [missing, unexpected, {k: v.astype("float32").tolist() for k, v in m.state_dict().items()}]
"""

PADDLE_WRITES = """
import sys, paddle, pickle
m = paddle.nn.Sequential(paddle.nn.Linear(2, 3), paddle.nn.BatchNorm1D(3))
paddle.save(m.state_dict(), sys.argv[1])
answer = None
"""

STATE = {
    "fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3) / 4,
    "fc.bias": np.array([1, 2, 3], np.float32),
    "bn.weight": np.array([4, 5, 6], np.float32),
    "bn.bias": np.array([7, 8, 9], np.float32),
    "bn._mean": np.array([0.5, 1, 2], np.float32),
    "bn._variance": np.array([1, 1, 3], np.float32),
    "scale": np.array(2.5, np.float32),
}


def test_paddle_reads_every_type_and_layout_bit_for_bit(tmp_path, named, expected, ask):
    tensors = named(sorted(STORED)) | {"empty": np.zeros((0, 3), np.float32), "名前": np.ones(2)}
    write_pdparams(tmp_path / "x.pdparams", tensors)
    found = ask(READ_WITH_PADDLE, tmp_path / "x.pdparams")
    assert found == expected(tensors)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_layer_takes_the_state(tmp_path, ask, bfloat16, precision):
    dtype = bfloat16 if precision == "bfloat16" else np.float32
    write_pdparams(tmp_path / "x.pdparams", {k: v.astype(dtype) for k, v in STATE.items()})
    found = ask(SET_STATE, tmp_path / "x.pdparams", precision)
    assert found == [[], [], {name: array.tolist() for name, array in STATE.items()}]


def test_the_content_is_what_paddle_itself_writes(tmp_path, ask):
    ask(PADDLE_WRITES, tmp_path / "theirs.pdparams")
    theirs = pickle.loads((tmp_path / "theirs.pdparams").read_bytes())
    names = theirs.pop("StructuredToParameterName@@")
    write_pdparams(tmp_path / "ours.pdparams", theirs, names)
    ours = pickle.loads((tmp_path / "ours.pdparams").read_bytes())
    assert ours.pop("StructuredToParameterName@@") == names
    assert list(ours) == list(theirs)
    for name, array in theirs.items():
        assert ours[name].dtype == array.dtype
        np.testing.assert_array_equal(ours[name], array)
    assert _globals(tmp_path / "ours.pdparams") == _globals(tmp_path / "theirs.pdparams")


def _globals(path):
    strings, found = [], set()
    for opcode, argument, _ in pickletools.genops(path.read_bytes()):
        if isinstance(argument, str):
            strings.append(argument)
        if opcode.name == "STACK_GLOBAL":
            found.add(strings[-1])
        if opcode.name == "GLOBAL":
            found.add(argument.split()[1])
    # A memoised module name is not repeated, so compare what is called, not where from.
    return found


def test_bytes_do_not_depend_on_layout_identity_or_version(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_pdparams(tmp_path / "a", {"w": array, "v": array})
    write_pdparams(tmp_path / "b", {"w": np.asfortranarray(array), "v": array.astype(">f4")})
    data = (tmp_path / "a").read_bytes()
    assert data == (tmp_path / "b").read_bytes()
    # Noted once; the same on every Python and numpy.
    digest = "6558ed3683281dc1a7d715c59488598201ff3043bc13990c3d7033890e63cb8d"
    assert hashlib.sha256(data).hexdigest() == digest


@pytest.mark.parametrize(
    ("tensors", "error", "says"),
    [
        ({"a": np.zeros(2, np.uint32)}, UnsupportedError, "uint32.*'a'"),
        ({"a": np.zeros(2, np.uint16)}, UnsupportedError, "uint16"),
        ({"StructuredToParameterName@@": np.zeros(2)}, UsageError, "Structured"),
    ],
)
def test_refusals(tmp_path, tensors, error, says):
    with pytest.raises(error, match=says):
        write_pdparams(tmp_path / "x", tensors)
    assert list(tmp_path.iterdir()) == []
