"""MindSpore: its record; operators in `ops`, functions that are copied in `functions`."""

from __future__ import annotations

from pathlib import Path

from converters.checkpoints import write_mindspore_ckpt
from converters.emitters.framework import Framework
from converters.emitters.lower import Spelling
from converters.emitters.mindspore import ops
from converters.emitters.mindspore.kernels import WideningTable

DTYPES = {
    **{
        name: f"ms.{name}"
        for name in (
            "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8",
            "uint16", "uint32", "uint64", "complex64", "complex128",
        )
    },
    "bool": "ms.bool_",
}  # fmt: skip

MINDSPORE = Framework(
    key="mindspore",
    title="MindSpore",
    table=WideningTable.of(ops),
    spelling=Spelling(
        tolist="{}.asnumpy().tolist()",
        tensor="ms.Tensor({items}, {dtype})",
        dtypes=DTYPES,
        stack="ops.stack({items}, {axis})",
        stack_backwards="ops.stack({items}[::-1], {axis})",
        unstack="ops.unbind({x}, {axis})",
        empty="ops.zeros({shape}, {dtype})",
        from_numpy="ms.Tensor({x})",
        to_numpy="{x}.asnumpy()",
    ),
    imports={
        "io": "import io",
        "itertools": "import itertools",
        "math": "import math",
        "re": "import re",
        "np": "import numpy as np",
        "Callable": "from collections.abc import Callable",
        "Sequence": "from collections.abc import Sequence",
        "ms": "import mindspore as ms",
        "Image": "from PIL import Image",
        "nn": "from mindspore import nn",
        "ops": "from mindspore import ops",
    },
    module="nn.Cell",
    forward="construct",
    tensor="ms.Tensor",
    module_list="nn.CellList",
    sequential="nn.SequentialCell",
    modules={
        "ops.hardsigmoid": "nn.HSigmoid",
        "ops.hardswish": "nn.HSwish",
        "ops.leaky_relu": "nn.LeakyReLU",
        "ops.max_pool2d": "nn.MaxPool2d(..., pad_mode='pad')",
        "ops.relu": "nn.ReLU",
        "ops.relu6": "nn.ReLU6",
        "ops.sigmoid": "nn.Sigmoid",
        "ops.tanh": "nn.Tanh",
    },
    parameter="ms.Parameter(ops.zeros({shape}, {dtype}))",
    buffer="ms.Parameter(ops.zeros({shape}, {dtype}), requires_grad=False)",
    weights_file="model.ckpt",
    weights_format="mindspore-ckpt",
    targets=("cpu", "cuda", "ascend"),
    write_weights=write_mindspore_ckpt,
    arguments={
        "nn.Dense": ("in_channels", "out_channels"),
        "nn.Embedding": ("vocab_size", "embedding_size"),
        **{f"nn.Conv{n}d": ("in_channels", "out_channels", "kernel_size") for n in (1, 2, 3)},
        **{f"nn.BatchNorm{n}d": ("num_features",) for n in (1, 2, 3)},
        "nn.LayerNorm": ("normalized_shape",),
    },
    defaults={
        **{
            f"nn.Conv{n}d": {
                "stride": 1,
                "padding": 0,
                "dilation": 1,
                "group": 1,
                "has_bias": False,
            }
            for n in (1, 2, 3)
        },
        **{f"nn.BatchNorm{n}d": {"eps": 1e-05, "momentum": 0.9} for n in (1, 2, 3)},
        "nn.LayerNorm": {"epsilon": 1e-07},
        "nn.Dense": {"has_bias": True},
    },
    folder=Path(__file__).parent,
)
