"""A region's statements -> the lines of its forward method: variables, nesting, comments.

The rules of style: a value that is read once, by the next statement, is written inside it while that
stays short; a variable is reused once its old value is dead, so that the main flow reads `x = ...`;
other variables are named after the module or operator that makes them.
"""

from __future__ import annotations

import ast
import copy
import itertools
import keyword
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
        loop: For a loop over repeated modules what holds them, and for one module called again and again a range.
        bodies: For an `if`, whose condition is the expression: what either branch does.
        rounds: For a loop, which goes over the expression.
    """

    outputs: tuple[Value | None, ...]
    expression: ast.expr
    hint: str = ""
    comment: bool = False
    loop: str = ""
    strong: bool = False
    bodies: tuple[Body, ...] = ()
    rounds: Rounds | None = None

    def every_body(self) -> tuple[Body, ...]:
        """What it does further in."""
        return self.bodies if self.rounds is None else (self.rounds.body,)


@dataclass(eq=False)
class Body:
    """What a branch or a round does: steps, the last of which is a tuple of what it gives."""

    steps: Sequence[Step]


@dataclass(eq=False)
class Rounds:
    """A loop.

    Attributes:
        items: What `for` binds in each round.
        carried: Values before the first round (None where nothing is set), within, and after the last.
        collected: Lists that each round appends to; the body gives what is carried, then these.
        condition: The one of those carried that says whether there is another round.
        asked: It is asked before the first round.
    """

    body: Body
    items: tuple[Value, ...]
    carried: tuple[tuple[Value | None, Value, Value | None], ...]
    collected: tuple[Value, ...]
    condition: Value | None
    asked: bool


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

    def add(self, line: str, comment: str = "") -> None:
        """Add a line."""
        self.lines.append(line)
        self.comments.append(comment)

    def nest(self, inner: Forward) -> None:
        """Add the lines of a block, further in."""
        self.lines += [f"    {line}" for line in inner.lines]
        self.comments += inner.comments


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
    every = [*steps, Step((), result(outputs, tokens))]
    uses = Counter(_all_reads(every, tokens))
    nested = _nest(every, tokens, attributes, uses)
    return _Writer(tokens, attributes, outputs).write(nested, inputs)


def result(outputs: Sequence[Value], tokens: Mapping[str, Value]) -> ast.expr:
    """What a method or a body gives, as an expression: a name, or a tuple of names."""
    token_of = {value: token for token, value in tokens.items()}
    names: list[ast.expr] = [
        ast.Name(token_of[value], ast.Load(), col_offset=column)
        for column, value in enumerate(outputs)
    ]
    return names[0] if len(names) == 1 else ast.Tuple(names, ast.Load())


def _reads(expression: ast.expr, tokens: Mapping[str, Value]) -> list[Value]:
    """The values that an expression reads, in the order of its text, once for each time."""
    names = [n for n in ast.walk(expression) if isinstance(n, ast.Name) and n.id in tokens]
    return [tokens[n.id] for n in sorted(names, key=lambda n: getattr(n, "col_offset", 0))]


def _all_reads(steps: Iterable[Step], tokens: Mapping[str, Value]) -> Iterator[Value]:
    """The values that steps read, at every depth."""
    for step in steps:
        yield from _reads(step.expression, tokens)
        if step.rounds is not None:
            yield from (initial for initial, *_ in step.rounds.carried if initial is not None)
        for body in step.every_body():
            yield from _all_reads(body.steps, tokens)


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
    steps: Sequence[Step],
    tokens: Mapping[str, Value],
    attributes: Mapping[Value, str],
    uses: Mapping[Value, int],
) -> list[Step]:
    """Write values that only the next step reads, once, inside it."""
    done: list[Step] = []
    for step in steps:
        expression = step.expression
        while done and not step.loop and not done[-1].loop and not done[-1].every_body():
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
        for body in step.every_body():
            body.steps = _nest(body.steps, tokens, attributes, uses)
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


def _meant(steps: Sequence[Step], tokens: Mapping[str, Value]) -> Iterator[str]:
    """Names that mean something outside of variables, at every depth: functions, modules."""
    for step in steps:
        names = (node.id for node in ast.walk(step.expression) if isinstance(node, ast.Name))
        yield from (name for name in names if name not in tokens)
        for body in step.every_body():
            yield from _meant(body.steps, tokens)


class _Writer:
    def __init__(
        self, tokens: Mapping[str, Value], attributes: Mapping[Value, str], outputs: Sequence[Value]
    ) -> None:
        self.tokens, self.attributes = tokens, attributes
        self.names: dict[Value, str] = {}
        self.fixed: set[str] = set()
        self.meant: set[str] = set()
        # What loops call the modules that they go over, in all lines so far; of those, what a branch cannot use.
        self.modules: set[str] = set()
        self.elsewhere: set[str] = set()

    def write(self, steps: Sequence[Step], inputs: Sequence[tuple[Value, str]]) -> Forward:
        self.meant = set(_meant(steps, self.tokens))
        for value, name in inputs:
            self.names[value] = self.fresh(name)
            if name and name not in SPARE:
                self.fixed.add(self.names[value])
        forward = Forward([self.names[value] for value, _ in inputs], [])
        *steps, last = steps
        self.block(steps, last, set(), forward)
        names = {v: ast.Name(self.names[v]) for v in self.variables(last)}
        forward.add(f"return {self.text(last.expression, names)}")
        return forward

    def variables(self, step: Step) -> list[Value]:
        """The values that a step reads from variables, at every depth, each once."""
        reads = dict.fromkeys(_all_reads([step], self.tokens))
        return [v for v in reads if v not in self.attributes]

    def block(
        self, steps: Sequence[Step], result: Step, kept: set[Value], forward: Forward
    ) -> None:
        """Write steps; `result` reads what they give, and `kept` are read later on."""
        last: dict[Value, int] = {}
        for position, step in enumerate([*steps, result]):
            for value in self.variables(step):
                last[value] = position
        for position, step in enumerate(steps):
            # Bound further in, or written there.
            reads = [v for v in self.variables(step) if v in self.names]
            # Line numbers of nested expressions mix: order by where each is first read is good enough.
            dying = [v for v in reads if last[v] == position and v not in kept]
            if step.loop:
                self.loop(step, reads, dying, forward)
            elif step.rounds is not None:
                self.rounds(step, step.rounds, dying, forward)
            elif step.bodies:
                self.choice(step, dying, forward)
            else:
                text = self.text(step.expression, {v: ast.Name(self.names[v]) for v in reads})
                targets = self.targets(step, self.release(dying))
                forward.add(f"{', '.join(targets)} = {text}", self.comment(step))
            for value in [v for v in step.outputs if v is not None and v not in last]:
                self.names.pop(value, None)

    def choice(self, step: Step, dying: list[Value], forward: Forward) -> None:
        """`if ...: ... else: ...`; both branches end with the same variables set."""
        before = dict(self.names)
        condition = self.text(step.expression, {v: ast.Name(n) for v, n in before.items()})
        targets = self.targets(step, self.release(dying))
        after = dict(self.names)
        lines, elsewhere = [], self.elsewhere
        for body in step.bodies:
            self.names = dict(before)
            # Paddle's programs refuse a variable that is another module after one branch than after the other.
            self.elsewhere = set(self.modules)
            inner = Forward([], [])
            *steps, last = body.steps
            self.block(steps, last, set(before) - set(dying), inner)
            self.assign(targets, self.parts(last, len(targets)), inner)
            lines.append(inner)
        self.names, self.elsewhere = after, elsewhere
        yes, no = lines
        if not yes.lines:
            yes, no, condition = no, yes, _negated(condition)
        if not yes.lines:
            # Both leave everything as it is.
            return
        forward.add(f"if {condition}:")
        forward.nest(yes)
        if _is_one_if(no.lines):
            no.lines[0] = f"el{no.lines[0]}"
            forward.lines += no.lines
            forward.comments += no.comments
        elif no.lines:
            forward.add("else:")
            forward.nest(no)

    def rounds(self, step: Step, rounds: Rounds, dying: list[Value], forward: Forward) -> None:
        """`for ...: ...` or `while ...: ...`; what is carried keeps its variables."""
        before = dict(self.names)
        over = self.text(step.expression, {v: ast.Name(n) for v, n in before.items()})
        targets = self.before_rounds(step, rounds, dying, forward)
        lists = [self.names[value] for value in rounds.collected]
        bound = self.bind(rounds)
        keep = self.names[rounds.condition] if rounds.condition is not None else ""
        leave = [f"if not bool({keep}):", "    break"]
        body = Forward([], [])
        if over == "True":
            forward.add(f"while bool({keep}):" if rounds.asked else "while True:")
        else:
            forward.add(f"for {', '.join(bound)} in {over}:")
            for line in leave if rounds.asked else ():
                body.add(line)
        *steps, last = rounds.body.steps
        # A loop further in counts with another name, whether this one's is still read or not.
        counting = {value for value in rounds.items if value.kind == "index"}
        self.block(steps, last, set(before) | counting | set(rounds.collected), body)
        parts = self.parts(last, len(targets) + len(lists))
        for name, part in zip(lists, parts[len(targets) :], strict=True):
            body.add(f"{name}.append({part})")
        self.assign(targets, parts[: len(targets)], body)
        for line in leave if keep and not rounds.asked else ():
            body.add(line)
        if not body.lines:
            body.add("pass")
        forward.nest(body)
        self.names = before
        self.release(dying)
        for (_, _, output), name in zip(rounds.carried, targets, strict=True):
            if output is not None:
                self.names[output] = name
        self.names.update(zip(rounds.collected, lists, strict=True))

    def before_rounds(
        self, step: Step, rounds: Rounds, dying: list[Value], forward: Forward
    ) -> list[str]:
        """Set what is carried to its initial values, and the lists to empty ones; the carried names."""
        before = dict(self.names)
        captured = {v for inner in rounds.body.steps for v in self.variables(inner)}
        captured.update(_reads(step.expression, self.tokens))
        token_of = {value: token for token, value in self.tokens.items()}
        targets: list[str] = []
        for initial, inner, _ in rounds.carried:
            name = before.get(initial, "") if initial is not None else ""
            free = initial in dying and initial not in captured
            if not name or not free or name in self.fixed or name in targets:
                name = self.fresh("keep" if inner is rounds.condition else "", targets)
                if initial is not None:
                    names = {v: ast.Name(n) for v, n in before.items()}
                    forward.add(f"{name} = {self.text(ast.Name(token_of[initial]), names)}")
            targets.append(name)
        self.names.update({c[1]: name for c, name in zip(rounds.carried, targets, strict=True)})
        for number, value in enumerate(rounds.collected, 1):
            name = self.names[value] = self.fresh(f"items{number}" if number > 1 else "items")
            forward.add(f"{name} = []")
        return targets

    def bind(self, rounds: Rounds) -> list[str]:
        """The names that `for` binds; one that nothing reads is `_`."""
        read = {v for inner in rounds.body.steps for v in self.variables(inner)}
        bound = []
        for value in rounds.items:
            name = "_"
            if value in read:
                letters = [n for n in "ijk" if value.kind == "index" and n not in self.taken()]
                name = self.names[value] = self.fresh(letters[0] if letters else "item")
            bound.append(name)
        return bound

    def parts(self, step: Step, count: int) -> list[str]:
        """The texts of what a body gives."""
        names = {v: ast.Name(self.names[v]) for v in self.variables(step) if v in self.names}
        whole = step.expression
        elements = whole.elts if count != 1 and isinstance(whole, ast.Tuple) else [whole]
        return [self.text(element, names) for element in elements]

    def assign(self, targets: Sequence[str], texts: Sequence[str], forward: Forward) -> None:
        """Set several variables as if at once."""
        waiting = [(name, text) for name, text in zip(targets, texts, strict=True) if name != text]
        while waiting:
            free = next(
                (
                    pair
                    for pair in waiting
                    if not any(
                        pair[0] in _names(text) for other, text in waiting if other != pair[0]
                    )
                ),
                None,
            )
            if free is None:
                names, values = zip(*waiting, strict=True)
                forward.add(f"{', '.join(names)} = {', '.join(values)}")
                return
            waiting.remove(free)
            forward.add(f"{free[0]} = {free[1]}")

    def text(self, expression: ast.expr, names: Mapping[Value, ast.expr]) -> str:
        by: dict[Value, ast.expr] = dict(names)
        for value, attribute in self.attributes.items():
            by[value] = ast.Name(f"self.{attribute}")
        return ast.unparse(_Substitution(self.tokens, by).visit(copy.deepcopy(expression)))

    def loop(self, step: Step, reads: list[Value], dying: list[Value], forward: Forward) -> None:
        """`for block in self.blocks: x = block(x, mask)`, `for _ in range(3): x = self.block(x, mask)`; the first value
        read is carried.
        """
        carried, output = reads[0], step.outputs[0]
        assert output is not None  # noqa: S101 - the caller's promise
        name = self.names[carried]
        if carried not in dying or name in self.fixed:
            name = self.fresh("x")
            forward.add(f"{name} = {self.names[carried]}")
        item = "_" if step.loop.startswith("range(") else self.module()
        others = {v: ast.Name(self.names[v]) for v in reads}
        others[carried] = ast.Name(name)
        self.release(dying)
        self.names[output] = name
        forward.add(f"for {item} in {step.loop}:")
        call = self.text(step.expression, others).replace("_item_", item, 1)
        forward.add(f"    {name} = {call}", self.comment(step))

    def module(self) -> str:
        """What a loop calls the module of a round."""
        taken = {*self.names.values(), *self.elsewhere}
        wanted = itertools.chain(("block", "layer"), (f"block{k}" for k in itertools.count(2)))
        found = next(name for name in wanted if name not in taken)
        self.modules.add(found)
        return found

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

    def taken(self) -> set[str]:
        """Names that a new variable cannot have."""
        return set(self.names.values()) | self.fixed | self.meant | {"self"}

    def fresh(self, wanted: str, others: Iterable[str] = ()) -> str:
        """A name that no living value has."""
        taken = self.taken() | set(others)
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


def _negated(condition: str) -> str:
    """The opposite of a condition: `a != b` rather than `not a == b`."""
    tree = ast.parse(condition, mode="eval").body
    if isinstance(tree, ast.Compare) and len(tree.ops) == 1:
        opposite = {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}.get(type(tree.ops[0]))
        if opposite is not None:
            return ast.unparse(ast.Compare(tree.left, [opposite()], tree.comparators))
    return f"not {_operand(condition)}"


def _is_one_if(lines: Sequence[str]) -> bool:
    """Whether lines are one `if` with all its branches."""
    first, *rest = lines or [""]
    return first.startswith("if ") and all(
        line.startswith((" ", "elif ", "else:")) for line in rest
    )


def _names(text: str) -> set[str]:
    return {n.id for n in ast.walk(ast.parse(text, mode="eval")) if isinstance(n, ast.Name)}


def _operand(text: str) -> str:
    """A condition as what `not` takes."""
    return text if re.fullmatch(r"[\w.]+(\(.*\))?", text) else f"({text})"


def _shown_dim(dim: Dim) -> str:
    return (
        str(dim) if isinstance(dim, int) or (str(dim).isidentifier() and dim is not None) else "?"
    )
