"""GGUF against the package of its authors, and against files that are none."""

import contextlib
import struct
import time

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converters.checkpoints import open_checkpoint
from converters.checkpoints.gguf import PIECE
from converters.checkpoints.gguf_blocks import BLOCK_TYPES, OTHER_TYPES
from converters.errors import UnsafeInput, UnsupportedError

gguf = pytest.importorskip("gguf")
# Types that only llama.cpp's C code unpacks.
WITHOUT_ORACLE = {"Q8_K"}
NUMBERS = {kind.name: number for number, kind in BLOCK_TYPES.items()}
# What the package can write as well as read.
QUANTISED = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4", "TQ1_0", "TQ2_0")


def write(path, tensors, entries=lambda writer: None):
    """A file of the package: arrays, or blocks with the name of their type."""
    writer = gguf.GGUFWriter(path, "llama")
    entries(writer)
    for name, (array, kind) in tensors.items():
        raw = gguf.GGMLQuantizationType[kind] if kind else None
        writer.add_tensor(name, array, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def dequantised(raw, name):
    with np.errstate(all="ignore"):
        return gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[name])


def assert_same_bits(ours, theirs, name):
    assert ours.dtype == theirs.dtype == np.float32, name
    assert ours.shape == theirs.shape, name
    # Which bits a NaN has is nobody's promise.
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs), err_msg=name)
    finite = ~np.isnan(theirs)
    np.testing.assert_array_equal(
        ours[finite].view(np.uint32), theirs[finite].view(np.uint32), err_msg=name
    )


@pytest.mark.parametrize("name", sorted(NUMBERS.keys() - WITHOUT_ORACLE))
def test_random_blocks_bit_for_bit(name, tmp_path):
    kind = BLOCK_TYPES[NUMBERS[name]]
    raw = np.random.default_rng(0).integers(0, 256, (40, 3 * kind.bytes), np.uint8)
    opened = open_checkpoint(write(tmp_path / "x.gguf", {"w": (raw, name)}))
    assert opened.tensors["w"].shape == (40, 3 * kind.elements)
    assert opened.findings == (f"1 tensors of {name}, given as float32",)
    assert_same_bits(opened.tensors["w"].array(), dequantised(raw, name), name)


@pytest.mark.parametrize("name", QUANTISED)
def test_weights_that_the_package_quantised(name, tmp_path):
    # Ternary types hold signs, times a scale for every 256.
    weights = np.random.default_rng(1).normal(size=(8, 512)).astype(np.float32)
    weights = np.sign(weights) if name.startswith("TQ") else weights
    raw = gguf.quants.quantize(weights, gguf.GGMLQuantizationType[name])
    opened = open_checkpoint(write(tmp_path / "x.gguf", {"w": (raw, name)}))
    array = opened.tensors["w"].array()
    assert_same_bits(array, dequantised(raw, name), name)
    # They are the weights, in their order, as near as the type comes.
    assert np.corrcoef(array.ravel(), weights.ravel())[0, 1] > 0.98


def test_a_type_that_the_package_does_not_unpack(tmp_path):
    wide = np.arange(256).astype(np.uint8).view(np.int8)
    data = np.float32(0.25).tobytes() + wide.tobytes() + bytes(32)
    path = tmp_path / "x.gguf"
    path.write_bytes(plain([(b"w", (256, 2), 15, data * 2)]))
    expected = wide * np.float32(0.25)
    assert_same_bits(open_checkpoint(path).tensors["w"].array(), np.stack([expected] * 2), "Q8_K")


def test_sizes_of_blocks():
    ours = {number: (kind.elements, kind.bytes) for number, kind in BLOCK_TYPES.items()}
    ours |= {number: sizes for number, (_, *sizes) in OTHER_TYPES.items()}
    for kind, sizes in gguf.GGML_QUANT_SIZES.items():
        # The package still has the Q8_1 of 2023, of 40 bytes.
        if kind in ours and kind.name != "Q8_1":
            assert tuple(ours[kind]) == sizes, kind.name


def test_more_blocks_than_are_unpacked_at_a_time(tmp_path):
    raw = np.random.default_rng(2).integers(0, 60, (33, PIECE // 32 // 32 * 34), np.uint8)
    tensor = open_checkpoint(write(tmp_path / "x.gguf", {"w": (raw, "Q8_0")})).tensors["w"]
    assert [block.size for block in tensor.blocks()] == [PIECE, PIECE // 32]
    assert_same_bits(tensor.array(), dequantised(raw, "Q8_0"), "Q8_0")


def test_plain_tensors_are_the_bytes_of_the_file(tmp_path):
    names = ("float32", "float16", "float64", "int8", "int16", "int32", "int64")
    arrays = {name: np.arange(15).reshape(3, 5).astype(name) for name in names}
    half = np.arange(15).reshape(3, 5).astype(ml_dtypes.bfloat16)
    tensors = {name: (array, None) for name, array in arrays.items()}
    tensors["bfloat16"] = half.view(np.uint8), "BF16"
    opened = open_checkpoint(write(tmp_path / "x.gguf", tensors))
    assert opened.format == "gguf"
    assert opened.framework is None
    assert list(opened.tensors) == list(tensors)
    assert opened.findings == ()
    for name, array in (arrays | {"bfloat16": half}).items():
        tensor = opened.tensors[name]
        assert tensor.spans is not None
        assert (tensor.kind.name, tensor.shape) == (name, (3, 5))
        assert tensor.array().tobytes() == array.tobytes()


def test_metadata(tmp_path):
    def entries(writer):
        writer.add_custom_alignment(64)
        writer.add_block_count(2)
        writer.add_bool("yes", True)
        writer.add_float64("pi", 3.25)
        writer.add_string("long", "é" * 5000)
        writer.add_array("few", [1, 2, 3])
        writer.add_array("many", list(range(17)))
        writer.add_array("tokenizer.ggml.tokens", ["a", "", "bc"] * 100)
        writer.add_array("nested", [[1, 2], [3]])

    ones = np.ones(5, np.float32)
    path = write(tmp_path / "x.gguf", {"a": (ones, None), "b": (ones, None)}, entries)
    opened = open_checkpoint(path)
    assert dict(opened.metadata) == {
        "general.architecture": "llama",
        "general.alignment": 64,
        "llama.block_count": 2,
        "yes": True,
        "pi": 3.25,
        "long": "é" * 200 + "...",
        "few": [1, 2, 3],
        "many": "17 values",
        "tokenizer.ggml.tokens": "300 strings",
        "nested": "2 arrays",
    }
    np.testing.assert_array_equal(opened.tensors["b"].array(), ones)


# -- files without the package


def text(value):
    return struct.pack("<Q", len(value)) + value


def described(name=b"w", dims=(8,), number=0, offset=0):
    return text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, number, offset)


def whole(tensors=(), entries=(), data=b"", version=3, alignment=32):
    """A file of described tensors, encoded entries and data."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries))
    head += b"".join(entries) + b"".join(tensors)
    return head + bytes(-len(head) % alignment) + data


def plain(tensors, **options):
    """A file of tensors with their bytes."""
    heads, data = [], b""
    for name, dims, number, content in tensors:
        heads.append(described(name, dims, number, len(data)))
        data += content + bytes(-len(content) % 32)
    return whole(heads, data=data, **options)


def entry(key=b"k", kind=4, value=b"\7\0\0\0"):
    return text(key) + struct.pack("<I", kind) + value


def array(kind, count, values=b""):
    return struct.pack("<IQ", kind, count) + values


def read(path, data):
    path.write_bytes(data)
    opened = open_checkpoint(path)
    for tensor in opened.tensors.values():
        tensor.array()
    return opened


def test_version_2_and_shapes_are_turned(tmp_path):
    values = np.arange(6, dtype=np.float32)
    opened = read(tmp_path / "x.gguf", plain([(b"w", (3, 2), 0, values.tobytes())], version=2))
    np.testing.assert_array_equal(opened.tensors["w"].array(), values.reshape(2, 3))


def test_scalars_and_empty_tensors(tmp_path):
    tensors = [
        (b"s", (), 26, struct.pack("<i", -5)),
        (b"e", (0, 3), 0, b""),
        (b"q", (32, 0), 2, b""),
    ]
    opened = read(tmp_path / "x.gguf", plain(tensors))
    assert opened.tensors["s"].array() == -5
    assert opened.tensors["e"].array().shape == (3, 0)
    assert opened.tensors["q"].array().shape == (0, 32)


@pytest.mark.parametrize(
    ("number", "dims", "title"), [(16, (256,), "IQ2_XXS"), (31, (256,), "type 31"), (999, (7,), "type 999")]
)  # fmt: skip
def test_a_type_that_is_not_unpacked_can_be_looked_at(number, dims, title, tmp_path):
    path = tmp_path / "x.gguf"
    ones = np.ones(8, np.float32)
    path.write_bytes(plain([(b"odd", dims, number, bytes(66)), (b"w", (8,), 0, ones.tobytes())]))
    opened = open_checkpoint(path)
    assert opened.tensors["odd"].shape == dims
    assert opened.findings == (f"1 tensors of {title}, which cannot be read",)
    np.testing.assert_array_equal(opened.tensors["w"].array(), ones)
    with pytest.raises(UnsupportedError, match=f"'odd'.*{title}"):
        opened.tensors["odd"].array()


DATA = bytes(128)
ALIGN = b"general.alignment"


@pytest.mark.parametrize(
    ("says", "data"),
    [
        ("twice", whole(entries=[entry(), entry()])),
        ("two tensors are called 'w'", whole([described(), described(offset=32)], data=DATA)),
        ("without a name", whole([described(b"")], data=DATA)),
        ("UTF-8", whole([described(b"\xff")], data=DATA)),
        ("name of 5000 bytes", whole([described(b"w" * 5000)], data=DATA)),
        ("overlaps", whole([described(dims=(16,)), described(b"v", offset=32)], data=DATA)),
        ("multiple of 32", whole([described(offset=8)], data=DATA)),
        ("truncated", whole([described(offset=1 << 40)], data=DATA)),
        ("truncated", whole([described(offset=(1 << 64) - 32)], data=DATA)),
        ("truncated", whole([described(number=999, offset=1 << 40)], data=DATA)),
        ("truncated", whole([described(dims=(1 << 40,))], data=DATA)),
        ("too many elements", whole([described(dims=(1 << 40, 1 << 40), number=999)], data=DATA)),
        ("no multiple of 32", whole([described(dims=(16, 2), number=2)], data=DATA)),
        ("alignment of 4", whole(entries=[entry(ALIGN, value=struct.pack("<I", 4))])),
        ("alignment of 24", whole(entries=[entry(ALIGN, value=struct.pack("<I", 24))])),
        ("alignment of -32", whole(entries=[entry(ALIGN, 5, struct.pack("<i", -32))])),
        ("alignment of True", whole(entries=[entry(ALIGN, 7, b"\1")])),
        ("alignment of 32.0", whole(entries=[entry(ALIGN, 6, struct.pack("<f", 32))])),
        ("alignment of '32'", whole(entries=[entry(ALIGN, 8, text(b"32"))])),
        ("value of type 77", whole(entries=[entry(kind=77)])),
        ("array of type 77", whole(entries=[entry(kind=9, value=array(77, 0))])),
        ("truncated", whole(entries=[entry(kind=9, value=array(10, (1 << 64) - 1))])),
        ("truncated", whole(entries=[entry(kind=9, value=array(8, 2, text(b"a")))], alignment=1)),
        ("truncated", whole(entries=[entry(kind=9, value=array(8, 1, b"\xff" * 8))])),
        ("strings", whole(entries=[entry(kind=9, value=array(8, 1 << 63))])),
        ("arrays in arrays", whole(entries=[entry(kind=9, value=array(9, 1) * 9)])),
        ("in a file of", b"GGUF" + struct.pack("<IQQ", 3, 3, 0) + bytes(71)),
        ("in a file of", b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60) + bytes(71)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_malformed(says, data, tmp_path):
    with pytest.raises(UnsafeInput, match=says):
        read(tmp_path / "x.gguf", data)


@pytest.mark.parametrize(
    "data",
    [
        b"GGUF" + struct.pack("<IQQ", 3, 1_000_000, 0) + bytes(24_000_000),
        whole(entries=[entry(kind=9, value=array(8, 2_500_000) + bytes(8 * 2_500_000))]),
        whole(entries=[entry(kind=9, value=array(9, 1_000_000) + array(4, 0) * 1_000_000)]),
    ],
    ids=["tensors", "texts", "arrays"],
)
def test_large_counts_are_refused_soon(data, tmp_path):
    start = time.process_time()
    with pytest.raises(UnsafeInput):
        read(tmp_path / "x.gguf", data)
    assert time.process_time() - start < 1


def test_metadata_without_end_is_not_shown(tmp_path):
    entries = [entry(b"%d" % index + b"k" * 60_000) for index in range(40)]
    aligned = entry(ALIGN, value=struct.pack("<I", 64))
    head = described(offset=64)
    opened = read(tmp_path / "x.gguf", whole([head], [*entries, aligned], bytes(96), alignment=64))
    assert len(opened.metadata) == 17
    assert opened.findings == ("24 entries of metadata are not shown",)


@pytest.mark.parametrize("version", [1, 4, 3 << 24])
def test_other_versions(version, tmp_path):
    with pytest.raises(
        UnsupportedError, match="big-endian" if version > 4 else f"version {version}"
    ):
        read(tmp_path / "x.gguf", whole(version=version))


ENTRIES = [
    entry(b"general.architecture", 8, text(b"llama")),
    entry(ALIGN, value=struct.pack("<I", 32)),
    entry(b"tokens", 9, array(8, 3, text(b"a") + text(b"") + text(b"bc"))),
    entry(b"numbers", 9, array(6, 2, bytes(8))),
    entry(b"nested", 9, array(9, 2, array(4, 1, bytes(4)) + array(8, 1, text(b"x")))),
]  # fmt: skip
SEED = plain(
    [
        (b"a", (3, 5), 0, bytes(60)),
        (b"b", (4,), 30, bytes(8)),
        *((kind.name.encode(), (kind.elements, 1), n, bytes(kind.bytes)) for n, kind in BLOCK_TYPES.items()),
        (b"odd", (256,), 16, bytes(66)),
    ],
    entries=ENTRIES,
)  # fmt: skip
# Where its description ends: after the offset of the last tensor.
HEAD = SEED.rindex(b"odd") + len(b"odd") + 4 + 8 + 4 + 8


def refused_or_read(path, data):
    """Any other error is a failure. Every tensor is read, also after one that is refused."""
    path.write_bytes(data)
    try:
        tensors = open_checkpoint(path).tensors
    except (UnsafeInput, UnsupportedError):
        return False
    for tensor in tensors.values():
        with contextlib.suppress(UnsafeInput, UnsupportedError):
            tensor.array()
    return True


def test_the_seed_is_read_and_none_of_its_beginnings(tmp_path):
    assert refused_or_read(tmp_path / "x.gguf", SEED)
    # The padding after the last tensor may be missing.
    end = len(SEED) - (-66 % 32)
    for cut in [*range(4, HEAD, 7), *range(HEAD, end, 101), end - 1]:
        assert not refused_or_read(tmp_path / "x.gguf", SEED[:cut]), cut


@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_changed_bytes_are_read_or_refused(data, tmp_path):
    changed = bytearray(SEED)
    for _ in range(data.draw(st.integers(1, 4))):
        # Most of the file is data, in which any bytes are right.
        at = data.draw(st.integers(4, HEAD))
        new = data.draw(st.binary(max_size=9))
        changed[at : at + data.draw(st.sampled_from([0, len(new), 9]))] = new
    refused_or_read(tmp_path / "x.gguf", bytes(changed))
