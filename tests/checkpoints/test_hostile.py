"""Files that were made to deceive: refused in a moment, in little memory, and nothing of them is run."""

import io
import json
import pickle
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converters.checkpoints import FORMATS, open_checkpoint
from converters.checkpoints.formats import Written
from converters.checkpoints.wire import message, number, string
from converters.errors import ConversionError, UnsafeInput, UnsupportedError

SECONDS = 1
PEAK_BYTES = 256 << 20


def read_all(path):
    for tensor in open_checkpoint(path).tensors.values():
        for _ in tensor.blocks():
            pass


def refuse(path, says="", error=(UnsafeInput, UnsupportedError)):
    """Open a file and read it; it must be refused soon and in little memory."""
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(error, match=says or None):
            read_all(path)
        assert tracemalloc.get_traced_memory()[1] < PEAK_BYTES
    finally:
        # Tracing makes it some times slower than it is.
        assert time.process_time() - start < 5 * SECONDS
        tracemalloc.stop()


# -- pickles


def torch_zip(path, data, members=(), method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(zipfile.ZipInfo("a/data.pkl"), data)
        for name, content in members:
            archive.writestr(name, content)


@pytest.mark.parametrize(
    "name",
    [
        "os.system", "posix.system", "builtins.eval", "builtins.exec", "builtins.getattr", "numpy.load",
        "torch.load", "torch.storage._load_from_bytes", "subprocess.Popen", "copyreg._reconstructor",
        "functools.partial", "torch.jit._script.unpackage_script_module", "numpy.f2py.crackfortran.myeval",
        "__builtin__.__import__", "collections.OrderedDict.update",
    ],
)  # fmt: skip
@pytest.mark.parametrize("opcode", ["GLOBAL", "STACK_GLOBAL", "INST"])
def test_a_name_that_no_checkpoint_needs(name, opcode, tmp_path):
    module, _, attribute = name.rpartition(".")
    push = {
        "GLOBAL": f"c{module}\n{attribute}\n".encode(),
        "STACK_GLOBAL": b"".join(
            pickle.SHORT_BINUNICODE + bytes([len(part)]) + part.encode() for part in (module, attribute)
        ) + pickle.STACK_GLOBAL,
        "INST": b"",
    }[opcode]  # fmt: skip
    mark = tmp_path / "ran"
    argument = pickle.BINUNICODE + struct.pack("<I", len(str(mark)) + 6) + f"touch {mark}".encode()
    if opcode == "INST":
        body = b"(" + argument + f"i{module}\n{attribute}\n".encode()
    else:
        body = push + argument + pickle.TUPLE1 + pickle.REDUCE
    data = b"\x80\x04}" + pickle.BINUNICODE + struct.pack("<I", 1) + b"a" + body + b"s."
    (tmp_path / "x.pdparams").write_bytes(data)
    torch_zip(tmp_path / "x.pt", data)
    for path in (tmp_path / "x.pdparams", tmp_path / "x.pt"):
        refuse(path, name.replace(".", r"\."), UnsafeInput)
    assert not mark.exists()


def _doubling(count):
    """Tuples of two of the one before: a key that takes 2^count steps to hash."""
    body = b"".join(b"\x94" + pickle.BINGET + bytes([i]) + pickle.TUPLE2 for i in range(count))
    return b"\x80\x04})" + body


PICKLES = {
    "a key that is costly to hash": _doubling(60) + b"Ns.",
    "an integer of megabytes": b"\x80\x04\x8b" + struct.pack("<i", 1 << 23) + b"\xff" * (1 << 23) + b".",
    "an integer beyond the file": b"\x80\x04\x8b" + struct.pack("<i", (1 << 31) - 1) + b".",
    "bytes beyond the file": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b".",
    "text beyond the file": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b".",
    "a huge place in the memo": b"\x80\x04Nr" + b"\xff" * 4 + b".",
    "nested without end": b"\x80\x04" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "a list in itself": b"\x80\x04]\x94h\x00a.",
    "a dictionary in itself": b"\x80\x04}\x94X\x01\0\0\0ah\x00s.",
    "a stack that is empty": b"\x80\x040.",
    "a mark that is missing": b"\x80\x04t.",
    "no end": b"\x80\x04}",
    "an unknown operation": b"\x80\x04\xff.",
    "an extension": b"\x80\x04\x82\x01.",
    "a persistent id": b"\x80\x04NQ.",
    "copies of a long list": b"\x80\x04(" + b"N" * 100_000 + b"l\x940"
    + (b"cbuiltins\nlist\nh\x00\x85R0") * 40_000 + b"N.",
    "a call of what is no function": b"\x80\x04N)R.",
    "a state for a number": b"\x80\x04K\x01}b.",
    "an array of objects": b"\x80\x04cnumpy\ndtype\nX\x02\0\0\0O8\x89\x88\x87R.",
}  # fmt: skip


@pytest.mark.parametrize("name", PICKLES)
def test_pickles(name, tmp_path):
    (tmp_path / "x.pdparams").write_bytes(PICKLES[name])
    refuse(tmp_path / "x.pdparams")
    torch_zip(tmp_path / "x.pt", PICKLES[name])
    refuse(tmp_path / "x.pt")


def _tensor(size, stride, offset=0, count=4, nbytes=16):
    """A checkpoint of one tensor with such numbers."""

    def plain(value):
        if isinstance(value, tuple):
            return b"(" + b"".join(map(plain, value)) + b"t"
        raw = value.to_bytes(12, "little", signed=True)
        return b"\x8a\x0c" + raw

    persistent = (
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu"
        + plain(count)
        + b"tQ"
    )
    call = (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + persistent
        + plain(offset)
        + plain(size)
        + plain(stride)
    )
    data = b"\x80\x02}X\x01\0\0\0a" + call + b"\x89N" + b"tRs."
    return data, [("a/data/0", bytes(nbytes))]


@pytest.mark.parametrize(
    "numbers",
    [
        {"size": (5,), "stride": (1,)},
        {"size": (2, 2), "stride": (3, 1)},
        {"size": (2,), "stride": (1,), "offset": 3},
        {"size": (2,), "stride": (1,), "offset": -1},
        {"size": (-2,), "stride": (1,)},
        {"size": (2,), "stride": (-1,)},
        {"size": (1 << 62,), "stride": (0,)},
        {"size": (1 << 31, 1 << 31, 1 << 31), "stride": (0, 0, 0)},
        {"size": (1 << 40,), "stride": (0,)},
        {"size": (0, 1 << 62, 1 << 62), "stride": (1, 1, 1)},
        {"size": (2, 2), "stride": (1,)},
        {"size": (1,) * 40, "stride": (1,) * 40},
        {"size": (4,), "stride": (1,), "count": 1 << 61},
        {"size": (4,), "stride": (1,), "nbytes": 12},
    ],
)
def test_tensors_of_torch_that_leave_their_storage(numbers, tmp_path):
    torch_zip(tmp_path / "x.pt", *_tensor(**numbers))
    refuse(tmp_path / "x.pt", error=UnsafeInput)


# -- archives


def _patched(path, change):
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def test_a_bomb(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(300 << 20))
    refuse(tmp_path / "x.npz", "would grow", UnsafeInput)


def test_members_that_lie_over_each_other(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(100), b=np.zeros(100))

    def both_at_the_first(data):
        second = data.rindex(b"PK\x01\x02")
        data[second + 42 : second + 46] = bytes(4)
        name = data.index(b"b.npy", second)
        data[name : name + 5] = b"a.npy"

    _patched(tmp_path / "x.npz", both_at_the_first)
    refuse(tmp_path / "x.npz", error=UnsafeInput)


def test_two_opinions_about_a_name(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(100))

    def another(data):
        data[data.rindex(b"a.npy")] = ord("b")

    _patched(tmp_path / "x.npz", another)
    refuse(tmp_path / "x.npz", "two opinions", UnsafeInput)


def test_a_directory_that_fills_memory(tmp_path):
    entry = b"PK\x01\x02" + bytes(42)
    count = 500_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, count * len(entry), 0, 0)
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04" + entry * count + end)
    refuse(tmp_path / "x.npz", error=UnsafeInput)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': __import__('os').system('true'), 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (True,)}",
        "{'descr': '<f4', 'fortran_order': 3, 'shape': (1,)}",
        "{'descr': '<f4'}",
        "(" * 5000,
    ],
)
def test_headers_of_arrays(header, tmp_path):
    text = header.encode()
    data = b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + bytes(4)
    (tmp_path / "x.npy").write_bytes(data)
    refuse(tmp_path / "x.npy")


def test_tar_archives(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w:") as archive:
        for name in ("storages", "tensors", "pickle"):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)
    refuse(tmp_path / "x.tar", "without", UnsafeInput)
    with tarfile.open(tmp_path / "x.tar", "w:") as archive:
        for name in ("storages", "tensors", "pickle"):
            data = b"\x80\x02cos\nsystem\n."
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    refuse(tmp_path / "x.tar", "os.system", UnsafeInput)


# -- safetensors and indexes


def safetensors(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def entry(**changes):
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes


@pytest.mark.parametrize(
    "header",
    [
        {"a": entry(data_offsets=[0, 12])},
        {"a": entry(data_offsets=[8, 16])},
        {"a": entry(data_offsets=[8, 0])},
        {"a": entry(data_offsets=[-8, 0])},
        {"a": entry(data_offsets=[0, 1 << 63])},
        {"a": entry(data_offsets=[0.0, 8.0])},
        {"a": entry(data_offsets=[False, 8])},
        {"a": entry(shape=[1 << 62, 1 << 62])},
        {"a": entry(shape=[0, 1 << 62, 4], data_offsets=[0, 0])},
        {"a": entry(shape=[-2])},
        {"a": entry(shape=[True, 2])},
        {"a": entry(shape=2)},
        {"a": entry(dtype="F33")},
        {"a": entry(dtype=["F32"])},
        {"a": entry(), "b": entry()},
        {"a": entry(), "b": entry(data_offsets=[4, 12])},
        {"a": {"dtype": "F32"}},
        {"a": entry(more=1)},
        {"__metadata__": {"a": 1}, "a": entry()},
        {"__metadata__": [], "a": entry()},
        b'{"a":1,"a":2}',
        b'{"a":' + b"[" * 100_000,
        b'{"a":\xff}',
        b"{}" + b" " * 8 + b"]",
    ],
)
def test_headers_of_safetensors(header, tmp_path):
    safetensors(tmp_path / "x.safetensors", header, bytes(8))
    refuse(tmp_path / "x.safetensors")


def test_a_header_that_is_longer_than_the_file(tmp_path):
    for size in (1 << 20, 1 << 62, (1 << 64) - 1):
        (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", size) + b'{"a"')
        refuse(tmp_path / "x.safetensors", error=UnsafeInput)


OUTSIDE = [
    "../w.safetensors",
    "/etc/hostname",
    "a/../../w",
    "..\\w",
    "C:\\w",
    "",
    "link",
    "a\0b",
    "missing",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_files_that_an_index_names(name, tmp_path):
    safetensors(tmp_path / "w.safetensors", {"a": entry()}, bytes(8))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "w.safetensors")
    index = {"metadata": {}, "weight_map": {"a": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refuse(folder, error=UnsafeInput)


def test_the_cache_of_the_hub_may_link_to_its_blobs(tmp_path):
    snapshot, blobs = tmp_path / "snapshots" / "abc", tmp_path / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    safetensors(blobs / "0123", {"a": entry()}, bytes(8))
    (snapshot / "w.safetensors").symlink_to("../../blobs/0123")
    index = {"weight_map": {"a": "w.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    assert list(open_checkpoint(snapshot).tensors) == ["a"]


# -- protobuf


def onnx_with(tensor):
    return number(1, 8) + message(7, string(2, "g") + message(5, tensor))


def external(**info):
    pairs = b"".join(message(13, string(1, k) + string(2, v)) for k, v in info.items())
    return number(1, 2) + number(2, 1) + string(8, "w") + pairs + number(14, 1)


ONNX = {
    **{f"external {name!r}": onnx_with(external(location=name)) for name in OUTSIDE if "\0" not in name},
    "beyond the data": onnx_with(external(location="data", offset="100", length="8")),
    "a negative offset": onnx_with(external(location="data", offset="-8", length="8")),
    "an offset that is none": onnx_with(external(location="data", offset="x")),
    "another length": onnx_with(external(location="data", length="4")),
    "a negative size": onnx_with(number(1, (1 << 64) - 1) + number(2, 1) + string(8, "w")),
    "too many elements": onnx_with(number(1, 1 << 40) + number(2, 1) + string(8, "w") + message(9, bytes(4))),
    "a product that overflows": onnx_with(number(1, 1 << 33) * 3 + number(2, 1) + string(8, "w") + message(9, b"")),
    "too many typed elements": onnx_with(number(1, 1 << 40) + number(2, 6) + string(8, "w") + message(5, b"\x01")),
    "an unknown type": onnx_with(number(2, 99) + string(8, "w")),
    "texts": onnx_with(number(1, 1) + number(2, 8) + string(8, "w")),
    "a length beyond the file": number(1, 8) + b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    "a number without end": number(1, 8) + b"\x3a" + b"\xff" * 20,
    "a group": number(1, 8) + b"\x3b",
    "many dimensions": onnx_with(number(1, 1) * 100_000 + number(2, 1) + string(8, "w")),
}  # fmt: skip


@pytest.mark.parametrize("name", ONNX)
def test_models_of_onnx(name, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "w.safetensors").write_bytes(bytes(64))
    (folder / "link").symlink_to(tmp_path / "w.safetensors")
    (folder / "data").write_bytes(bytes(64))
    (folder / "x.onnx").write_bytes(ONNX[name])
    refuse(folder / "x.onnx")


def slice_of(tag, dims, content, kind="Float32"):
    tensor = b"".join(number(1, size) for size in dims) + string(2, kind) + message(3, content)
    return message(1, string(1, tag) + message(2, tensor))


@pytest.mark.parametrize(
    "data",
    [
        slice_of("a", [2], bytes(4)),
        slice_of("a", [1 << 40, 1 << 40], bytes(4)),
        slice_of("a", [2], bytes(4)) + slice_of("a", [3], bytes(8)),
        slice_of("a", [1], bytes(4)) + slice_of("b", [1], bytes(4)) + slice_of("a", [1], bytes(4)),
        slice_of("a", [1], bytes(4), "Float33"),
        slice_of("", [1], bytes(4)),
        message(1, string(1, "a")),
        message(1, b"\x0a\xff\xff\xff\xff\x0fa"),
        slice_of("a", [1], bytes(4))[:-2],
        slice_of("a", [1] * 70, bytes(4)),
    ],
)
def test_checkpoints_of_mindspore(data, tmp_path):
    (tmp_path / "x.ckpt").write_bytes(data)
    refuse(tmp_path / "x.ckpt")


# -- GGUF


def gguf(tensors=0, entries=0, body=b"", version=3):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, entries) + body


def text(value):
    return struct.pack("<Q", len(value)) + value


def described(name=b"w", dims=(8,), kind=0, offset=0):
    return text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


@pytest.mark.parametrize(
    "data",
    [
        gguf(tensors=1 << 62),
        gguf(entries=1 << 62),
        gguf(entries=1, body=struct.pack("<Q", 1 << 62)),
        gguf(entries=1, body=text(b"k") + struct.pack("<IIQ", 9, 4, 1 << 62)),
        gguf(entries=1, body=text(b"k") + struct.pack("<IIQ", 9, 9, 1) * 20),
        gguf(entries=1, body=text(b"k") + struct.pack("<I", 77)),
        gguf(entries=1, body=text(b"general.alignment") + struct.pack("<II", 4, 3)),
        gguf(entries=1, body=text(b"general.alignment") + struct.pack("<II", 4, 0)),
        gguf(tensors=1, body=described()),
        gguf(tensors=1, body=described(dims=(1 << 62, 1 << 62)) + bytes(64)),
        gguf(tensors=1, body=described(dims=(1,) * 9) + bytes(64)),
        gguf(tensors=1, body=described(kind=2) + bytes(64)),
        gguf(tensors=1, body=described(kind=999) + bytes(64)),
        gguf(tensors=1, body=described(offset=3) + bytes(128)),
        gguf(tensors=2, body=described() + described(b"v") + bytes(128)),
        gguf(tensors=2, body=described() * 2 + bytes(128)),
        gguf(version=1),
        gguf(version=3 << 24),
    ],
)
def test_gguf(data, tmp_path):
    (tmp_path / "x.gguf").write_bytes(data)
    refuse(tmp_path / "x.gguf")


# -- any format


TENSORS = {
    "a.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "b": np.ones((), np.int64),
    "c": np.arange(30, dtype=np.float16).reshape(5, 6).T,
}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    for form in FORMATS.values():
        form.write(folder / f"x{form.suffix}", TENSORS, Written())
    np.savez_compressed(folder / "compressed.npz", **TENSORS)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def read(path):
    try:
        for tensor in open_checkpoint(path).tensors.values():
            tensor.array()
    except ConversionError as error:
        return str(error)
    return ""


def test_a_file_that_was_cut_anywhere_is_refused(seeds, tmp_path):
    for name, data in seeds.items():
        for end in range(0, len(data), max(1, len(data) // 200)):
            path = tmp_path / name
            path.write_bytes(data[:end])
            # MindSpore's messages follow each other without a count: a cut between two is a shorter file.
            assert read(path) or name == "x.ckpt", (name, end)


@settings(max_examples=400, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_a_file_that_was_changed_anywhere_is_read_or_refused(data, seeds, tmp_path):
    name = data.draw(st.sampled_from(sorted(seeds)))
    changed = bytearray(seeds[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed) - 1))
        new = data.draw(st.binary(max_size=9))
        changed[at : at + data.draw(st.integers(0, 9))] = new
        if not changed:
            break
    path = tmp_path / name
    path.write_bytes(changed)
    read(path)


def test_what_is_nothing_at_all(tmp_path):
    for content in (
        b"",
        b"\0",
        b"hello",
        zlib.compress(b"x" * 100),
        b"\x89PNG\r\n\x1a\n" + bytes(99),
    ):
        (tmp_path / "x").write_bytes(content)
        assert read(tmp_path / "x")
