"""Tensors above 4 GiB, sparse on disk: where 32-bit sizes end."""

import subprocess
import sys

import numpy as np
import psutil
import pytest

from converters.checkpoints import FORMATS, open_checkpoint
from converters.checkpoints.formats import Written

SIZE = (4 << 30) + 12345
MARKS = {5: 7, (1 << 31) + 1: 8, SIZE - 1: 9}
# How a framework's own reader gives an element without reading all of them.
READERS = {
    "torch": "import torch; t = torch.load(path, weights_only=True, mmap=True)[name]",
    "safetensors": "import safetensors; t = safetensors.safe_open(path, 'np').get_slice(name)",
    "pdparams": "import paddle; t = paddle.load(path, return_numpy=True)[name]",
    "npz": "import numpy; t = numpy.load(path)[name]",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A checkpoint, so that what is tried is copying from file to file."""
    path = tmp_path_factory.mktemp("source") / "source.safetensors"
    header = b'{"large":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (SIZE, SIZE)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        start = file.tell()
        file.truncate(start + SIZE)
        for place, value in MARKS.items():
            file.seek(start + place)
            file.write(bytes([value]))
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_large_tensors_pass_through(form, source, tmp_path):
    path = tmp_path / f"model{FORMATS[form].suffix}"
    tensors = {"first": np.ones(3, np.float32), **open_checkpoint(source).tensors}
    FORMATS[form].write(path, {**tensors, "last": np.arange(4)}, Written())
    # Holes stay holes.
    assert sum(file.stat().st_blocks for file in tmp_path.iterdir()) * 512 < 64 << 20
    opened = open_checkpoint(path).tensors
    assert {name: tensor.shape for name, tensor in opened.items()} == {
        "first": (3,), "large": (SIZE,), "last": (4,),
    }  # fmt: skip
    for place, value in MARKS.items():
        for span in opened["large"].spans:
            if place < span.length:
                assert span.view()[place] == value
                break
            place -= span.length
    np.testing.assert_array_equal(opened["last"].array(), np.arange(4))
    # Those that read all of it into memory need room for it, some of them twice.
    if form not in READERS or psutil.virtual_memory().available < 14 << 30:
        return
    program = f"path, name = {str(path)!r}, 'large'\n{READERS[form]}\n" + "".join(
        f"assert int(t[{place}:{place + 1}][0]) == {value}\n" for place, value in MARKS.items()
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)
