"""Checkpoints on the command line: converted, inspected, refused."""

import json
import re
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

from converters.checkpoints import FORMATS, open_checkpoint, write_safetensors
from converters.checkpoints.formats import Written


def zoo(*arguments, cwd=None):
    command = [sys.executable, "-m", "zoo", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def floats(*shape):
    size = int(np.prod(shape))
    return np.arange(size, dtype=np.float32).reshape(shape)


# Everything that is decided by shape, and two matrices that are not.
PLAIN = {
    "fc.weight": floats(4, 3),
    "fc.bias": floats(4),
    "ln.weight": floats(5),
    "ln.bias": floats(5),
}
OPEN = {"blocks.0.first.weight": floats(4, 4), "blocks.1.first.weight": floats(4, 4)}


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "weights.pt"
    FORMATS["torch"].write(path, PLAIN, Written())
    return path


@pytest.fixture
def undecided(tmp_path):
    path = tmp_path / "weights.pt"
    FORMATS["torch"].write(path, {**PLAIN, **OPEN}, Written())
    return path


def test_to_frameworks_and_containers_at_once(checkpoint, tmp_path):
    done = zoo(
        "convert", checkpoint, "--to", "paddle,mindspore,npz", "--out", tmp_path / "o", "--json"
    )
    assert done.returncode == 0, done.stderr
    rows = {row["target"]: row for row in json.loads(done.stdout)["results"]}
    assert rows["npz"]["files"] == ["model.npz"]
    assert rows["paddle"]["files"] == ["conversion.json", "model.pdparams"]
    assert ["fc", "Linear", "shape"] in rows["paddle"]["decisions"]
    paddle = open_checkpoint(tmp_path / "o" / "paddle").tensors
    np.testing.assert_array_equal(paddle["fc.weight"].array(), PLAIN["fc.weight"].T)
    mindspore = open_checkpoint(tmp_path / "o" / "mindspore").tensors
    assert {"ln.gamma", "ln.beta"} <= set(mindspore)
    with np.load(tmp_path / "o" / "npz" / "model.npz") as file:
        np.testing.assert_array_equal(file["fc.weight"], PLAIN["fc.weight"])


def test_what_is_not_decided_is_listed_with_lines_to_paste(undecided, tmp_path):
    done = zoo("convert", undecided, "--to", "paddle", "--out", tmp_path / "o")
    assert done.returncode == 3
    assert all(name in done.stderr for name in OPEN)
    assert not (tmp_path / "o").exists()
    lines = done.stderr[done.stderr.index("kinds:") :]
    assert yaml.safe_load(lines) == {"kinds": {"blocks.*.first": "Linear"}}
    assert "Linear or Embedding" in lines
    (tmp_path / "map.yaml").write_text(lines)
    again = zoo(
        "convert",
        undecided,
        "--to",
        "paddle",
        "--out",
        tmp_path / "o",
        "--map",
        tmp_path / "map.yaml",
    )
    assert again.returncode == 0, again.stderr
    made = open_checkpoint(tmp_path / "o" / "paddle").tensors
    np.testing.assert_array_equal(made["blocks.1.first.weight"].array(), floats(4, 4).T)


def test_the_class_of_a_model_decides(undecided, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self, width):\n"
        "        super().__init__()\n        self.fc, self.ln = nn.Linear(3, 4), nn.LayerNorm(5)\n"
        "        self.blocks = nn.ModuleList([nn.Module(), nn.Module()])\n"
        "        for block in self.blocks:\n            block.first = nn.Embedding(width, 4)\n"
    )
    done = zoo(
        "convert", undecided, "--to", "paddle,mindspore", "--out", tmp_path / "o", "--kinds-from", "mine:Net",
        "--model-args", '{"width": 4}', cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = open_checkpoint(tmp_path / "o" / "paddle").tensors
    np.testing.assert_array_equal(made["blocks.1.first.weight"].array(), floats(4, 4))
    assert "blocks.0.first.embedding_table" in open_checkpoint(tmp_path / "o" / "mindspore").tensors


def test_rules_of_a_mapping_file(tmp_path):
    source = tmp_path / "in.safetensors"
    tensors = {
        "net.h.0.qkv.weight": floats(6, 2), "net.h.0.gate.weight": floats(2, 3),
        "net.h.0.up.weight": floats(4, 3), "net.h.0.freq": floats(2), "net.head.weight": floats(2, 5),
    }  # fmt: skip
    write_safetensors(source, tensors, {"format": "pt"})
    rules = {
        "rename": {"net.{rest:**}": "{rest}"},
        "rules": [
            {"match": "h.{n}.qkv.weight", "split": 0, "sizes": [4, 1, 1],
             "to": ["h.{n}.q.weight", "h.{n}.k.weight", "h.{n}.v.weight"]},
            {"match": ["h.{n}.gate.weight", "h.{n}.up.weight"], "fuse": 0, "to": "h.{n}.gate_up.weight"},
            {"match": "**.freq", "drop": True},
            {"match": "head.weight", "to": "out.weight", "transpose": [1, 0]},
        ],
    }  # fmt: skip
    (tmp_path / "map.yaml").write_text(yaml.safe_dump(rules))
    done = zoo(
        "convert",
        source,
        "--to",
        "mindspore",
        "--out",
        tmp_path / "o",
        "--map",
        tmp_path / "map.yaml",
    )
    assert done.returncode == 0, done.stderr
    made = open_checkpoint(tmp_path / "o" / "mindspore").tensors
    assert list(made) == [
        "h.0.q.weight",
        "h.0.k.weight",
        "h.0.v.weight",
        "h.0.gate_up.weight",
        "out.weight",
    ]
    np.testing.assert_array_equal(made["h.0.k.weight"].array(), floats(6, 2)[4:5])
    np.testing.assert_array_equal(
        made["h.0.gate_up.weight"].array(), np.concatenate([floats(2, 3), floats(4, 3)])
    )
    np.testing.assert_array_equal(made["out.weight"].array(), floats(2, 5).T)
    back = zoo("convert", tmp_path / "o" / "mindspore", "--to", "pytorch", "--out", tmp_path / "b")
    assert back.returncode == 0, back.stderr
    again = open_checkpoint(tmp_path / "b" / "pytorch").tensors
    assert set(again) == set(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(again[name].array(), array)


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ("kinds: {fc: Lineer}", "unknown kind 'Lineer'"),
        ("kinds: {fc: Embedding}", "fc cannot be a Embedding"),
        ("rules: [{match: fc.weight}]", "to is missing"),
        ("rules: [{match: nothing.here, to: x}]", "no tensor is called 'nothing.here'"),
        ("rules: [{match: fc.weight, to: ln.weight}]", "would both be called 'ln.weight'"),
        ("rules: [{match: fc.weight, to: a, transpose: [0, 2]}]", "is no order of axes"),
        ("rules: [{match: fc.bias, to: a, transpose: [1, 0]}]", "does not have the axes"),
        ("rules: [{match: fc.weight, to: [a, b, c], split: 0}]", "cannot be split"),
        ("rule: []", "rule"),
        ("- a", "valid dictionary"),
        ("a: [", "no YAML"),
    ],
)
def test_a_mapping_that_does_not_fit_is_misuse(checkpoint, tmp_path, mapping, says):
    (tmp_path / "map.yaml").write_text(mapping)
    done = zoo(
        "convert",
        checkpoint,
        "--to",
        "paddle",
        "--out",
        tmp_path / "o",
        "--map",
        tmp_path / "map.yaml",
    )
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert not (tmp_path / "o").exists()


def test_nested_weights_and_a_choice_among_them(tmp_path, ask):
    path = tmp_path / "nested.pt"
    ask(
        "import sys, torch\n"
        "w = {'fc.weight': torch.zeros(2, 3), 'fc.bias': torch.zeros(2)}\n"
        "torch.save({'epoch': 3, 'model': w, 'ema': {k: v + 1 for k, v in w.items()},\n"
        "            'optimizer': {'state': {0: torch.ones(3)}}}, sys.argv[1])\nanswer = 0",
        path,
    )
    done = zoo("convert", path, "--to", "npz", "--out", tmp_path / "o")
    assert done.returncode == 3
    assert "ema, model" in done.stderr
    assert "--key" in done.stderr
    done = zoo("convert", path, "--to", "npz", "--out", tmp_path / "o", "--key", "ema")
    assert done.returncode == 0, done.stderr
    tensors = open_checkpoint(tmp_path / "o" / "npz" / "model.npz").tensors
    np.testing.assert_array_equal(tensors["fc.bias"].array(), np.ones(2))


def test_dtypes_are_cast_when_asked_for_and_refused_otherwise(tmp_path):
    source = tmp_path / "in.safetensors"
    write_safetensors(source, {"a": np.ones(3, np.uint32), "f": floats(3)})
    done = zoo("convert", source, "--to", "pdparams", "--out", tmp_path / "o")
    assert done.returncode == 3
    assert re.search("uint32.*'a'", done.stderr)
    assert not (tmp_path / "o").exists()
    done = zoo(
        "convert", source, "--to", "pdparams", "--out", tmp_path / "o", "--dtype", "uint32=int64",
        "--dtype", "bfloat16",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kinds = {
        n: t.kind.name for n, t in open_checkpoint(tmp_path / "o" / "pdparams").tensors.items()
    }
    assert kinds == {"a": "int64", "f": "bfloat16"}


def test_shards(tmp_path):
    source = tmp_path / "in.npz"
    np.savez(source, **{f"w{i}": floats(1000) for i in range(5)})
    done = zoo(
        "convert", source, "--to", "safetensors", "--out", tmp_path / "o", "--shard-size", "9KB"
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "o" / "safetensors").glob("*.safetensors"))) == 3
    assert zoo("inspect", tmp_path / "o" / "safetensors", "--json").returncode == 0


def test_a_result_replaces_a_result_and_nothing_else(checkpoint, tmp_path):
    out = tmp_path / "o"
    for _ in range(2):
        assert zoo("convert", checkpoint, "--to", "npz", "--out", out).returncode == 0
    (out / "npz" / "mine.txt").write_text("keep")
    done = zoo("convert", checkpoint, "--to", "npz", "--out", out)
    assert done.returncode == 2
    assert (out / "npz" / "mine.txt").read_text() == "keep"


def test_a_truncated_file_is_refused_and_leaves_what_was_there(checkpoint, tmp_path):
    out = tmp_path / "o"
    assert zoo("convert", checkpoint, "--to", "npz", "--out", out).returncode == 0
    before = (out / "npz" / "model.npz").read_bytes()
    checkpoint.write_bytes(checkpoint.read_bytes()[:-30])
    assert zoo("convert", checkpoint, "--to", "npz", "--out", out).returncode == 5
    assert (out / "npz" / "model.npz").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o", "weights.pt"]


def test_code_in_a_pickle_is_named_and_not_run(tmp_path, ask):
    path, mark = tmp_path / "evil.pt", tmp_path / "ran"
    ask(
        "import os, sys, torch\n"
        "class Evil:\n    def __reduce__(self):\n        return os.system, ('touch ' + sys.argv[2],)\n"
        "torch.save({'w': torch.zeros(2), 'x': Evil()}, sys.argv[1])\nanswer = 0",
        path,
        mark,
    )
    for command in (["inspect", path], ["convert", path, "--to", "npz", "--out", tmp_path / "o"]):
        done = zoo(*command)
        assert done.returncode == 5
        assert re.search(r"(posix|os)\.system", done.stderr)
    assert not mark.exists()
    assert not (tmp_path / "o").exists()


def test_inspect_says_what_a_checkpoint_is(checkpoint):
    facts = json.loads(zoo("inspect", checkpoint, "--json").stdout)
    assert (facts["format"], facts["framework"]) == ("torch", "pytorch")
    assert facts["tensors"][0] == {
        "name": "fc.weight", "dtype": "float32", "shape": [4, 3], "bytes": 48,
    }  # fmt: skip
    assert facts["modules"] == {"Linear": 1, "Norm": 1}
    assert "fc.weight" in zoo("inspect", checkpoint).stdout


def test_inspect_of_ten_gigabytes_takes_no_longer_than_of_ten(tmp_path):
    # Sparse: the header says what a file of that size would.
    path = tmp_path / "big.safetensors"
    size = 1 << 20
    entries = {
        f"layers.{i}.fc.weight": {
            "dtype": "F16", "shape": [1024, 512], "data_offsets": [i * size, (i + 1) * size],
        }
        for i in range(10_000)
    }  # fmt: skip
    header = json.dumps(entries).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with path.open("r+b") as file:
        file.truncate(8 + len(header) + 10_000 * size)
    start = time.monotonic()
    facts = json.loads(zoo("inspect", path, "--json").stdout)
    assert len(facts["tensors"]) == 10_000
    # Not a measurement: reading the data would take many times as long.
    assert time.monotonic() - start < 20
