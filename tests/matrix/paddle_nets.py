"""Classes for weights of Paddle whose packages build them with more around them."""

from __future__ import annotations

from typing import Any

from paddle import nn

CHANNELS = (64, 192, 384, 256, 256)


class Head(nn.Layer):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Dropout(), nn.Conv2D(channels, 1, 1, bias_attr=False))

    def forward(self, x: Any) -> Any:
        return self.model(x).mean([2, 3], keepdim=True)


class Distance(nn.Layer):
    """As `paddle_lpips/lpips.py` has them, which are all that its package has weights of."""

    def __init__(self) -> None:
        super().__init__()
        self.lin0, self.lin1, self.lin2, self.lin3, self.lin4 = map(Head, CHANNELS)

    def forward(self, relu1: Any, relu2: Any, relu3: Any, relu4: Any, relu5: Any) -> Any:
        total = self.lin0(relu1**2) + self.lin1(relu2**2) + self.lin2(relu3**2)
        return total + self.lin3(relu4**2) + self.lin4(relu5**2)
