"""A region's statements -> the lines of its forward method: variables, nesting, comments.

The rules of style: a value that is read once, by the next statement, is written inside it while that
stays short; a variable is reused once its old value is dead, so that the main flow reads `x = ...`;
other variables are named after the module or operator that makes them.
"""

from __future__ import annotations

import ast
import copy
import keyword
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from converters.graph.model import Dim, Value

# A nested expression may be this long and this deep.
LONGEST = 64
DEEPEST = 3

HINTS = {
    "Concat": "merged",
    "Embedding": "embedded",
    "Gather": "picked",
    "GlobalAveragePool": "pooled",
    "HardSigmoid": "gate",
    "MatMul": "scores",
    "ReduceMean": "mean",
    "ScaledDotProductAttention": "context",
    "Sigmoid": "gate",
    "Softmax": "probs",
    "Split": "part",
    "Where": "chosen",
}
SPARE = ("x", "y", "z", "u", "v", "w", "a", "b", "c", "d", "e", "g", "h")
# Operators after which a reader wants to know the shape.
RESHAPING = {
    "AveragePool", "Concat", "Conv", "ConvTranspose", "DepthToSpace", "Embedding", "Expand", "Flatten",
    "Gather", "GlobalAveragePool", "MatMul", "MaxPool", "Pad", "Reshape", "Resize", "Slice",
    "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze", "Linear",
}  # fmt: skip


@dataclass(eq=False)
class Step:
    """A line to be: an expression with tokens and the values that it gives.

    Attributes:
        hint: What to call the value; used where no dead variable can be reused, or always if `strong`.
        loop: For a loop over repeated modules: the attribute that holds them.
    """

    outputs: tuple[Value | None, ...]
    expression: ast.expr
    hint: str = ""
    comment: bool = False
    loop: str = ""
    strong: bool = False


@dataclass
class Forward:
    """The text of a forward method, without its header.

    Attributes:
        parameters: Names of the arguments, in order.
        lines: The statements.
        comments: For each line what to say behind it, or nothing.
    """

    parameters: list[str]
    lines: list[str]
    comments: list[str] = field(default_factory=list)


def identifier(name: str, fallback: str = "x") -> str:
    """A name as a Python identifier."""
    text = re.sub(r"\W+", "_", name).strip("_")
    text = re.sub(r"^(\d)", r"_\1", text) or fallback
    return f"{text}_" if keyword.iskeyword(text) else text


def attribute_name(name: str) -> str:
    """A name of the source as an attribute, so that keys of the weights stay what they are."""
    # Python changes names with two underscores inside of classes.
    plain = name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("__")
    return name if plain else identifier(name)


def write_forward(
    steps: Sequence[Step],
    inputs: Sequence[tuple[Value, str]],
    outputs: Sequence[Value],
    tokens: Mapping[str, Value],
    attributes: Mapping[Value, str],
) -> Forward:
    """Write the body of a forward method.

    Args:
        steps: What to compute, in order.
        inputs: The values that come in, with a name for each or "" for a made-up one.
        outputs: The values that it returns.
        tokens: Which value a token in an expression stands for.
        attributes: Constants that the module holds, with their attribute.
    """
    result = Step((), _result(outputs, tokens))
    nested = _nest([*steps, result], tokens, attributes)
    return _Writer(tokens, attributes, outputs).write(nested, inputs)


def _result(outputs: Sequence[Value], tokens: Mapping[str, Value]) -> ast.expr:
    token_of = {value: token for token, value in tokens.items()}
    names: list[ast.expr] = [ast.Name(token_of[value], ast.Load()) for value in outputs]
    return names[0] if len(names) == 1 else ast.Tuple(names, ast.Load())


def _reads(expression: ast.expr, tokens: Mapping[str, Value]) -> list[Value]:
    """The values that an expression reads, in the order of its text, once for each time."""
    names = [n for n in ast.walk(expression) if isinstance(n, ast.Name) and n.id in tokens]
    return [tokens[n.id] for n in sorted(names, key=lambda n: getattr(n, "col_offset", 0))]


class _Substitution(ast.NodeTransformer):
    def __init__(self, tokens: Mapping[str, Value], by: Mapping[Value, ast.expr]) -> None:
        self.tokens, self.by = tokens, by

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = self.tokens.get(node.id)
        return copy.deepcopy(self.by[value]) if value is not None and value in self.by else node


def _depth(node: ast.AST) -> int:
    inner = max((_depth(child) for child in ast.iter_child_nodes(node)), default=0)
    return inner + isinstance(node, ast.Call | ast.BinOp)


def _shown(
    expression: ast.expr, tokens: Mapping[str, Value], attributes: Mapping[Value, str]
) -> str:
    """Roughly the final text, to judge its length."""
    short: dict[Value, ast.expr] = {
        v: ast.Name(f"self.{attributes[v]}" if v in attributes else "x") for v in tokens.values()
    }
    return ast.unparse(_Substitution(tokens, short).visit(copy.deepcopy(expression)))


def _nest(
    steps: Sequence[Step], tokens: Mapping[str, Value], attributes: Mapping[Value, str]
) -> list[Step]:
    """Write values that only the next step reads, once, inside it."""
    uses = Counter(value for step in steps for value in _reads(step.expression, tokens))
    done: list[Step] = []
    for step in steps:
        expression = step.expression
        while done and not step.loop and not done[-1].loop:
            last = done[-1]
            if len(last.outputs) != 1 or last.outputs[0] is None:
                break
            value = last.outputs[0]
            if uses[value] != 1 or value not in _reads(expression, tokens):
                break
            if _is_dimension_of(expression, value, tokens):
                break
            merged = _Substitution(tokens, {value: last.expression}).visit(
                copy.deepcopy(expression)
            )
            # What a function returns may be one call deeper than what a line computes.
            if len(_shown(merged, tokens, attributes)) > LONGEST or _depth(merged) > DEEPEST:
                break
            expression = merged
            done.pop()
        done.append(replace(step, expression=expression))
    return done


def _is_dimension_of(expression: ast.expr, value: Value, tokens: Mapping[str, Value]) -> bool:
    """Whether only `value.shape[...]` is read."""
    return any(
        isinstance(n, ast.Attribute)
        and isinstance(n.value, ast.Name)
        and tokens.get(n.value.id) is value
        for n in ast.walk(expression)
    ) and isinstance(expression, ast.Subscript)


class _Writer:
    def __init__(
        self, tokens: Mapping[str, Value], attributes: Mapping[Value, str], outputs: Sequence[Value]
    ) -> None:
        self.tokens, self.attributes = tokens, attributes
        self.names: dict[Value, str] = {}
        self.fixed: set[str] = set()

    def write(self, steps: Sequence[Step], inputs: Sequence[tuple[Value, str]]) -> Forward:
        for value, name in inputs:
            self.names[value] = self.fresh(name)
            if name and name not in SPARE:
                self.fixed.add(self.names[value])
        forward = Forward([self.names[value] for value, _ in inputs], [])
        last: dict[Value, int] = {}
        for position, step in enumerate(steps):
            for value in _reads(step.expression, self.tokens):
                last[value] = position
        for value, _ in inputs:
            if value not in last:
                self.names.pop(value)
                self.names[value] = forward.parameters[[v for v, _ in inputs].index(value)]
        for position, step in enumerate(steps):
            reads = [v for v in _reads(step.expression, self.tokens) if v not in self.attributes]
            # Line numbers of nested expressions mix: order by where each is first read is good enough.
            dying = [v for v in dict.fromkeys(reads) if last[v] == position]
            text_of = {v: ast.Name(self.names[v]) for v in reads}
            if step.loop:
                self.loop(step, reads, dying, forward)
                continue
            text = self.text(step.expression, text_of)
            if position == len(steps) - 1:
                forward.lines.append(f"return {text}")
                forward.comments.append("")
                continue
            freed = self.release(dying)
            targets = self.targets(step, freed)
            forward.lines.append(f"{', '.join(targets)} = {text}")
            forward.comments.append(self.comment(step))
            for value in [v for v in step.outputs if v is not None and v not in last]:
                self.names.pop(value, None)
        return forward

    def text(self, expression: ast.expr, names: Mapping[Value, ast.expr]) -> str:
        by: dict[Value, ast.expr] = dict(names)
        for value, attribute in self.attributes.items():
            by[value] = ast.Name(f"self.{attribute}")
        return ast.unparse(_Substitution(self.tokens, by).visit(copy.deepcopy(expression)))

    def loop(self, step: Step, reads: list[Value], dying: list[Value], forward: Forward) -> None:
        """`for block in self.blocks: x = block(x, mask)`; the first value read is carried."""
        carried, output = reads[0], step.outputs[0]
        assert output is not None  # noqa: S101 - the caller's promise
        name = self.names[carried]
        if carried not in dying or name in self.fixed:
            name = self.fresh("x")
            forward.lines.append(f"{name} = {self.names[carried]}")
            forward.comments.append("")
        item = "block" if "block" not in self.names.values() else "layer"
        others = {v: ast.Name(self.names[v]) for v in reads}
        others[carried] = ast.Name(name)
        self.release(dying)
        self.names[output] = name
        forward.lines += [f"for {item} in self.{step.loop}:"]
        forward.comments += [""]
        call = self.text(step.expression, others).replace("_item_", item, 1)
        forward.lines.append(f"    {name} = {call}")
        forward.comments.append(self.comment(step))

    def release(self, dying: Iterable[Value]) -> list[tuple[str, str]]:
        """Forget dead values; their names may be used again."""
        freed = []
        for value in dying:
            name = self.names.pop(value)
            if name not in self.fixed:
                freed.append((name, value.dtype.kind if value.dtype is not None else "?"))
        return freed

    def targets(self, step: Step, freed: list[tuple[str, str]]) -> list[str]:
        found = []
        for value in step.outputs:
            if value is None:
                found.append("_")
                continue
            kind = value.dtype.kind if value.dtype is not None else "?"
            name = next((n for n, k in freed if k == kind and n not in found), "")
            if not name or step.strong or len(step.outputs) > 1:
                name = self.fresh(step.hint)
            self.names[value] = name
            found.append(name)
        return found

    def fresh(self, wanted: str) -> str:
        """A name that no living value has."""
        taken = set(self.names.values()) | self.fixed | {"self"}
        for candidate in (wanted, *SPARE) if wanted else SPARE:
            if candidate and candidate not in taken:
                return candidate
        number = 2
        while f"{wanted or 'x'}{number}" in taken:
            number += 1
        return f"{wanted or 'x'}{number}"

    def comment(self, step: Step) -> str:
        value = step.outputs[0]
        if not step.comment or value is None or value.shape is None or len(value.shape) < 2:
            return ""
        return f"[{', '.join(_shown_dim(dim) for dim in value.shape)}]"


def _shown_dim(dim: Dim) -> str:
    return (
        str(dim) if isinstance(dim, int) or (str(dim).isidentifier() and dim is not None) else "?"
    )
