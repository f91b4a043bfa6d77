"""Windows over images: convolution and pooling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from converters.dtypes import BY_NAME
from converters.importers.cells import adaptive_average, adaptive_max
from converters.importers.graph import INT64, Value
from converters.importers.paddle.build import Call, Rule
from converters.importers.paddle.rows import Row, row

INT32 = BY_NAME["int32"]
LAYOUTS = {"NCHW", "NCDHW", "NCL", "NCW", "AnyLayout", "NHWC", "NDHWC", "NLC", "NWC"}


def channels_last(call: Call, *names: str) -> bool:
    """Whether channels are the last dimension, by the first of these attributes that is there."""
    said = next((name for name in names if name in call.operator.attributes), names[0])
    layout = call.text(said, "NCHW")
    if layout not in LAYOUTS:
        call.refuse(f"{said} = {layout[:50]}")
    return layout[-1] == "C"


def channels_first(call: Call, x: Value, last: bool) -> tuple[str, tuple[int, ...]]:
    """A tensor with its channels in the second dimension, and its spatial sizes."""
    if x.rank < 3:
        call.malformed(f"{x.rank} dimensions, where there should be spatial ones")
    if not last:
        return x.name, x.shape[2:]
    order = [0, x.rank - 1, *range(1, x.rank - 1)]
    return call.node("Transpose", x.name, perm=order), x.shape[1:-1]


def put_last(
    call: Call, slot: str, last: bool, rank: int, kind: str, *inputs: str, **attributes: Any
) -> None:
    """Put a node whose output has its channels in the second dimension, or move them to the end."""
    if not last:
        call.put(slot, kind, *inputs, **attributes)
        return
    order = [0, *range(2, rank), 1]
    call.put(slot, "Transpose", call.node(kind, *inputs, **attributes), perm=order)


def _spatial(call: Call, name: str, axes: int, default: int = 1) -> list[int]:
    """An attribute with one number for each spatial dimension; all positive."""
    said = call.ints(name) or [default] * axes
    said = said * axes if len(said) == 1 else said
    if len(said) != axes or min(said) < 1:
        call.malformed(f"{name} = {said[:20]} for {axes} spatial dimensions")
    return said


def _pads(call: Call, axes: int) -> list[int]:
    """Explicit paddings as ONNX has them: all beginnings, then all ends."""
    said = call.ints("paddings") or [0] * axes
    if len(said) == axes:
        said = [side for side in said for _ in range(2)]
    elif len(said) == 2 * (axes + 2) and not any(said[:4]):
        # Older programs: with those of batch and channels.
        said = said[4:]
    if len(said) != 2 * axes or min(said) < 0:
        call.malformed(f"paddings = {said[:20]} for {axes} spatial dimensions")
    return said[::2] + said[1::2]


def _padding(call: Call, axes: int) -> dict[str, Any]:
    """Padding as attributes of ONNX."""
    form = call.text("padding_algorithm", "EXPLICIT")
    if form == "SAME":
        return {"auto_pad": "SAME_UPPER"}
    if form not in ("EXPLICIT", "VALID"):
        call.refuse(f"padding_algorithm = {form[:50]}")
    return {"pads": [0] * (2 * axes) if form == "VALID" else _pads(call, axes)}


def _conv(call: Call) -> None:
    x, weight = call.value("Input"), call.value("Filter")
    if call.has("ResidualData"):
        call.refuse("a fused residual")
    if call.text("fuse_activation", "") or call.flag("fuse_relu"):
        call.refuse("a fused activation")
    last = channels_last(call, "data_format")
    name, sizes = channels_first(call, x, last)
    padding = _padding(call, len(sizes))
    dilations = _spatial(call, "dilations", len(sizes))
    inputs = [name, weight.name]
    bias = call.maybe("Bias")
    if bias is not None:
        inputs.append(bias.name)
    put_last(
        call,
        "Output",
        last,
        x.rank,
        "Conv",
        *inputs,
        strides=_spatial(call, "strides", len(sizes)),
        # Paddle forgets them where it pads by itself.
        dilations=[1] * len(sizes) if "auto_pad" in padding else dilations,
        group=call.positive("groups", 1),
        **padding,
    )


def _conv_transpose(call: Call) -> None:
    x, weight = call.value("Input"), call.value("Filter")
    last = channels_last(call, "data_format")
    name, sizes = channels_first(call, x, last)
    axes = len(sizes)
    strides = _spatial(call, "strides", axes)
    dilations = _spatial(call, "dilations", axes)
    kernel = weight.shape[2:]
    if len(kernel) != axes or min(kernel) < 1:
        call.malformed(f"a filter of shape {list(weight.shape)}")
    form = call.text("padding_algorithm", "EXPLICIT")
    if form == "SAME":
        if min(sizes) < 0:
            call.refuse("padding_algorithm = SAME for sizes that are not known")
        dilations = [1] * axes
        sums = [
            max((-(-n // s) - 1) * s + k - n, 0)
            for n, s, k in zip(sizes, strides, kernel, strict=True)
        ]
        pads = [total // 2 for total in sums] + [total - total // 2 for total in sums]
    else:
        pads = _padding(call, axes)["pads"]
    more = call.ints("output_padding") or [0] * axes
    wanted = call.known("output_size", "OutputSizeTensor", "OutputSize")
    if wanted:
        wanted = wanted * axes if len(wanted) == 1 else wanted
        if min(sizes) < 0:
            call.refuse("output_size for sizes that are not known")
        if len(wanted) != axes:
            call.malformed(f"output_size = {wanted[:20]}")
        more = [
            size - ((n - 1) * s - pads[i] - pads[i + axes] + d * (k - 1) + 1)
            for i, (size, n, s, d, k) in enumerate(
                zip(wanted, sizes, strides, dilations, kernel, strict=True)
            )
        ]
    if len(more) != axes or min(more) < 0:
        call.malformed(f"output_padding = {more[:20]}")
    inputs = [name, weight.name]
    bias = call.maybe("Bias")
    if bias is not None:
        inputs.append(bias.name)
    put_last(
        call,
        "Output",
        last,
        x.rank,
        "ConvTranspose",
        *inputs,
        strides=strides,
        dilations=dilations,
        group=call.positive("groups", 1),
        pads=pads,
        output_padding=more,
    )


def _pool(call: Call) -> None:
    x = call.value()
    form = call.text("pooling_type", "max")
    if form not in ("max", "avg"):
        call.refuse(f"pooling_type = {form[:50]}")
    _pooled(call, x, form, channels_last(call, "data_format"))


def _pool_with_index(call: Call) -> None:
    """The largest of each window and where it is in its image, counted row by row."""
    x = call.value()
    if not call.wants("Mask"):
        _pooled(call, x, "max", False)
        return
    if call.flag("global_pooling") or call.flag("adaptive"):
        call.refuse("a mask of adaptive pooling")
    axes = x.rank - 2
    kernel, strides = call.known("ksize"), _spatial(call, "strides", axes)
    kernel = kernel * axes if len(kernel) == 1 else kernel
    more = {"ceil_mode": int(call.flag("ceil_mode")), **_padding(call, axes)}
    names = call.nodes("MaxPool", x.name, outputs=2, kernel_shape=kernel, strides=strides, **more)
    call.put("Out", "Identity", names[0])
    # ONNX counts through all images.
    image = call.node("ReduceProd", call.dims(x.name, 2), keepdims=0)
    kind = call.out_kind("Mask") or INT32
    call.put("Mask", "Cast", call.node("Mod", names[1], image), to=kind.onnx)


def _unpool(call: Call) -> None:
    """Numbers go back to where they were in their image, counted row by row; the rest is zero."""
    x, places = call.value(), call.value("Indices")
    image = call.integers("output_size", "OutputSize")
    if isinstance(image, str):
        call.refuse("output_size is computed when the model runs")
    sizes = image[-(x.rank - 2) :]
    flat = call.node("Reshape", x.name, call.vector([0, 0, -1]))
    index = call.cast(places.name, places.type, INT64)
    index = call.node("Reshape", index, call.vector([0, 0, -1]))
    parts = [call.dims(x.name, 0, 2), call.vector([math.prod(sizes)])]
    shape = call.node("Concat", *parts, axis=0)
    nothing = call.node("Expand", call.scalar(0, x.type), shape)
    made = call.node("ScatterElements", nothing, index, flat, axis=2)
    call.put("Out", "Reshape", made, call.vector([0, 0, *sizes]))


def _lp_pool(call: Call) -> None:
    power = call.real("norm_type")
    # An odd power keeps the sign in Paddle and not in ONNX.
    if power not in (2.0, 4.0) or call.text("data_format", "NCHW") != "NCHW":
        call.refuse(f"norm_type = {power}, data_format = {call.text('data_format', 'NCHW')[:50]}")
    call.only("adaptive", False)
    call.only("global_pooling", False)
    x = call.value()
    more = {"ceil_mode": int(call.flag("ceil_mode")), **_padding(call, x.rank - 2)}
    kernel = call.known("kernel_size", "KernelSizeTensor")
    strides = _spatial(call, "strides", x.rank - 2)
    call.put("Out", "LpPool", x.name, kernel_shape=kernel, strides=strides, p=int(power), **more)


def _pooled(call: Call, x: Value, form: str, last: bool) -> None:
    name, sizes = channels_first(call, x, last)
    axes = len(sizes)
    kernel = call.known("ksize", "KsizeTensor")
    kernel = kernel * axes if len(kernel) == 1 else kernel
    adaptive = call.flag("adaptive")
    if call.flag("global_pooling") or (adaptive and kernel == [1] * axes):
        kind = "GlobalMaxPool" if form == "max" else "GlobalAveragePool"
        put_last(call, "Out", last, x.rank, kind, name)
        return
    if len(kernel) != axes or min(kernel) < 1:
        call.malformed(f"ksize = {kernel[:20]} for {axes} spatial dimensions")
    kind = "MaxPool" if form == "max" else "AveragePool"
    if adaptive:
        if all(size > 0 and size % cells == 0 for size, cells in zip(sizes, kernel, strict=True)):
            window = [size // cells for size, cells in zip(sizes, kernel, strict=True)]
            put_last(call, "Out", last, x.rank, kind, name, kernel_shape=window, strides=window)
            return
        for axis, cells in enumerate(kernel):
            made = adaptive_max if form == "max" else adaptive_average
            name = made(call, name, x.rank, axis + 2, sizes[axis], cells, x.type)
        put_last(call, "Out", last, x.rank, "Identity", name)
        return
    strides = _spatial(call, "strides", axes)
    padding = _padding(call, axes)
    more: dict[str, Any] = {}
    if form == "avg" and not call.flag("exclusive", True) and "pads" in padding:
        more["count_include_pad"] = 1
    if call.flag("ceil_mode") and "pads" in padding:
        more["ceil_mode"] = 1
        ends = padding["pads"][axes:]
        if any(s + p > k for s, p, k in zip(strides, ends, kernel, strict=True)):
            # The last window may have nothing of the input: Paddle has it, ONNX does not.
            call.refuse("ceil_mode with windows that may lie outside of the input")
    put_last(
        call,
        "Out",
        last,
        x.rank,
        kind,
        name,
        kernel_shape=kernel,
        strides=strides,
        **padding,
        **more,
    )


TABLE: Mapping[str, Rule] = {
    "conv2d": _conv,
    "conv2d_transpose": _conv_transpose,
    "conv3d": _conv,
    "conv3d_transpose": _conv_transpose,
    "depthwise_conv2d": _conv,
    "depthwise_conv2d_transpose": _conv_transpose,
    "max_pool2d_with_index": _pool_with_index,
    "max_pool3d_with_index": _pool_with_index,
    "lp_pool2d": _lp_pool,
    "unpool": _unpool,
    "pool2d": _pool,
    "pool3d": _pool,
}

ROWS: Mapping[str, Row] = {
    "conv2d": row("conv2d", "Input Filter", "Output"),
    "conv2d_transpose": row("conv2d_transpose", "Input Filter OutputSizeTensor", "Output"),
    "conv2d_transpose_bias": row(
        "conv2d_transpose", "Input Filter Bias OutputSizeTensor", "Output"
    ),
    "conv3d": row("conv3d", "Input Filter", "Output"),
    "conv3d_transpose": row("conv3d_transpose", "Input Filter", "Output"),
    "depthwise_conv2d": row("depthwise_conv2d", "Input Filter", "Output"),
    "depthwise_conv2d_transpose": row(
        "depthwise_conv2d_transpose", "Input Filter OutputSizeTensor", "Output"
    ),
    "lp_pool2d": row("lp_pool2d", "X KernelSizeTensor"),
    "unpool": row("unpool", "X Indices OutputSize"),
    "max_pool2d_with_index": row("max_pool2d_with_index", "X", "Out Mask", kernel_size="ksize"),
    "pool2d": row("pool2d", "X KsizeTensor"),
    "pool3d": row("pool3d", "X", kernel_size="ksize"),
}
