"""Groups of primitive nodes -> the operator that they spell out.

Before: `Mul(x, Sigmoid(x))`. After: `Silu(x)`. A rule is a pattern and what replaces it, both written
as expressions: a small name stands for a value (the same name for the same value), a number for a
constant with that value, `d := ...` names an inner result. Operators that commute match both ways.
Inner results that something else reads keep a pattern from matching.

Operators that the standard lacks and emitters know:

    Silu(x)                       x * sigmoid(x)
    Linear(x, w, b?)              x @ w + b, w of shape [in, out], b of shape [out]
    Rank(x)                       the number of dimensions of x, which may be known only when the model runs
    Embedding(w, i)               rows of w, a parameter of shape [rows, width]
    ScaledDotProductAttention(q, k, v, mask?)  softmax(q @ k^T * scale + mask) @ v, attribute `scale`
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.graph.load import MADE_UP
from converters.graph.model import Graph, Node, Value, constant, every_graph, subgraphs

COMMUTATIVE = {"Add", "Mul", "Max", "Min", "And", "Or", "Xor", "Equal"}


@dataclass(frozen=True)
class Match:
    """Where a pattern stands in a graph: the values and nodes of its names, the nodes it covers."""

    values: dict[str, Value]
    nodes: dict[str, Node]
    covered: tuple[Node, ...]

    @property
    def root(self) -> Node:
        """The node whose output the pattern computes."""
        return self.covered[0]

    def number(self, name: str) -> float:
        """The constant that a name stands for, as a number."""
        data = self.values[name].const
        assert data is not None  # noqa: S101 - checked by the rule's `when`
        # As text in its own precision and back: 1e-05, not 9.999999747378752e-06.
        return float(str(data.ravel()[0]))


@dataclass(frozen=True)
class Rule:
    """A pattern, when it holds, and the operator that replaces it.

    Attributes:
        pattern: An expression, see the module's header.
        replacement: `Key(names)`; attributes come from `attributes`.
        attributes: Made from the match.
        when: Holds for the match beyond its form.
    """

    pattern: str
    replacement: str
    attributes: Callable[[Match], dict[str, Any]] = lambda match: {}
    when: Callable[[Match], bool] = lambda match: True


def _is_number(*names: str) -> Callable[[Match], bool]:
    def check(match: Match) -> bool:
        datas = [match.values[name].const for name in names]
        return all(data is not None and data.size == 1 for data in datas)

    return check


def _is_layer_norm(match: Match) -> bool:
    x, scale = match.values["x"], match.values["scale"]
    if x.rank is None or not _is_number("eps")(match):
        return False
    axes = [_axes(match.nodes[name], x.rank) for name in ("m", "v")]
    if axes[0] is None or axes[0] != axes[1] or scale.shape is None:
        return False
    last = list(range(x.rank - len(axes[0]), x.rank))
    keeps = all(match.nodes[name].attributes.get("keepdims", 1) for name in ("m", "v"))
    whole = [x.shape[axis] for axis in last] if x.shape is not None else []
    affine = [match.values[name] for name in ("scale", "bias") if name in match.values]
    return (
        keeps
        and axes[0] == last
        and all(isinstance(size, int) for size in whole)
        and all(value.shape == tuple(whole) for value in affine)
    )


def _axes(node: Node, rank: int) -> list[int] | None:
    value = node.inputs[1] if len(node.inputs) > 1 else None
    if value is None or value.const is None:
        return None
    return sorted(int(axis) % rank for axis in value.const.ravel())


def _layer_norm_attributes(match: Match) -> dict[str, Any]:
    axes = match.nodes["m"].inputs[1]
    count = axes.const.size if axes is not None and axes.const is not None else 1
    return {"axis": -int(count), "epsilon": match.number("eps")}


def _is_linear(match: Match) -> bool:
    x, w = match.values["x"], match.values["w"]
    # Exporters rename transposed weights (`onnx::MatMul_717`), so the name says nothing here.
    if w.const is None or w.const.ndim != 2 or w.const.dtype.kind not in "fV" or w.const.size < 2:
        return False
    if x.const is not None or x.rank is None or x.rank < 2:
        return False
    bias = match.values.get("b")
    if bias is None:
        return True
    return bias.const is not None and bias.trainable and bias.const.shape == (w.const.shape[1],)


def _is_plain_gemm(match: Match) -> bool:
    given = match.root.attributes
    plain = not given.get("transA", 0) and given.get("alpha", 1.0) == given.get("beta", 1.0) == 1.0
    w, bias = match.values["w"], match.values.get("b")
    if not plain or w.const is None or w.const.dtype.kind not in "fV" or w.const.ndim != 2:
        return False
    out = w.const.shape[0 if given.get("transB", 0) else 1]
    return bias is None or (
        bias.const is not None and bias.trainable and bias.const.shape == (out,)
    )


def _is_embedding(match: Match) -> bool:
    w, i = match.values["w"], match.values["i"]
    return (
        match.root.attributes.get("axis", 0) == 0
        and w.const is not None
        and w.const.ndim == 2
        and w.trainable
        and i.const is None
        and i.rank is not None
        and i.rank > 0
    )


def _is_whole_shape(match: Match) -> bool:
    given = match.nodes["s"].attributes
    return not given.get("start", 0) and given.get("end") is None


def _is_one_index(match: Match) -> bool:
    """A slice of length one whose axis is squeezed away."""
    x = match.values["x"]
    datas = [match.values[name].const for name in ("i", "j", "a", "a2")]
    if x.rank is None or any(data is None or data.size != 1 for data in datas):
        return False
    start, end, axis, squeezed = (int(data.ravel()[0]) for data in datas if data is not None)
    step = match.values["s"].const if "s" in match.values else np.ones(1)
    if step is None or int(step.ravel()[0]) != 1 or axis % x.rank != squeezed % x.rank:
        return False
    return end == start + 1 or (start == -1 and end >= np.iinfo(np.int32).max)


def _one_index(match: Match) -> dict[str, Any]:
    axis = match.values["a"].const
    return {"axis": int(axis.ravel()[0]) if axis is not None else 0}


def _is_conv_bias(match: Match) -> bool:
    w, b = match.values["w"], match.values["b"]
    if w.const is None or b.const is None or not b.trainable or w.const.ndim < 3:
        return False
    channels = w.const.shape[0]
    if match.covered[1].key == "ConvTranspose":
        channels = w.const.shape[1] * match.covered[1].attributes.get("group", 1)
    # [C, 1, 1] or [1, C, 1, 1] against an output of [N, C, H, W].
    wanted = (channels, *(1,) * (w.const.ndim - 2))
    return b.const.shape in (wanted, (1, *wanted))


def _attributes_of_inner(match: Match) -> dict[str, Any]:
    return match.covered[1].attributes


def _is_group_norm(match: Match) -> bool:
    """Groups as the channels of an InstanceNormalization that scales by one, then weights per channel."""
    x, inner, out = match.values["x"], match.values["n"], match.root.output
    one, zero = match.values["one"].const, match.values["zero"].const
    if x.rank is None or x.rank < 3 or x.shape is None or inner.shape is None or inner.rank != 3:
        return False
    if one is None or zero is None or np.any(one != 1) or np.any(zero != 0):
        return False
    wanted = (x.shape[1], *(1,) * (x.rank - 2))
    return (
        isinstance(x.shape[1], int)
        and out.shape == x.shape
        and inner.shape[0] == x.shape[0]
        and isinstance(inner.shape[1], int)
        and all(
            value.const is not None and value.trainable and value.shape in (wanted, (1, *wanted))
            for value in (match.values["w"], match.values["b"])
        )
    )


def _group_norm_attributes(match: Match) -> dict[str, Any]:
    shape = match.values["n"].shape
    epsilon = match.nodes["n"].attributes.get("epsilon", 1e-5)
    return {"num_groups": shape[1] if shape is not None else 1, "epsilon": epsilon}


def _is_attention(match: Match) -> bool:
    """Softmax over the keys, the two last axes of k exchanged, batched matrices of rank 3 or 4."""
    values = [match.values[name] for name in ("q", "k", "v")]
    ranks = {value.rank for value in values}
    if len(ranks) != 1 or (rank := ranks.pop()) not in (3, 4):
        return False
    order = match.nodes["t"].attributes.get("perm")
    exchanged = [*range(rank - 2), rank - 1, rank - 2]
    axis = match.nodes["s"].attributes.get("axis", -1)
    numbers = [name for name in ("c", "e") if name in match.values]
    return order == exchanged and axis in (-1, rank - 1) and _is_number(*numbers)(match)


def _scale(*names: str, inverse: str = "") -> Callable[[Match], dict[str, Any]]:
    def make(match: Match) -> dict[str, Any]:
        scale = 1.0
        for name in names:
            scale *= match.number(name)
        return {"scale": scale / match.number(inverse) if inverse else scale}

    return make


NORMALISED = (
    "Div(d := Sub(x, m := ReduceMean(x, a)), Sqrt(Add(v := ReduceMean({square}, a2), eps)))"
)
SQUARES = ("Pow(d, 2.0)", "Mul(d, d)")
ERF = "Add(Erf({inner}), 1.0)"
ERF_INNER = ("Div(x, 1.4142135)", "Mul(x, 0.70710677)")
TANH = "Add(Tanh(Mul(Add(x, Mul({cube}, 0.044715)), 0.7978846)), 1.0)"
CUBES = ("Pow(x, 3.0)", "Mul(Mul(x, x), x)")

RULES: tuple[Rule, ...] = (
    *(
        Rule(
            f"Add(Mul({NORMALISED.format(square=square)}, scale), bias)",
            "LayerNormalization(x, scale, bias)",
            _layer_norm_attributes,
            _is_layer_norm,
        )
        for square in SQUARES
    ),
    *(
        Rule(form.format(erf=ERF.format(inner=inner)), "Gelu(x)")
        for inner in ERF_INNER
        for form in (
            "Mul(Mul(x, {erf}), 0.5)",
            "Mul(Mul(x, 0.5), {erf})",
            "Mul(x, Mul({erf}, 0.5))",
        )
    ),
    *(
        Rule(
            form.format(tanh=TANH.format(cube=cube)),
            "Gelu(x)",
            lambda match: {"approximate": "tanh"},
        )
        for cube in CUBES
        for form in (
            "Mul(Mul(x, {tanh}), 0.5)",
            "Mul(Mul(x, 0.5), {tanh})",
            "Mul(x, Mul({tanh}, 0.5))",
        )
    ),
    Rule("Mul(x, Sigmoid(x))", "Silu(x)"),
    Rule("Div(Mul(x, Clip(Add(x, 3.0), 0.0, 6.0)), 6.0)", "HardSwish(x)"),
    Rule("Mul(x, Div(Clip(Add(x, 3.0), 0.0, 6.0), 6.0))", "HardSwish(x)"),
    Rule("Mul(Mul(x, Clip(Add(x, 3.0), 0.0, 6.0)), 0.16666667)", "HardSwish(x)"),
    Rule(
        "Mul(x, h := HardSigmoid(x))",
        "HardSwish(x)",
        when=lambda match: _is_hard_swish_gate(match.nodes["h"]),
    ),
    Rule(
        "Div(Clip(Add(x, 3.0), 0.0, 6.0), 6.0)",
        "HardSigmoid(x)",
        lambda match: {"alpha": 1 / 6, "beta": 0.5},
    ),
    Rule("Mul(x, Tanh(Softplus(x)))", "Mish(x)"),
    *(
        Rule(f"Add({kind}(x, w), b)", f"{kind}(x, w, b)", _attributes_of_inner, _is_conv_bias)
        for kind in ("Conv", "ConvTranspose")
    ),
    Rule(
        "Add(Mul(Reshape(n := InstanceNormalization(Reshape(x, r), one, zero), s), w), b)",
        "GroupNormalization(x, w, b)",
        _group_norm_attributes,
        _is_group_norm,
    ),
    Rule("Size(s := Shape(x))", "Rank(x)", when=_is_whole_shape),
    Rule("Squeeze(Slice(x, i, j, a, s), a2)", "Gather(x, i)", _one_index, _is_one_index),
    Rule("Squeeze(Slice(x, i, j, a), a2)", "Gather(x, i)", _one_index, _is_one_index),
    Rule("Gather(w, i)", "Embedding(w, i)", when=_is_embedding),
    Rule("Add(MatMul(x, w), b)", "Linear(x, w, b)", when=_is_linear),
    Rule("MatMul(x, w)", "Linear(x, w)", when=_is_linear),
    Rule("Gemm(x, w, b)", "Linear(x, w, b)", when=_is_plain_gemm),
    Rule("Gemm(x, w)", "Linear(x, w)", when=_is_plain_gemm),
    *(
        Rule(
            f"MatMul(s := Softmax({scores}), v)",
            f"ScaledDotProductAttention(q, k, v{mask})",
            scale,
            _is_attention,
        )
        for scores, mask, scale in (
            ("Add(Div(MatMul(q, t := Transpose(k)), c), mask)", ", mask", _scale(inverse="c")),
            ("Add(Mul(MatMul(q, t := Transpose(k)), c), mask)", ", mask", _scale("c")),
            ("Add(MatMul(Mul(q, c), Mul(t := Transpose(k), e)), mask)", ", mask", _scale("c", "e")),
            ("Add(MatMul(Mul(q, c), t := Transpose(k)), mask)", ", mask", _scale("c")),
            ("Add(MatMul(Div(q, c), t := Transpose(k)), mask)", ", mask", _scale(inverse="c")),
            ("Div(MatMul(q, t := Transpose(k)), c)", "", _scale(inverse="c")),
            ("Mul(MatMul(q, t := Transpose(k)), c)", "", _scale("c")),
            ("MatMul(Mul(q, c), Mul(t := Transpose(k), e))", "", _scale("c", "e")),
            ("MatMul(Mul(q, c), t := Transpose(k))", "", _scale("c")),
            ("MatMul(Div(q, c), t := Transpose(k))", "", _scale(inverse="c")),
        )
    ),
)


def _is_hard_swish_gate(node: Node) -> bool:
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    return bool(np.isclose(alpha, 1 / 6) and np.isclose(beta, 0.5))


def _split_key_transposes(graph: Graph) -> None:
    """Keys that were transposed in one go, as attention patterns want them: first heads, then k^T.

    Before: MatMul(q, Transpose(k, [0, 2, 3, 1])). After: MatMul(q, Transpose(Transpose(k, [0, 2, 1, 3]),
    [0, 1, 3, 2])).
    """
    producers, uses = graph.producers(), graph.uses()
    for node in [n for n in graph.nodes if n.key == "MatMul"]:
        k = node.inputs[1]
        transpose = producers.get(k) if k is not None else None
        if transpose is None or k is None or k in graph.outputs or len(uses[k]) != 1:
            continue
        if transpose.key != "Transpose" or transpose.attributes.get("perm") != [0, 2, 3, 1]:
            continue
        shape = None if k.shape is None else (k.shape[0], k.shape[1], k.shape[3], k.shape[2])
        heads = Value(f"{k.name}.heads", k.dtype, shape)
        first = Node(
            "Transpose",
            transpose.inputs,
            [heads],
            {"perm": [0, 2, 1, 3]},
            transpose.name,
            transpose.scope,
        )
        transpose.inputs, transpose.attributes = [heads], {"perm": [0, 1, 3, 2]}
        graph.nodes.insert(graph.nodes.index(transpose), first)


def _clip_by_numbers(graph: Graph) -> None:
    """Min(Max(x, 0), 1) -> Bounded(x, 0, 1): exporters of some frameworks know no bounds but tensors.

    Unlike `Clip`, whose bounds are finite where they are left out, this leaves NaN and infinity as they are. Integers,
    which have neither, are clipped.
    """
    producers, uses = graph.producers(), graph.uses()
    for node in [n for n in graph.nodes if n.key in ("Max", "Min") and len(n.inputs) == 2]:
        x, bound = sorted(node.inputs, key=lambda v: v is None or v.const is not None)
        if x is None or x.rank is None or x.const is not None or bound is None or bound.trainable:
            continue
        data = bound.const
        if data is None or data.size != 1 or data.ndim > x.rank or data.dtype.kind not in "fi":
            continue
        limit = constant(bound.name, data.reshape(()))
        if data.dtype.kind == "i":
            node.inputs = [x, limit] if node.key == "Max" else [x, None, limit]
            node.key = "Clip"
            continue
        within = producers.get(x)
        low: Value | None = limit if node.key == "Max" else None
        if node.key == "Min" and within is not None and within.key == "Bounded":
            alone = len(uses[x]) == 1 and x not in graph.outputs
            if alone and len(within.inputs) == 2:
                x, low = within.inputs
                graph.nodes.remove(within)
        node.inputs = [x, low] if node.key == "Max" else [x, low, limit]
        node.key = "Bounded"


# What moves a number without rounding it, and what makes it a whole one.
MOVES = frozenset({"Add", "Sub", "Mul", "Div", "Neg", "Min", "Max", "Clip", "Bounded"})
ROUNDS = frozenset({"Ceil", "Floor", "Round"})


def _mark_rounded(graph: Graph) -> None:
    """Make Log, where whole numbers come of it, `RoundedLog`, in place.

    Buckets of distances (T5, DeBERTa) lie at powers of two, whose logarithms must not fall short of them.
    """
    uses = graph.uses()
    for node in graph.nodes:
        if node.key != "Log" or node.output.dtype != np.float32:
            continue
        ahead, seen = [node.output], set[Value]()
        while ahead:
            value = ahead.pop()
            seen.add(value)
            for reader in uses.get(value, []):
                whole = reader.key == "Cast" and np.issubdtype(reader.output.dtype, np.integer)
                if whole or reader.key in ROUNDS:
                    node.key = "RoundedLog"
                elif reader.key in MOVES and reader.output not in seen:
                    ahead.append(reader.output)


def lift(graph: Graph, *, native: Callable[[str], bool] = lambda key: True) -> None:
    """Apply every rule whose replacement is native to the emitter, in place."""
    for node in graph.nodes:
        for inner in subgraphs(node):
            lift(inner, native=native)
    if native("Bounded"):
        _clip_by_numbers(graph)
    if native("RoundedLog"):
        _mark_rounded(graph)
    if native("ScaledDotProductAttention"):
        _split_key_transposes(graph)
    for rule in RULES:
        replacement = _call(ast.parse(rule.replacement, mode="eval").body)
        if not native(replacement[0]):
            continue
        pattern = ast.parse(f"({rule.pattern})", mode="eval").body
        # Nodes are looked at backwards, so that the largest form of a pattern is found first.
        producers, uses = graph.producers(), graph.uses()
        outputs = set(graph.outputs)
        gone: set[Node] = set()
        made: dict[Node, Node] = {}
        for node in reversed(graph.nodes):
            match = _match(pattern, node, producers)
            if match is None or gone & set(match.covered) or not rule.when(match):
                continue
            if not _is_closed(match, uses, outputs):
                continue
            made[node] = _replacement(match, replacement, rule.attributes(match))
            gone.update(match.covered)
        if gone:
            graph.nodes = [
                made.get(node, node) for node in graph.nodes if node in made or node not in gone
            ]


# Inputs that are parameters whatever a source calls them, by operator.
WEIGHTS: dict[str, tuple[int, ...]] = {
    "BatchNormalization": (1, 2),
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "GRU": (1, 2, 3),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LSTM": (1, 2, 3, 7),
    "LayerNormalization": (1, 2),
    "Linear": (1, 2),
    "PRelu": (1,),
    "RNN": (1, 2, 3),
}


def share_weights(graph: Graph) -> None:
    """Make one value of constants that are one parameter, in place.

    Of a parameter that several nodes read, each has made its own by now: turned around as its layer wants it, or a
    bias in the shape of a bias.
    """
    nodes = [node for inner in every_graph(graph) for node in inner.nodes]
    named: dict[str, list[Value]] = {}
    for value in dict.fromkeys(v for node in nodes for v in node.inputs if v is not None):
        if value.const is not None and value.name:
            named.setdefault(value.name, []).append(value)
    first: dict[Value, Value] = {}
    for values in named.values():
        for k, value in enumerate(values):
            first[value] = next((v for v in values[:k] if _is_same(v, value)), value)
    for node in nodes:
        node.inputs = [None if value is None else first.get(value, value) for value in node.inputs]


def _is_same(a: Value, b: Value) -> bool:
    """Whether two constants are equal in every bit."""
    x, y = a.const, b.const
    assert x is not None  # noqa: S101 - the caller has looked
    assert y is not None  # noqa: S101
    alike = (x.dtype, x.shape, a.trainable) == (y.dtype, y.shape, b.trainable)
    return alike and x.tobytes() == y.tobytes()


def mark_parameters(graph: Graph) -> None:
    """Make the constants that layers own trainable, in place.

    A normalisation that scales by one and shifts by zero, under a name that an exporter made up, has none; nor has
    a convolution a bias of zeros that an exporter made up, as torch's does where there is none.
    """
    for node in graph.nodes:
        if node.key in ("Conv", "ConvTranspose") and len(node.inputs) == 3:
            bias = node.inputs[2]
            if bias is not None and bias.const is not None and MADE_UP.search(bias.name):
                node.inputs = node.inputs if np.any(bias.const) else node.inputs[:2]
        positions = [k for k in WEIGHTS.get(node.key, ()) if k < len(node.inputs)]
        weights = [value for k in positions if (value := node.inputs[k]) is not None]
        datas = [value.const for value in weights]
        neutral = node.key == "InstanceNormalization" and all(
            data is not None and np.all(data == 1 - k) for k, data in enumerate(datas)
        )
        for value in weights if not neutral else ():
            if value.const is not None and value.const.dtype.kind in "fV" and value.const.size:
                value.trainable = True
        for inner in subgraphs(node):
            mark_parameters(inner)


def _replacement(match: Match, call: tuple[str, list[str]], attributes: dict[str, Any]) -> Node:
    key, names = call
    inputs: list[Value | None] = [match.values[name] for name in names]
    if key == "Linear":
        w = match.values["w"]
        assert w.const is not None  # noqa: S101 - checked by the rule
        w.trainable = True
        if match.root.attributes.get("transB", 0):
            inputs[1] = constant(w.name, np.ascontiguousarray(w.const.T), trainable=True)
    if key == "Gather":
        i = match.values["i"]
        assert i.const is not None  # noqa: S101 - checked by the rule
        inputs[1] = constant(i.name, i.const.reshape(()).astype(np.int64))
    if key in ("Conv", "ConvTranspose"):
        b = match.values["b"]
        assert b.const is not None  # noqa: S101 - checked by the rule
        inputs[2] = constant(b.name, b.const.reshape(-1), trainable=True)
    if key == "GroupNormalization":
        for k, value in enumerate((match.values["w"], match.values["b"]), 1):
            assert value.const is not None  # noqa: S101 - checked by the rule
            inputs[k] = constant(value.name, value.const.reshape(-1), trainable=True)
    root = match.root
    # The module that holds the inner nodes is the innermost scope that all of them share.
    return Node(
        key, inputs, root.outputs, dict(attributes), root.name, _shared_scope(match.covered)
    )


def _shared_scope(nodes: tuple[Node, ...]) -> tuple[str, ...]:
    scope = nodes[0].scope
    for node in nodes[1:]:
        length = 0
        while length < min(len(scope), len(node.scope)) and scope[length] == node.scope[length]:
            length += 1
        scope = scope[:length]
    return scope


def _is_closed(match: Match, uses: dict[Value, list[Node]], outputs: set[Value]) -> bool:
    """Nothing outside the match reads one of its inner results."""
    covered = set(match.covered)
    for node in match.covered[1:]:
        for value in node.outputs:
            if value in outputs or not all(user in covered for user in uses.get(value, ())):  # type: ignore[arg-type]
                return False
    return True


def _call(expression: ast.expr) -> tuple[str, list[str]]:
    assert isinstance(expression, ast.Call)  # noqa: S101 - our own table
    assert isinstance(expression.func, ast.Name)  # noqa: S101
    return expression.func.id, [arg.id for arg in expression.args if isinstance(arg, ast.Name)]


def _match(pattern: ast.expr, node: Node, producers: dict[Value, Node]) -> Match | None:
    for values, nodes, covered in _bindings(pattern, node.output, producers, {}, {}, ()):
        return Match(values, nodes, covered)
    return None


Binding = tuple[dict[str, Value], dict[str, Node], tuple[Node, ...]]


def _bindings(
    pattern: ast.expr,
    value: Value,
    producers: dict[Value, Node],
    values: dict[str, Value],
    nodes: dict[str, Node],
    covered: tuple[Node, ...],
) -> Iterator[Binding]:
    """Every way in which `pattern` computes `value`, given what is bound so far."""
    if isinstance(pattern, ast.Constant):
        data = value.const
        if data is not None and data.size == 1 and data.dtype.kind in "fiu" and not value.trainable:
            if np.isclose(float(data.ravel()[0]), float(str(pattern.value)), rtol=1e-4, atol=0):
                yield values, nodes, covered
        return
    if isinstance(pattern, ast.Name):
        if values.get(pattern.id, value) is value:
            yield {**values, pattern.id: value}, nodes, covered
        return
    name = ""
    if isinstance(pattern, ast.NamedExpr):
        assert isinstance(pattern.target, ast.Name)  # noqa: S101 - our own table
        name, pattern = pattern.target.id, pattern.value
    assert isinstance(pattern, ast.Call)  # noqa: S101
    assert isinstance(pattern.func, ast.Name)  # noqa: S101
    node = producers.get(value)
    if node is None or node.key != pattern.func.id:
        return
    inputs = [v for v in node.inputs if v is not None]
    if len(inputs) != len(pattern.args) or len(inputs) != len(node.inputs):
        return
    if name:
        if nodes.get(name, node) is not node:
            return
        values, nodes = {**values, name: value}, {**nodes, name: node}
    orders = [inputs, inputs[::-1]] if node.key in COMMUTATIVE else [inputs]
    for order in orders:
        yield from _all(pattern.args, order, producers, values, nodes, (*covered, node))


def _all(
    patterns: list[ast.expr],
    inputs: list[Value],
    producers: dict[Value, Node],
    values: dict[str, Value],
    nodes: dict[str, Node],
    covered: tuple[Node, ...],
) -> Iterator[Binding]:
    if not patterns:
        yield values, nodes, covered
        return
    for bound in _bindings(patterns[0], inputs[0], producers, values, nodes, covered):
        yield from _all(patterns[1:], inputs[1:], producers, *bound)
