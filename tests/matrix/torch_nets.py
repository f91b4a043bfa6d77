"""Classes for weights whose packages build them elsewhere than in a class's constructor, or with more around them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def numbering(
    inputs: int, outputs: int, hidden: int, layers: int, heads: int, padding: int
) -> nn.Module:
    """anarcii's seq2seq transformer, out of its own classes, as `anarcii/inference/model_loader.py` builds it."""
    from anarcii.inference.model import S2S, Decoder, Encoder

    class Numbering(S2S):  # type: ignore[misc]  # a class of a package without types
        """... without what its caller prints and the keys and values that its caller keeps."""

        def forward(self, src: torch.Tensor, trg: torch.Tensor) -> Any:
            mask = self.make_src_mask(src)
            encoded = self.encoder(src, mask)
            return self.decoder(trg, encoded, *self.make_trg_mask(trg), mask)[0]

    sizes = (hidden, layers, heads, 4 * hidden, 0.0, "cpu")
    return Numbering(Encoder(inputs, *sizes), Decoder(outputs, *sizes), padding, padding, "cpu")


class VoiceEncoder(nn.Module):
    """Resemblyzer's, as it was trained: `resemblyzer/voice_encoder.py` leaves out the scale of its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.similarity_weight = nn.Parameter(torch.tensor([10.0]))
        self.similarity_bias = nn.Parameter(torch.tensor([-5.0]))
        self.lstm = nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        _, (hidden, _) = self.lstm(mels)
        embeds = torch.relu(self.linear(hidden[-1]))
        return embeds / torch.norm(embeds, dim=1, keepdim=True)


class Distance(nn.Module):
    """The heads of LPIPS on AlexNet (`lpips/lpips.py`), which are all that its package has weights of."""

    def __init__(self) -> None:
        super().__init__()
        for layer, channels in enumerate((64, 192, 384, 256, 256)):
            head = nn.Module()
            head.model = nn.Sequential(nn.Dropout(), nn.Conv2d(channels, 1, 1, bias=False))
            setattr(self, f"lin{layer}", head)

    def forward(
        self,
        relu1: torch.Tensor,
        relu2: torch.Tensor,
        relu3: torch.Tensor,
        relu4: torch.Tensor,
        relu5: torch.Tensor,
    ) -> torch.Tensor:
        features = (relu1, relu2, relu3, relu4, relu5)
        heads = (self.lin0, self.lin1, self.lin2, self.lin3, self.lin4)
        return sum(
            head.model(x**2).mean([2, 3], keepdim=True)
            for head, x in zip(heads, features, strict=True)
        )
