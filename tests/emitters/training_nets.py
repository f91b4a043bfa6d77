"""Small PyTorch modules of many kinds, and the classes of a few published ones; needs torch.

python training_nets.py ROOT NAME[=WEIGHTS] ...

writes for each ROOT/NAME.onnx with the parameters under their names, and ROOT/NAME.npz: the inputs, once more as `0:x`
and of other sizes as `1:x`, a target for each output (`target0`), the state (`start:KEY`) and what it is after one step of SGD as PyTorch computes it for
the module itself, in inference mode (`eval:KEY`) and in training mode (`train:KEY`). ROOT/NAME.json has the names
of its parameters.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file
from torch import nn

RATE = 0.1


class Cnn(nn.Module):
    """Convolutions with BatchNorm, one with groups, poolings and a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        )
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.bn = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        y = F.avg_pool2d(x + F.hardswish(self.bn(self.depthwise(x))), 2)
        return self.head(y.mean((2, 3)))


class Vgg(nn.Module):
    """Numbered layers with gaps: what has no weights between them, and Dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.Sigmoid(),
            nn.Sequential(nn.Conv2d(6, 6, 1), nn.Tanh()),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)
        )

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class Wrapped(nn.Module):
    """A module that only holds another one, by the name of the class that everything gets."""

    def __init__(self) -> None:
        super().__init__()
        self._model = Vgg()

    def forward(self, x):
        return self._model(x)


class Wave(nn.Module):
    """One axis: convolution, BatchNorm, LeakyReLU, pooling, and up again."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 6, 5, stride=2)
        self.bn = nn.BatchNorm1d(6)
        self.up = nn.ConvTranspose1d(6, 3, 4, stride=2)

    def forward(self, x):
        x = F.leaky_relu(self.bn(self.conv(x)), 0.2)
        return self.up(F.avg_pool1d(x, 3, 2))


class Norms(nn.Module):
    """GroupNorm, InstanceNorm, PReLU and LayerNorm over two axes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.group = nn.GroupNorm(4, 8)
        self.act = nn.PReLU(8)
        self.instance = nn.InstanceNorm2d(8, affine=True)
        self.layer = nn.LayerNorm((8, 6))

    def forward(self, x):
        x = self.instance(self.act(self.group(self.conv(x))))
        return self.layer(x.permute(0, 2, 1, 3))


class Resizes(nn.Module):
    """Nearest and linear upsampling between convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x):
        x = F.interpolate(F.elu(self.first(x)), scale_factor=2, mode="nearest")
        x = F.interpolate(self.second(x), scale_factor=2, mode="bilinear", align_corners=False)
        return x.sigmoid()


class Block(nn.Module):
    """Pre-norm attention and a gated MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def split(self, x):
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def forward(self, x):
        y = self.norm1(x)
        q, k, v = self.split(self.query(y)), self.split(self.key(y)), self.split(self.value(y))
        scores = q @ k.transpose(-1, -2) / (q.shape[-1] ** 0.5)
        y = (F.softmax(scores, dim=-1) @ v).transpose(1, 2).reshape(x.shape)
        x = x + self.out(y)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """Embeddings of tokens and positions, two blocks, logits."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(30, 16)
        self.positions = nn.Parameter(0.1 * torch.randn(1, 12, 16))
        self.blocks = nn.ModuleList([Block(16, 4) for _ in range(2)])
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 30, bias=False)

    def forward(self, ids):
        x = self.tokens(ids) + self.positions[:, : ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Gated(nn.Module):
    """Swish, tanh-GELU, a scale of its own and log-softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(6, 10)
        self.up = nn.Linear(6, 10)
        self.scale = nn.Parameter(torch.ones(10))
        self.down = nn.Linear(10, 4)

    def forward(self, x):
        y = F.silu(self.gate(x)) * F.gelu(self.up(x), approximate="tanh") * self.scale
        return F.log_softmax(self.down(y), dim=-1)


class Lstm(nn.Module):
    def __init__(self, bidirectional: bool = True, layers: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 6)
        self.lstm = nn.LSTM(6, 8, layers, batch_first=True, bidirectional=bidirectional)
        self.out = nn.Linear(16 if bidirectional else 8, 3)

    def forward(self, ids):
        y, (h, c) = self.lstm(self.embedding(ids))
        return self.out(y), h, c


class Gru(nn.Module):
    """With a state that comes in and goes out."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8)

    def forward(self, x, state):
        return self.gru(x, state)


class Rnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(6, 8, batch_first=True)
        self.out = nn.Linear(8, 2)

    def forward(self, x):
        return self.out(self.rnn(x)[0])


class PNet(nn.Module):
    """The class of facenet-pytorch 2.6.0, models/mtcnn.py, by its names and sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 10, 3)
        self.prelu1 = nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(10, 16, 3)
        self.prelu2 = nn.PReLU(16)
        self.conv3 = nn.Conv2d(16, 32, 3)
        self.prelu3 = nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.softmax4_1 = nn.Softmax(dim=1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, x):
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_2(x), self.softmax4_1(self.conv4_1(x))


class RNet(nn.Module):
    """As PNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 28, 3)
        self.prelu1 = nn.PReLU(28)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(28, 48, 3)
        self.prelu2 = nn.PReLU(48)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3 = nn.Conv2d(48, 64, 2)
        self.prelu3 = nn.PReLU(64)
        self.dense4 = nn.Linear(576, 128)
        self.prelu4 = nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)
        self.softmax5_1 = nn.Softmax(dim=1)
        self.dense5_2 = nn.Linear(128, 4)

    def forward(self, x):
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.prelu3(self.conv3(self.pool2(self.prelu2(self.conv2(x)))))
        x = x.permute(0, 3, 2, 1).contiguous()
        x = self.prelu4(self.dense4(x.view(x.shape[0], -1)))
        return self.dense5_2(x), self.softmax5_1(self.dense5_1(x))


class ONet(nn.Module):
    """As PNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3)
        self.prelu1 = nn.PReLU(32)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.prelu2 = nn.PReLU(64)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3 = nn.Conv2d(64, 64, 3)
        self.prelu3 = nn.PReLU(64)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4 = nn.Conv2d(64, 128, 2)
        self.prelu4 = nn.PReLU(128)
        self.dense5 = nn.Linear(1152, 256)
        self.prelu5 = nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.softmax6_1 = nn.Softmax(dim=1)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, x):
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.conv4(x)).permute(0, 3, 2, 1).contiguous()
        x = self.prelu5(self.dense5(x.view(x.shape[0], -1)))
        return self.dense6_2(x), self.dense6_3(x), self.softmax6_1(self.dense6_1(x))


class Crepe(nn.Module):
    """The tiny class of torchcrepe 0.0.24 by its names and sizes."""

    def __init__(self) -> None:
        super().__init__()
        widths = [1, 128, 16, 16, 16, 32, 64]
        for k in range(1, 7):
            kernel, stride = ((512, 1), (4, 1)) if k == 1 else ((64, 1), (1, 1))
            setattr(self, f"conv{k}", nn.Conv2d(widths[k - 1], widths[k], kernel, stride))
            setattr(self, f"conv{k}_BN", nn.BatchNorm2d(widths[k], eps=0.001, momentum=0.0))
        self.classifier = nn.Linear(256, 360)

    def forward(self, x):
        x = x[:, None, :, None]
        for k in range(1, 7):
            x = F.pad(x, (0, 0, 254, 254) if k == 1 else (0, 0, 31, 32))
            x = getattr(self, f"conv{k}_BN")(F.relu(getattr(self, f"conv{k}")(x)))
            x = F.max_pool2d(x, (2, 1), (2, 1))
        x = x.permute(0, 2, 1, 3).reshape(-1, 256)
        return torch.sigmoid(self.classifier(x))


class SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, x, mask):
        q, k, v = (
            layer(x).view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = q @ k.transpose(-1, -2) / (q.shape[-1] ** 0.5) + mask
        return (F.softmax(scores, dim=-1) @ v).transpose(1, 2).reshape(x.shape)


class Output(nn.Module):
    def __init__(self, into: int, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(into, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, y, x):
        return self.LayerNorm(self.dense(y) + x)


class Intermediate(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, inner)

    def forward(self, x):
        return F.gelu(self.dense(x))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self = SelfAttention(width, heads)
        self.output = Output(width, width)

    def forward(self, x, mask):
        return self.output(self.self(x, mask), x)


class BertLayer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.intermediate = Intermediate(width, 4 * width)
        self.output = Output(4 * width, width)

    def forward(self, x, mask):
        x = self.attention(x, mask)
        return self.output(self.intermediate(x), x)


class Embeddings(nn.Module):
    def __init__(self, width: int, tokens: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(tokens, width)
        self.position_embeddings = nn.Embedding(512, width)
        self.token_type_embeddings = nn.Embedding(2, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)
        self.register_buffer("position_ids", torch.arange(512)[None], persistent=False)

    def forward(self, ids, types):
        x = self.word_embeddings(ids) + self.token_type_embeddings(types)
        return self.LayerNorm(x + self.position_embeddings(self.position_ids[:, : ids.shape[1]]))


class Encoder(nn.Module):
    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.layer = nn.ModuleList([BertLayer(width, 12) for _ in range(layers)])

    def forward(self, x, mask):
        for layer in self.layer:
            x = layer(x, mask)
        return x


class Pooler(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)

    def forward(self, x):
        return self.dense(x[:, 0]).tanh()


class MiniLM(nn.Module):
    """BERT by the names of its published parameters, in the sizes of all-MiniLM-L6-v2."""

    def __init__(self, width: int = 384, layers: int = 6, tokens: int = 30522) -> None:
        super().__init__()
        self.embeddings = Embeddings(width, tokens)
        self.encoder = Encoder(width, layers)
        self.pooler = Pooler(width)

    def forward(self, input_ids, attention_mask, token_type_ids):
        mask = (1.0 - attention_mask[:, None, None, :].float()) * torch.finfo(torch.float32).min
        x = self.encoder(self.embeddings(input_ids, token_type_ids), mask)
        return x, self.pooler(x)


def floats(*shape: int) -> torch.Tensor:
    return torch.randn(*shape)


def ids(batch: int, length: int, count: int) -> torch.Tensor:
    return torch.randint(0, count, (batch, length))


# Class, inputs by name, and which of their axes may vary.
NETS = {
    "cnn": (Cnn, lambda: {"x": floats(4, 3, 24, 20)}, {"x": {0: "N", 2: "H", 3: "W"}}),
    "wave": (Wave, lambda: {"x": floats(4, 2, 40)}, {"x": {0: "N", 2: "T"}}),
    "norms": (Norms, lambda: {"x": floats(3, 3, 9, 8)}, {"x": {0: "N", 2: "H"}}),
    "resizes": (Resizes, lambda: {"x": floats(2, 2, 5, 6)}, {"x": {0: "N", 2: "H", 3: "W"}}),
    "transformer": (Transformer, lambda: {"ids": ids(3, 7, 30)}, {"ids": {0: "N", 1: "T"}}),
    "gated": (Gated, lambda: {"x": floats(3, 5, 6)}, {"x": {0: "N", 1: "T"}}),
    "lstm": (Lstm, lambda: {"ids": ids(3, 7, 20)}, {"ids": {0: "N", 1: "T"}}),
    "gru": (
        Gru, lambda: {"x": floats(5, 3, 6), "state": floats(1, 3, 8)},
        {"x": {0: "T", 1: "N"}, "state": {1: "N"}},
    ),
    "rnn": (Rnn, lambda: {"x": floats(3, 5, 6)}, {"x": {0: "N", 1: "T"}}),
    "minilm-small": (
        lambda: MiniLM(24, 2, 60),
        lambda: {"ids": ids(2, 6, 60), "mask": torch.ones(2, 6, dtype=torch.int64), "types": ids(2, 6, 2)},
        {key: {0: "N", 1: "T"} for key in ("ids", "mask", "types")},
    ),
    "vgg": (Vgg, lambda: {"x": floats(4, 3, 8, 10)}, {"x": {0: "N", 2: "H", 3: "W"}}),
    "wrapped": (Wrapped, lambda: {"x": floats(4, 3, 8, 10)}, {"x": {0: "N", 2: "H", 3: "W"}}),
    "pnet": (PNet, lambda: {"x": floats(2, 3, 30, 37)}, {"x": {0: "N", 2: "H", 3: "W"}}),
    "rnet": (RNet, lambda: {"x": floats(3, 3, 24, 24)}, {"x": {0: "N"}}),
    "onet": (ONet, lambda: {"x": floats(3, 3, 48, 48)}, {"x": {0: "N"}}),
    "crepe": (Crepe, lambda: {"x": floats(3, 1024)}, {"x": {0: "N"}}),
    "minilm": (
        MiniLM,
        lambda: {"ids": ids(2, 9, 30522), "mask": torch.ones(2, 9, dtype=torch.int64), "types": ids(2, 9, 2)},
        {key: {0: "N", 1: "T"} for key in ("ids", "mask", "types")},
    ),
}  # fmt: skip


def build(name: str, weights: str) -> nn.Module:
    """A module in inference mode, with statistics that are not those of the start."""
    torch.manual_seed(0)
    module = NETS[name][0]().eval()
    # A safetensors file begins with the size of its header and the header.
    if weights and Path(weights).read_bytes()[8:9] == b"{":
        module.load_state_dict(load_file(weights), strict=False)
    elif weights:
        module.load_state_dict(torch.load(weights, weights_only=True))
    else:
        for key, buffer in module.named_buffers():
            if "running" in key:
                buffer.copy_(torch.rand_like(buffer) + 0.5)
    return module


def resized(name: str, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Inputs of other sizes: two more along every axis that may vary."""
    found = {}
    for key, tensor in inputs.items():
        for axis in NETS[name][2][key]:
            tensor = torch.cat((tensor, tensor.narrow(axis, 0, 2)), axis)
        found[key] = tensor
    return found


def results(module: nn.Module, inputs: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    found = module(*inputs.values())
    return [found] if isinstance(found, torch.Tensor) else list(_flat(found))


def _flat(found: tuple) -> list[torch.Tensor]:
    return [t for one in found for t in ([one] if isinstance(one, torch.Tensor) else _flat(one))]


def write(root: Path, name: str, weights: str) -> None:
    module = build(name, weights)
    inputs = NETS[name][1]()
    targets = [torch.randn_like(y) for y in results(module, inputs)]
    arrays = {key: tensor.numpy() for key, tensor in inputs.items()}
    arrays |= {f"0:{key}": tensor.numpy() for key, tensor in inputs.items()}
    arrays |= {f"1:{key}": tensor.numpy() for key, tensor in resized(name, inputs).items()}
    arrays |= {f"target{k}": tensor.numpy() for k, tensor in enumerate(targets)}
    torch.onnx.export(
        module,
        tuple(inputs.values()),
        root / f"{name}.onnx",
        dynamo=False,
        opset_version=18,
        input_names=list(inputs),
        output_names=[f"y{k}" for k in range(len(targets))],
        dynamic_axes=NETS[name][2],
        do_constant_folding=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        verbose=False,
    )
    parameters = [key for key, _ in module.named_parameters()]
    (root / f"{name}.json").write_text(json.dumps(parameters))
    arrays |= {f"start:{k}": v.numpy() for k, v in module.state_dict().items()}
    for mode in ("eval", "train"):
        stepped = build(name, weights).train(mode == "train")
        # What the exported graph leaves out of inference is left out of the step as well: it is random.
        for dropout in (m for m in stepped.modules() if isinstance(m, nn.Dropout)):
            dropout.eval()
        optimizer = torch.optim.SGD(stepped.parameters(), RATE)
        pairs = zip(results(stepped, inputs), targets, strict=True)
        sum((y * target).mean() for y, target in pairs).backward()
        optimizer.step()
        arrays |= {f"{mode}:{k}": v.numpy() for k, v in stepped.state_dict().items()}
    np.savez(root / f"{name}.npz", **arrays)


def main() -> None:
    for word in sys.argv[2:]:
        name, _, weights = word.partition("=")
        write(Path(sys.argv[1]), name, weights)


if __name__ == "__main__":
    main()
