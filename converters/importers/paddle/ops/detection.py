"""Operators of object detection: boxes from maps, boxes that are kept, features within boxes.

Boxes are [x1, y1, x2, y2]. Where Paddle counts pixels (`normalized` is false), a box is one longer than its corners
are apart. How many boxes are kept is known when the model runs: rows of all images stand one after the other, with
how many each image has.

Source: paddle/phi/kernels/cpu/{multiclass_nms3,matrix_nms,yolo_box,prior_box,box_coder,roi_align,generate_proposals,
distribute_fpn_proposals}_kernel.cc, impl/anchor_generator_kernel_impl.h, funcs/yolo_box_util.h of PaddlePaddle 3.3;
the numbers of its kernels (tests/importers).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from converters.dtypes import BY_NAME, ElementType
from converters.importers.graph import INT64, LARGEST_CONSTANT, Value
from converters.importers.paddle.build import Call, Rule
from converters.importers.paddle.ops.places import ascending, repeated, size, upto
from converters.importers.paddle.rows import Row, row

BOOL = BY_NAME["bool"]
INT32 = BY_NAME["int32"]
# An image that is this much larger than its anchor is not looked for: log(1000 / 16).
LARGEST_SCALE = math.log(1000.0 / 16.0)


# ***** Small steps *****


def _numbers(call: Call, numbers: Any, kind: ElementType) -> str:
    """A constant of an element type."""
    return call.graph.constant(np.asarray(numbers, kind.numpy))


def _columns(call: Call, name: str, count: int = 4, axis: int = -1) -> list[str]:
    """The columns of a tensor, each of size 1."""
    return call.nodes("Split", name, outputs=count, axis=axis, num_outputs=count)


def _grid(call: Call, name: str, axis: int, kind: ElementType) -> str:
    """0, 1, 2 ... up to a dimension, as real numbers."""
    return call.node("Cast", upto(call, size(call, name, axis)), to=kind.onnx)


def _real_size(call: Call, name: str, axis: int, kind: ElementType) -> str:
    return call.node("Cast", size(call, name, axis), to=kind.onnx)


def _images(call: Call, owners: str, like: str) -> str:
    """Which image a row is of, [K, 1] -> [K, N], with the images that a tensor has."""
    return call.node("Equal", owners, upto(call, size(call, like, 0)))


def _put_counts(call: Call, slot: str, owners: str, like: str) -> None:
    """Put how many rows each image has."""
    numbers = call.node("Cast", _images(call, owners, like), to=INT32.onnx)
    call.put(slot, "ReduceSum", numbers, call.vector([0]), keepdims=0)
    call.retype(slot, INT32)


def _at_most(call: Call, most: int, name: str, axis: int, known: int | None) -> str:
    """A number of elements that is not larger than a dimension."""
    if known is not None:
        return call.vector([min(most, known)])
    return call.node("Min", call.vector([most]), call.dims(name, axis, axis + 1))


# ***** Boxes that are kept *****


def _candidates(call: Call, scores: Value, background: int, most: int) -> str:
    """Scores [N, C, M] without those of the background, and for each class only the best ones."""
    name, classes, boxes = scores.name, scores.size(1), scores.size(2)
    low = call.scalar(-math.inf, scores.type)
    if background >= 0 and (classes is None or background < classes):
        places = upto(call, size(call, name, 1))
        other = call.node("Equal", places, call.scalar(background, INT64))
        name = call.node("Where", call.node("Unsqueeze", other, call.vector([1])), low, name)
    if most >= 0 and (boxes is None or most < boxes):
        count = _at_most(call, most, name, 2, boxes)
        best, places = call.nodes("TopK", name, count, outputs=2, axis=2)
        nothing = call.node("Expand", low, call.dims(name))
        name = call.node("ScatterElements", nothing, places, best, axis=2)
    return name


def _image_of(call: Call, chosen: str) -> str:
    """The image of each row [image, class, box]."""
    column = call.node("Slice", chosen, *map(call.vector, ([0], [1], [1])))
    return call.node("Squeeze", column, call.vector([1]))


def _best_of_each_image(
    call: Call, chosen: str, values: str, most: int, scores: Value
) -> tuple[str, str]:
    """So many rows [image, class, box] of each image, the best by their values [K]; they stay in their order."""
    if scores.size(0) == 1:
        count = _at_most(call, most, values, 0, None)
        kept = call.nodes("TopK", values, count, outputs=2, axis=0)[1]
    else:
        order = call.nodes("TopK", values, call.dims(values), outputs=2, axis=0)[1]
        images = call.node("Gather", _image_of(call, chosen), order, axis=0)
        owners, places = call.nodes("TopK", images, call.dims(images), outputs=2, axis=0, largest=0)
        order = call.node("Gather", order, places, axis=0)
        # Image after image, the best first: how many of its image stand before each row.
        own = call.node("Unsqueeze", owners, call.vector([1]))
        hot = call.node("Cast", _images(call, own, scores.name), to=INT64.onnx)
        counts = call.node("ReduceSum", hot, call.vector([0]), keepdims=0)
        starts = call.node("Sub", call.node("CumSum", counts, call.scalar(0, INT64)), counts)
        before = call.node("Gather", starts, owners, axis=0)
        rank = call.node("Sub", upto(call, size(call, owners, 0)), before)
        few = call.node("Less", rank, call.scalar(most, INT64))
        kept = call.node("Compress", order, few, axis=0)
    kept = ascending(call, kept)
    return call.node("Gather", chosen, kept, axis=0), call.node("Gather", values, kept, axis=0)


def _with_area(call: Call, boxes: str, kind: ElementType, *, normalized: bool) -> str:
    """Boxes for ONNX, which turns those round that Paddle gives no area: with their second corner before the first."""
    near, far = call.nodes("Split", boxes, outputs=2, axis=-1, num_outputs=2)
    before = call.node("Cast", call.node("Less", far, near), to=INT32.onnx)
    turned = call.node("ReduceMax", before, call.vector([-1]), keepdims=1)
    if not normalized:
        # Pixels: one more on the far sides.
        far = call.node("Add", far, call.scalar(1, kind))
    far = call.node("Where", call.node("Cast", turned, to=BOOL.onnx), near, far)
    return call.node("Concat", near, far, axis=-1)


def _suppressed(
    call: Call, boxes: str, scores: str, kind: ElementType, normalized: bool, most: str
) -> str:
    """Rows [image, class, box] of what is kept, the best first in each class.

    ONNX and Paddle differ over boxes without area that touch (their overlap is 0 / 0, and Paddle drops one) and, with
    pixels, over boxes of about a pixel that are less than one apart.
    """
    threshold = call.real("nms_threshold", 0.3)
    if call.real("nms_eta", 1.0) < 1 and threshold > 0.5:
        call.refuse("nms_eta < 1: a threshold that changes")
    there = _with_area(call, boxes, kind, normalized=normalized)
    least = call.real("score_threshold", -math.inf)
    limits = [np.array(one, np.float32) for one in (threshold, least)]
    return call.node("NonMaxSuppression", there, scores, most, *map(call.graph.constant, limits))


def _put_rows(call: Call, chosen: str, values: str, boxes: Value, scores: Value) -> None:
    """Put rows [class, score, box], where their boxes were, and how many each image has."""
    kind = scores.type
    images, classes, places = _columns(call, chosen, 3, 1)
    found = call.node("GatherND", boxes.name, call.node("Concat", images, places, axis=1))
    label = call.node("Cast", classes, to=kind.onnx)
    column = call.node("Unsqueeze", values, call.vector([1]))
    call.put("Out", "Concat", label, column, found, axis=1)
    # Older programs declare as many rows as there are boxes.
    call.redeclare("Out", (-1, 6))
    if call.outputs("Index"):
        first = call.node("Mul", images, size(call, boxes.name, 1))
        call.put("Index", "Cast", call.node("Add", first, places), to=INT32.onnx)
        call.redeclare("Index", (-1, 1))
        call.retype("Index", INT32)
    for slot in ("NmsRoisNum", "RoisNum"):
        if call.outputs(slot):
            _put_counts(call, slot, images, scores.name)


def _boxes_and_scores(call: Call) -> tuple[Value, Value]:
    boxes, scores = call.value("BBoxes"), call.value("Scores")
    if scores.rank != 3 or boxes.rank != 3:
        call.refuse(f"scores of {scores.rank} dimensions: each class with boxes of its own")
    if boxes.shape[2] != 4:
        call.refuse(f"boxes of {boxes.shape[2]} numbers")
    return boxes, scores


def _multiclass_nms(call: Call) -> None:
    boxes, scores = _boxes_and_scores(call)
    best = call.integer("nms_top_k", -1)
    name = _candidates(call, scores, call.integer("background_label", 0), best)
    normalized = call.flag("normalized", True)
    most = call.scalar(best, INT64) if best >= 0 else size(call, boxes.name, 1)
    chosen = _suppressed(call, boxes.name, name, boxes.type, normalized, most)
    values = call.node("GatherND", scores.name, chosen)
    keep = call.integer("keep_top_k", -1)
    if keep >= 0:
        chosen, values = _best_of_each_image(call, chosen, values, keep, scores)
    _put_rows(call, chosen, values, boxes, scores)


def _overlaps(call: Call, boxes: str, kind: ElementType, normalized: bool) -> str:
    """How much boxes [..., K, 4] overlap each other: [..., K, K]."""
    x1, y1, x2, y2 = _columns(call, boxes)
    zero, more = call.scalar(0, kind), call.scalar(0 if normalized else 1, kind)

    def longer(name: str) -> str:
        return name if normalized else call.node("Add", name, more)

    def across(name: str) -> str:
        # [..., K, 1] -> [..., 1, K]
        return call.node(
            "Unsqueeze", call.node("Squeeze", name, call.vector([-1])), call.vector([-2])
        )

    sides, apart = [], []
    for low, high in ((x1, x2), (y1, y2)):
        begin = call.node("Max", low, across(low))
        end = call.node("Min", high, across(high))
        sides.append(longer(call.node("Sub", end, begin)))
        # As Paddle looks at it: boxes that are turned round are not apart from all others.
        apart.append(call.node("Greater", across(low), high))
        apart.append(call.node("Less", across(high), low))
    shared = call.node("Mul", *sides)
    area = call.node("Mul", longer(call.node("Sub", x2, x1)), longer(call.node("Sub", y2, y1)))
    turned = [call.node("Less", x2, x1), call.node("Less", y2, y1)]
    area = call.node("Where", call.node("Or", *turned), zero, area)
    union = call.node("Sub", call.node("Add", area, across(area)), shared)
    far = apart[0]
    for one in apart[1:]:
        far = call.node("Or", far, one)
    return call.node("Where", far, zero, call.node("Div", shared, union))


def _matrix_nms(call: Call) -> None:
    """Scores are lowered by how much a box overlaps better ones; nothing is looked at one after the other."""
    boxes, scores = _boxes_and_scores(call)
    kind, count = scores.type, scores.size(2)
    best = call.integer("nms_top_k", -1)
    name = _candidates(call, scores, call.integer("background_label", 0), -1)
    number = _at_most(call, best, name, 2, count) if best >= 0 else call.dims(name, 2, 3)
    # [N, C, K], the best first, with their boxes [N, C, K, 4].
    values, places = call.nodes("TopK", name, number, outputs=2, axis=2)
    table = call.node("Unsqueeze", boxes.name, call.vector([1]))
    shape = call.node("Concat", call.dims(scores.name, 0, 2), call.vector([1, 1]), axis=0)
    table = call.node("Expand", table, shape)
    wide = call.node("Unsqueeze", places, call.vector([3]))
    wide = call.node("Expand", wide, call.vector([1, 1, 1, 4]))
    found = call.node("GatherElements", table, wide, axis=2)
    overlaps = _overlaps(call, found, kind, call.flag("normalized", True))
    # What a box overlaps of better ones; those below the threshold are all behind.
    overlaps = call.node("Trilu", overlaps, call.scalar(-1, INT64), upper=0)
    most = call.node("ReduceMax", overlaps, call.vector([3]), keepdims=1)
    most = call.node("Transpose", most, perm=[0, 1, 3, 2])
    one = call.scalar(1, kind)
    if call.flag("use_gaussian"):
        squares = [call.node("Mul", side, side) for side in (most, overlaps)]
        sigma = call.scalar(call.real("gaussian_sigma", 2.0), kind)
        decay = call.node("Exp", call.node("Mul", call.node("Sub", *squares), sigma))
    else:
        decay = call.node("Div", call.node("Sub", one, overlaps), call.node("Sub", one, most))
    rows = call.dims(decay, 2)
    better = call.node("Trilu", call.node("Expand", one, rows), call.scalar(-1, INT64), upper=0)
    decay = call.node("Where", call.node("Cast", better, to=BOOL.onnx), decay, one)
    lowered = call.node("Mul", values, call.node("ReduceMin", decay, call.vector([3]), keepdims=0))
    least = call.scalar(call.real("score_threshold", 0.0), kind)
    after = call.scalar(call.real("post_threshold", 0.0), kind)
    good = call.node("Greater", values, least)
    good = call.node("And", good, call.node("Greater", lowered, after))
    where = call.node("Transpose", call.node("NonZero", good), perm=[1, 0])
    values = call.node("GatherND", lowered, where)
    box = call.node("Unsqueeze", call.node("GatherND", places, where), call.vector([1]))
    head = call.node("Slice", where, *map(call.vector, ([0], [2], [1])))
    chosen = call.node("Concat", head, box, axis=1)
    keep = call.integer("keep_top_k", -1)
    if keep >= 0:
        chosen, values = _best_of_each_image(call, chosen, values, keep, scores)
    # The best of each image first.
    order = call.nodes("TopK", values, call.dims(values), outputs=2, axis=0)[1]
    chosen, values = (call.node("Gather", one, order, axis=0) for one in (chosen, values))
    if scores.size(0) != 1:
        images = _image_of(call, chosen)
        order = call.nodes("TopK", images, call.dims(images), outputs=2, axis=0, largest=0)[1]
        chosen, values = (call.node("Gather", one, order, axis=0) for one in (chosen, values))
    _put_rows(call, chosen, values, boxes, scores)


def _nms(call: Call) -> None:
    """Boxes [M, 4], the best first."""
    boxes = call.value("Boxes")
    count = size(call, boxes.name, 0)
    ranks = call.node("Neg", call.node("Cast", upto(call, count), to=boxes.type.onnx))
    scores = call.node("Unsqueeze", ranks, call.vector([0, 1]))
    table = call.node("Unsqueeze", boxes.name, call.vector([0]))
    limit = call.graph.constant(np.array(call.real("iou_threshold", 1.0), np.float32))
    chosen = call.node("NonMaxSuppression", table, scores, count, limit)
    places = call.node("Slice", chosen, *map(call.vector, ([2], [3], [1])))
    call.put("KeepBoxesIdxs", "Squeeze", places, call.vector([1]))
    call.redeclare("KeepBoxesIdxs", (-1,))


# ***** Boxes from maps *****


def _yolo_box(call: Call) -> None:
    """[N, A * (5 + C), H, W] -> boxes [N, A * H * W, 4] in pixels of the image, scores [N, A * H * W, C]."""
    x, sizes = call.value(), call.value("ImgSize")
    kind = x.type
    said, classes = call.ints("anchors"), call.integer("class_num", 1)
    count = len(said) // 2
    if not count or len(said) % 2 or not 1 <= classes <= LARGEST_CONSTANT or x.rank != 4:
        call.malformed(f"anchors = {said[:20]}, class_num = {classes}")
    anchors = np.array(said, kind.numpy).reshape(count, 2)
    name, sure = x.name, None
    if call.flag("iou_aware"):
        cuts = call.vector([count, count * (5 + classes)])
        sure, name = call.nodes("Split", name, cuts, outputs=2, axis=1)
        sure = call.node("Reshape", sure, call.vector([0, count, 1, -1]))
    cells = call.node("Reshape", name, call.vector([0, count, 5 + classes, -1]))
    cuts = call.vector([1, 1, 1, 1, 1, classes])
    *places, there, labels = call.nodes("Split", cells, cuts, outputs=6, axis=2)
    height, width = (size(call, x.name, axis) for axis in (2, 3))
    each = upto(call, call.node("Mul", height, width))
    grid = [call.node("Mod", each, width), call.node("Div", each, width)]
    image = call.node(
        "Cast", call.node("Reshape", sizes.name, call.vector([-1, 2, 1, 1])), to=kind.onnx
    )
    tall, wide = _columns(call, image, 2, 1)
    scale, stride = call.real("scale_x_y", 1.0), call.integer("downsample_ratio", 32)
    shift = call.scalar(-0.5 * (scale - 1.0), kind)
    ends: list[list[str]] = [[], []]
    for side, (cell, whole, extent) in enumerate(
        zip(grid, (wide, tall), (width, height), strict=True)
    ):
        middle = call.node("Sigmoid", places[side])
        if scale != 1.0:
            scaled = call.node("Mul", middle, call.scalar(scale, kind))
            middle = call.node("Add", scaled, shift)
        middle = call.node("Add", middle, call.node("Cast", cell, to=kind.onnx))
        cells_across = call.node("Cast", extent, to=kind.onnx)
        middle = call.node("Div", call.node("Mul", middle, whole), cells_across)
        length = call.node("Exp", places[side + 2])
        column = _numbers(call, anchors[:, side].reshape(1, count, 1, 1), kind)
        pixels = call.node("Mul", cells_across, call.scalar(stride, kind))
        length = call.node("Div", call.node("Mul", call.node("Mul", length, column), whole), pixels)
        half = call.node("Div", length, call.scalar(2, kind))
        low, high = call.node("Sub", middle, half), call.node("Add", middle, half)
        if call.flag("clip_bbox", True):
            low = call.node("Max", low, call.scalar(0, kind))
            high = call.node("Min", high, call.node("Sub", whole, call.scalar(1, kind)))
        ends[0].append(low)
        ends[1].append(high)
    there = call.node("Sigmoid", there)
    if sure is not None:
        share = call.real("iou_aware_factor", 0.5)
        there = call.node("Pow", there, call.scalar(1 - share, kind))
        sure = call.node("Pow", call.node("Sigmoid", sure), call.scalar(share, kind))
        there = call.node("Mul", there, sure)
    unsure = call.node("Less", there, call.scalar(call.real("conf_thresh", 0.01), kind))
    boxes = call.node("Concat", *ends[0], *ends[1], axis=2)
    scores = call.node("Mul", there, call.node("Sigmoid", labels))
    for slot, made, wide_as in (("Boxes", boxes, 4), ("Scores", scores, classes)):
        kept = call.node("Where", unsure, call.scalar(0, kind), made)
        last = call.node("Transpose", kept, perm=[0, 1, 3, 2])
        call.put(slot, "Reshape", last, call.vector([0, -1, wide_as]))


def _put_anchors(
    call: Call,
    slot: str,
    centres: tuple[str, str],
    halves: np.ndarray[Any, Any],
    kind: ElementType,
    image: tuple[str, str] | None = None,
    clip: bool = False,
) -> None:
    """Put boxes [H, W, A, 4] around centres [W] and [H], by half their widths and heights [A, 2]."""
    ends: list[list[str]] = [[], []]
    for side, (centre, axes) in enumerate(zip(centres, ([0, 2], [1, 2]), strict=True)):
        middle = call.node("Unsqueeze", centre, call.vector(axes))
        half = _numbers(call, halves[:, side], kind)
        for found, step in zip(ends, ("Sub", "Add"), strict=True):
            end = call.node(step, middle, half)
            found.append(end if image is None else call.node("Div", end, image[side]))
    # [1, W, A] and [H, 1, A]
    shape = [call.dims(centres[1]), call.dims(centres[0]), call.vector([len(halves)])]
    full = call.node("Concat", *shape, axis=0)
    columns = [
        call.node("Unsqueeze", call.node("Expand", end, full), call.vector([3]))
        for found in ends
        for end in found
    ]
    made = call.node("Concat", *columns, axis=3)
    limits = [call.scalar(number, kind) for number in (0, 1)] if clip else []
    call.put(slot, "Clip" if clip else "Identity", made, *limits)


def _put_variances(call: Call, like: str, count: int, kind: ElementType) -> None:
    said = call.numbers("variances")
    head = call.dims(like, 2, 4)
    full = call.node("Concat", head, call.vector([count, len(said)]), axis=0)
    call.put("Variances", "Expand", _numbers(call, said, kind), full)


def _prior_box(call: Call) -> None:
    """Boxes around the cells of a map, as parts of the image: those of SSD."""
    x, image = call.value("Input"), call.value("Image")
    kind = x.type
    smallest, largest = call.numbers("min_sizes"), call.numbers("max_sizes")
    ratios = [1.0]
    for ratio in map(float, call.numbers("aspect_ratios")):
        if ratio <= 0:
            call.malformed(f"aspect_ratios of {ratio}")
        if all(abs(ratio - known) >= 1e-6 for known in ratios):
            ratios += [ratio, 1.0 / ratio] if call.flag("flip") else [ratio]
    if not smallest or (largest and len(largest) != len(smallest)):
        call.malformed(f"min_sizes = {smallest[:20]}, max_sizes = {largest[:20]}")
    halves: list[tuple[float, float]] = []
    for index, least in enumerate(map(float, smallest)):
        square = [(least / 2, least / 2)]
        between = [(math.sqrt(least * largest[index]) / 2,) * 2] if largest else []
        shapes = [(least * math.sqrt(r) / 2, least / math.sqrt(r) / 2) for r in ratios]
        if call.flag("min_max_aspect_ratios_order"):
            halves += [*square, *between, *shapes[1:]]
        else:
            halves += [*shapes, *between]
    steps = [call.real("step_w", 0.0), call.real("step_h", 0.0)]
    whole = [_real_size(call, image.name, axis, kind) for axis in (3, 2)]
    centres = []
    for axis, step, extent in zip((3, 2), steps, whole, strict=True):
        one = call.scalar(step, kind)
        if 0 in steps:
            one = call.node("Div", extent, _real_size(call, x.name, axis, kind))
        cell = call.node(
            "Add", _grid(call, x.name, axis, kind), call.scalar(call.real("offset", 0.5), kind)
        )
        centres.append(call.node("Mul", cell, one))
    table = np.array(halves, np.float32)
    _put_anchors(
        call,
        "Boxes",
        (centres[0], centres[1]),
        table,
        kind,
        (whole[0], whole[1]),
        call.flag("clip"),
    )
    _put_variances(call, x.name, len(halves), kind)


def _anchors(call: Call) -> None:
    """Boxes around the cells of a map, in pixels of the image: those of Faster R-CNN."""
    x = call.value("Input")
    kind = x.type
    sizes, ratios = call.numbers("anchor_sizes"), call.numbers("aspect_ratios")
    stride, offset = call.numbers("stride") or [16.0, 16.0], call.real("offset", 0.5)
    if len(stride) != 2 or min(stride) <= 0 or min(ratios, default=0) <= 0 or not sizes:
        call.malformed(f"stride = {stride[:20]}, aspect_ratios = {ratios[:20]}")
    halves = []
    for ratio in ratios:
        # C++ rounds halves up.
        width = math.floor(math.sqrt(stride[0] * stride[1] / ratio) + 0.5)
        height = math.floor(width * ratio + 0.5)
        halves += [
            (0.5 * (one / stride[0] * width - 1), 0.5 * (one / stride[1] * height - 1))
            for one in sizes
        ]
    centres = []
    for axis, step in zip((3, 2), stride, strict=True):
        cells = call.node("Mul", _grid(call, x.name, axis, kind), call.scalar(step, kind))
        centres.append(call.node("Add", cells, call.scalar(offset * (step - 1), kind)))
    table = np.array(halves, np.float32)
    _put_anchors(call, "Anchors", (centres[0], centres[1]), table, kind)
    _put_variances(call, x.name, len(halves), kind)


def _box_coder(call: Call) -> None:
    """Boxes as they differ from others, and back."""
    prior, target = call.value("PriorBox"), call.value("TargetBox")
    kind, form = target.type, call.text("code_type", "encode_center_size")
    if form not in ("encode_center_size", "decode_center_size"):
        call.refuse(f"code_type = {form[:50]}")
    one = 0 if call.flag("box_normalized", True) else 1
    decode = form == "decode_center_size"
    axis = call.integer("axis", 0)
    if axis not in (0, 1) or prior.rank != 2 or target.rank != (3 if decode else 2):
        call.malformed(f"axis = {axis} for boxes of {prior.rank} and {target.rank} dimensions")
    place = call.vector([axis if decode else 0])
    given, said = call.maybe("PriorBoxVar"), call.numbers("variance")
    variance = None
    if given is not None:
        variance = call.node("Unsqueeze", given.name, place)
    elif said:
        variance = _numbers(call, said, kind)
    two = call.scalar(2, kind)

    def measured(name: str) -> list[tuple[str, str]]:
        """Centre and length, of both directions."""
        x1, y1, x2, y2 = _columns(call, name)
        found = []
        for low, high in ((x1, x2), (y1, y2)):
            length = call.node("Sub", high, low)
            length = call.node("Add", length, call.scalar(1, kind)) if one else length
            found.append((call.node("Add", low, call.node("Div", length, two)), length))
        return found

    known = measured(call.node("Unsqueeze", prior.name, place))
    if not decode:
        x1, y1, x2, y2 = _columns(call, call.node("Unsqueeze", target.name, call.vector([1])))
        centres, lengths = [], []
        for (centre, length), (low, high) in zip(known, ((x1, x2), (y1, y2)), strict=True):
            middle = call.node("Div", call.node("Add", low, high), two)
            centres.append(call.node("Div", call.node("Sub", middle, centre), length))
            own = call.node("Sub", high, low)
            own = call.node("Add", own, call.scalar(1, kind)) if one else own
            lengths.append(call.node("Log", call.node("Abs", call.node("Div", own, length))))
        made = call.node("Concat", *centres, *lengths, axis=-1)
        if variance is None:
            call.put("OutputBox", "Identity", made)
        else:
            call.put("OutputBox", "Div", made, variance)
        return
    moved = target.name if variance is None else call.node("Mul", variance, target.name)
    *shifts, wider, taller = _columns(call, moved)
    lows, highs = [], []
    for (centre, length), shift, more in zip(known, shifts, (wider, taller), strict=True):
        middle = call.node("Add", call.node("Mul", shift, length), centre)
        half = call.node("Div", call.node("Mul", call.node("Exp", more), length), two)
        lows.append(call.node("Sub", middle, half))
        high = call.node("Add", middle, half)
        highs.append(call.node("Sub", high, call.scalar(1, kind)) if one else high)
    call.put("OutputBox", "Concat", *lows, *highs, axis=-1)


# ***** Proposals *****


def _proposals(call: Call, pixels: bool | None = None) -> None:
    """The best boxes of each image, from scores [N, A, H, W] and changes [N, 4 * A, H, W] of anchors."""
    scores, deltas = call.value("Scores"), call.value("BboxDeltas")
    image = call.maybe("ImShape") or call.value("ImInfo")
    kind = scores.type
    pixels = call.flag("pixel_offset", True) if pixels is None else pixels
    threshold = call.real("nms_thresh", 0.5)
    if threshold <= 0 or (call.real("eta", 1.0) < 1 and threshold > 0.5):
        call.refuse(f"nms_thresh = {threshold}, eta = {call.real('eta', 1.0)}")
    offset = call.scalar(1 if pixels else 0, kind)
    two = call.scalar(2, kind)
    flat = [
        call.node(
            "Reshape", call.node("Transpose", value.name, perm=[0, 2, 3, 1]), call.vector(shape)
        )
        for value, shape in ((scores, [0, -1]), (deltas, [0, -1, 4]))
    ]
    before = call.integer("pre_nms_topN", call.integer("pre_nms_top_n", 6000))
    after = call.integer("post_nms_topN", call.integer("post_nms_top_n", 1000))
    most = call.dims(flat[0], 1, 2)
    if before > 0:
        most = call.node("Min", call.vector([before]), most)
    values, places = call.nodes("TopK", flat[0], most, outputs=2, axis=1)
    anchors, variances = (
        call.node(
            "Gather",
            call.node("Reshape", call.value(slot).name, call.vector([-1, 4])),
            places,
            axis=0,
        )
        for slot in ("Anchors", "Variances")
    )
    wide = call.node(
        "Expand", call.node("Unsqueeze", places, call.vector([2])), call.vector([1, 1, 4])
    )
    moved = call.node("Mul", variances, call.node("GatherElements", flat[1], wide, axis=1))
    x1, y1, x2, y2 = _columns(call, anchors)
    *shifts, wider, taller = _columns(call, moved)
    tall, across = _columns(
        call, call.node("Slice", image.name, *map(call.vector, ([0], [2], [1]))), 2
    )
    cap = call.scalar(LARGEST_SCALE, kind)
    zero = call.scalar(0, kind)
    lows, highs, good = [], [], []
    for low, high, shift, more, whole in (
        (x1, x2, shifts[0], wider, across),
        (y1, y2, shifts[1], taller, tall),
    ):
        length = call.node("Add", call.node("Sub", high, low), offset)
        centre = call.node("Add", low, call.node("Div", length, two))
        middle = call.node("Add", call.node("Mul", shift, length), centre)
        scale = call.node("Exp", call.node("Min", more, cap))
        half = call.node("Div", call.node("Mul", scale, length), two)
        limit = call.node("Sub", call.node("Unsqueeze", whole, call.vector([1])), offset)
        ends = [
            call.node("Sub", middle, half),
            call.node("Sub", call.node("Add", middle, half), offset),
        ]
        begin, end = (call.node("Max", call.node("Min", one, limit), zero) for one in ends)
        long = call.node("Add", call.node("Sub", end, begin), offset)
        least = call.scalar(max(call.real("min_size", 0.1), 1.0), kind)
        good.append(call.node("GreaterOrEqual", long, least))
        if pixels:
            inner = call.node("Add", begin, call.node("Div", long, two))
            edge = call.node("Unsqueeze", whole, call.vector([1]))
            good.append(call.node("LessOrEqual", inner, edge))
        lows.append(begin)
        highs.append(end)
    boxes = call.node("Concat", *lows, *highs, axis=2)
    kept = good[0]
    for one in good[1:]:
        kept = call.node("And", kept, one)
    kept = call.node("Squeeze", kept, call.vector([2]))
    low = call.scalar(-math.inf, kind)
    ranked = call.node("Unsqueeze", call.node("Where", kept, values, low), call.vector([1]))
    # An image without any box that is large enough has one without area, and no score.
    none = call.node(
        "Not",
        call.node(
            "Cast",
            call.node(
                "ReduceMax", call.node("Cast", kept, to=INT32.onnx), call.vector([1]), keepdims=1
            ),
            to=BOOL.onnx,
        ),
    )
    first = call.node("Equal", upto(call, size(call, values, 1)), call.scalar(0, INT64))
    alone = call.node("And", none, first)
    ranked = call.node("Where", call.node("Unsqueeze", alone, call.vector([1])), zero, ranked)
    boxes = call.node("Where", call.node("Unsqueeze", none, call.vector([2])), zero, boxes)
    there = _with_area(call, boxes, kind, normalized=not pixels)
    count = call.scalar(after, INT64) if after > 0 else size(call, boxes, 1)
    limits = [np.array(one, np.float32) for one in (threshold, np.finfo(np.float32).min)]
    chosen = call.node("NonMaxSuppression", there, ranked, count, *map(call.graph.constant, limits))
    images, _, rows = _columns(call, chosen, 3, 1)
    found = call.node("Concat", images, rows, axis=1)
    call.put("RpnRois", "GatherND", boxes, found)
    call.redeclare("RpnRois", (-1, 4))
    scored = call.node("GatherND", ranked, chosen)
    call.put("RpnRoiProbs", "Unsqueeze", scored, call.vector([1]))
    call.redeclare("RpnRoiProbs", (-1, 1))
    if call.outputs("RpnRoisNum"):
        _put_counts(call, "RpnRoisNum", images, scores.name)


def _distribute(call: Call) -> None:
    """Boxes by how large they are, for maps of different scales."""
    boxes = call.value("FpnRois")
    counts = call.maybe("RoisNum")
    kind = boxes.type
    if counts is None:
        call.refuse("boxes with levels of detail (LoD)")
    lowest, highest = call.integer("min_level"), call.integer("max_level")
    levels = highest - lowest + 1
    outputs = call.outputs("MultiFpnRois")
    if levels != len(outputs) or levels < 1:
        call.malformed(f"levels {lowest} to {highest} for {len(outputs)} outputs")
    x1, y1, x2, y2 = _columns(call, boxes.name)
    more = call.scalar(1 if call.flag("pixel_offset", True) else 0, kind)
    sides = [
        call.node("Add", call.node("Sub", high, low), more) for low, high in ((x1, x2), (y1, y2))
    ]
    turned = call.node("Or", call.node("Less", x2, x1), call.node("Less", y2, y1))
    area = call.node("Where", turned, call.scalar(0, kind), call.node("Mul", *sides))
    scale = call.node(
        "Div", call.node("Sqrt", area), call.scalar(call.integer("refer_scale"), kind)
    )
    scale = call.node("Log", call.node("Add", scale, call.scalar(1e-6, kind)))
    level = call.node("Div", scale, call.scalar(math.log(2.0), kind))
    level = call.node("Add", level, call.scalar(call.integer("refer_level"), kind))
    level = call.node(
        "Clip", call.node("Floor", level), *(call.scalar(one, kind) for one in (lowest, highest))
    )
    level = call.node("Squeeze", call.node("Cast", level, to=INT64.onnx), call.vector([1]))
    numbers = call.cast(counts.name, counts.type, INT64)
    owners = repeated(call, numbers)
    order = []
    for index in range(levels):
        own = call.node("Equal", level, call.scalar(lowest + index, INT64))
        places = call.node("Squeeze", call.node("NonZero", own), call.vector([0]))
        order.append(places)
        call.put_at("MultiFpnRois", index, "Gather", boxes.name, places, axis=0)
        if call.outputs("MultiLevelRoIsNum"):
            mine = call.node(
                "Unsqueeze", call.node("Gather", owners, places, axis=0), call.vector([1])
            )
            hot = call.node("Cast", _images(call, mine, numbers), to=INT32.onnx)
            call.put_at("MultiLevelRoIsNum", index, "ReduceSum", hot, call.vector([0]), keepdims=0)
    call.retype("MultiLevelRoIsNum", INT32)
    joined = call.node("Concat", *order, axis=0)
    back = call.nodes("TopK", joined, call.dims(joined), outputs=2, axis=0, largest=0)[1]
    column = call.node("Unsqueeze", back, call.vector([1]))
    call.put("RestoreIndex", "Cast", column, to=INT32.onnx)
    call.retype("RestoreIndex", INT32)


# ***** Features within boxes *****


def _roi_align(call: Call) -> None:
    x, boxes, counts = call.value(), call.value("ROIs"), call.maybe("RoisNum")
    if counts is None:
        call.refuse("boxes with levels of detail (LoD)")
    images = repeated(call, call.cast(counts.name, counts.type, INT64))
    aligned = call.flag("aligned")
    call.put(
        "Out",
        "RoiAlign",
        x.name,
        boxes.name,
        images,
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
        output_height=call.integer("pooled_height", 1),
        output_width=call.integer("pooled_width", 1),
        sampling_ratio=max(call.integer("sampling_ratio", -1), 0),
        spatial_scale=call.real("spatial_scale", 1.0),
        mode="avg",
    )


def _roi_pool(call: Call) -> None:
    x, boxes, counts = call.value(), call.value("ROIs"), call.maybe("RoisNum")
    if counts is None:
        call.refuse("boxes with levels of detail (LoD)")
    images = repeated(call, call.cast(counts.name, counts.type, INT64))
    owners = call.node("Cast", call.node("Unsqueeze", images, call.vector([1])), to=x.type.onnx)
    call.put(
        "Out",
        "MaxRoiPool",
        x.name,
        call.node("Concat", owners, boxes.name, axis=1),
        pooled_shape=[call.integer("pooled_height", 1), call.integer("pooled_width", 1)],
        spatial_scale=call.real("spatial_scale", 1.0),
    )


def _deformable_conv(call: Call) -> None:
    mask = call.maybe("Mask")
    pads = call.ints("paddings") or [0, 0]
    strides = call.ints("strides") or [1, 1]
    dilations = call.ints("dilations") or [1, 1]
    groups = [call.integer(name, 1) for name in ("groups", "deformable_groups")]
    if {len(pads), len(strides), len(dilations)} != {2} or min(groups) < 1:
        call.malformed(f"paddings = {pads[:20]}, strides = {strides[:20]}")
    inputs = [call.value(slot).name for slot in ("Input", "Filter", "Offset")]
    weight = call.value("Filter").shape
    call.put(
        "Output",
        "DeformConv",
        *inputs,
        *(["", mask.name] if mask else []),
        kernel_shape=weight[2:],
        pads=pads * 2,
        strides=strides,
        dilations=dilations,
        group=groups[0],
        offset_group=groups[1],
    )


TABLE: Mapping[str, Rule] = {
    "anchor_generator": _anchors,
    "box_coder": _box_coder,
    "deformable_conv": _deformable_conv,
    "deformable_conv_v1": _deformable_conv,
    "distribute_fpn_proposals": _distribute,
    "generate_proposals": partial(_proposals, pixels=True),
    "generate_proposals_v2": _proposals,
    "matrix_nms": _matrix_nms,
    "multiclass_nms2": _multiclass_nms,
    "multiclass_nms3": _multiclass_nms,
    "nms": _nms,
    "prior_box": _prior_box,
    "roi_align": _roi_align,
    "roi_pool": _roi_pool,
    "yolo_box": _yolo_box,
}

ROWS: Mapping[str, Row] = {
    "anchor_generator": row("anchor_generator", "Input", "Anchors Variances"),
    "box_coder": row("box_coder", "PriorBox PriorBoxVar TargetBox", "OutputBox"),
    "deformable_conv": row("deformable_conv", "Input Offset Filter Mask", "Output"),
    "distribute_fpn_proposals": row(
        "distribute_fpn_proposals", "FpnRois RoisNum", "MultiFpnRois MultiLevelRoIsNum RestoreIndex"
    ),
    "generate_proposals": row(
        "generate_proposals_v2",
        "Scores BboxDeltas ImShape Anchors Variances",
        "RpnRois RpnRoiProbs RpnRoisNum",
    ),
    "matrix_nms": row("matrix_nms", "BBoxes Scores", "Out Index RoisNum"),
    "multiclass_nms3": row("multiclass_nms3", "BBoxes Scores RoisNum", "Out Index NmsRoisNum"),
    "nms": row("nms", "Boxes", "KeepBoxesIdxs", threshold="iou_threshold"),
    "prior_box": row("prior_box", "Input Image", "Boxes Variances"),
    "roi_align": row("roi_align", "X ROIs RoisNum"),
    "roi_pool": row("roi_pool", "X ROIs RoisNum", "Out Argmax"),
    "yolo_box": row("yolo_box", "X ImgSize", "Boxes Scores"),
}
