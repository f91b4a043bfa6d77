# ruff: noqa: N802, D103 - functions and attributes are named as the operators
"""Operators on texts: a table of its own, because text stays with numpy in every framework.

Operands are arrays of numpy, whatever they were before, and so is what an entry gives: `lower.py` turns numbers
into tensors and back. Attributes are those of the standard; https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from converters.emitters.table import Numbers, Operand, Refusal, Use
from converters.graph.model import Array

PHRASES = {
    "Equal": "np.asarray({A} == {B})",
    "StringConcat": "np.char.add({X}, {Y})",
}
# What is kept of texts that become numbers: `int` and `float` read more than the standard says.
NUMBERS = ("float16", "float32", "float64", "int8", "int16", "int32", "int64")


def is_text(value: Any) -> bool:
    """Whether a value of the graph is text."""
    return value is not None and value.dtype is not None and value.dtype.kind == "O"


def literal(data: Array) -> str:
    """Constant texts as an expression."""
    return f"np.array({data.tolist()!r}, dtype=str)"


# ***** numbers <-> text *****


def Cast(x: Operand, *, to: int, saturate: int, node: Use) -> str:
    """Numbers as numpy writes them, which is what the standard's own cases ask for."""
    source, target = x.typed(), node.out.dtype
    if is_text(node.out):
        if source.kind not in "fiu" or source.isbuiltin != 1:
            raise Refusal(f"element type {source.name} to string")
        return f"{x}.astype(str)"
    if target is None or target.name not in NUMBERS:
        raise Refusal(f"element type string to {target}")
    return f"{x}.astype(np.{target.name})"


def CastLike(x: Operand, like: Operand, *, saturate: int, node: Use) -> str:
    return Cast(x, to=0, saturate=saturate, node=node)


def ai_onnx_ml_LabelEncoder(
    x: Operand, *, node: Use, classes_strings: Sequence[str] = (),
    keys_strings: Sequence[str] = (), keys_int64s: Sequence[int] = (),
    keys_floats: Sequence[float] = (), keys_tensor: Array | None = None,
    values_strings: Sequence[str] = (), values_int64s: Sequence[int] = (),
    values_floats: Sequence[float] = (), values_tensor: Array | None = None,
    default_string: str = "_Unused", default_int64: int = -1, default_float: float = -0.0,
    default_tensor: Array | None = None,
) -> str:  # fmt: skip
    if classes_strings:
        # The first release of the operator: numbers are places in one list.
        keys_strings, values_int64s = classes_strings, range(len(classes_strings))
        if is_text(node.out):
            keys_int64s, values_strings = values_int64s, keys_strings
            keys_strings, values_int64s = (), ()
    keys = [*keys_strings, *keys_int64s, *keys_floats, *_listed(keys_tensor)]
    values = [*values_strings, *values_int64s, *values_floats, *_listed(values_tensor)]
    default: Any = (
        default_string if values_strings else default_int64 if values_int64s else default_float
    )
    if default_tensor is not None:
        default = _listed(default_tensor)[0]
    elif values_tensor is not None:
        default = {"O": "_Unused", "f": default_float}.get(values_tensor.dtype.kind, default_int64)
    return _looked_up(x, keys, values, default, node)


def ai_onnx_ml_CategoryMapper(
    x: Operand, *, node: Use, cats_int64s: Sequence[int], cats_strings: Sequence[str],
    default_int64: int = -1, default_string: str = "_Unused",
) -> str:  # fmt: skip
    if is_text(node.out):
        return _looked_up(x, list(cats_int64s), list(cats_strings), default_string, node)
    return _looked_up(x, list(cats_strings), list(cats_int64s), default_int64, node)


def _listed(tensor: Array | None) -> list[Any]:
    found = [] if tensor is None else tensor.ravel().tolist()
    return [text.decode() if isinstance(text, bytes) else text for text in found]


def _looked_up(x: Operand, keys: list[Any], values: list[Any], default: Any, node: Use) -> str:
    if len(keys) != len(values) or any(key != key for key in keys):
        raise Refusal(f"{len(keys)} keys for {len(values)} values, or NaN among them")
    text = f"look_up({x}, {keys!r}, {values!r}, {default!r})"
    dtype = node.out.dtype
    plain = dtype is None or dtype.kind == "O" or dtype.name in ("int64", "float64")
    return text if plain else f"{text}.astype(np.{dtype})"


def ai_onnx_ml_OneHotEncoder(x: Operand, *, cats_strings: Sequence[str], zeros: int = 1) -> str:
    if not zeros:
        raise Refusal("attribute zeros=0")
    return f"np.asarray({x}[..., None] == np.array({list(cats_strings)!r})).astype(np.float32)"


# ***** text itself *****


def StringNormalizer(
    x: Operand, *, case_change_action: str, is_case_sensitive: int, locale: str = "en_US",
    stopwords: Sequence[str] = (),
) -> str:  # fmt: skip
    if locale not in ("en_US", "C"):
        raise Refusal(f"attribute locale={locale!r}")
    sensitive = bool(is_case_sensitive)
    return f"normalize_strings({x}, {case_change_action!r}, {sensitive}, {list(stopwords)!r})"


def StringSplit(
    x: Operand, *, delimiter: str | None = None, maxsplit: int | None = None, node: Use
) -> str:
    # The second result has an entry of its own, by the key that `lower.py` makes of it.
    return f"split_strings({x}, {delimiter or None!r}, {-1 if maxsplit is None else maxsplit})"


def StringSplit_1(
    x: Operand, *, delimiter: str | None = None, maxsplit: int | None = None, node: Use
) -> str:
    return f"count_parts({x}, {delimiter or None!r}, {-1 if maxsplit is None else maxsplit})"


# Where Python's `re` says the same as RE2, in which patterns of the standard are written.
ESCAPES = re.compile(r"\\([wWdDtnrfb]|[^A-Za-z0-9])")
GROUPS = re.compile(r"\((?!\?)|\(\?:|\(\?P<\w+>")
SPACES = r"\t\n\f\r "


def RegexFullMatch(x: Operand, *, pattern: str) -> str:
    return f"matches({x}, {_python_pattern(pattern)!r})"


def _python_pattern(pattern: str) -> str:
    """A pattern of RE2 as one of Python that says the same; refused where there might be none."""

    def refuse(what: str) -> Refusal:
        return Refusal(f"attribute pattern={pattern!r}: {what} may differ from RE2")

    found, place, in_class = "", 0, False
    while place < len(pattern):
        rest = pattern[place:]
        step = rest[0]
        written = step
        if rest.startswith("\\"):
            escape = rest[1:2]
            if escape in ("s", "S"):
                if escape == "S" and in_class:
                    raise refuse("\\S in a class")
                step, plain = rest[:2], SPACES if escape == "s" else f"^{SPACES}"
                written = plain if in_class else f"[{plain}]"
            elif (known := ESCAPES.match(rest)) and not (escape == "b" and in_class):
                step = written = known.group()
            else:
                raise refuse(rest[:2])
        elif in_class:
            if step == "[":
                raise refuse("a class in a class")
            first = found.endswith(("[", "[^"))
            in_class = step != "]" or first
        elif step == "[":
            in_class = True
            step = written = rest[:2] if rest.startswith("[^") else step
        elif step == "$":
            # Of Python's two ends of a text, the one that is no line's.
            written = r"\Z"
        elif step == "(":
            group = GROUPS.match(rest)
            if group is None:
                raise refuse(rest[:3])
            step = written = group.group()
        elif step == "{" and re.match(r"\{,", rest):
            raise refuse("{,n}")
        elif step in "*+?}" and rest[1:2] == "+":
            raise refuse(rest[:2])
        found, place = found + written, place + len(step)
    try:
        re.compile(found, re.ASCII)
    except re.error as error:
        raise Refusal(f"attribute pattern={pattern!r}: {error}") from error
    return found


# ***** what moves texts about *****


def Identity(x: Operand) -> str:
    return str(x)


def Reshape(x: Operand, shape: Numbers, *, allowzero: int) -> str:
    return f"{x}.reshape({shape})"


def Flatten(x: Operand, *, axis: int) -> str:
    if axis != 1:
        raise Refusal(f"attribute axis={axis} of string")
    return f"{x}.reshape({x}.shape[0], -1)"


def Transpose(x: Operand, *, perm: tuple[int, ...] | None = None) -> str:
    return f"{x}.transpose({', '.join(map(str, perm)) if perm is not None else ''})"


def Unsqueeze(x: Operand, axes: Numbers) -> str:
    return f"np.expand_dims({x}, {axes.known('axes')})"


def Squeeze(x: Operand, axes: Numbers | None = None) -> str:
    return f"{x}.squeeze()" if axes is None else f"{x}.squeeze({axes.known('axes')})"


def Concat(*xs: Operand, axis: int) -> str:
    return f"np.concatenate([{', '.join(str(x) for x in xs)}], axis={axis})"


def Gather(x: Operand, indices: Operand, *, axis: int) -> str:
    return f"np.take({x}, {indices}, axis={axis})"


def Where(condition: Operand, x: Operand, y: Operand) -> str:
    return f"np.where({condition}, {x}, {y})"


def Expand(x: Operand, shape: Numbers) -> str:
    return f"np.broadcast_to({x}, np.broadcast_shapes({x}.shape, {shape}))"
