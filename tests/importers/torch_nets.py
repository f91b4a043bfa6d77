"""Small PyTorch classes of many kinds, for the importer; imported only where torch is."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Cnn(nn.Module):
    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.head = nn.Linear(8, classes)

    def forward(self, x):
        return self.head(self.stem(x).mean((2, 3)))


class Mtcnn(nn.Module):
    """PRelu and a pool in ceil mode, with two outputs: facenet's PNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 10, kernel_size=3)
        self.prelu1 = nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(10, 16, kernel_size=3)
        self.prelu2 = nn.PReLU(16)
        self.conv3 = nn.Conv2d(16, 32, kernel_size=3)
        self.prelu3 = nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, kernel_size=1)
        self.softmax4_1 = nn.Softmax(dim=1)
        self.conv4_2 = nn.Conv2d(32, 4, kernel_size=1)

    def forward(self, x):
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_2(x), self.softmax4_1(self.conv4_1(x))


class Lstm(nn.Module):
    def __init__(self, layers: int = 2, bidirectional: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 12)
        self.lstm = nn.LSTM(12, 16, layers, batch_first=True, bidirectional=bidirectional)
        self.out = nn.Linear(32 if bidirectional else 16, 3)

    def forward(self, ids):
        y, (h, _) = self.lstm(self.embedding(ids))
        return {"logits": self.out(y), "hidden": h}


class Gru(nn.Module):
    """With a state that comes in and goes out."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8)

    def forward(self, x, state=None):
        return self.gru(x, state)


class Cell(nn.Module):
    """An argument that is a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(6, 8)

    def forward(self, x, hx):
        return self.cell(x, hx)


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x, mask):
        return self.encoder(x, src_key_padding_mask=mask)


class Scaled(nn.Module):
    """An argument that is a plain number."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, times: int, bias: float = 0.5):
        for _ in range(times):
            x = torch.tanh(self.linear(x)) + bias
        return x


class Residual(nn.Module):
    """Takes only sizes that can be halved twice and doubled again."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(2, 4, 3, 2, 1), nn.ELU(), nn.Conv2d(4, 4, 3, 2, 1))
        self.up = nn.Sequential(
            nn.ConvTranspose2d(4, 4, 2, 2), nn.SiLU(), nn.ConvTranspose2d(4, 2, 2, 2)
        )

    def forward(self, x):
        return x + self.up(self.down(x))


class Fixed(nn.Module):
    """Everything but the batch is fixed, though one longer window would end the same."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 8, 4)
        self.bn = nn.BatchNorm1d(4)
        self.classifier = nn.Linear(4 * 15, 7)

    def forward(self, x):
        x = self.bn(torch.relu(self.conv(x[:, None, :])))
        return torch.sigmoid(self.classifier(x.permute(0, 2, 1).reshape(x.shape[0], -1)))


class Branch(nn.Module):
    """In TorchScript an `if` on a number, one on a size, and a loop over modules."""

    def __init__(self) -> None:
        super().__init__()
        self.low = nn.Linear(4, 3)
        self.high = nn.Linear(4, 3)
        self.tail = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])

    def forward(self, x, rate: int):
        y = self.low(x) if rate == 8000 else self.high(x)
        if x.size(0) > 1000:
            y = y * 2
        for layer in self.tail:
            y = nn.functional.relu(layer(y)) + y
        return y


class Memory(nn.Module):
    """Keeps its last output between calls."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.last = torch.zeros(0)
        self.calls = 0

    def forward(self, x):
        if self.last.size(0) == 0:
            self.last = torch.zeros([x.size(0), 4])
        y = torch.tanh(self.linear(x) + self.last)
        self.last = y
        self.calls += 1
        return y


class DataDependent(nn.Module):
    """Computes something else for other values: no graph without control flow has its numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        if x.flatten()[0] > 0:
            return x * self.scale
        return x - self.scale


class Twins(nn.Module):
    """Equal parameters, two of them under names as exporters make up; only for the exporter that reads TorchScript."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.load_state_dict(self.first.state_dict())
        self.constant1 = nn.Parameter(torch.full((4,), 0.5))
        self.constant2 = nn.Parameter(torch.full((4,), 0.5))
        self.norm, self.drop = nn.BatchNorm1d(4), nn.Dropout(0.5)

    def forward(self, x):
        if torch.jit.is_scripting():
            if bool(x.sum() > 0):
                x = x + 1.0
        elif torch.compiler.is_exporting():
            raise NotImplementedError
        x = self.drop(self.norm(self.first(x * self.constant1)))
        return self.second(x) + self.constant2


class Random(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x + self.scale * torch.rand_like(x)


class Doubled(nn.Module):
    """An input that is twice as long as the other one."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1) * 3)

    def forward(self, x, *, y):
        return x.repeat(1, 2) * self.scale + y


class Halves(nn.Module):
    """Parts of a size that varies: their number is fixed, their sizes are not."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([2.0]))

    def forward(self, x):
        first, second = x.chunk(2, -1)
        return first * self.scale, second


class Peaks(nn.Module):
    """Operators that torch's exporter has no form for."""

    def __init__(self) -> None:
        super().__init__()
        self.borders = nn.Parameter(torch.tensor([-1.0, 0.0, 1.0]))

    def forward(self, x):
        peaks = nn.functional.adaptive_max_pool2d(x, (2, 3)).flatten(2)
        order = torch.sort(peaks, dim=-1, stable=True, descending=True)
        middle = torch.median(peaks, -1)
        far = torch.cdist(peaks, order.values)
        bins = torch.searchsorted(self.borders, peaks)
        return (
            order.values,
            order.indices,
            middle.values,
            far,
            bins,
            torch.hypot(peaks, far[..., :1]),
        )


class Heads(nn.Module):
    """Attention whose heads are in the batch, as in `nn.MultiheadAttention`: masked, causal, and with a scale."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(8, 24)

    def forward(self, x, mask):
        q, k, v = self.project(x).chunk(3, -1)
        attend = nn.functional.scaled_dot_product_attention
        hidden = attend(q, k, v, attn_mask=~mask.unsqueeze(1))
        return (
            hidden,
            attend(q, k, v, is_causal=True, scale=0.3),
            attend(q, k, v, attn_mask=q @ k.mT),
        )


class Odd(nn.Module):
    """What the exporter lacks, and an output that is an input."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.act = nn.RReLU(0.2, 0.4)

    def forward(self, x):
        y = self.act(self.conv(x))
        return x, y, nn.functional.avg_pool2d(y, 3, 2, 1, divisor_override=5), y


class Ragged(nn.Module):
    """Sequences of different lengths through every kind of recurrent layer."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(6, 5, 2, bidirectional=True)
        self.gru = nn.GRU(10, 4, batch_first=True)
        self.rnn = nn.RNN(6, 3, nonlinearity="relu", bias=False, bidirectional=True)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(input=x, lengths=lengths, enforce_sorted=False)
        y, (h, c) = self.lstm(packed)
        y, _ = pad_packed_sequence(y, total_length=x.shape[0])
        z = pack_padded_sequence(y.transpose(0, 1), lengths, True, False)
        z, n = pad_packed_sequence(self.gru(z, h[:1, :, :4])[0], True, -1.0)
        _, last = self.rnn(packed)
        return y, h, c, z, n, last


INPUTS = {
    "Ragged": {"x": (7, 3, 6), "lengths": (3,)},
    "Odd": {"x": (1, 3, 16, 16)},
    "Heads": {"x": (1, 5, 8), "mask": (1, 5)},
    "Peaks": {"x": (1, 2, 6, 7)},
    "Halves": {"x": (1, 3, 8)},
    "Cnn": {"x": (1, 3, 32, 32)},
    "Mtcnn": {"x": (1, 3, 30, 37)},
    "Lstm": {"ids": (1, 9)},
    "Gru": {"x": (5, 1, 6), "state": (1, 1, 8)},
    "Cell": {"x": (1, 6), "hx.0": (1, 8), "hx.1": (1, 8)},
    "Transformer": {"x": (1, 9, 32), "mask": (1, 9)},
    "Scaled": {"x": (1, 4), "times": ()},
    "Residual": {"x": (1, 2, 16, 16)},
    "Fixed": {"x": (1, 64)},
    "Branch": {"x": (1, 4), "rate": ()},
    "Memory": {"x": (1, 4)},
    "DataDependent": {"x": (3, 4)},
    "Random": {"x": (3, 4)},
    "Twins": {"x": (3, 4)},
}
NUMBERS = {"times": 3, "rate": 8000, "lengths": (4, 6, 2)}
SCRIPTED = ("Cnn", "Mtcnn", "Lstm", "Branch", "Memory", "DataDependent", "Twins")


def write_sources(folder: Path) -> None:
    """Write weights, inputs, programs and what must be refused."""
    random = np.random.default_rng(0)
    for name, shapes in INPUTS.items():
        torch.manual_seed(0)
        module = globals()[name]().eval()
        arrays = {key: _array(random, key, shape) for key, shape in shapes.items()}
        torch.save(module.state_dict(), folder / f"{name}.pt")
        np.savez(folder / f"{name}.npz", **arrays)
        if name in SCRIPTED:
            torch.jit.script(module).save(str(folder / f"{name}.jit"))
    cnn = Cnn().eval()
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in cnn.state_dict().items()}},
        folder / "wrapped.pt",
    )
    torch.save(cnn, folder / "pickled.pt")
    torch.jit.trace(cnn, torch.randn(2, 3, 32, 32)).save(str(folder / "traced.jit"))
    _write_programs(folder, cnn)


def _write_programs(folder: Path, cnn: Cnn) -> None:
    dim = torch.export.Dim
    free = ({0: dim("n", max=8), 2: dim("h", min=8), 3: dim("w", min=8)},)
    program = torch.export.export(cnn, (torch.randn(2, 3, 32, 48),), dynamic_shapes=free)
    torch.export.save(program, folder / "free.pt2")
    torch.export.save(torch.export.export(cnn, (torch.randn(1, 3, 16, 16),)), folder / "fixed.pt2")
    tied = {"x": {0: dim.AUTO, 1: dim.AUTO}, "y": {0: dim.AUTO, 1: dim.AUTO}}
    given = {"args": (torch.randn(3, 5),), "kwargs": {"y": torch.randn(3, 10)}}
    program = torch.export.export(Doubled(), **given, dynamic_shapes=tied)
    torch.export.save(program, folder / "tied.pt2")


def _array(random, name, shape):
    if name in NUMBERS:
        return np.array(NUMBERS[name])
    if name == "ids":
        return random.integers(0, 50, shape)
    if name == "mask":
        return np.zeros(shape, bool)
    return random.standard_normal(shape).astype(np.float32)


if __name__ == "__main__":
    write_sources(Path(sys.argv[1]))
