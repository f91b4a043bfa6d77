"""Images: their sizes, and pixels taken by place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.importers.graph import Value
from converters.importers.mindspore.build import Call, Given, Rule, Scalar
from converters.importers.mindspore.ops.convolution import check_format


def _resize(call: Call, x: Given, size: Given, mode: str, **attributes: Any) -> str:
    value = call.tensor(x)
    axes = value.rank - 2
    factors = _factors(value, size)
    if factors:
        scales = call.graph.constant(np.array([1, 1, *factors], np.float32))
        return call.node("Resize", value.name, "", scales, mode=mode, **attributes)
    wanted = call.integers(size, "size")
    if not isinstance(wanted, str) and (len(wanted) != axes or min(wanted) < 1):
        call.malformed(f"size = {wanted[:20]} for {axes} spatial dimensions")
    full = call.node("Concat", call.dims(value.name, 0, 2), call.as_vector(wanted), axis=0)
    return call.node("Resize", value.name, "", "", full, mode=mode, **attributes)


def _factors(x: Value, size: Given) -> list[int]:
    """By what an image grows whose new sizes are multiples of the old ones; nothing where they are not."""
    sizes = size if isinstance(size, tuple) else ()
    own = all(
        isinstance(one, Scalar) and one.size == (x.name, axis) and not one.more and one.factor > 0
        for axis, one in enumerate(sizes, 2)
    )
    return [one.factor for one in sizes] if own and len(sizes) == x.rank - 2 else []


def _resize_nearest(
    call: Call,
    image: Given,
    size: Given,
    align_corners: Given = False,
    half_pixel_centers: Given = False,
) -> str:
    call.only("half_pixel_centers", half_pixel_centers, False)
    return _resize(
        call,
        image,
        size,
        "nearest",
        nearest_mode="round_prefer_ceil" if align_corners else "floor",
        coordinate_transformation_mode="align_corners" if align_corners else "asymmetric",
    )


def _resize_smooth(mode: str) -> Rule:
    def rule(
        call: Call,
        image: Given,
        size: Given,
        align_corners: Given = False,
        half_pixel_centers: Given = False,
    ) -> str:
        centred = "half_pixel" if half_pixel_centers else "asymmetric"
        form = "align_corners" if align_corners else centred
        more: dict[str, Any] = {}
        if mode == "cubic":
            more["cubic_coeff_a"] = -0.5 if half_pixel_centers else -0.75
            if half_pixel_centers:
                more["exclude_outside"] = 1
        return _resize(call, image, size, mode, coordinate_transformation_mode=form, **more)

    return rule


def _resize_linear(
    call: Call, x: Given, size: Given, coordinate_transformation_mode: Given = 0
) -> str:
    forms = _named("asymmetric", "align_corners", "half_pixel")
    said = coordinate_transformation_mode
    call.only("coordinate_transformation_mode", said, *forms)
    return _resize(call, x, size, "linear", coordinate_transformation_mode=forms[said])


def _upsample(mode: str) -> Rule:
    def rule(
        call: Call,
        x: Given,
        output_size: Given = None,
        scales: Given = None,
        align_corners: Given = False,
    ) -> str:
        form = "asymmetric" if mode == "nearest" else "half_pixel"
        more: dict[str, Any] = {"nearest_mode": "floor"} if mode == "nearest" else {}
        if mode == "cubic":
            more["cubic_coeff_a"] = -0.75
        form = "align_corners" if align_corners else form
        if output_size is not None:
            return _resize(call, x, output_size, mode, coordinate_transformation_mode=form, **more)
        value = call.tensor(x)
        factors = [call.real(one, "scales") for one in call.items(scales)]
        if len(factors) != value.rank - 2 or not all(0 < one < 1e6 for one in factors):
            call.malformed(f"scales = {factors[:20]}")
        given = call.graph.constant(np.array([1.0, 1.0, *factors], np.float32))
        return call.node(
            "Resize", value.name, "", given, mode=mode, coordinate_transformation_mode=form, **more
        )

    return rule


def _named(*names: str) -> dict[int | str, str]:
    """Names by their number, and by themselves: older programs have those."""
    return {**dict(enumerate(names)), **{one: one for one in names}}


def _grid_sample(
    call: Call,
    input_x: Given,
    grid: Given,
    interpolation_mode: Given = 0,
    padding_mode: Given = 0,
    align_corners: Given = False,
) -> str:
    """By numbers of InterpolationMode and GridSamplerPaddingMode, ops/include/op_enum.h."""
    modes = {0: "linear", 1: "nearest", "bilinear": "linear", "nearest": "nearest"}
    outside = _named("zeros", "border", "reflection")
    call.only("interpolation_mode", interpolation_mode, *modes)
    call.only("padding_mode", padding_mode, *outside)
    return call.node(
        "GridSample",
        call.name(input_x),
        call.name(grid),
        mode=modes[interpolation_mode],
        padding_mode=outside[padding_mode],
        align_corners=int(bool(align_corners)),
    )


def _depth_to_space(call: Call, x: Given, block_size: Given, data_format: Given = "NCHW") -> str:
    check_format(call, data_format)
    return call.node(
        "DepthToSpace", call.name(x), blocksize=call.whole(block_size, "block_size"), mode="DCR"
    )


def _space_to_depth(call: Call, x: Given, block_size: Given, data_format: Given = "NCHW") -> str:
    check_format(call, data_format)
    return call.node("SpaceToDepth", call.name(x), blocksize=call.whole(block_size, "block_size"))


def _pixel_shuffle(call: Call, x: Given, upscale_factor: Given) -> str:
    if call.tensor(x).rank != 4:
        call.refuse(f"{call.tensor(x).rank} dimensions")
    block = call.whole(upscale_factor, "upscale_factor")
    return call.node("DepthToSpace", call.name(x), blocksize=block, mode="CRD")


TABLE: Mapping[str, Rule] = {
    "DepthToSpace": _depth_to_space,
    "GridSampler2D": _grid_sample,
    "GridSampler3D": _grid_sample,
    "PixelShuffle": _pixel_shuffle,
    "ResizeBicubic": _resize_smooth("cubic"),
    "ResizeBilinearV2": _resize_smooth("linear"),
    "ResizeLinear1D": _resize_linear,
    "ResizeNearestNeighbor": _resize_nearest,
    "ResizeNearestNeighborV2": _resize_nearest,
    "SpaceToDepth": _space_to_depth,
    **{f"UpsampleNearest{axes}D": _upsample("nearest") for axes in (1, 2, 3)},
    "UpsampleBicubic2D": _upsample("cubic"),
    "UpsampleBilinear2D": _upsample("linear"),
    "UpsampleLinear1D": _upsample("linear"),
    "UpsampleTrilinear3D": _upsample("linear"),
}
