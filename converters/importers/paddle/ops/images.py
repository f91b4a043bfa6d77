"""Images: their sizes, and pixels taken by place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from converters.dtypes import BY_NAME
from converters.importers.graph import Integers, Value
from converters.importers.paddle.build import Call, Rule
from converters.importers.paddle.ops.convolution import (
    channels_first,
    channels_last,
    put_last,
)
from converters.importers.paddle.rows import Row, row, same

FLOAT = BY_NAME["float32"]

_MODES = {
    "nearest": "nearest",
    "linear": "linear",
    "bilinear": "linear",
    "trilinear": "linear",
    "bicubic": "cubic",
}


def _interpolate(call: Call, method: str) -> None:
    x = call.value()
    last = channels_last(call, "data_layout", "data_format")
    name, sizes = channels_first(call, x, last)
    axes = len(sizes)
    corners, mode = call.flag("align_corners"), call.integer("align_mode", 1)
    attributes: dict[str, Any] = {"mode": _MODES[method]}
    if method == "nearest":
        attributes["nearest_mode"] = "round_prefer_ceil" if corners else "floor"
        attributes["coordinate_transformation_mode"] = "align_corners" if corners else "asymmetric"
    else:
        half = "half_pixel" if method == "bicubic" else "pytorch_half_pixel"
        centred = half if mode == 0 or method == "bicubic" else "asymmetric"
        attributes["coordinate_transformation_mode"] = "align_corners" if corners else centred
    if method == "bicubic":
        attributes["cubic_coeff_a"] = -0.75
    wanted = _wanted_sizes(call, axes)
    if wanted is None:
        factors = _scales(call, axes)
        put_last(call, "Out", last, x.rank, "Resize", name, "", factors, **attributes)
        return
    if method == "bicubic" and (isinstance(wanted, str) or 1 in wanted) and not corners:
        if not isinstance(wanted, str):
            call.refuse("bicubic interpolation to a size of 1")
    if not isinstance(wanted, str) and (len(wanted) != axes or min(wanted) < 1):
        call.malformed(f"an image of the size {wanted[:20]}")
    outer = call.dims(name, 0, 2)
    full = call.node("Concat", outer, call.as_vector(wanted), axis=0)
    put_last(call, "Out", last, x.rank, "Resize", name, "", "", full, **attributes)


def _wanted_sizes(call: Call, axes: int) -> Integers | None:
    """The sizes that are wanted; None where there are factors."""
    if call.has("SizeTensor") or call.has("OutSize"):
        return call.integers("", "SizeTensor", "OutSize")
    if call.has("Scale") or any(factor > 0 for factor in _factors(call)):
        return None
    return [call.integer(name, -1) for name in ("out_d", "out_h", "out_w")[3 - axes :]]


def _factors(call: Call) -> list[float]:
    said = call.operator.attributes.get("scale", ())
    return [call.real("scale")] if isinstance(said, (int, float)) else call.numbers("scale")


def _scales(call: Call, axes: int) -> str:
    """Factors of all dimensions."""
    given = call.maybe("Scale")
    if given is not None and given.array is None:
        flat = call.node("Reshape", given.name, call.vector([-1]))
        inner = call.node("Expand", call.cast(flat, given.type, FLOAT), call.vector([axes]))
        outer = call.graph.constant(np.ones(2, np.float32))
        return call.node("Concat", outer, inner, axis=0)
    if given is None or given.array is None:
        scales = _factors(call)
    else:
        scales = [float(one) for one in given.array.reshape(-1)]
    scales = scales * axes if len(scales) == 1 else scales
    if len(scales) != axes or not all(math.isfinite(one) and one > 0 for one in scales):
        call.malformed(f"factors {scales[:20]} for {axes} spatial dimensions")
    return call.graph.constant(np.array([1.0, 1.0, *scales], np.float32))


def _grid_sample(call: Call) -> None:
    x = call.value()
    modes = {"bilinear": "linear", "nearest": "nearest"}
    mode, outside = call.text("mode", "bilinear"), call.text("padding_mode", "zeros")
    if mode not in modes:
        call.refuse(f"mode = {mode[:50]}")
    if outside not in ("zeros", "border", "reflection"):
        call.refuse(f"padding_mode = {outside[:50]}")
    call.put(
        "Output",
        "GridSample",
        x.name,
        call.value("Grid").name,
        mode=modes[mode],
        padding_mode=outside,
        align_corners=int(call.flag("align_corners", True)),
    )
    if x.dims is not None:
        call.redeclare("Output", x.dims[:2] + (-1,) * (len(x.dims) - 2))


def _affine_grid(call: Call) -> None:
    size = call.integers("output_shape", "OutputShape")
    call.put(
        "Output",
        "AffineGrid",
        call.value("Theta").name,
        call.as_vector(size),
        align_corners=int(call.flag("align_corners", True)),
    )
    if not isinstance(size, str):
        if len(size) not in (4, 5):
            call.malformed(f"output_shape = {size[:20]}")
        # PaddlePaddle 3 declares an axis too many for pictures.
        call.redeclare("Output", (-1,) * (len(size) - 1) + (len(size) - 2,))


def _pixel_shuffle(call: Call) -> None:
    x = call.value()
    last = channels_last(call, "data_format")
    name, _ = channels_first(call, x, last)
    block = call.positive("upscale_factor", 1)
    put_last(call, "Out", last, x.rank, "DepthToSpace", name, blocksize=block, mode="CRD")


def _maxout(call: Call) -> None:
    """The largest of each so many channels that follow each other."""
    x = call.value()
    groups = call.positive("groups", 1)
    axis = call.axis(call.integer("axis", 1), x.rank)
    parts = [call.dims(x.name, 0, axis)] if axis else []
    parts.append(call.vector([-1, groups]))
    parts += [call.dims(x.name, axis + 1)] if axis + 1 < x.rank else []
    split = call.node("Reshape", x.name, call.node("Concat", *parts, axis=0))
    call.put("Out", "ReduceMax", split, call.vector([axis + 1]), keepdims=0)


def _shuffle_channel(call: Call, attribute: str) -> None:
    x = call.value()
    if channels_last(call, "data_format"):
        call.refuse("data_format = NHWC")
    group = call.positive(attribute, 1)
    if x.rank != 4:
        call.malformed(f"{x.rank} dimensions")
    split = call.node(
        "Concat",
        call.dims(x.name, 0, 1),
        call.vector([group, -1]),
        call.dims(x.name, 2),
        axis=0,
    )
    shuffled = call.node("Transpose", call.node("Reshape", x.name, split), perm=[0, 2, 1, 3, 4])
    call.put("Out", "Reshape", shuffled, call.dims(x.name))


_PAD_MODES = {
    "constant": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "edge": "edge",
    "circular": "wrap",
}


def _padded(call: Call, x: Value, axes: Sequence[int], pads: Integers, value: str) -> None:
    """Put a tensor with so much before and behind each of these dimensions, in this order."""
    mode = call.text("mode", "constant")
    if mode not in _PAD_MODES:
        call.refuse(f"mode = {mode[:50]}")
    if isinstance(pads, str):
        sides = call.node("Reshape", pads, call.vector([len(axes), 2]))
        ends = call.node("Transpose", sides, perm=[1, 0])
        inputs = [x.name, call.node("Reshape", ends, call.vector([-1])), "", call.vector(axes)]
    else:
        found = {axis: pads[2 * k : 2 * k + 2] for k, axis in enumerate(axes)}
        full = [found.get(axis, (0, 0)) for axis in range(x.rank)]
        inputs = [x.name, call.vector([side[0] for side in full] + [side[1] for side in full]), ""]
    if mode == "constant":
        inputs[2] = value
    elif not isinstance(pads, str):
        inputs = inputs[:2]
    call.put("Out", "Pad", *inputs, mode=_PAD_MODES[mode])


def _pad(call: Call) -> None:
    x = call.value()
    said = call.ints("paddings")
    if len(said) != 2 * x.rank:
        call.malformed(f"paddings = {said[:20]} for {x.rank} dimensions")
    given = call.maybe("PadValueTensor")
    if given is None:
        value = call.scalar(call.real("pad_value", 0.0), x.type)
    else:
        value = call.lone(given, x.type)
    _padded(call, x, range(x.rank), said, value)


def _pad_spatial(call: Call, backwards: bool, value: str) -> None:
    """Padding of spatial dimensions alone: from the last one to the first, or in their order."""
    x = call.value()
    said = call.integers("paddings", "Paddings")
    count = call.length("Paddings") if isinstance(said, str) else len(said)
    if count != 2 * (x.rank - 2):
        call.malformed(f"paddings = {said[:20]} for {x.rank} dimensions")
    first = 1 if channels_last(call, "data_format") else 2
    axes = range(first, first + x.rank - 2)
    number = call.scalar(call.real(value, 0.0), x.type)
    _padded(call, x, axes[::-1] if backwards else axes, said, number)


TABLE: Mapping[str, Rule] = {
    "maxout": _maxout,
    "grid_sampler": _grid_sample,
    **{
        f"{method}_interp{version}": partial(_interpolate, method=method)
        for method in _MODES
        for version in ("", "_v2")
    },
    "pad": _pad,
    "pad2d": partial(_pad_spatial, backwards=False, value="pad_value"),
    "pad3d": partial(_pad_spatial, backwards=True, value="value"),
    "pixel_shuffle": _pixel_shuffle,
    "channel_shuffle": partial(_shuffle_channel, attribute="groups"),
    "shuffle_channel": partial(_shuffle_channel, attribute="group"),
    "affine_grid": _affine_grid,
}

ROWS: Mapping[str, Row] = {
    **same("channel_shuffle", "maxout", "pixel_shuffle", "shuffle_channel"),
    **{
        f"{name}_interp": row(
            f"{name}_interp_v2", "X OutSize SizeTensor Scale", data_format="data_layout"
        )
        for name in ("bicubic", "bilinear", "linear", "nearest", "trilinear")
    },
    "affine_grid": row("affine_grid", "Theta OutputShape", "Output"),
    "grid_sample": row("grid_sampler", "X Grid", "Output"),
    "pad": row("pad", "X PadValueTensor"),
    "pad3d": row("pad3d", "X Paddings", pad_value="value"),
}
