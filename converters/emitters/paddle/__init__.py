"""PaddlePaddle: its record; operators in `ops`, functions that are copied in `functions`."""

from __future__ import annotations

from pathlib import Path

from converters.checkpoints import write_pdparams
from converters.emitters.framework import Framework
from converters.emitters.lower import Spelling
from converters.emitters.paddle import ops
from converters.emitters.paddle.kernels import WideningTable

DTYPES = {
    name: f"'{name}'"
    for name in (
        "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8",
        "bool", "complex64", "complex128",
    )
}  # fmt: skip

PADDLE = Framework(
    key="paddle",
    title="PaddlePaddle",
    table=WideningTable.of(ops),
    spelling=Spelling(
        tolist="{}.tolist()",
        tensor="paddle.to_tensor({items}, dtype={dtype})",
        dtypes=DTYPES,
        stack="paddle.stack({items}, axis={axis})",
        stack_backwards="paddle.stack({items}, axis={axis}).flip({axis})",
        filled="len({items}) > 0",
        empty="paddle.zeros({shape}, dtype={dtype})",
        from_numpy="paddle.to_tensor({x})",
        to_numpy="{x}.numpy()",
    ),
    imports={
        "io": "import io",
        "itertools": "import itertools",
        "math": "import math",
        "re": "import re",
        "np": "import numpy as np",
        "Callable": "from collections.abc import Callable",
        "Sequence": "from collections.abc import Sequence",
        "paddle": "import paddle",
        "F": "import paddle.nn.functional as F",
        "Image": "from PIL import Image",
        "nn": "from paddle import nn",
    },
    module="nn.Layer",
    forward="forward",
    tensor="paddle.Tensor",
    module_list="nn.LayerList",
    sequential="nn.Sequential",
    modules={
        "F.elu": "nn.ELU",
        "F.gelu": "nn.GELU",
        "F.hardsigmoid": "nn.Hardsigmoid",
        "F.hardswish": "nn.Hardswish",
        "F.leaky_relu": "nn.LeakyReLU",
        "F.log_softmax": "nn.LogSoftmax",
        "F.mish": "nn.Mish",
        "F.relu": "nn.ReLU",
        "F.relu6": "nn.ReLU6",
        "F.sigmoid": "nn.Sigmoid",
        "F.silu": "nn.Silu",
        "F.softmax": "nn.Softmax",
        **{f"F.avg_pool{n}d": f"nn.AvgPool{n}D" for n in (1, 2, 3)},
        **{f"F.max_pool{n}d": f"nn.MaxPool{n}D" for n in (1, 2, 3)},
        "F.sigmoid(_)": "nn.Sigmoid()",
        "F.tanh(_)": "nn.Tanh()",
        "_.tanh()": "nn.Tanh()",
    },
    parameter="self.{name} = self.create_parameter({shape}, dtype={dtype})",
    buffer="self.register_buffer('{name}', paddle.zeros({shape}, dtype={dtype}))",
    weights_file="model.pdparams",
    weights_format="pdparams",
    targets=("cpu", "cuda", "ascend", "mlu", "xpu"),
    write_weights=write_pdparams,
    arguments={
        "nn.Linear": ("in_features", "out_features"),
        "nn.Embedding": ("num_embeddings", "embedding_dim"),
        **{f"nn.Conv{n}D": ("in_channels", "out_channels", "kernel_size") for n in (1, 2, 3)},
        **{f"nn.BatchNorm{n}D": ("num_features",) for n in (1, 2, 3)},
        "nn.LayerNorm": ("normalized_shape",),
    },
    defaults={
        **{
            f"nn.Conv{n}D": {
                "stride": 1,
                "padding": 0,
                "dilation": 1,
                "groups": 1,
                "bias_attr": None,
            }
            for n in (1, 2, 3)
        },
        **{f"nn.BatchNorm{n}D": {"momentum": 0.9, "epsilon": 1e-05} for n in (1, 2, 3)},
        "nn.LayerNorm": {"epsilon": 1e-05},
        "nn.Linear": {"bias_attr": None},
    },
    folder=Path(__file__).parent,
)
