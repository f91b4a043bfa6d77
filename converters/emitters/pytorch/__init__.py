"""PyTorch: its record; operators in `ops`, functions that are copied in `functions`."""

from __future__ import annotations

from pathlib import Path

from converters.checkpoints import write_safetensors
from converters.emitters.framework import Framework
from converters.emitters.lower import Spelling
from converters.emitters.pytorch import ops
from converters.emitters.pytorch.ops import DEVICE
from converters.emitters.pytorch.precision import TypedTable

DTYPES = {name: f"torch.{name}" for name in ops.DTYPES}

PYTORCH = Framework(
    key="pytorch",
    title="PyTorch",
    table=TypedTable.of(ops),
    spelling=Spelling(
        tolist="{}.tolist()",
        tensor="torch.tensor({items}, dtype={dtype}{device})",
        dtypes=DTYPES,
        device=DEVICE,
        stack="torch.stack({items}, dim={axis})",
        stack_backwards="torch.stack({items}[::-1], dim={axis})",
        unstack="torch.unbind({x}, dim={axis})",
        empty="torch.zeros({shape}, dtype={dtype}{device})",
        from_numpy="torch.from_numpy({x})",
        to_numpy="{x}.cpu().numpy()",
    ),
    imports={
        "Callable": "from collections.abc import Callable",
        "Sequence": "from collections.abc import Sequence",
        "io": "import io",
        "itertools": "import itertools",
        "math": "import math",
        "re": "import re",
        "np": "import numpy as np",
        "torch": "import torch",
        "F": "import torch.nn.functional as F",
        "Image": "from PIL import Image",
        "nn": "from torch import nn",
    },
    module="nn.Module",
    forward="forward",
    tensor="torch.Tensor",
    module_list="nn.ModuleList",
    sequential="nn.Sequential",
    modules={
        "F.adaptive_avg_pool2d": "nn.AdaptiveAvgPool2d",
        "F.elu": "nn.ELU",
        "F.gelu": "nn.GELU",
        "F.hardsigmoid": "nn.Hardsigmoid",
        "F.hardswish": "nn.Hardswish",
        "F.leaky_relu": "nn.LeakyReLU",
        "F.log_softmax": "nn.LogSoftmax",
        "F.mish": "nn.Mish",
        "F.relu": "nn.ReLU",
        "F.silu": "nn.SiLU",
        "F.softmax": "nn.Softmax",
        "F.softplus": "nn.Softplus",
        **{f"F.avg_pool{n}d": f"nn.AvgPool{n}d" for n in (1, 2, 3)},
        **{f"F.max_pool{n}d": f"nn.MaxPool{n}d" for n in (1, 2, 3)},
        "_.clamp(0.0, 6.0)": "nn.ReLU6()",
        "_.sigmoid()": "nn.Sigmoid()",
        "_.tanh()": "nn.Tanh()",
    },
    parameter="nn.Parameter(torch.zeros({shape}, dtype={dtype}))",
    buffer="self.register_buffer('{name}', torch.zeros({shape}, dtype={dtype}))",
    weights_file="model.safetensors",
    weights_format="safetensors",
    targets=("cpu", "cuda", "ascend", "mlu", "musa", "xpu"),
    write_weights=write_safetensors,
    arguments={
        "nn.Linear": ("in_features", "out_features"),
        "nn.Embedding": ("num_embeddings", "embedding_dim"),
        **{f"nn.Conv{n}d": ("in_channels", "out_channels", "kernel_size") for n in (1, 2, 3)},
        **{
            f"nn.ConvTranspose{n}d": ("in_channels", "out_channels", "kernel_size")
            for n in (1, 2, 3)
        },
        **{f"nn.BatchNorm{n}d": ("num_features",) for n in (1, 2, 3)},
        **{f"nn.InstanceNorm{n}d": ("num_features",) for n in (1, 2, 3)},
        "nn.LayerNorm": ("normalized_shape",),
        "nn.GroupNorm": ("num_groups", "num_channels"),
        "nn.RNN": ("input_size", "hidden_size"),
        "nn.LSTM": ("input_size", "hidden_size"),
        "nn.GRU": ("input_size", "hidden_size"),
    },
    defaults={
        **{
            f"nn.Conv{n}d": {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": True}
            for n in (1, 2, 3)
        },
        **{
            f"nn.ConvTranspose{n}d": {
                "stride": 1,
                "padding": 0,
                "output_padding": 0,
                "groups": 1,
                "bias": True,
                "dilation": 1,
            }
            for n in (1, 2, 3)
        },
        **{f"nn.BatchNorm{n}d": {"eps": 1e-05, "momentum": 0.1} for n in (1, 2, 3)},
        "nn.LayerNorm": {"eps": 1e-05, "bias": True},
        "nn.GroupNorm": {"eps": 1e-05},
        "nn.Linear": {"bias": True},
    },
    folder=Path(__file__).parent,
)
