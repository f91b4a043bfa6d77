"""PyTorch's files: what it wrote, we read; what we wrote, it reads."""

import zipfile

import numpy as np
import pytest

from converters.checkpoints import open_checkpoint, write_torch_zip
from converters.errors import UnsafeInput, UnsupportedError, UsageError

# A state with every type, views, ties and shapes; how it is told to a test.
STATE = """
import hashlib, sys, torch
x = torch.arange(24, dtype=torch.float32).reshape(4, 6)
state = {"w": x, "turned": x.t(), "part": x[1:3, 2:4], "tied": x, "scalar": torch.tensor(3.5),
         "empty": torch.zeros(0, 3), "parameter": torch.nn.Parameter(torch.ones(3)),
         "expanded": torch.ones(1).expand(5), "名前": torch.ones(2)}
for name in ("bfloat16 float16 int8 uint8 int16 int32 int64 bool float64 uint16 uint32 uint64 complex64 complex128"
             " float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu").split():
    kind = getattr(torch, name)
    state[name] = torch.arange(2 * kind.itemsize, dtype=torch.uint8).remainder(2).view(kind).clone()
def told(state):
    return {n: [str(t.dtype)[6:], list(t.shape),
                t.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes().hex() if t.numel() else ""]
            for n, t in state.items()}
"""
SAVES = {
    "zip": "torch.save(state, sys.argv[1])",
    "legacy": "torch.save(state, sys.argv[1], _use_new_zipfile_serialization=False)",
    "nested": "torch.save({'epoch': 3, 'state_dict': state, 'optimizer': {'state': {0: {'m': x}}}}, sys.argv[1])",
    "Lightning": "torch.save({'epoch': 3, 'global_step': 9, 'pytorch-lightning_version': '2.0', 'loops': {'a': {'b': 1}},"
    " 'callbacks': {'x': {'best': torch.ones(1)}}, 'lr_schedulers': [{'last_lr': [0.1]}],"
    " 'optimizer_states': [{'state': {0: {'m': x}}}], 'state_dict': state}, sys.argv[1])",
    "listed": "torch.save([('ignored', 1), state][1:], sys.argv[1])",
}


def told(tensors, prefix=""):
    return {
        name.removeprefix(prefix): [
            tensor.kind.torch, list(tensor.shape), np.ascontiguousarray(tensor.array()).tobytes().hex(),
        ]
        for name, tensor in tensors.items()
    }  # fmt: skip


@pytest.mark.parametrize("form", SAVES)
def test_what_pytorch_wrote_is_read_bit_for_bit(form, tmp_path, ask):
    path = tmp_path / "x.pt"
    expected = ask(f"{STATE}\n{SAVES[form]}\nanswer = told(state)", path)
    opened = open_checkpoint(path)
    assert told(opened.tensors, "0." if form == "listed" else "") == expected
    assert opened.framework == "pytorch"
    if form in ("nested", "Lightning"):
        assert opened.metadata["epoch"] == 3
        assert any("optimizer" in finding for finding in opened.findings)


def test_what_we_write_is_read_by_pytorch_and_keeps_its_ties_and_views(tmp_path, ask):
    theirs, ours = tmp_path / "theirs.pt", tmp_path / "ours.pt"
    expected = ask(f"{STATE}\n{SAVES['zip']}\nanswer = told(state)", theirs)
    write_torch_zip(ours, open_checkpoint(theirs).tensors)
    for mapped in (False, True):
        read = (
            f"state = torch.load(sys.argv[1], weights_only=True, mmap={mapped})\n"
            "same = len({state[n].untyped_storage().data_ptr() for n in ('w', 'tied', 'turned', 'part')})\n"
            "answer = [told(state), same, list(state['turned'].stride())]"
        )
        assert ask(f"{STATE}\n{read}", ours) == [expected, 1, [1, 6]]
    assert zipfile.ZipFile(ours).testzip() is None
    assert told(open_checkpoint(ours).tensors) == expected


def test_a_small_view_of_a_large_storage_is_written_small(tmp_path, ask):
    path = tmp_path / "x.pt"
    ask(
        "import sys, torch\ntorch.save({'a': torch.zeros(1 << 20)[:3]}, sys.argv[1])\nanswer = 0",
        path,
    )
    assert path.stat().st_size > 4 << 20
    write_torch_zip(tmp_path / "y.pt", open_checkpoint(path).tensors)
    assert (tmp_path / "y.pt").stat().st_size < 4096


@pytest.mark.parametrize("kind", ["f4", "f8", "i8", "c8", "u2"])
def test_files_of_big_endian_machines(kind, tmp_path):
    array = np.arange(6).astype(kind).reshape(2, 3)
    write_torch_zip(tmp_path / "little.pt", {"a": array})
    with (
        zipfile.ZipFile(tmp_path / "little.pt") as old,
        zipfile.ZipFile(tmp_path / "b.pt", "w") as new,
    ):
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("byteorder"):
                data = b"big"
            if "/data/" in name:
                data = np.frombuffer(data, kind).astype(array.dtype.newbyteorder(">")).tobytes()
            new.writestr(name, data)
    tensor = open_checkpoint(tmp_path / "b.pt").tensors["a"]
    np.testing.assert_array_equal(tensor.array(), array)


def test_an_archive_that_was_compressed_afterwards(tmp_path):
    array = np.arange(60_000, dtype=np.float32).reshape(200, 300)
    write_torch_zip(tmp_path / "plain.pt", {"a": array, "b": array.T})
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as old,
        zipfile.ZipFile(tmp_path / "z.pt", "w") as new,
    ):
        for name in old.namelist():
            method = zipfile.ZIP_STORED if name.endswith(".pkl") else zipfile.ZIP_DEFLATED
            new.writestr(name, old.read(name), method)
    tensors = open_checkpoint(tmp_path / "z.pt").tensors
    np.testing.assert_array_equal(tensors["a"].array(), array)
    np.testing.assert_array_equal(tensors["b"].array(), array.T)


# As PyTorch wrote before 0.1.10; it can still read it.
TAR = """
import collections, io, pickle, struct, sys, tarfile, torch

class Reference:
    def __init__(self, key): self.key = key

class Pickler(pickle._Pickler):
    def persistent_id(self, value):
        return value.key if isinstance(value, Reference) else None

storages, tensors, top = io.BytesIO(), io.BytesIO(), io.BytesIO()
values = struct.pack("<6f", *range(6))
pickle.dump(1, storages, 2)
pickle.dump((10, "cpu", torch.FloatStorage), storages, 2)
storages.write(struct.pack("<q", 6) + values)
pickle.dump([(11, 10, 2, 4)], storages, 2)
pickle.dump(3, tensors, 2)
for key, storage, shape, strides, offset in ((20, 10, (2, 3), (3, 1), 0), (21, 10, (3, 2), (1, 3), 0), (22, 11, (2,), (1,), 1)):
    pickle.dump((key, storage, torch.FloatTensor), tensors, 2)
    n = len(shape)
    tensors.write(struct.pack(f"<q{n}q{n}qq", n, *shape, *strides, offset))
Pickler(top, 2).dump(collections.OrderedDict(a=Reference(20), turned=Reference(21), part=Reference(22)))
with tarfile.open(sys.argv[1], "w:", format=tarfile.PAX_FORMAT) as archive:
    for name, data in (("sys_info", io.BytesIO(pickle.dumps({}, 2))), ("storages", storages), ("tensors", tensors), ("pickle", top)):
        info = tarfile.TarInfo(name)
        info.size = len(data.getvalue())
        archive.addfile(info, io.BytesIO(data.getvalue()))
answer = {n: t.tolist() for n, t in torch.load(sys.argv[1], weights_only=False).items()}
"""


def test_tar_archives_of_old(tmp_path, ask):
    expected = ask(TAR, tmp_path / "x.tar")
    opened = open_checkpoint(tmp_path / "x.tar")
    assert opened.format == "torch-tar"
    assert {name: tensor.array().tolist() for name, tensor in opened.tensors.items()} == expected


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        ("torch.save(torch.nn.Linear(2, 2), sys.argv[1])", UnsafeInput, r"torch\.nn\.modules\.linear\.Linear"),
        ("torch.save({'q': torch.ones(2).to_sparse()}, sys.argv[1])", UnsupportedError, "q: a sparse tensor"),
        ("torch.save({'c': torch.ones(2, dtype=torch.complex64).conj()}, sys.argv[1])", UnsupportedError, "conjugated"),
        ("torch.save({'epoch': 1}, sys.argv[1])", UnsupportedError, "no tensors"),
        ("torch.save({'model': state, 'ema': state}, sys.argv[1])", UnsupportedError, "ema, model"),
        ("torch.save({'m': torch.empty(2, device='meta')}, sys.argv[1])", UnsupportedError, "meta"),
    ],
)  # fmt: skip
def test_refusals(source, error, says, tmp_path, ask):
    ask(f"{STATE}\n{source}\nanswer = 0", tmp_path / "x.pt")
    with pytest.raises(error, match=says):
        open_checkpoint(tmp_path / "x.pt")


def test_a_class_without_weights(tmp_path, ask):
    ask(
        f"{STATE}\ntorch.save(torch.nn.ReLU().state_dict(), sys.argv[1])\nanswer = 0",
        tmp_path / "x.pt",
    )
    assert dict(open_checkpoint(tmp_path / "x.pt").tensors) == {}


def test_a_key_chooses(tmp_path, ask):
    ask(
        f"{STATE}\ntorch.save({{'model': {{'a': x}}, 'ema': {{'a': x + 1}}}}, sys.argv[1])\nanswer = 0",
        tmp_path / "x.pt",
    )
    assert open_checkpoint(tmp_path / "x.pt", "ema").tensors["a"].array()[0, 0] == 1
    assert set(open_checkpoint(tmp_path / "x.pt", ".").tensors) == {"model.a", "ema.a"}
    with pytest.raises(UnsupportedError, match="nothing is called"):
        open_checkpoint(tmp_path / "x.pt", "other")


def test_shards_of_bin_files(tmp_path, ask):
    ask(
        f"{STATE}\nimport json\nfolder = sys.argv[1]\n"
        "torch.save({'a': x}, folder + '/m-1.bin')\ntorch.save({'b': x + 1}, folder + '/m-2.bin')\n"
        "index = {'metadata': {}, 'weight_map': {'a': 'm-1.bin', 'b': 'm-2.bin'}}\n"
        "json.dump(index, open(folder + '/pytorch_model.bin.index.json', 'w'))\nanswer = 0",
        tmp_path,
    )
    opened = open_checkpoint(tmp_path)
    assert (opened.format, list(opened.tensors)) == ("torch", ["a", "b"])
    assert opened.tensors["b"].array()[0, 0] == 1


def test_names_that_cannot_be_written(tmp_path):
    for name in ("", "\ud800"):
        with pytest.raises(UsageError, match="cannot name a tensor"):
            write_torch_zip(tmp_path / "x.pt", {name: np.zeros(2)})
    assert not list(tmp_path.iterdir())
