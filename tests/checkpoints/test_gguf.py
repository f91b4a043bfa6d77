"""GGUF against the package of its authors."""

import numpy as np
import pytest

from converters.checkpoints import open_checkpoint
from converters.checkpoints.gguf_blocks import BLOCK_TYPES

gguf = pytest.importorskip("gguf")
# Types that only llama.cpp's C code unpacks.
WITHOUT_ORACLE = {"Q8_1", "Q8_K"}


@pytest.fixture(scope="module")
def quantised():
    """Random blocks of every type, and what the package makes of them."""
    random = np.random.default_rng(0)
    made = {}
    for number, kind in BLOCK_TYPES.items():
        if kind.name in WITHOUT_ORACLE:
            continue
        raw = random.integers(0, 256, size=(4, 3 * kind.bytes), dtype=np.uint8)
        with np.errstate(all="ignore"):
            made[kind.name] = raw, gguf.quants.dequantize(raw, gguf.GGMLQuantizationType(number))
    return made


def test_every_type_of_blocks_bit_for_bit(quantised, tmp_path):
    plain = {
        name: np.arange(15).reshape(3, 5).astype(name)
        for name in ("float32", "float16", "float64", "int8", "int16", "int32", "int64")
    }
    path = tmp_path / "x.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"] * 100)
    for name, (raw, _) in quantised.items():
        writer.add_tensor(name, raw, raw_dtype=gguf.GGMLQuantizationType[name])
    for name, array in plain.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    opened = open_checkpoint(path)
    assert opened.metadata["general.architecture"] == "llama"
    assert opened.metadata["tokenizer.ggml.tokens"] == "200 values"
    assert "1 tensors of Q4_K, given as float32" in opened.findings
    for name, (_, expected) in quantised.items():
        np.testing.assert_array_equal(opened.tensors[name].array(), expected, err_msg=name)
    for name, array in plain.items():
        tensor = opened.tensors[name]
        assert tensor.kind.name == name
        np.testing.assert_array_equal(tensor.array(), array)
