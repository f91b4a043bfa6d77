"""Windows over images: convolution and pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from onnx import numpy_helper

from converters.dtypes import BY_NAME
from converters.importers.cells import adaptive_average, adaptive_max
from converters.importers.graph import Value
from converters.importers.mindspore.build import Call, Given, Rule, Scalar

INT32 = BY_NAME["int32"]
BYTES = (BY_NAME["int8"], BY_NAME["uint8"])
# `PadMode`, `CoordinateTransformMode` and `Format` of mindapi/base/types.h and format.h.
PAD_MODES = {0: "pad", 1: "same", 2: "valid"}
FORMATS = {0: "NCHW", 1: "NHWC", 2: "NHWC4", 14: "NCDHW"}


def check_format(call: Call, *said: Given) -> None:
    """Refuse images whose channels do not come first."""
    for one in said:
        call.only(
            "format", FORMATS.get(one, one) if isinstance(one, int) else one, "NCHW", "NCDHW", "NCL"
        )


def _mode(call: Call, pad_mode: Given) -> str:
    said = PAD_MODES.get(pad_mode, pad_mode) if isinstance(pad_mode, int) else pad_mode
    mode = str(said).lower()
    if mode in ("calculated",):
        mode = "pad"
    if mode not in PAD_MODES.values():
        call.refuse(f"pad_mode = {str(said)[:50]}")
    return mode


def _spatial(call: Call, given: Given, axes: int, what: str) -> list[int]:
    """One number for each spatial dimension, of as many, of all dimensions, or of one; all positive."""
    said = call.ints(given, what)
    if len(said) == axes + 2:
        if said[:2] != [1, 1]:
            call.refuse(f"{what} = {said}")
        said = said[2:]
    said = said * axes if len(said) == 1 else said
    if len(said) != axes or min(said) < 1:
        call.malformed(f"{what} = {said[:20]} for {axes} spatial dimensions")
    return said


def _sides(call: Call, given: Given, axes: int, what: str = "pad") -> list[int]:
    """Padding as ONNX has it: all beginnings, then all ends. Twice as many numbers go by dimension."""
    said = call.ints(given, what)
    if len(said) == axes + 2 == 4 and what == "pads":
        said = said[2:] if said[:2] == [1, 1] else said
    if len(said) == 1:
        said = said * (2 * axes)
    elif len(said) == axes:
        said = [side for side in said for _ in range(2)]
    if len(said) != 2 * axes or min(said) < 0:
        call.malformed(f"{what} = {said[:20]} for {axes} spatial dimensions")
    return said[::2] + said[1::2]


def _same_pads(
    sizes: Sequence[int], strides: Sequence[int], kernel: Sequence[int], dilations: Sequence[int]
) -> list[int] | None:
    """Padding so that each window begins where a stride does; None where a size is not known."""
    if any(size < 0 for size in sizes):
        return None
    sums = [
        max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        for n, s, k, d in zip(sizes, strides, kernel, dilations, strict=True)
    ]
    return [total // 2 for total in sums] + [total - total // 2 for total in sums]


def _padding(
    call: Call,
    mode: str,
    given: Given,
    sizes: Sequence[int],
    strides: Sequence[int],
    kernel: Sequence[int],
    dilations: Sequence[int],
) -> dict[str, Any]:
    """Padding as attributes of ONNX."""
    axes = len(kernel)
    if mode == "valid":
        return {"pads": [0] * (2 * axes)}
    if mode == "pad":
        return {"pads": _sides(call, given, axes)}
    pads = _same_pads(sizes, strides, kernel, dilations)
    if pads is not None:
        return {"pads": pads}
    if all(s == 1 for s in strides):
        totals = [d * (k - 1) for k, d in zip(kernel, dilations, strict=True)]
        return {"pads": [one // 2 for one in totals] + [one - one // 2 for one in totals]}
    return {"auto_pad": "SAME_UPPER"}


def _windows(call: Call, x: Value, axes: int) -> tuple[int, ...]:
    if x.dims is None:
        return (-1,) * axes
    if x.rank != axes + 2:
        call.malformed(f"{x.rank} dimensions, where there should be {axes + 2}")
    return x.shape[2:]


def _conv(
    call: Call,
    x: Given,
    weight: Given,
    bias: Given = None,
    *,
    axes: int,
) -> Value:
    """A convolution by its attributes."""
    said = call.primitive.attributes
    value, kernel = call.tensor(x), call.tensor(weight)
    sizes = _windows(call, value, axes)
    check_format(call, said.get("format", "NCHW"))
    call.only("mode", said.get("mode", 1), 1)
    strides = _spatial(call, said.get("stride", said.get("strides", 1)), axes, "stride")
    dilations = _spatial(call, said.get("dilation", said.get("dilations", 1)), axes, "dilation")
    mode = _mode(call, said.get("pad_mode", "valid"))
    pads = said.get("pad", 0) if mode == "pad" else 0
    shape = kernel.shape[2:]
    if len(shape) != axes or min(shape) < 1:
        call.malformed(f"a filter of shape {list(kernel.shape)}")
    group = call.whole(said.get("group", said.get("groups", 1)), "group")
    kind, inputs = "Conv", [value.name, kernel.name]
    if value.type.numpy.kind in "iu":
        kind, inputs = "ConvInteger", less_zero_points(call, value, kernel)
    inputs += [] if bias is None else [call.name(bias)]
    name = call.node(
        kind,
        *inputs,
        strides=strides,
        dilations=dilations,
        group=group,
        kernel_shape=[*shape],
        **_padding(call, mode, pads, sizes, strides, shape, dilations),
    )
    return call.of_rank(name, (-1, kernel.shape[0], *(-1,) * axes))


def less_zero_points(call: Call, x: Value, weight: Value, columns: bool = False) -> list[str]:
    """Of integers of 32 bits those of 8 that they are, and the zero points that were taken from them.

    Args:
        x: Has one zero point at most.
        weight: May have one for each filter, `[-1, 1, 1, 1]`.
        columns: It may have one for each of its columns instead.
    """
    if call.out_kind() != INT32:
        call.refuse(f"integers of type {x.type.name}")
    made = {output: node for node in call.graph.nodes for output in node.output}

    def bytes_of(name: str, rank: int | None = None) -> str:
        node = made.get(name)
        source = node.input[0] if node is not None and node.op_type == "Cast" else ""
        known = call.graph.values.get(source)
        if known is None or known.kind not in BYTES:
            call.refuse("integers that are none of eight bits")
        if rank is not None and known.rank > rank:
            call.refuse(f"zero points of {known.rank} dimensions")
        return source

    found, zeros = [], []
    for value in (x, weight):
        node = made.get(value.name)
        if node is None or node.op_type != "Sub":
            found.append(bytes_of(value.name))
            zeros.append("")
            continue
        found.append(bytes_of(node.input[0]))
        shaped = made.get(node.input[1])
        if shaped is None or shaped.op_type != "Reshape":
            zeros.append(bytes_of(node.input[1], int(columns and value is weight)))
            continue
        shape = call.graph.initialisers.get(shaped.input[1])
        sizes = [-1, -1] if shape is None else numpy_helper.to_array(shape).tolist()
        filters = value is weight and len(sizes) == value.rank and not columns
        if any(size != 1 for size in sizes[1:]) or (sizes and not filters):
            call.refuse(f"zero points of the shape {sizes}")
        zeros.append(call.node("Reshape", bytes_of(shaped.input[0]), call.vector(sizes and [-1])))
    if zeros[1] and not zeros[0]:
        call.refuse("zero points of the weights alone")
    return [*found, *(one for one in zeros if one)]


def _conv_ext(
    call: Call,
    x: Given,
    weight: Given,
    bias: Given = None,
    stride: Given = 1,
    padding: Given = 0,
    dilation: Given = 1,
    groups: Given = 1,
) -> str:
    """A convolution as mint has it."""
    return _convolution(call, x, weight, bias, stride, padding, dilation, groups=groups)


def _convolution(
    call: Call,
    x: Given,
    weight: Given,
    bias: Given = None,
    stride: Given = 1,
    padding: Given = 0,
    dilation: Given = 1,
    transposed: Given = False,
    output_padding: Given = 0,
    groups: Given = 1,
) -> str:
    x, w = call.tensor(x), call.tensor(weight)
    axes = w.rank - 2
    if axes < 1 or x.rank not in (axes + 1, axes + 2):
        call.malformed(f"{x.rank} dimensions and a filter of {w.rank}")
    alone = x.rank == axes + 1
    name = call.node("Unsqueeze", x.name, call.vector([0])) if alone else x.name
    sizes = x.shape[-axes:]
    strides = _spatial(call, stride, axes, "stride")
    dilations = _spatial(call, dilation, axes, "dilation")
    inputs = [name, w.name] + ([] if bias is None else [call.name(bias)])
    if transposed:
        kind = "ConvTranspose"
        more = call.ints(output_padding, "output_padding")
        extra: dict[str, Any] = {
            "pads": _sides(call, padding, axes, "padding"),
            "output_padding": more * axes if len(more) == 1 else more,
        }
    else:
        kind = "Conv"
        # Two numbers for two dimensions are one for both of its sides.
        if isinstance(padding, str) or (
            isinstance(padding, int) and call.primitive.type.endswith(("Padding", "Str"))
        ):
            mode, pads = _mode(call, padding), 0
        else:
            mode, pads = "pad", padding
        extra = _padding(call, mode, pads, sizes, strides, w.shape[2:], dilations)
    group = call.whole(groups, "groups")
    made = call.node(kind, *inputs, strides=strides, dilations=dilations, group=group, **extra)
    return call.node("Squeeze", made, call.vector([0])) if alone else made


def _conv_transpose_ext(
    call: Call,
    x: Given,
    weight: Given,
    bias: Given = None,
    stride: Given = 1,
    padding: Given = 0,
    output_padding: Given = 0,
    groups: Given = 1,
    dilation: Given = 1,
) -> str:
    return _convolution(
        call, x, weight, bias, stride, padding, dilation, True, output_padding, groups
    )


def _conv_transpose(call: Call, x: Given, weight: Given, input_sizes: Given) -> str:
    """What a convolution would have made of an image of the size `input_sizes`."""
    said = call.primitive.attributes
    value, kernel = call.tensor(x), call.tensor(weight)
    sizes = _windows(call, value, 2)
    check_format(call, said.get("format", "NCHW"))
    strides = _spatial(call, said.get("stride", 1), 2, "stride")
    dilations = _spatial(call, said.get("dilation", 1), 2, "dilation")
    shape = kernel.shape[2:]
    if len(shape) != 2 or min(shape) < 1:
        call.malformed(f"a filter of shape {list(kernel.shape)}")
    reach = [d * (k - 1) + 1 for k, d in zip(shape, dilations, strict=True)]
    wanted = (
        input_sizes if isinstance(input_sizes, tuple) else call.ints(input_sizes, "input_sizes")
    )
    if len(wanted) != 4:
        call.malformed(f"input_sizes of {len(wanted)} numbers")
    mode = _mode(call, said.get("pad_mode", "valid"))
    pads, more = [0] * 4, [0] * 2
    for axis in (0, 1):
        size, have = wanted[axis + 2], sizes[axis]
        factor, extra = _growth(call, value, axis + 2, size)
        step = strides[axis]
        if mode == "same":
            # The convolution has as many windows as strides fit into the image.
            if have < 0 and (factor, extra) != (step, 0):
                call.refuse(f"input_sizes that are not {step} times the size")
            total = (
                max(reach[axis] - step, 0)
                if have < 0
                else max((have - 1) * step + reach[axis] - (factor * have + extra), 0)
            )
            pads[axis], pads[axis + 2] = total // 2, total - total // 2
        elif mode == "pad":
            given = _sides(call, said.get("pad", 0), 2)
            pads[axis], pads[axis + 2] = given[axis], given[axis + 2]
        if have < 0 and factor != step:
            call.refuse(f"input_sizes that are not {step} times the size")
        made = -step - pads[axis] - pads[axis + 2] + reach[axis]
        more[axis] = extra - made + (0 if have < 0 else (factor - step) * have)
        if not 0 <= more[axis] < max(step, dilations[axis]):
            call.malformed(f"input_sizes are {more[axis]} more than there is")
    return call.node(
        "ConvTranspose",
        value.name,
        kernel.name,
        strides=strides,
        dilations=dilations,
        group=call.whole(said.get("group", said.get("groups", 1)), "group"),
        kernel_shape=[*shape],
        pads=pads,
        output_padding=more,
    )


def _growth(call: Call, x: Value, axis: int, size: Given) -> tuple[int, int]:
    """A size as a multiple of that of a tensor, and what is added."""
    if isinstance(size, Scalar):
        if size.size != (x.name, axis):
            call.refuse("input_sizes that are computed of something else")
        return size.factor, size.more
    return 0, call.whole(size, "input_sizes")


def _conv3d_transpose(call: Call, x: Given, weight: Given, bias: Given = None) -> str:
    said = call.primitive.attributes
    value, kernel = call.tensor(x), call.tensor(weight)
    _windows(call, value, 3)
    check_format(call, said.get("format", "NCDHW"))
    strides = _spatial(call, said.get("stride", said.get("strides", 1)), 3, "stride")
    dilations = _spatial(call, said.get("dilation", said.get("dilations", 1)), 3, "dilation")
    mode = _mode(call, said.get("pad_mode", "valid"))
    if mode == "same":
        reach = [d * (k - 1) + 1 for k, d in zip(kernel.shape[2:], dilations, strict=True)]
        totals = [one - s for one, s in zip(reach, strides, strict=True)]
        if min(totals) < 0:
            call.refuse("pad_mode = same with strides larger than the filter")
        pads = [one // 2 for one in totals] + [one - one // 2 for one in totals]
    else:
        pads = (
            _sides(call, said.get("pad", said.get("pad_list", 0)), 3) if mode == "pad" else [0] * 6
        )
    more = call.ints(said.get("output_padding", 0), "output_padding")
    more = more[2:] if len(more) == 5 else more
    inputs = [value.name, kernel.name] + ([] if bias is None else [call.name(bias)])
    return call.node(
        "ConvTranspose",
        *inputs,
        strides=strides,
        dilations=dilations,
        group=call.whole(said.get("group", said.get("groups", 1)), "group"),
        pads=pads,
        output_padding=more * 3 if len(more) == 1 else more,
    )


def _pooled(
    call: Call,
    kind: str,
    x: Value,
    kernel: list[int],
    strides: list[int],
    padding: dict[str, Any],
    ceil: bool,
    **more: Any,
) -> str:
    """A pooling node; windows that would lie outside of the input are refused or left out."""
    axes = len(kernel)
    if ceil and "pads" in padding:
        dilations = more.get("dilations", [1] * axes)
        for axis, size in enumerate(x.shape[2:]):
            begin, end = padding["pads"][axis], padding["pads"][axis + axes]
            reach, step = dilations[axis] * (kernel[axis] - 1) + 1, strides[axis]
            if size < 0:
                outside = step + end > reach
            else:
                count = -(-(size + begin + end - reach) // step) + 1
                outside = (count - 1) * step >= size + begin
            if outside:
                call.refuse("ceil_mode with windows that may lie outside of the input")
        more["ceil_mode"] = 1
    return call.node(kind, x.name, kernel_shape=kernel, strides=strides, **padding, **more)


def _pool(kind: str) -> Rule:
    def rule(
        call: Call,
        x: Given,
        kernel_size: Given = None,
        strides: Given = None,
        pad_mode: Given = "valid",
        data_format: Given = "NCHW",
    ) -> str:
        value = call.tensor(x)
        said = call.primitive.attributes
        check_format(call, data_format, said.get("format", "NCHW"))
        kernel_size = said.get("ksize", 1) if kernel_size is None else kernel_size
        _windows(call, value, 2)
        kernel = _spatial(call, kernel_size, 2, "kernel_size")
        steps = _spatial(call, strides, 2, "strides")
        mode = _mode(call, pad_mode)
        if mode == "pad":
            call.refuse("pad_mode = pad")
        padding = _padding(call, mode, 0, value.shape[2:], steps, kernel, [1, 1])
        return _pooled(call, kind, value, kernel, steps, padding, False)

    return rule


def _pool3d(kind: str) -> Rule:
    def rule(
        call: Call,
        x: Given,
        kernel_size: Given,
        strides: Given,
        pad_mode: Given = "valid",
        pad_list: Given = 0,
        ceil_mode: Given = False,
        count_include_pad: Given = True,
        divisor_override: Given = 0,
    ) -> str:
        value = call.tensor(x)
        check_format(call, call.primitive.attributes.get("format", "NCDHW"))
        call.only("divisor_override", divisor_override, 0, None)
        _windows(call, value, 3)
        kernel = _spatial(call, kernel_size, 3, "kernel_size")
        steps = _spatial(call, strides, 3, "strides")
        mode = _mode(call, pad_mode)
        padding = _padding(call, mode, pad_list, value.shape[2:], steps, kernel, [1] * 3)
        more: dict[str, Any] = {}
        if kind == "AveragePool" and count_include_pad and mode == "pad":
            more["count_include_pad"] = 1
        if mode == "same" and ceil_mode:
            ceil_mode = False
        return _pooled(call, kind, value, kernel, steps, padding, bool(ceil_mode), **more)

    return rule


def _pool_with_index(
    call: Call,
    x: Given,
    kernel_size: Given = None,
    strides: Given = None,
    pads: Given = 0,
    dilation: Given = 1,
    ceil_mode: Given = False,
    argmax_type: Given = None,
    ksize: Given = None,
) -> list[str]:
    """Maxima; where they are is not computed."""
    value = call.tensor(x)
    axes = value.rank - 2
    kernel = _spatial(call, ksize if kernel_size is None else kernel_size, axes, "kernel_size")
    steps = kernel if strides is None else _spatial(call, strides, axes, "strides")
    padding = {"pads": _sides(call, pads, axes, "pads")}
    dilations = _spatial(call, dilation, axes, "dilation")
    made = _pooled(
        call, "MaxPool", value, kernel, steps, padding, bool(ceil_mode), dilations=dilations
    )
    return [made]


def _avg_pool_ext(
    call: Call,
    x: Given,
    kernel_size: Given,
    stride: Given = None,
    padding: Given = 0,
    ceil_mode: Given = False,
    count_include_pad: Given = True,
    divisor_override: Given = None,
) -> str:
    call.only("divisor_override", divisor_override, None)
    x = call.tensor(x)
    axes = {"AvgPool1D": 1, "AvgPool2D": 2, "AvgPool3DExt": 3}[call.primitive.type]
    _windows(call, x, axes)
    kernel = _spatial(call, kernel_size, axes, "kernel_size")
    steps = kernel if stride in (None, ()) else _spatial(call, stride, axes, "stride")
    pads = {"pads": _sides(call, padding, axes, "padding")}
    more: dict[str, Any] = {"count_include_pad": 1} if count_include_pad else {}
    return _pooled(call, "AveragePool", x, kernel, steps, pads, bool(ceil_mode), **more)


def _max_pool_ext(
    call: Call,
    x: Given,
    kernel_size: Given,
    stride: Given = None,
    padding: Given = 0,
    dilation: Given = (1, 1),
    ceil_mode: Given = False,
    return_indices: Given = False,
) -> Given:
    call.only("return_indices", return_indices, False)
    stride = kernel_size if stride in (None, ()) else stride
    made = _pool_with_index(call, x, kernel_size, stride, padding, dilation, ceil_mode)
    return made if isinstance(call.form, tuple) else made[0]


def _adaptive(kind: str, several: bool = False) -> Rule:
    def rule(call: Call, x: Given, output_size: Given) -> Given:
        x = call.tensor(x)
        said = output_size if isinstance(output_size, tuple) else (output_size,)
        if call.primitive.type.endswith("1D"):
            axes = 1
        else:
            axes = 3 if "3D" in call.primitive.type else 2
        said = said * axes if len(said) == 1 else said
        if len(said) != axes or x.rank < axes:
            call.malformed(f"output_size of {len(said)} numbers for {x.rank} dimensions")
        first = x.rank - axes
        cells = [-1 if one is None else call.whole(one, "output_size") for one in said]
        if cells == [1] * axes and first == 2:
            name = call.node("GlobalMaxPool" if kind == "max" else "GlobalAveragePool", x.name)
            return [name] if several else name
        sizes = x.shape[first:]
        even = all(n > 0 and c > 0 and n % c == 0 for n, c in zip(sizes, cells, strict=True))
        if even and first == 2:
            window = [n // c for n, c in zip(sizes, cells, strict=True)]
            name = call.node(
                "MaxPool" if kind == "max" else "AveragePool",
                x.name,
                kernel_shape=window,
                strides=window,
            )
            return [name] if several else name
        name = x.name
        for axis, (size, count) in enumerate(zip(sizes, cells, strict=True), first):
            if count == -1 or count == size:
                continue
            if count < 1:
                call.malformed(f"output_size = {count}")
            made = adaptive_max if kind == "max" else adaptive_average
            name = made(call, name, x.rank, axis, size, count, x.type)
        return [name] if several else name

    return rule


TABLE: Mapping[str, Rule] = {
    "AdaptiveAvgPool1D": _adaptive("average"),
    "AdaptiveAvgPool2D": _adaptive("average"),
    "AdaptiveAvgPool2DExt": _adaptive("average"),
    "AdaptiveAvgPool3D": _adaptive("average"),
    "AdaptiveAvgPool3DExt": _adaptive("average"),
    "AdaptiveMaxPool1D": _adaptive("max", True),
    "AdaptiveMaxPool2D": _adaptive("max", True),
    "AvgPool": _pool("AveragePool"),
    "AvgPool1D": _avg_pool_ext,
    "AvgPool2D": _avg_pool_ext,
    "AvgPool3D": _pool3d("AveragePool"),
    "AvgPool3DExt": _avg_pool_ext,
    "Conv1DExt": _conv_ext,
    "Conv1DPadding": _conv_ext,
    "Conv2D": partial(_conv, axes=2),
    "Conv2DBackpropInput": _conv_transpose,
    "Conv2DExt": _conv_ext,
    "Conv2DPadding": _conv_ext,
    "Conv2DTranspose": _conv_transpose,
    "Conv3D": partial(_conv, axes=3),
    "Conv3DExt": _conv_ext,
    "Conv3DPadding": _conv_ext,
    "Conv3DTranspose": _conv3d_transpose,
    "ConvTranspose2D": _conv_transpose_ext,
    "Convolution": _convolution,
    "ConvolutionStr": _convolution,
    "FuncMaxPool2D": _max_pool_ext,
    "MaxPool": _pool("MaxPool"),
    "MaxPool3D": _pool3d("MaxPool"),
    "MaxPool3DWithArgmax": _pool_with_index,
    "MaxPoolWithArgmaxV2": _pool_with_index,
    "MaxPoolWithIndices": _pool_with_index,
    "MaxPoolWithMask": _pool_with_index,
}
