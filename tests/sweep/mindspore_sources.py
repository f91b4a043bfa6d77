"""MindSpore sources of the sweep, in its process: python mindspore_sources.py FOLDER NAME ...

Cells as people write them, saved by `mindspore.export` with every size that may vary open. Written as in
`torch_sources.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from cases import HELD_OUT, Case, main, write
from mindspore import mint, nn, ops


class Residual(nn.Cell):
    """Two convolutions beside a shortcut."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, "pad", 1)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, "pad", 1, has_bias=True)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = nn.SequentialCell(nn.Conv2d(into, out, 1, stride), nn.BatchNorm2d(out))
        self.relu = nn.ReLU()

    def construct(self, x: Any) -> Any:
        found = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(found + self.shortcut(x))


class ResNet(nn.Cell):
    """A small classifier: `same` padding in the stem, a pool over what is left."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.SequentialCell(nn.Conv2d(3, 8, 7, 2), nn.BatchNorm2d(8), nn.ReLU())
        self.pool = nn.MaxPool2d(3, 2, "same")
        self.blocks = nn.SequentialCell([Residual(8, 8, 1), Residual(8, 16, 2)])
        self.head = nn.Dense(16, 7)

    def construct(self, x: Any) -> Any:
        return self.head(self.blocks(self.pool(self.stem(x))).mean((2, 3)))


class Mobile(nn.Cell):
    """Depthwise convolutions, gates, hard activations."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(3, 16, 1, has_bias=True)
        self.deep = nn.Conv2d(16, 16, 5, 2, "pad", 2, group=16)
        self.norm = nn.BatchNorm2d(16)
        self.gate = nn.SequentialCell(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(16, 4, 1, has_bias=True),
            nn.ReLU(),
            nn.Conv2d(4, 16, 1, has_bias=True),
            nn.HSigmoid(),
        )
        self.act = nn.HSwish()
        self.drop = nn.Dropout(p=0.2)

    def construct(self, x: Any) -> Any:
        found = self.act(self.norm(self.deep(self.wide(x))))
        return self.drop(found * self.gate(found)).flatten(start_dim=2)


class Attention(nn.Cell):
    """Heads by reshaping, with the sizes of the input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv = nn.Dense(width, 3 * width)
        self.out = nn.Dense(width, width)
        self.softmax = nn.Softmax(axis=-1)

    def construct(self, x: Any, mask: Any) -> Any:
        batch, length, width = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.transpose(2, 0, 3, 1, 4)
        scores = ops.matmul(q, k.transpose(0, 1, 3, 2)) * self.scale + mask
        found = ops.matmul(self.softmax(scores), v).transpose(0, 2, 1, 3)
        return self.out(found.reshape(batch, length, width))


class Encoder(nn.Cell):
    """A transformer over tokens, with positions and a mask from padding."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.places = ms.Parameter(ms.Tensor(np.random.randn(1, 64, 16), ms.float32), name="places")
        self.attention = Attention(16, 4)
        self.norm1, self.norm2 = nn.LayerNorm((16,)), nn.LayerNorm((16,), epsilon=1e-6)
        self.mlp = nn.SequentialCell(nn.Dense(16, 32), nn.GELU(), nn.Dense(32, 16))

    def construct(self, tokens: Any) -> Any:
        mask = (tokens == 0).astype(ms.float32).expand_dims(1).expand_dims(1) * -10000.0
        x = self.words(tokens) + self.places[:, : tokens.shape[1]]
        x = x + self.attention(self.norm1(x), mask)
        return x + self.mlp(self.norm2(x))


class Tagger(nn.Cell):
    """Two directions over steps."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(6, 8, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Dense(16, 5)

    def construct(self, x: Any) -> Any:
        return ops.log_softmax(self.head(self.encoder(x)[0]), axis=-1)


class Unet(nn.Cell):
    """Down and up again, joined; one transposed convolution, one that repeats pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.SequentialCell(nn.Conv2d(3, 8, 3, 2, "pad", 1), nn.LeakyReLU(0.1))
        self.down2 = nn.SequentialCell(nn.Conv2d(8, 16, 3, 2, "pad", 1), nn.GroupNorm(4, 16))
        self.up = nn.Conv2dTranspose(16, 8, 2, 2, "valid")
        self.last = nn.Conv2d(16, 12, 1, has_bias=True)
        self.shuffle = nn.PixelShuffle(2)

    def construct(self, x: Any) -> Any:
        first = self.down1(x)
        found = ops.cat((self.up(self.down2(first)), first), axis=1)
        return self.shuffle(self.last(found))


class Branches(nn.Cell):
    """What is computed depends on the numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.small, self.large = nn.Dense(6, 4), nn.Dense(6, 4)

    def construct(self, x: Any) -> Any:
        y = self.small(x) if x.sum() > 0 else self.large(x) * 2
        while y.abs().max() > 1:
            y = y / 2
        return y


class Mint(nn.Cell):
    """The newer functions, named as in PyTorch, as far as processors have them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = mint.nn.Linear(6, 8), mint.nn.Linear(8, 5)

    def construct(self, x: Any) -> tuple[Any, Any]:
        found = mint.nn.functional.relu(self.first(x))
        scores = mint.nn.functional.softmax(self.head(found), -1)
        return scores, mint.cat((mint.sum(found, 1), mint.mean(found, 1)), 1)


class Odd(nn.Cell):
    """Slices, gathers, comparisons, sums along axes."""

    def construct(self, x: Any, index: Any) -> tuple[Any, ...]:
        rows = ops.gather(x, index, 1)
        where = ops.where(x > 0, x, x * -0.1)
        tiles = ops.tile(x.mean(axis=-1, keep_dims=True), (1, 1, 3))
        best, places = ops.topk(x, 3)
        return rows[:, ::2], where.cumsum(1), tiles, best, places, ops.std(x, axis=-1)


class Recurrent(nn.Cell):
    """The other recurrent layers, of sizes that are known, with a first state; cells, step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True, bidirectional=True)
        self.plain = nn.RNN(16, 5, nonlinearity="relu")
        self.lstm, self.last = nn.LSTMCell(5, 7), nn.GRUCell(7, 4)
        self.first = nn.RNNCell(7, 4)

    def construct(self, x: Any, h0: Any) -> tuple[Any, Any]:
        found, last = self.gru(x, h0)
        found, _ = self.plain(found.swapaxes(0, 1))
        h, c = ops.zeros((2, 7)), ops.ones((2, 7))
        g = ops.zeros((2, 4))
        for step in range(5):
            h, c = self.lstm(found[step], (h, c))
            g = self.last(h, self.first(h, g))
        return g, last


class Rounds(nn.Cell):
    """As many rounds as the input has steps, and as a number says."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Dense(6, 6)

    def construct(self, x: Any, n: Any) -> tuple[Any, Any]:
        state = ops.zeros_like(x[:, 0])
        for place in range(x.shape[1]):
            state = ops.tanh(self.step(state) + x[:, place])
        count, y = ms.Tensor(0, ms.int32), state
        while count < n[0]:
            y = y * 0.5 + state
            count = count + 1
        return state, y


class Ghost(nn.Cell):
    """Few convolutions and cheap ones that make the rest of the channels, gates, shortcuts."""

    def __init__(self) -> None:
        super().__init__()
        self.main = nn.SequentialCell(nn.Conv2d(3, 6, 1, 2), nn.BatchNorm2d(6), nn.ReLU())
        self.cheap = nn.SequentialCell(nn.Conv2d(6, 6, 3, group=6), nn.BatchNorm2d(6), nn.ReLU())
        self.deep = nn.Conv2d(10, 10, 5, 2, "pad", 2, group=10)
        self.reduce, self.expand = nn.Conv2d(10, 4, 1), nn.Conv2d(4, 10, 1, has_bias=True)
        self.head = nn.SequentialCell(nn.Conv2d(10, 20, 1), nn.ReLU6())
        self.classifier = nn.Dense(20, 7)

    def construct(self, x: Any) -> Any:
        first = self.main(x)
        found = ops.cat((first, self.cheap(first)), axis=1)[:, :10]
        found = self.deep(found)
        gate = self.expand(ops.relu(self.reduce(ops.mean(found, (2, 3), keep_dims=True))))
        found = found * ops.clip_by_value((gate + 3.0) / 6.0, 0.0, 1.0)
        return self.classifier(ops.adaptive_avg_pool2d(self.head(found), 1).flatten(start_dim=1))


class Transformer(nn.Cell):
    """The framework's own layers: an encoder with padding, a decoder over it."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 16)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(16, 4, 32, activation="gelu", batch_first=True), 2
        )
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.head = nn.Dense(16, 50)

    def construct(self, tokens: Any) -> Any:
        x = self.words(tokens)
        found = self.encoder(x)
        return self.head(found + self.attention(x, found, found)[0])


IMAGE = {"x": ("B", 3, "H", "W")}
CASES: Mapping[str, Case] = {
    "mindspore-resnet": Case(ResNet, IMAGE),
    "mindspore-mobile": Case(Mobile, IMAGE),
    "mindspore-encoder": Case(Encoder, {"tokens": ("B", "L")}, {"tokens": 50}),
    "mindspore-tagger": Case(Tagger, {"x": ("B", "L", 6)}),
    "mindspore-unet": Case(Unet, IMAGE),
    "mindspore-branches": Case(Branches, {"x": ("B", 6)}),
    "mindspore-mint": Case(Mint, {"x": ("B", "L", 6)}),
    "mindspore-recurrent": Case(Recurrent, {"x": (2, 5, 6), "h0": (2, 2, 8)}),
    "mindspore-rounds": Case(Rounds, {"x": ("B", "L", 6), "n": (1,)}, {"n": 5}),
    "mindspore-ghost": Case(Ghost, IMAGE),
    "mindspore-transformer": Case(Transformer, {"tokens": ("B", "L")}, {"tokens": 50}),
    "mindspore-odd": Case(Odd, {"x": ("B", "L", 6), "index": (4,)}, {"index": 7}),
}


def shaken(cell: nn.Cell) -> nn.Cell:
    """Fresh statistics of 0 and 1 would hide what forgets them."""
    for one in cell.get_parameters():
        if one.name.endswith(("moving_mean", "running_mean")):
            one.set_data(one + 0.2 * ops.randn(one.shape))
        if one.name.endswith(("moving_variance", "running_var")):
            one.set_data(one * (1 + ops.rand(one.shape)))
    cell.set_train(False)
    return cell


def make_case(case: Case, folder: Path) -> str:
    """Write a case."""
    ms.set_seed(1)
    np.random.seed(1)
    cell = shaken(case.make())
    for index in HELD_OUT:
        inputs = case.drawn(index, "int32")
        write(folder, index, inputs, cell(*map(ms.Tensor, inputs.values())))
    specs = [
        ms.Tensor(shape=shape, dtype=ms.int32 if name in case.below else ms.float32)
        for name, shape in case.open_shapes().items()
    ]
    ms.export(cell, *specs, file_name=str(folder / "net"), file_format="MINDIR")
    return "net.mindir"


if __name__ == "__main__":
    ms.set_device("CPU")
    main(CASES, make_case)
