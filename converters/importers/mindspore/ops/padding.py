"""Padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from converters.importers.graph import INT_LIMIT, Value
from converters.importers.mindspore.build import Call, Given, Rule

_PADS = {
    "constant": "constant",
    "reflect": "reflect",
    "edge": "edge",
    "circular": "wrap",
    "wrap": "wrap",
}


def _padded(call: Call, x: Value, sides: Sequence[tuple[int, int]], mode: str, value: str) -> str:
    """A tensor with so much before and behind each of its dimensions."""
    if len(sides) != x.rank:
        call.malformed(f"padding for {len(sides)} of {x.rank} dimensions")
    if min((one for side in sides for one in side), default=0) < 0:
        # Kernels of MindSpore do not agree with its documentation here.
        call.refuse("padding of less than nothing")
    if mode == "symmetric":
        return _symmetric(call, x, sides)
    if mode not in _PADS:
        call.refuse(f"mode = {mode[:50]}")
    pads = call.vector([side[0] for side in sides] + [side[1] for side in sides])
    inputs = [x.name, pads] + ([value] if mode == "constant" and value else [])
    return call.node("Pad", *inputs, mode=_PADS[mode])


def _symmetric(call: Call, x: Value, sides: Sequence[tuple[int, int]]) -> str:
    """Mirrored at the edge, which counts: one is mirrored twice."""
    name = x.name
    for axis, (before, behind) in enumerate(sides):
        where, back = call.vector([axis]), call.vector([-1])
        parts = [name]
        if before:
            parts.insert(
                0,
                call.node(
                    "Slice", name, call.vector([before - 1]), call.vector([-INT_LIMIT]), where, back
                ),
            )
        if behind:
            parts.append(
                call.node("Slice", name, call.vector([-1]), call.vector([-1 - behind]), where, back)
            )
        if len(parts) > 1:
            name = call.node("Concat", *parts, axis=axis)
    return name


def _pad(call: Call, input_x: Given, paddings: Given) -> str:
    x = call.tensor(input_x)
    sides = [call.ints(one, "paddings") for one in call.items(paddings)]
    if any(len(side) != 2 for side in sides):
        call.malformed("paddings are no pairs")
    return _padded(call, x, [(one, two) for one, two in sides], "constant", "")


def _mirror_pad(call: Call, input_x: Given, paddings: Given, mode: Given = "REFLECT") -> str:
    x = call.tensor(input_x)
    flat = (
        [one for row in paddings for one in call.ints(row, "paddings")]
        if isinstance(paddings, tuple)
        else call.ints(paddings, "paddings")
    )
    sides = [*zip(flat[::2], flat[1::2], strict=False)]
    return _padded(call, x, sides, call.text(mode, "mode").lower(), "")


def _pad_v3(
    call: Call,
    x: Given,
    paddings: Given,
    constant_value: Given = None,
    mode: Given = "constant",
    paddings_contiguous: Given = True,
) -> str:
    """Pairs from the last dimension to the first, for as many as there are."""
    value = call.tensor(x)
    said = call.ints(paddings, "paddings")
    if len(said) % 2 or len(said) > 2 * value.rank:
        call.malformed(f"paddings = {said[:20]} for {value.rank} dimensions")
    if paddings_contiguous:
        pairs = [*zip(said[::2], said[1::2], strict=True)]
    else:
        half = len(said) // 2
        pairs = [*zip(said[:half], said[half:], strict=True)]
    sides = [(0, 0)] * (value.rank - len(pairs)) + pairs[::-1]
    fill = "" if constant_value is None else call.name(constant_value, value.type)
    if fill and isinstance(constant_value, Value) and constant_value.rank:
        fill = call.node("Reshape", fill, call.vector([]))
    return _padded(call, value, sides, call.text(mode, "mode").lower(), fill)


def _pad_last(mode: str) -> Rule:
    def rule(call: Call, x: Given, padding: Given, value: Given = None) -> str:
        return _pad_v3(call, x, padding, value, mode)

    return rule


TABLE: Mapping[str, Rule] = {
    "MirrorPad": _mirror_pad,
    "Pad": _pad,
    "PadV3": _pad_v3,
    "ConstantPadND": _pad_last("constant"),
    **{f"ReflectionPad{axes}D": _pad_last("reflect") for axes in (1, 2, 3)},
    **{f"ReplicationPad{axes}D": _pad_last("edge") for axes in (1, 2, 3)},
}
