"""Source that is copied into an emitted module when it calls one of these functions.

Each is an ONNX operator that PyTorch has no one-line form for; it works on any device and is
differentiable where the operator is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - as everyone writes it


def pad_same_upper(x: torch.Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...], value: float = 0.0) -> torch.Tensor:
    """Pad so that the output has ceil(size / stride) elements, the odd one at the end."""
    pads: list[int] = []
    for size, k, s, d in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), reversed(dilation)):
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)
