"""`zoo convert` from sources that are not ONNX: whole models, verified against their own framework."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from converters.checkpoints import write_pdparams

NETS = Path(__file__).parents[1] / "importers"
needs_torch = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("torch", "onnxscript")),
    reason="torch and onnxscript are needed",
)
needs_paddle = pytest.mark.skipif(
    importlib.util.find_spec("paddle") is None, reason="PaddlePaddle is not installed"
)
needs_mindspore = pytest.mark.skipif(
    importlib.util.find_spec("mindspore") is None, reason="MindSpore is not installed"
)
MINDSPORE = """
import sys
import mindspore as ms
from mindspore import Tensor, nn

class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, pad_mode="pad", padding=1, has_bias=True)
        self.bn = nn.BatchNorm2d(8)
        self.act = nn.ReLU()
        self.fc = nn.Dense(8, 5)

    def construct(self, x):
        x = self.act(self.bn(self.conv(x)))
        return self.fc(x.mean(axis=(2, 3)))

ms.set_seed(0)
net = Net()
net.set_train(False)
ms.export(net, Tensor(shape=[None, 3, None, None], dtype=ms.float32), file_name=sys.argv[1],
          file_format="MINDIR")
"""
PADDLE = """
import sys
import paddle
from paddle import nn
from paddle.static import InputSpec

class Net(nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2D(3, 8, 3, padding=1)
        self.bn = nn.BatchNorm2D(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = nn.functional.relu(self.bn(self.conv(x)))
        return self.fc(x.mean(axis=[2, 3]))

paddle.seed(0)
net = Net()
net.eval()
paddle.jit.save(net, sys.argv[1], [InputSpec([None, 3, None, None], "float32", "x")])
"""


def zoo(*arguments, cwd=None):
    command = [sys.executable, "-m", "zoo", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A checkpoint, its TorchScript and its inputs."""
    folder = tmp_path_factory.mktemp("nets")
    done = subprocess.run(
        [sys.executable, NETS / "torch_nets.py", folder], capture_output=True, check=False
    )
    assert not done.returncode, done.stderr.decode()[-2000:]
    return folder


@needs_torch
def test_weights_with_their_class(net, tmp_path):
    done = zoo(
        "convert", net / "Cnn.pt", "--to", "pytorch,paddle,onnx", "--out", tmp_path / "o", "--model",
        "torch_nets:Cnn", "--inputs", net / "Cnn.npz", "--json", cwd=NETS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["source"]["framework"] == "pytorch"
    assert said["source"]["routes"][-1]["route"] == "dynamo"
    for row in said["results"]:
        assert row["verification"]["reference"] == "pytorch"
        # The inputs given, then sizes chosen by the program: other batches, other images.
        images = [tuple(case["inputs"]["x"]) for case in row["verification"]["cases"]]
        assert len({*images}) == len(images) >= 3
        assert len({image[0] for image in images}) > 1 < len({image[2:] for image in images})
        assert row["max_abs_error"] < 1e-4
    manifest = json.loads((tmp_path / "o/paddle/manifest.json").read_text())
    assert manifest["route"] == ["pytorch", "onnx", "paddle"]
    assert manifest["source"]["format"] == "checkpoint"
    assert {"stem.0.weight", "head.bias"} <= set(manifest["parameters"].values())
    with np.load(net / "Cnn.npz") as given:
        np.savez(tmp_path / "in.npz", **given)
    subprocess.run(
        [sys.executable, "infer.py", "--inputs", tmp_path / "in.npz", "--outputs",
         tmp_path / "out.npz"], cwd=tmp_path / "o/paddle", check=True, capture_output=True,
    )  # fmt: skip
    with np.load(tmp_path / "out.npz") as made:
        assert all(np.isfinite(made[name]).all() for name in made.files)


@needs_torch
def test_a_script_into_a_container_is_its_weights(net, tmp_path):
    done = zoo("convert", net / "Cnn.jit", "--to", "safetensors", "--out", tmp_path / "o")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o/safetensors/model.safetensors").is_file()


@needs_torch
@pytest.mark.parametrize(
    ("source", "options", "status", "said"),
    [
        ("Cnn.jit", ["--to", "paddle"], 2, "give --inputs in.npz"),
        ("Cnn.jit", ["--to", "paddle,npz"], 2, "two calls"),
        ("Cnn.pt", ["--to", "npz", "--model", "torch_nets:Cnn"], 2, "makes a whole model"),
        ("Cnn.jit", ["--to", "paddle", "--model", "torch_nets:Cnn"], 2, "leave --model out"),
        ("Cnn.pt", ["--to", "onnx", "--model", "x", "--model-args", "{"], 2, "no JSON"),
        ("pickled.pt", ["--to", "onnx", "--model", "torch_nets:Cnn"], 5, ""),
    ],
)
def test_calls_that_are_wrong(net, tmp_path, source, options, status, said):
    done = zoo("convert", net / source, "--out", tmp_path / "o", *options, cwd=NETS)
    assert done.returncode == status, done.stderr
    assert said in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("name", "data", "options", "status", "said"),
    [
        (
            "notes.py",
            b'"""Some text that begins as a message does."""\n',
            [],
            5,
            "not a model file",
        ),
        ("w.pdparams", None, ["--model", "mine"], 2, "write package.module:Class"),
    ],
)
def test_what_is_no_source(tmp_path, name, data, options, status, said):
    path = tmp_path / name
    if data is None:
        write_pdparams(path, {"fc.weight": np.ones((2, 3), np.float32)})
    else:
        path.write_bytes(data)
    done = zoo("convert", path, "--to", "pytorch", "--out", tmp_path / "o", *options)
    assert done.returncode == status, done.stderr
    assert said in done.stderr.replace("\n", " ")
    assert not (tmp_path / "o").exists()


LAYER = """
from paddle import nn

class Tagger(nn.Layer):
    def __init__(self, words, width=8):
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, width, direction="bidirect")
        self.norm = nn.LayerNorm(2 * width)
        self.head = nn.Linear(2 * width, 5)

    def forward(self, ids, scale=1.0):
        x = self.norm(self.lstm(self.embed(ids))[0])
        return {"tags": self.head(x), "mean": x.mean(1)}
"""
TAGGER = ("--model", "layers:Tagger", "--model-args", '{"words": 30}', "--inputs", "in.npz")


@pytest.fixture
def tagger(tmp_path):
    """A checkpoint of Paddle beside its class and an example of its input; the shapes in it."""
    (tmp_path / "layers.py").write_text(LAYER)
    code = (
        "import json, layers, paddle\nnet = layers.Tagger(30)\n"
        "paddle.save(net.state_dict(), 'net.pdparams')\n"
        "print(json.dumps({n: p.shape for n, p in net.state_dict().items()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    ids = np.random.default_rng(0).integers(0, 30, (2, 7))
    np.savez(tmp_path / "in.npz", ids=ids)
    return tmp_path, json.loads(done.stdout.splitlines()[-1])


@needs_paddle
def test_weights_of_paddle_with_their_class(tagger):
    folder, shapes = tagger
    done = zoo("convert", "net.pdparams", "--to", "paddle,onnx", "--out", "o", *TAGGER, "--json", cwd=folder)  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    (route,) = said["source"]["routes"]
    assert (said["source"]["framework"], route["route"], route["dynamic"]) == (
        "paddle",
        "read",
        "all",
    )
    for row in said["results"]:
        assert row["verification"]["reference"] == "paddle"
        # The sizes given, another batch, other lengths.
        sizes = [case["inputs"]["ids"] for case in row["verification"]["cases"]]
        assert sizes[0] == [2, 7]
        assert len({size[0] for size in sizes}) > 1 < len({size[1] for size in sizes})
        assert row["max_abs_error"] < 1e-5
    manifest = json.loads((folder / "o/paddle/manifest.json").read_text())
    # LSTM lists its weights under two names.
    names = {*manifest["parameters"].values()}
    assert names <= {*shapes}
    assert {"embed.weight", "norm.weight", "head.weight", "head.bias"} <= names
    outputs = {spec["name"]: spec["shape"] for spec in manifest["signature"]["outputs"]}
    assert outputs == {"mean": ["batch", 16], "tags": ["batch", "length", 5]}


@needs_paddle
def test_weights_that_do_not_say_whose_they_are(tagger):
    folder, _ = tagger
    container = zoo("convert", "net.pdparams", "--to", "npz", "--out", "w", cwd=folder)
    assert container.returncode == 0, container.stderr
    weights = "w/npz/model.npz"
    done = zoo("convert", weights, "--to", "onnx", "--out", "o", *TAGGER, "--from", "paddle", cwd=folder)  # fmt: skip
    assert done.returncode == 0, done.stderr
    source = json.loads((folder / "o/onnx/manifest.json").read_text())["source"]
    assert source["framework"] == "paddle"
    done = zoo(
        "convert", weights, "--to", "onnx", "--out", "p", *TAGGER, "--from", "jax", cwd=folder
    )
    assert (done.returncode, "choose from: pytorch, paddle" in done.stderr) == (2, True)


@needs_paddle
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('{"words": 31}', "embed.weight: (30, 8) in the weights, (31, 8) in the class"),
        ("[]", "check --model and --model-args"),
    ],
)
def test_weights_of_paddle_that_do_not_fit(tagger, arguments, said):
    options = [arguments if one == TAGGER[3] else one for one in TAGGER]
    done = zoo("convert", "net.pdparams", "--to", "paddle", "--out", "o", *options, cwd=tagger[0])
    assert done.returncode == 2, done.stderr
    assert said in " ".join(done.stderr.split())
    assert not (tagger[0] / "o").exists()


CELL = """
from mindspore import nn, ops

class Boxes(nn.Cell):
    def __init__(self):
        super().__init__()
        self.out = nn.Dense(6, 4)
        self.decode = ops.BoundingBoxDecode(max_shape=(64, 64))

    def construct(self, rows, anchors):
        return self.decode(anchors, self.out(rows))
"""


@needs_mindspore
def test_the_second_route_stands_where_the_first_fails(tmp_path):
    """MindSpore's own exporter has an operator that our reader of its programs does not know."""
    (tmp_path / "cells.py").write_text(CELL)
    code = "import cells, mindspore; mindspore.save_checkpoint(cells.Boxes(), 'boxes.ckpt')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    random = np.random.default_rng(0)
    rows = random.standard_normal((5, 6)).astype(np.float32)
    anchors = np.sort(random.uniform(0, 40, (5, 4)), 1).astype(np.float32)
    np.savez(tmp_path / "in.npz", rows=rows, anchors=anchors)
    options = ("--model", "cells:Boxes", "--inputs", "in.npz")
    done = zoo("convert", "boxes.ckpt", "--to", "onnx", "--out", "o", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = [line.split() for line in done.stdout.splitlines()]
    assert any(line[:2] == ["read", "all"] and "BoundingBoxDecode" in line for line in table)
    assert any(
        line[:2] == ["mindspore.export", "none"] and line[3:] == ["chosen"] for line in table
    )
    # The same in the manifest, for programs.
    source = json.loads((tmp_path / "o/onnx/manifest.json").read_text())["source"]
    *failed, chosen = source["routes"]
    assert {attempt["route"] for attempt in failed} == {"read"}
    assert all("BoundingBoxDecode" in attempt["reason"] for attempt in failed)
    assert (chosen["route"], "reason" in chosen) == ("mindspore.export", False)
    assert "fixed in this graph: batch" in source["findings"]


@needs_paddle
@pytest.mark.parametrize("form", ["0", "1"], ids=["ProgramDesc", "PIR"])
def test_a_program_of_paddle(tmp_path, monkeypatch, form):
    monkeypatch.setenv("FLAGS_enable_pir_api", form)
    (tmp_path / "p").mkdir()
    (tmp_path / "save.py").write_text(PADDLE)
    subprocess.run(
        [sys.executable, tmp_path / "save.py", tmp_path / "p/net"], check=True, capture_output=True
    )
    # As caches of hubs lay files out: links to files of other names.
    (tmp_path / "blobs").mkdir()
    for number, file in enumerate(sorted((tmp_path / "p").iterdir())):
        file.rename(tmp_path / "blobs" / str(number))
        file.symlink_to(tmp_path / "blobs" / str(number))
    done = zoo(
        "convert", tmp_path / "p", "--to", "paddle,pytorch,onnx", "--out", tmp_path / "o", "--json"
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["results"]
    assert [row["framework"] for row in rows] == ["paddle", "pytorch", "onnx"]
    for row in rows:
        assert row["verification"]["reference"] == "paddle"
        assert row["max_abs_error"] < 1e-4
    manifest = json.loads((tmp_path / "o/pytorch/manifest.json").read_text())
    assert manifest["signature"]["inputs"][0]["shape"][1] == 3
    assert all(
        isinstance(manifest["signature"]["inputs"][0]["shape"][axis], str) for axis in (0, 2, 3)
    )


@needs_mindspore
def test_a_program_of_mindspore(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "save.py").write_text(MINDSPORE)
    subprocess.run(
        [sys.executable, tmp_path / "save.py", tmp_path / "p/net"], check=True, capture_output=True
    )
    done = zoo(
        "convert", tmp_path / "p/net.mindir", "--to", "mindspore,paddle,pytorch,onnx", "--out",
        tmp_path / "o", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for row in json.loads(done.stdout)["results"]:
        assert row["verification"]["reference"] == "mindspore"
        assert len(row["verification"]["cases"]) >= 2
        assert row["max_abs_error"] < 1e-4
    manifest = json.loads((tmp_path / "o/mindspore/manifest.json").read_text())
    assert manifest["route"] == ["mindspore", "onnx", "mindspore"]
    assert {"conv.weight", "bn.gamma", "fc.weight"} <= set(manifest["parameters"].values())


@needs_paddle
@needs_torch
def test_names_come_back_through_a_saved_program_of_paddle(net, tmp_path):
    first = zoo(
        "convert", net / "Cnn.pt", "--to", "paddle,pytorch", "--out", tmp_path / "first", "--model",
        "torch_nets:Cnn", "--inputs", net / "Cnn.npz", cwd=NETS,
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    script = (
        "import infer, paddle, sys\nfrom paddle.static import InputSpec\n"
        "paddle.jit.save(infer.load('cpu'), sys.argv[1],"
        " [InputSpec([None, 3, None, None], 'float32', 'x')])\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, tmp_path / "saved/net"], cwd=tmp_path / "first/paddle",
        check=True, capture_output=True,
    )  # fmt: skip
    done = zoo("convert", tmp_path / "saved", "--to", "pytorch", "--out", tmp_path / "back")
    assert done.returncode == 0, done.stderr
    before, after = (
        json.loads((tmp_path / folder / "pytorch/manifest.json").read_text())["parameters"]
        for folder in ("first", "back")
    )
    assert set(before) == set(after)
