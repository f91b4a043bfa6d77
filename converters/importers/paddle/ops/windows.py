"""Windows and blocks of images: taken apart, put together again, moved along time.

Source: the operators' documentation and impl/{unfold,fold,pixel_unshuffle,temporal_shift,lrn}_kernel_impl.h of
PaddlePaddle 3.3; the numbers of its kernels (tests/importers).
"""

from __future__ import annotations

from collections.abc import Mapping

from converters.importers.graph import INT64, INT_LIMIT
from converters.importers.paddle.build import Call, Rule
from converters.importers.paddle.ops.places import size, upto
from converters.importers.paddle.rows import Row, row

LARGEST_WINDOW = 4096


def _two(call: Call, name: str, default: int, least: int = 1) -> list[int]:
    said = call.ints(name) or [default]
    said = said * 2 if len(said) == 1 else said
    if len(said) != 2 or min(said) < least or max(said) > LARGEST_WINDOW:
        call.malformed(f"{name} = {said[:20]}")
    return said


def _sides(call: Call) -> list[int]:
    """Paddings as ONNX has them: both beginnings, then both ends."""
    said = call.ints("paddings") or [0]
    said = said * 2 if len(said) == 1 else said
    said = said * 2 if len(said) == 2 else said
    if len(said) != 4 or min(said) < 0:
        call.malformed(f"paddings = {said[:20]}")
    return said


def _unfold(call: Call) -> None:
    """Windows [N, C, H, W] -> [N, C * h * w, places]: rows by their number, then columns."""
    x = call.value()
    if x.rank != 4:
        call.malformed(f"{x.rank} dimensions")
    kernel, strides, dilations = (
        _two(call, name, 1) for name in ("kernel_sizes", "strides", "dilations")
    )
    pads = _sides(call)
    name = x.name
    if any(pads):
        name = call.node("Pad", name, call.vector([0, 0, *pads[:2], 0, 0, *pads[2:]]))
    for side, axis in ((0, 2), (1, 4)):
        long = call.scalar(dilations[side] * (kernel[side] - 1) + 1, INT64)
        stride = call.scalar(strides[side], INT64)
        # How many windows there are, [h, H'] and [w, W'].
        room = call.node("Sub", size(call, name, axis), long)
        count = call.node("Add", call.node("Div", room, stride), call.scalar(1, INT64))
        begins = call.node("Mul", upto(call, count), stride)
        within = call.vector([dilations[side] * step for step in range(kernel[side])])
        places = call.node("Add", call.node("Unsqueeze", within, call.vector([1])), begins)
        name = call.node("Gather", name, places, axis=axis)
    # [N, C, h, H', w, W']
    turned = call.node("Transpose", name, perm=[0, 1, 2, 4, 3, 5])
    channels = x.size(1)
    if channels is not None:
        shape = call.vector([0, channels * kernel[0] * kernel[1], -1])
    else:
        wide = call.node("Mul", call.dims(x.name, 1, 2), call.vector([kernel[0] * kernel[1]]))
        shape = call.node("Concat", call.dims(x.name, 0, 1), wide, call.vector([-1]), axis=0)
    call.put("Y", "Reshape", turned, shape)


def _fold(call: Call) -> None:
    """Windows put together again: where they overlap, they are added."""
    x = call.value()
    kernel, strides, dilations, image = (
        _two(call, name, 1) for name in ("kernel_sizes", "strides", "dilations", "output_sizes")
    )
    call.put(
        "Y",
        "Col2Im",
        x.name,
        call.vector(image),
        call.vector(kernel),
        strides=strides,
        dilations=dilations,
        pads=_sides(call),
    )


def _pixel_unshuffle(call: Call) -> None:
    """Blocks of pixels become channels."""
    x, block = call.value(), call.integer("downscale_factor", 1)
    last = call.text("data_format", "NCHW") == "NHWC"
    if x.rank != 4 or not 1 <= block <= LARGEST_WINDOW:
        call.malformed(f"downscale_factor = {block} for {x.rank} dimensions")
    name = call.node("Transpose", x.name, perm=[0, 3, 1, 2]) if last else x.name
    step = call.vector([block])
    parts = [call.dims(name, 0, 2)]
    for axis in (2, 3):
        parts += [call.node("Div", call.dims(name, axis, axis + 1), step), step]
    split = call.node("Reshape", name, call.node("Concat", *parts, axis=0))
    turned = call.node("Transpose", split, perm=[0, 1, 3, 5, 2, 4])
    wide = call.node("Mul", call.dims(name, 1, 2), call.vector([block * block]))
    batch = call.dims(name, 0, 1)
    shape = call.node("Concat", batch, wide, parts[1], parts[3], axis=0)
    if not last:
        call.put("Out", "Reshape", turned, shape)
    else:
        call.put("Out", "Transpose", call.node("Reshape", turned, shape), perm=[0, 2, 3, 1])


def _temporal_shift(call: Call) -> None:
    """The first channels come from the step before, the next ones from the step behind, others stay."""
    x, steps = call.value(), call.integer("seg_num", 1)
    channels = x.size(1)
    if call.text("data_format", "NCHW") != "NCHW" or channels is None or x.rank != 4 or steps < 1:
        call.refuse(f"data_format or shape {list(x.shape)}")
    share = call.real("shift_ratio", 0.25)
    first, second = int(channels * share), int(channels * 2 * share)
    tail = call.dims(x.name, 1)
    shape = call.node("Concat", call.vector([-1, steps]), tail, axis=0)
    film = call.node("Reshape", x.name, shape)
    cuts = call.vector([first, second - first, channels - second])
    before, behind, rest = call.nodes("Split", film, cuts, outputs=3, axis=2)

    def moved(name: str, begin: int, end: int, pads: list[int]) -> str:
        cut = call.node("Slice", name, *map(call.vector, ([begin], [end], [1])))
        return call.node("Pad", cut, call.vector(pads))

    before = moved(before, 0, -1, [0, 1, 0, 0, 0] + [0] * 5)
    behind = moved(behind, 1, INT_LIMIT, [0] * 5 + [0, 1, 0, 0, 0])
    film = call.node("Concat", before, behind, rest, axis=2)
    call.put("Out", "Reshape", film, call.dims(x.name))


def _local_response(call: Call) -> None:
    x, window = call.value(), call.integer("n", 5)
    if call.text("data_format", "AnyLayout") == "NHWC" or window < 1 or window % 2 == 0:
        call.refuse(f"n = {window}, data_format = {call.text('data_format', 'AnyLayout')[:20]}")
    call.put(
        "Out",
        "LRN",
        x.name,
        size=window,
        bias=call.real("k", 2.0),
        # ONNX takes the mean of a window, Paddle its sum.
        alpha=call.real("alpha", 1e-4) * window,
        beta=call.real("beta", 0.75),
    )


def _frame(call: Call) -> None:
    """[..., T] -> [..., length, frames]: parts of a signal that overlap."""
    x = call.value()
    length, hop = call.integer("frame_length"), call.integer("hop_length")
    if (
        call.integer("axis", -1) not in (-1, x.rank - 1)
        or not 1 <= length <= LARGEST_WINDOW
        or hop < 1
    ):
        call.refuse(f"axis = {call.integer('axis', -1)}, frame_length = {length}")
    room = call.node("Sub", size(call, x.name, x.rank - 1), call.scalar(length, INT64))
    step = call.scalar(hop, INT64)
    count = call.node("Add", call.node("Div", room, step), call.scalar(1, INT64))
    begins = call.node("Mul", upto(call, count), step)
    within = call.node("Unsqueeze", call.vector(range(length)), call.vector([1]))
    call.put("Out", "Gather", x.name, call.node("Add", within, begins), axis=x.rank - 1)


def _overlap_add(call: Call) -> None:
    """Windows [..., length, K] put behind each other: where they overlap, they are added."""
    x, hop = call.value(), call.integer("hop_length")
    if call.integer("axis", -1) not in (-1, x.rank - 1) or x.rank < 2 or hop < 1:
        call.refuse(f"axis = {call.integer('axis', -1)}, hop_length = {hop}")
    last = call.vector([-1])
    length, count = (size(call, x.name, axis) for axis in (x.rank - 2, x.rank - 1))
    begins = call.node("Mul", upto(call, count), call.scalar(hop, INT64))
    within = call.node("Unsqueeze", upto(call, length), last)
    flat = call.node("Reshape", x.name, call.vector([0] * (x.rank - 2) + [-1]))
    places = call.node("Reshape", call.node("Add", within, begins), last)
    places = call.node("Expand", places, call.dims(flat))
    # The last window begins behind all others.
    room = call.node("Mul", call.node("Sub", count, call.scalar(1, INT64)), call.scalar(hop, INT64))
    total = call.node("Unsqueeze", call.node("Add", room, length), call.vector([0]))
    if x.rank > 2:
        total = call.node("Concat", call.dims(x.name, 0, -2), total, axis=0)
    nothing = call.node("Expand", call.scalar(0, x.type), total)
    call.put("Out", "ScatterElements", nothing, places, flat, axis=x.rank - 2, reduction="add")


TABLE: Mapping[str, Rule] = {
    "fold": _fold,
    "frame": _frame,
    "lrn": _local_response,
    "overlap_add": _overlap_add,
    "pixel_unshuffle": _pixel_unshuffle,
    "temporal_shift": _temporal_shift,
    "unfold": _unfold,
}

ROWS: Mapping[str, Row] = {
    "fold": row("fold", "X", "Y"),
    "frame": row("frame"),
    "lrn": row("lrn"),
    "overlap_add": row("overlap_add"),
    "pixel_unshuffle": row("pixel_unshuffle"),
    "temporal_shift": row("temporal_shift"),
    "unfold": row("unfold", "X", "Y"),
}
