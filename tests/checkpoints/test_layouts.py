"""Every kind of module of the table, from each framework to each other: loaded there, the outputs are the same."""

import numpy as np
import pytest

from converters.checkpoint_conversion import Options, convert_checkpoint
from converters.checkpoints import open_checkpoint
from converters.checkpoints.layouts import CLASSES, KINDS

# The same modules, made of each framework's own classes; what they take is in INPUTS.
TORCH = """
import sys, numpy as np, torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.square = nn.Linear(4, 4)
        self.q_proj = nn.Linear(4, 5, bias=False)
        self.embed_tokens = nn.Embedding(5, 3)
        self.conv1 = nn.Conv1d(4, 6, 3, groups=2)
        self.conv1b = nn.Conv1d(6, 2, 1, bias=False)
        self.conv2 = nn.Conv2d(3, 4, (2, 3))
        self.conv3 = nn.Conv3d(2, 3, 2)
        self.up1 = nn.ConvTranspose1d(4, 6, 3)
        self.up2 = nn.ConvTranspose2d(3, 4, (2, 3))
        self.bn = nn.BatchNorm2d(3)
        self.ln = nn.LayerNorm(4)
        self.gn = nn.GroupNorm(2, 4)
        self.prelu = nn.PReLU(3)
        self.lstm = nn.LSTM(3, 4, 2, bidirectional=True)
        self.gru = nn.GRU(3, 4)
        self.cell = nn.LSTMCell(3, 4)
        self.attn = nn.MultiheadAttention(4, 2)
        self.layers = nn.ModuleList([nn.TransformerEncoderLayer(4, 2, 6, dropout=0) for _ in range(2)])

    def call(self, x):
        t = {k: torch.from_numpy(v) for k, v in x.items()}
        layer = t["sequence4"]
        for part in self.layers:
            layer = part(layer)
        return {
            "linear": self.square(self.linear(t["rows"])), "q_proj": self.q_proj(t["rows4"]),
            "embed_tokens": self.embed_tokens(t["index"]),
            "conv1": self.conv1b(self.conv1(t["signal"])), "conv2": self.conv2(t["image"]),
            "conv3": self.conv3(t["volume"]), "up1": self.up1(t["signal"]), "up2": self.up2(t["image"]),
            "bn": self.bn(t["image"]), "ln": self.ln(t["rows4"]), "gn": self.gn(t["signal"]),
            "prelu": self.prelu(t["image"]), "lstm": self.lstm(t["sequence"])[0],
            "gru": self.gru(t["sequence"])[0], "cell": self.cell(t["rows"])[0],
            "attn": self.attn(t["sequence4"], t["sequence4"], t["sequence4"])[0], "layers": layer,
        }
"""
PADDLE = """
import sys, numpy as np, paddle
from paddle import nn

class Net(nn.Layer):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.square = nn.Linear(4, 4)
        self.q_proj = nn.Linear(4, 5, bias_attr=False)
        self.embed_tokens = nn.Embedding(5, 3)
        self.conv1 = nn.Conv1D(4, 6, 3, groups=2)
        self.conv1b = nn.Conv1D(6, 2, 1, bias_attr=False)
        self.conv2 = nn.Conv2D(3, 4, (2, 3))
        self.conv3 = nn.Conv3D(2, 3, 2)
        self.up1 = nn.Conv1DTranspose(4, 6, 3)
        self.up2 = nn.Conv2DTranspose(3, 4, (2, 3))
        self.bn = nn.BatchNorm2D(3)
        self.ln = nn.LayerNorm(4)
        self.gn = nn.GroupNorm(2, 4)
        self.prelu = nn.PReLU(3)
        self.lstm = nn.LSTM(3, 4, 2, direction="bidirect", time_major=True)
        self.gru = nn.GRU(3, 4, time_major=True)
        self.cell = nn.LSTMCell(3, 4)
        self.attn = nn.MultiHeadAttention(4, 2)
        self.layers = nn.LayerList([nn.TransformerEncoderLayer(4, 2, 6, dropout=0) for _ in range(2)])

    def call(self, x):
        t = {k: paddle.to_tensor(v) for k, v in x.items()}
        turned = t["sequence4"].transpose([1, 0, 2])
        layer = turned
        for part in self.layers:
            layer = part(layer)
        return {
            "linear": self.square(self.linear(t["rows"])), "q_proj": self.q_proj(t["rows4"]),
            "embed_tokens": self.embed_tokens(t["index"]),
            "conv1": self.conv1b(self.conv1(t["signal"])), "conv2": self.conv2(t["image"]),
            "conv3": self.conv3(t["volume"]), "up1": self.up1(t["signal"]), "up2": self.up2(t["image"]),
            "bn": self.bn(t["image"]), "ln": self.ln(t["rows4"]), "gn": self.gn(t["signal"].unsqueeze(-1)).squeeze(-1),
            "prelu": self.prelu(t["image"]), "lstm": self.lstm(t["sequence"])[0],
            "gru": self.gru(t["sequence"])[0], "cell": self.cell(t["rows"])[0],
            "attn": self.attn(turned, turned, turned).transpose([1, 0, 2]),
            "layers": layer.transpose([1, 0, 2]),
        }
"""
MINDSPORE = """
import sys, numpy as np, mindspore as ms
from mindspore import nn

class Net(nn.Cell):
    def __init__(self):
        super().__init__()
        self.linear = nn.Dense(3, 4)
        self.square = nn.Dense(4, 4)
        self.q_proj = nn.Dense(4, 5, has_bias=False)
        self.embed_tokens = nn.Embedding(5, 3)
        self.conv1 = nn.Conv1d(4, 6, 3, group=2, has_bias=True, pad_mode="valid")
        self.conv1b = nn.Conv1d(6, 2, 1, pad_mode="valid")
        self.conv2 = nn.Conv2d(3, 4, (2, 3), has_bias=True, pad_mode="valid")
        self.conv3 = nn.Conv3d(2, 3, 2, has_bias=True, pad_mode="valid")
        self.up1 = nn.Conv1dTranspose(4, 6, 3, has_bias=True, pad_mode="valid")
        self.up2 = nn.Conv2dTranspose(3, 4, (2, 3), has_bias=True, pad_mode="valid")
        self.bn = nn.BatchNorm2d(3)
        self.ln = nn.LayerNorm((4,), epsilon=1e-5)
        self.gn = nn.GroupNorm(2, 4)
        self.prelu = nn.PReLU(3)
        self.lstm = nn.LSTM(3, 4, 2, bidirectional=True)
        self.gru = nn.GRU(3, 4)
        self.cell = nn.LSTMCell(3, 4)
        self.attn = nn.MultiheadAttention(4, 2)
        self.layers = nn.CellList([nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0) for _ in range(2)])

    def call(self, x):
        t = {k: ms.Tensor(v) for k, v in x.items()}
        layer = t["sequence4"]
        for part in self.layers:
            layer = part(layer)
        zero = ms.ops.zeros((2, 4), ms.float32)
        return {
            "linear": self.square(self.linear(t["rows"])), "q_proj": self.q_proj(t["rows4"]),
            "embed_tokens": self.embed_tokens(t["index"]),
            "conv1": self.conv1b(self.conv1(t["signal"])), "conv2": self.conv2(t["image"]),
            "conv3": self.conv3(t["volume"]), "up1": self.up1(t["signal"]), "up2": self.up2(t["image"]),
            "bn": self.bn(t["image"]), "ln": self.ln(t["rows4"]), "gn": self.gn(t["signal"].expand_dims(-1)).squeeze(-1),
            "prelu": self.prelu(t["image"]), "lstm": self.lstm(t["sequence"])[0],
            "gru": self.gru(t["sequence"])[0], "cell": self.cell(t["rows"], (zero, zero))[0],
            "attn": self.attn(t["sequence4"], t["sequence4"], t["sequence4"])[0], "layers": layer,
        }
"""
# Random weights are made in one framework; the others load what was converted and say what they lack.
SAVE = {
    "pytorch": """
net = Net().eval()
for name, value in net.state_dict().items():
    if value.is_floating_point():
        value.copy_(torch.rand_like(value) + 0.2 * ("var" in name))
torch.save(net.state_dict(), sys.argv[1])
""",
    "paddle": """
net = Net(); net.eval()
net.set_state_dict({n: paddle.rand(v.shape) + 0.2 * ("var" in n) for n, v in net.state_dict().items() if ".cell" not in n})
paddle.save(net.state_dict(), sys.argv[1])
""",
    "mindspore": """
net = Net(); net.set_train(False)
for p in net.get_parameters():
    p.set_data(ms.Tensor(np.random.rand(*p.shape).astype(np.float32) + 0.2 * ("var" in p.name)))
ms.save_checkpoint(net, sys.argv[1])
""",
}
LOAD = {
    "pytorch": """
from safetensors.torch import load_file
net = Net().eval()
said = net.load_state_dict(load_file(sys.argv[1]), strict=False)
left = [n for n in said.missing_keys if "num_batches" not in n], said.unexpected_keys
""",
    "paddle": """
net = Net(); net.eval()
left = net.set_state_dict(paddle.load(sys.argv[1]))
""",
    "mindspore": """
net = Net(); net.set_train(False)
left = ms.load_param_into_net(net, ms.load_checkpoint(sys.argv[1]))
""",
}
RUN = """
def plain(t):
    return t.asnumpy() if hasattr(t, "asnumpy") else t.detach().numpy() if hasattr(t, "detach") else t.numpy()
np.savez(sys.argv[3], **{n: plain(t) for n, t in net.call(dict(np.load(sys.argv[2]))).items()})
answer = left
"""
NETS = {"pytorch": TORCH, "paddle": PADDLE, "mindspore": MINDSPORE}
FILES = {"pytorch": "w.pt", "paddle": "w.pdparams", "mindspore": "w.ckpt"}
ENTRY = {"pytorch": "model.safetensors", "paddle": "model.pdparams", "mindspore": "model.ckpt"}
# What names and shapes leave open in these nets.
KINDS_SAID = {
    "paddle": {"attn": "MultiheadAttention", "layers.*.self_attn": "MultiheadAttention"},
    "mindspore": {"conv1*": "Conv1d", "up1": "Conv1d"},
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    random = np.random.default_rng(0)
    shapes = {
        "rows": (2, 3), "rows4": (2, 4), "signal": (2, 4, 7), "image": (2, 3, 5, 6),
        "volume": (1, 2, 4, 4, 4), "sequence": (5, 2, 3), "sequence4": (5, 2, 4),
    }  # fmt: skip
    made = {
        name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()
    }
    made["index"] = np.array([[0, 4], [2, 1]], np.int32)
    path = tmp_path_factory.mktemp("inputs") / "inputs.npz"
    np.savez(path, **made)
    return path


@pytest.fixture(scope="module")
def sources(tmp_path_factory, inputs, ask):
    """A checkpoint of each framework, and what its net gives."""

    def make(framework):
        folder = tmp_path_factory.mktemp(framework)
        path, outputs = folder / FILES[framework], folder / "outputs.npz"
        run = f"{NETS[framework]}\n{SAVE[framework]}\nleft = []\n{RUN}"
        ask(run, path, inputs, outputs)
        return path, dict(np.load(outputs))

    return {framework: make(framework) for framework in NETS}


@pytest.mark.parametrize("target", NETS)
@pytest.mark.parametrize("source", NETS)
def test_the_same_module_in_another_framework_gives_the_same_outputs(
    source, target, sources, inputs, tmp_path, ask
):
    if source == target:
        pytest.skip("nothing changes")
    path, expected = sources[source]
    options = Options(mapping={"kinds": KINDS_SAID.get(source, {})})
    (made,) = convert_checkpoint(path, [target], tmp_path / "out", options)
    entry = made.directory / ENTRY[target]
    left = ask(f"{NETS[target]}\n{LOAD[target]}\n{RUN}", entry, inputs, tmp_path / "o.npz")
    assert [list(part) for part in left] == [[], []]
    outputs = np.load(tmp_path / "o.npz")
    for name, value in expected.items():
        # MindSpore's tanh and sigmoid differ from the others' by some 1e-4.
        np.testing.assert_allclose(outputs[name], value, rtol=1e-3, atol=5e-4, err_msg=name)

    (back,) = convert_checkpoint(entry, [source], tmp_path / "back")
    first, last = open_checkpoint(path), open_checkpoint(back.directory / ENTRY[source])
    assert list(last.tensors) == list(first.tensors) or set(last.tensors) == set(first.tensors)
    for name, tensor in first.tensors.items():
        again = last.tensors[name]
        assert (again.kind, again.shape) == (tensor.kind, tensor.shape)
        assert (
            np.ascontiguousarray(again.array()).tobytes()
            == np.ascontiguousarray(tensor.array()).tobytes()
        )


def test_what_is_converted_twice_has_the_names_of_its_first_form_again(sources, tmp_path):
    path, _ = sources["pytorch"]
    (one,) = convert_checkpoint(path, ["paddle"], tmp_path / "1")
    (two,) = convert_checkpoint(one.directory, ["mindspore"], tmp_path / "2")
    (three,) = convert_checkpoint(two.directory, ["pytorch"], tmp_path / "3")
    first, last = open_checkpoint(path), open_checkpoint(three.directory)
    assert set(first.tensors) == set(last.tensors)
    for name, tensor in first.tensors.items():
        np.testing.assert_array_equal(last.tensors[name].array(), tensor.array())


def test_every_class_is_of_a_kind_of_the_table():
    assert set(CLASSES.values()) - {"MultiheadAttention"} <= {kind.name for kind in KINDS}
