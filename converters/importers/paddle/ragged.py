"""Sequences of different lengths (Paddle's LoD): what they are in ONNX, and which operators may see them.

Paddle keeps the rows of all sequences in one tensor, one sequence after the other, and a level of detail says where
each begins. In ONNX an input `x` of that kind is padded, [N, T, ...], and an input `x_lengths` [N] says how many rows
of each sequence count, from 1 to T; inputs that meet in an operator have one of those together. Inside, a variable is
rows again, N * T of them with the padding, so that operators that treat each row for itself stay what they are. Those
that look along a sequence get it padded. Outputs are padded too, with zeros.

An operator that mixes rows and is in neither table would count the padding: it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from converters.errors import UnsupportedError
from converters.importers.paddle.program import Operator, Program, Variable

LENGTHS = "{}_lengths"
# Metadata of the graph: inputs and outputs that are padded -> the input with their lengths, as JSON.
SEQUENCES = "polyzoo.sequences"


@dataclass(frozen=True)
class Lengths:
    """The sequences that some variables are made of.

    Attributes:
        padded: The ONNX input that has N and T.
        name: The ONNX input with the length of each, [N] int64.
        inside: Which steps of each count, [N, T].
    """

    padded: str
    name: str
    inside: str


def groups(program: Program) -> dict[str, str]:
    """Variables that are rows of sequences -> the first input that has the same lengths.

    Raises:
        UnsupportedError: Sequences within sequences.
    """
    known: dict[str, str] = {}
    for name in program.feeds:
        variable = program.variables.get(name, Variable(name))
        if variable.levels > 1:
            raise UnsupportedError(
                f"{program.where}: the input {name[:200]!r} has {variable.levels} levels of detail (LoD):"
                " sequences within sequences",
                fix="export the model with one level, or with padded inputs and their lengths",
            )
        if variable.levels == 1 and LENGTHS.format(name) in program.feeds:
            raise UnsupportedError(
                f"{program.where}: an input has the name {LENGTHS.format(name)[:200]!r}, which the lengths of"
                f" {name[:200]!r} have here",
                fix="rename it",
            )
        if variable.levels == 1:
            known[name] = name
    for operator in program.operators:
        read = {known[name]: None for name in _all(operator.inputs) if name in known}
        for other in [*read][1:]:
            first = next(iter(read))
            known = {name: first if group == other else group for name, group in known.items()}
        if read and operator.type not in FOLDED:
            known.update(dict.fromkeys(_all(operator.outputs), next(iter(read))))
    return known


def _all(slots: Mapping[str, Sequence[str]]) -> Iterator[str]:
    return (name for names in slots.values() for name in names)


@dataclass(frozen=True)
class Look:
    """An operator that reads rows of sequences, as the checks below see it."""

    operator: Operator
    ragged: frozenset[str]
    variables: Mapping[str, Variable]

    def rank(self, slot: str) -> int:
        """The rank of the first variable of a slot; large where it is not known."""
        names = self.operator.inputs.get(slot, ())
        dims = self.variables[names[0]].dims if names and names[0] in self.variables else None
        return 99 if dims is None else len(dims)

    def mixed(self, *slots: str) -> bool:
        """Whether a variable of these slots is made of rows."""
        return any(
            name in self.ragged for slot in slots for name in self.operator.inputs.get(slot, ())
        )

    def whole(self, name: str, default: Any) -> int:
        """An attribute that is an integer."""
        said = self.operator.attributes.get(name, default)
        return said if isinstance(said, int) else 0

    def axes(self, name: str, slot: str = "X") -> list[int]:
        """Axes of an attribute, from the front."""
        said = self.operator.attributes.get(name, ())
        listed = said if isinstance(said, tuple) else (said,)
        rank = self.rank(slot)
        return [axis + rank if axis < 0 else axis for axis in listed if isinstance(axis, int)]


# Whether an operator treats each row for itself.
Check: TypeAlias = Callable[[Look], bool]


def _behind(name: str, default: int, slot: str = "X") -> Check:
    """The axis of an attribute is not that of the rows."""
    return lambda look: look.whole(name, default) not in (0, -look.rank(slot))


def _none_first(name: str) -> Check:
    """None of the axes of an attribute is that of the rows."""
    return lambda look: bool(look.axes(name)) and 0 not in look.axes(name)


def _pair(look: Look) -> bool:
    """Both are rows, or the other one is the same for every row."""
    names = [look.operator.inputs.get(slot, ("",))[0] for slot in ("X", "Y")]
    if all(name in look.ragged for name in names):
        return look.rank("X") == look.rank("Y")
    other = names[0] if names[1] in look.ragged else names[1]
    dims = look.variables[other].dims if other in look.variables else None
    if dims is None:
        return False
    rows = look.rank("X" if names[0] in look.ragged else "Y")
    axis = look.whole("axis", -1)
    begins = rows - len(dims) if axis == -1 else axis
    return all(size == 1 for size in dims) or begins > 0 or (len(dims) == rows and dims[0] == 1)


def _reduced(look: Look) -> bool:
    return not look.operator.attributes.get("reduce_all") and _none_first("dim")(look)


_EACH = (
    "abs", "assign", "brelu", "cast", "ceil", "clip", "cos", "dropout", "elu", "exp", "floor",
    "gelu", "hard_sigmoid", "hard_swish", "leaky_relu", "log", "logical_not", "logsigmoid",
    "mish", "pow", "reciprocal", "relu", "relu6", "round", "rsqrt", "scale", "sigmoid", "sign",
    "silu", "sin", "softplus", "softsign", "sqrt", "square", "stanh", "swish", "tanh",
    "tanh_shrink",
)  # fmt: skip
_PAIRS = (
    "elementwise_add", "elementwise_div", "elementwise_max", "elementwise_min",
    "elementwise_mul", "elementwise_pow", "elementwise_sub", "equal", "greater_equal",
    "greater_than", "less_equal", "less_than", "logical_and", "logical_or", "not_equal",
)  # fmt: skip

# Operators that treat each row for itself, if their attributes say so.
ROWS: Mapping[str, Check] = {
    **dict.fromkeys(_EACH, lambda look: True),
    **dict.fromkeys(_PAIRS, _pair),
    **dict.fromkeys(("reduce_max", "reduce_mean", "reduce_min", "reduce_prod", "reduce_sum"), _reduced),
    "arg_max": lambda look: not look.operator.attributes.get("flatten") and _behind("axis", -1)(look),
    "concat": lambda look: all(n in look.ragged for n in look.operator.inputs.get("X", ())) and _behind("axis", 0)(look),
    "fc": lambda look: not look.mixed("W", "Bias") and look.whole("in_num_col_dims", 1) > 0,
    "layer_norm": lambda look: look.whole("begin_norm_axis", 1) > 0,
    "log_softmax": _behind("axis", -1),
    "lookup_table": lambda look: not look.mixed("W"),
    "lookup_table_v2": lambda look: not look.mixed("W"),
    "matmul_v2": lambda look: not look.mixed("Y") and not look.whole("trans_x", 0) and look.rank("Y") == 2,
    "mul": lambda look: not look.mixed("Y") and look.whole("x_num_col_dims", 1) > 0,
    "one_hot": lambda look: True,
    "one_hot_v2": lambda look: True,
    "slice": _none_first("axes"),
    "softmax": _behind("axis", -1),
    "split": _behind("axis", 0),
    "squeeze2": _none_first("axes"),
    "sum": lambda look: all(n in look.ragged for n in look.operator.inputs.get("X", ())),
    "top_k": lambda look: look.rank("X") > 1,
    "top_k_v2": _behind("axis", -1),
    "unsqueeze2": _none_first("axes"),
}  # fmt: skip
# Operators that look along sequences: their functions take care of it.
ALONG = frozenset({"crf_decoding", "gru", "lod_reset", "lstm", "sequence_pool", "sequence_softmax"})  # fmt: skip
# ... and those that make one row of each sequence.
FOLDED = frozenset({"sequence_pool"})


def refusal(operator: Operator, ragged: frozenset[str], program: Program) -> str | None:
    """Why an operator cannot be used on sequences; None where it can, or has none of them."""
    read = ragged.intersection(_all(operator.inputs))
    if not read or operator.type in ALONG:
        return None
    check = ROWS.get(operator.type)
    if check is not None and check(Look(operator, ragged, program.variables)):
        return None
    return "on sequences of different lengths (LoD): it may mix rows"
