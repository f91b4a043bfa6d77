"""Models with control flow in Python, scripted and exported by PyTorch itself.

python scripted.py FOLDER      writes one .onnx file for each
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn


class Greedy(nn.Module):
    """A decoder that says one token after the other until every row has said 3."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(8, 8)
        self.cell = nn.Linear(16, 8)
        self.head = nn.Linear(8, 8)

    def forward(self, h: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
        token = torch.zeros([h.size(0)], dtype=torch.long)
        said: list[Tensor] = []
        go = True
        steps = 0
        while go and steps < int(limit):
            h = torch.tanh(self.cell(torch.cat([self.embedding(token), h], -1)))
            token = self.head(h).argmax(-1)
            said.append(token)
            go = bool((token != 3).any())
            steps += 1
        return torch.stack(said, 1), h


class Halving(nn.Module):
    """Rounds until the numbers are small enough."""

    def forward(self, x: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
        steps = 0
        while bool(x.abs().max() > limit):
            x = x / 2
            steps += 1
        return x, torch.tensor(steps)


class Branches(nn.Module):
    """Layers in branches, chosen by a value and by a size."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Linear(6, 6)
        self.narrow = nn.Linear(6, 3)

    def forward(self, x: Tensor, flag: Tensor) -> Tensor:
        if bool(flag):
            y = self.wide(x).relu()
        elif x.size(0) > 2:
            y = self.narrow(x)
        else:
            y = self.narrow(x).sum(0, keepdim=True)
        return y * 2


class Rows(nn.Module):
    """Branches in a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i in range(x.size(0)):
            row = x[i]
            if row.sum() > 0:
                if i % 2 == 0:
                    y = y + self.a(row)
                else:
                    y = y - self.b(row)
            else:
                y = y * 0.5
        return y


class Chunks(nn.Module):
    """Lists of tensors."""

    def forward(self, x: Tensor) -> Tensor:
        sums: list[Tensor] = []
        for part in torch.split(x, 2, dim=0):
            sums.append(part.sum(0))  # noqa: PERF401 - a loop is what is wanted
        return torch.stack(sums)


MODELS = {
    "greedy": (Greedy, (torch.randn(2, 8), torch.tensor(5)), ("h", "limit")),
    "halving": (Halving, (torch.randn(2, 8), torch.tensor(0.5)), ("x", "limit")),
    "branches": (Branches, (torch.randn(2, 6), torch.tensor(True)), ("x", "flag")),
    "rows": (Rows, (torch.randn(3, 4),), ("x",)),
    "chunks": (Chunks, (torch.randn(5, 6),), ("x",)),
}


def main() -> None:
    folder = Path(sys.argv[1])
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    for name, (kind, arguments, names) in MODELS.items():
        torch.onnx.export(
            torch.jit.script(kind().eval()),
            arguments,
            str(folder / f"{name}.onnx"),
            dynamo=False,
            input_names=list(names),
            dynamic_axes={names[0]: {0: "n"}},
            opset_version=17,
        )


if __name__ == "__main__":
    main()
