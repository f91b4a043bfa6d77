"""Elements by their index."""

from __future__ import annotations

from collections.abc import Mapping

from converters.importers.graph import INT64
from converters.importers.mindspore.build import BOOL, FLOAT, Call, Given, Rule
from converters.importers.mindspore.ops.creation import full


def _gather(
    call: Call, input_params: Given, input_indices: Given, axis: Given, batch_dims: Given = 0
) -> str:
    x, i = call.tensor(input_params), call.tensor(input_indices)
    along = call.axis(call.whole(axis, "axis"), x.rank)
    batch = call.whole(batch_dims, "batch_dims")
    batch = batch + i.rank if batch < 0 else batch
    if not 0 <= batch <= along or batch > i.rank:
        call.malformed(f"batch_dims = {batch}, axis = {along}")
    if not batch:
        return call.node("Gather", x.name, i.name, axis=along)
    if along != batch:
        call.refuse(f"batch_dims = {batch} with axis = {along}")
    where = call.node("Unsqueeze", call.name(i, INT64), call.vector([i.rank]))
    return call.node("GatherND", x.name, where, batch_dims=batch)


def _embedding_lookup(call: Call, input_params: Given, input_indices: Given, offset: Given) -> str:
    call.only("offset", offset, 0)
    x, i = call.tensor(input_params), call.tensor(input_indices)
    # An index that the table does not have gives zeros.
    size = x.size(0)
    if size is None:
        call.refuse("a table of unknown size")
    outside = call.node(
        "Or",
        call.node("Less", i.name, call.scalar(0, i.type)),
        call.node("GreaterOrEqual", i.name, call.scalar(size, i.type)),
    )
    safe = call.node("Where", outside, call.scalar(0, i.type), i.name)
    rows = call.node("Gather", x.name, safe, axis=0)
    wide = call.node("Unsqueeze", outside, call.vector(range(i.rank, i.rank + x.rank - 1)))
    return call.node("Where", wide, call.scalar(0, x.type), rows)


def _embedding(
    call: Call,
    x: Given,
    weight: Given,
    padding_idx: Given = None,
    max_norm: Given = None,
    norm_type: Given = 2.0,
    scale_grad_by_freq: Given = False,
) -> str:
    call.only("max_norm", max_norm, None)
    return call.node("Gather", call.name(weight), call.name(x), axis=0)


def _gather_elements(call: Call, x: Given, dim: Given, index: Given) -> str:
    value, where = call.tensor(x), call.tensor(index)
    along = call.axis(call.whole(dim, "dim"), value.rank)
    return call.node("GatherElements", value.name, where.name, axis=along)


def _gather_nd(call: Call, input_x: Given, indices: Given) -> str:
    return call.node("GatherND", call.name(input_x), call.name(indices, INT64))


def _index_select(call: Call, x: Given, dim: Given, index: Given) -> str:
    x = call.tensor(x)
    along = call.axis(call.whole(dim, "dim"), x.rank)
    return call.node("Gather", x.name, call.name(index), axis=along)


def _select_at(call: Call, x: Given, dim: Given, index: Given) -> str:
    x = call.tensor(x)
    along = call.axis(call.whole(dim, "dim"), x.rank)
    return call.node("Gather", x.name, call.name(index), axis=along)


def _one_hot(
    call: Call,
    indices: Given,
    depth: Given,
    on_value: Given,
    off_value: Given,
    axis: Given = -1,
) -> str:
    i = call.tensor(indices)
    count = call.whole(depth, "depth")
    kind = call.out_kind()
    ends = [
        call.node("Reshape", call.name(one, kind), call.vector([1]))
        for one in (off_value, on_value)
    ]
    along = call.axis(call.whole(axis, "axis"), i.rank + 1)
    # ONNX counts negative indices from the end; here they are nowhere.
    index = call.name(i, INT64)
    below = call.node("Less", index, call.scalar(0, INT64))
    where = call.node("Where", below, call.scalar(count, INT64), index)
    values = call.node("Concat", *ends, axis=0)
    return call.node("OneHot", where, call.scalar(count, INT64), values, axis=along)


def _scatter_elements(
    call: Call,
    data: Given,
    indices: Given,
    updates: Given,
    axis: Given = 0,
    reduce: Given = "none",
) -> str:
    forms: dict[int | str, str] = {one: one for one in ("none", "add", "max", "min", "mul")}
    forms.update({0: "none", 1: "add"})
    call.only("reduce", reduce, *forms)
    x = call.tensor(data)
    along = call.axis(call.whole(axis, "axis"), x.rank)
    return call.node(
        "ScatterElements",
        x.name,
        call.name(indices),
        call.name(updates, x.type),
        axis=along,
        reduction=forms[reduce],
    )


def _scatter(
    call: Call, x: Given, dim: Given, index: Given, src: Given, reduce: Given = "none"
) -> str:
    return _scatter_elements(call, x, index, src, dim, reduce)


def _scatter_add(call: Call, x: Given, dim: Given, index: Given, src: Given) -> str:
    return _scatter_elements(call, x, index, src, dim, "add")


def _tensor_scatter(reduction: str) -> Rule:
    def rule(call: Call, input_x: Given, indices: Given, updates: Given) -> str:
        x = call.tensor(input_x)
        return call.node(
            "ScatterND",
            x.name,
            call.name(indices, INT64),
            call.name(updates, x.type),
            reduction=reduction,
        )

    return rule


def _scatter_nd(call: Call, indices: Given, updates: Given, shape: Given) -> str:
    u = call.tensor(updates)
    empty = full(call, shape, 0, u.type)
    return call.node("ScatterND", empty, call.name(indices, INT64), u.name, reduction="add")


def _nonzero(call: Call, x: Given) -> str:
    call.graph.may_be_empty = True
    x = call.node("NonZero", call.name(x))
    return call.cast(call.node("Transpose", x, perm=[1, 0]), INT64, call.out_kind())


def _masked_select(call: Call, x: Given, mask: Given) -> str:
    call.graph.may_be_empty = True
    x, flags = call.tensor(x), call.tensor(mask, BOOL)
    both = [x.name, flags.name]
    if x.dims != flags.dims or min(x.shape, default=0) < 0:
        shape = [call.dims(name) for name in both]
        both = [
            call.node("Expand", both[0], shape[1]),
            call.node("Expand", both[1], shape[0]),
        ]
    flat = [call.node("Reshape", one, call.vector([-1])) for one in both]
    return call.node("Compress", *flat, axis=0)


def _segment_sum(call: Call, input_x: Given, segment_ids: Given, num_segments: Given) -> str:
    x, ids = call.tensor(input_x), call.tensor(segment_ids)
    if ids.rank != 1:
        call.refuse(f"segment_ids of {ids.rank} dimensions")
    # Negative ones are left out: they go to a segment more, which is cut off.
    count = call.row(num_segments, "num_segments")
    one, index = call.vector([1]), call.name(ids, INT64)
    negative = call.node("Less", index, call.scalar(0, INT64))
    index = call.node("Unsqueeze", call.node("Where", negative, count, index), one)
    parts = [call.node("Add", count, one)] + ([call.dims(x.name, 1)] if x.rank > 1 else [])
    shape = parts[0] if len(parts) == 1 else call.node("Concat", *parts, axis=0)
    zeros = call.node("Expand", call.scalar(0, x.type), shape)
    made = call.node("ScatterND", zeros, index, x.name, reduction="add")
    return call.node("Slice", made, call.vector([0]), count, call.vector([0]))


def _suppressed(
    call: Call, boxes: Given, scores: Given, most: Given, overlap: Given, least: Given = None,
    center_point_box: Given = 0,
) -> str:  # fmt: skip
    """Rows [image, class, box]; the operator and its inputs are those of ONNX."""
    limits = [call.name(one, FLOAT) for one in (overlap, least) if one is not None]
    center = call.whole(center_point_box, "center_point_box")
    return call.node(
        "NonMaxSuppression",
        call.name(boxes),
        call.name(scores),
        call.name(most, INT64),
        *limits,
        center_point_box=center,
    )


TABLE: Mapping[str, Rule] = {
    "Embedding": _embedding,
    "EmbeddingLookup": _embedding_lookup,
    "Gather": _gather,
    "GatherD": _gather_elements,
    "GatherNd": _gather_nd,
    "IndexSelect": _index_select,
    "MaskedSelect": _masked_select,
    "NonMaxSuppression": _suppressed,
    "NonZero": _nonzero,
    "NonZeroExt": _nonzero,
    "OneHot": _one_hot,
    "OneHotExt": _one_hot,
    "Scatter": _scatter,
    "ScatterAddExt": _scatter_add,
    "ScatterNd": _scatter_nd,
    "SelectExtView": _select_at,
    "TensorScatterElements": _scatter_elements,
    **{
        f"TensorScatter{name}": _tensor_scatter(reduction)
        for name, reduction in {
            "Add": "add",
            "Max": "max",
            "Min": "min",
            "Mul": "mul",
            "Update": "none",
        }.items()
    },
    "UnsortedSegmentSum": _segment_sum,
}
