"""Operators of classical models (`ai.onnx.ml`) -> standard nodes; the rules are looked up by `expand`.

Trees are walked all at once: for every row and tree the number of a node, which a loop of as many rounds as the
deepest tree has levels replaces by that of a child; leaves are their own children.

Source: https://github.com/onnx/onnx/blob/main/docs/Operators-ml.md; where that leaves something open, what ONNX
Runtime does (`core/providers/cpu/ml` there).
"""
# ruff: noqa: N802, D103 - functions are named as the operators, which the source documents

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.dtypes import element_type
from converters.graph.body import Body, Unsayable
from converters.graph.model import Array, Graph, Value, constant

FLOAT = element_type(np.float32).onnx
INT64 = element_type(np.int64).onnx
BOOL = element_type(np.bool_).onnx
POST_TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
# In the order of their numbers in `TreeEnsemble`.
COMPARISONS = {
    "BRANCH_LEQ": "LessOrEqual", "BRANCH_LT": "Less", "BRANCH_GTE": "GreaterOrEqual",
    "BRANCH_GT": "Greater", "BRANCH_EQ": "Equal", "BRANCH_NEQ": "NotEqual", "BRANCH_MEMBER": "Member",
}  # fmt: skip
MODES = tuple(COMPARISONS)


# ***** features *****


def ArrayFeatureExtractor(b: Body, x: Value, places: Value) -> Value:
    rows = b("Reshape", x, [1, -1]) if x.rank == 1 else x
    return b("Gather", rows, b("Reshape", places, [-1]), axis=-1)


def Binarizer(b: Body, x: Value, *, threshold: float = 0.0) -> Value:
    return b("CastLike", b("Greater", x, b.like(x, threshold)), x)


def FeatureVectorizer(b: Body, *parts: Value, inputdimensions: Sequence[int] = ()) -> Value:
    wide = [b("Cast", b("Reshape", x, [1, -1]) if x.rank == 1 else x, to=FLOAT) for x in parts]
    if any(
        x.shape is None or x.shape[-1] != size
        for x, size in zip(parts, inputdimensions, strict=True)
    ):
        raise Unsayable(f"attribute inputdimensions={list(inputdimensions)} for other widths")
    return b("Concat", *wide, axis=1)


def Imputer(
    b: Body, x: Value, *, imputed_value_floats: Sequence[float] = (),
    imputed_value_int64s: Sequence[int] = (), replaced_value_float: float = 0.0,
    replaced_value_int64: int = 0,
) -> Value:  # fmt: skip
    real = x.dtype is not None and x.dtype.kind == "f"
    filled = imputed_value_floats if real else imputed_value_int64s
    if not filled or x.dtype is None:
        raise Unsayable("no values of the input's element type")
    replaced = replaced_value_float if real else replaced_value_int64
    lacking = b("IsNaN", x) if replaced != replaced else b("Equal", x, b.like(x, replaced))
    return b("Where", lacking, constant(f"{b.node.name}.filled", np.asarray(filled, x.dtype)), x)


def Normalizer(b: Body, x: Value, *, norm: str = "MAX") -> Value:
    real = b("Cast", x, to=FLOAT)
    if norm not in ("L1", "L2"):
        raise Unsayable(f"attribute norm={norm!r}")
    size = b("Reduce" + norm, real, [-1], keepdims=1)
    return b("Div", real, b("Where", b("Equal", size, 0.0), 1.0, size))


def OneHotEncoder(
    b: Body, x: Value, *, cats_int64s: Sequence[int] = (), cats_strings: Sequence[str] = (),
    zeros: int = 1,
) -> Value:  # fmt: skip
    if not zeros or not cats_int64s:
        raise Unsayable(f"attribute zeros={zeros}" if cats_int64s else "attribute cats_strings")
    number = b("Unsqueeze", b("Cast", x, to=INT64), [-1])
    return b("Cast", b("Equal", number, list(cats_int64s)), to=FLOAT)


def Scaler(b: Body, x: Value, *, offset: Sequence[float], scale: Sequence[float]) -> Value:
    real = b("Cast", x, to=FLOAT)
    shifted = b("Sub", real, [float(number) for number in offset]) if any(offset) else real
    return b("Mul", shifted, [float(number) for number in scale])


def LabelEncoder(
    b: Body, x: Value, *, keys_int64s: Sequence[int] = (), keys_floats: Sequence[float] = (),
    keys_tensor: Array | None = None, values_int64s: Sequence[int] = (),
    values_floats: Sequence[float] = (), values_tensor: Array | None = None,
    default_int64: int = -1, default_float: float = -0.0, default_tensor: Array | None = None,
    **texts: Any,
) -> Value:  # fmt: skip
    given = [name for name in texts if not name.startswith("default_")]
    tensors = [t for t in (keys_tensor, values_tensor) if t is not None]
    if given or any(t.dtype.kind == "O" for t in tensors) or x.dtype is None:
        raise Unsayable(f"attribute {given[0]}" if given else "element type string")
    keys = np.asarray([*keys_int64s, *keys_floats] if keys_tensor is None else keys_tensor, x.dtype)
    if values_tensor is not None:
        values = values_tensor.ravel()
    else:
        kind = np.int64 if values_int64s else np.float32
        values = np.asarray([*values_int64s, *values_floats], kind)
    default: Any = default_float if values.dtype.kind == "f" else default_int64
    default = default_tensor if default_tensor is not None else default
    if keys.size != values.size or not keys.size or bool(np.any(keys != keys)):
        raise Unsayable(f"{keys.size} keys for {values.size} values, or NaN among them")
    same = b("Cast", b("Equal", b("Unsqueeze", x, [-1]), _table(b, "keys", keys)), to=INT64)
    value = b("Gather", _table(b, "values", values), b("ArgMax", same, axis=-1, keepdims=0))
    known = b("Cast", b("ReduceMax", same, [-1], keepdims=0), to=BOOL)
    other = constant(f"{b.node.name}.default", np.asarray(default, values.dtype).reshape(()))
    return b("Where", known, value, other)


# ***** linear models *****


def LinearRegressor(
    b: Body, x: Value, *, coefficients: Sequence[float], intercepts: Sequence[float] = (),
    targets: int = 1, post_transform: str = "NONE",
) -> Value:  # fmt: skip
    return _transformed(b, _linear(b, x, coefficients, intercepts, targets), post_transform)


def LinearClassifier(
    b: Body, x: Value, *, coefficients: Sequence[float], intercepts: Sequence[float] = (),
    classlabels_ints: Sequence[int] = (), classlabels_strings: Sequence[str] = (),
    multi_class: int = 0, post_transform: str = "NONE",
) -> tuple[Value, Value]:  # fmt: skip
    labels = classlabels_strings or classlabels_ints
    if len(intercepts) < 2 or len(labels) != len(intercepts):
        raise Unsayable(f"{len(labels)} labels for {len(intercepts)} scores")
    scores = _linear(b, x, coefficients, intercepts, len(intercepts))
    best = b("ArgMax", scores, axis=1, keepdims=0)
    return _labelled(b, best, labels), _transformed(b, scores, post_transform)


def _linear(
    b: Body, x: Value, coefficients: Sequence[float], intercepts: Sequence[float], targets: int
) -> Value:
    weight = np.asarray(coefficients, np.float32).reshape(targets, -1)
    given = np.asarray(intercepts or [0.0] * targets, np.float32)
    wide = [_table(b, name, data) for name, data in (("weight", weight), ("bias", given))]
    return b("Gemm", b("Cast", x, to=FLOAT), *wide, transB=1)


def _labelled(b: Body, place: Value, labels: Sequence[str | int]) -> Value:
    """Labels at some places of their list; texts are looked up, because tensors have none."""
    if not isinstance(labels[0], str):
        return b("Gather", _table(b, "labels", np.asarray(labels, np.int64)), place)
    keys = list(range(len(labels)))
    out = b("ai.onnx.ml::LabelEncoder", place, keys_int64s=keys, values_strings=list(labels))
    out.dtype, out.shape = np.dtype(object), place.shape
    return out


def _transformed(b: Body, scores: Value, post_transform: str) -> Value:
    if post_transform == "NONE":
        return scores
    if post_transform == "SOFTMAX":
        return b("Softmax", scores, axis=-1)
    if post_transform == "LOGISTIC":
        return b("Sigmoid", scores)
    raise Unsayable(f"attribute post_transform={post_transform!r}")


# ***** trees *****


@dataclass(frozen=True)
class Trees:
    """All nodes of all trees in one list.

    Attributes:
        feature: Which column of the input a node asks of.
        mode: How it asks, an index of `MODES`.
        split: What it compares with.
        missing: Whether NaN is a yes.
        yes, no: The next node; a leaf's is itself.
        roots: The first node of every tree.
        weights: What a leaf gives each target.
        members: The sets that nodes of the mode `BRANCH_MEMBER` ask for, by node.
    """

    feature: Array
    mode: Array
    split: Array
    missing: Array
    yes: Array
    no: Array
    roots: Array
    weights: Array
    members: dict[int, list[float]]

    def depth(self) -> int:
        """Levels of the deepest tree above its leaves."""
        level, here = 0, np.unique(self.roots)
        while np.any(self.yes[here] != here):
            level, here = level + 1, np.unique(np.concatenate([self.yes[here], self.no[here]]))
            if level > len(self.yes):
                raise Unsayable("a tree that has no end")
        return level


def _table(b: Body, name: str, data: Array) -> Value:
    return constant(f"{b.node.name}.{name}", np.ascontiguousarray(data))


def _leaves(b: Body, x: Value, trees: Trees) -> Value:
    """The leaf that every row comes to in every tree; integers [rows, trees]."""
    if x.rank != 2:
        raise Unsayable(f"an input of rank {x.rank}")
    rows = b("Slice", b("Shape", x), [0], [1])
    roots = _table(b, "roots", trees.roots[None])
    first = b("Expand", roots, b("Concat", rows, [1], axis=0))
    names = ("feature", "split", "yes", "no")
    feature, split, yes, no = (_table(b, name, getattr(trees, name)) for name in names)
    inner = type(b)(b.node)
    number, asked, node = (Value(f"{b.node.name}.{n}") for n in ("round", "asked", "node"))
    value = inner("GatherElements", x, inner("Gather", feature, node), axis=1)
    inside = trees.yes != np.arange(len(trees.yes))
    answer = None
    for mode in np.unique(trees.mode[inside]):
        found = _answer(inner, mode, value, split, node, trees)
        mine = _table(b, f"mode{mode}", trees.mode == mode)
        answer = (
            found if answer is None else inner("Where", inner("Gather", mine, node), found, answer)
        )
    if answer is None:
        return first
    if np.any(trees.missing):
        tracks = inner("Gather", _table(b, "missing", trees.missing.astype(bool)), node)
        answer = inner("Or", answer, inner("And", inner("IsNaN", value), tracks))
    child = inner("Where", answer, inner("Gather", yes, node), inner("Gather", no, node))
    body = Graph(f"{b.node.name}.walk", [number, asked, node], [asked, child], inner.nodes, 21)
    asked.dtype, asked.shape = np.dtype(bool), ()
    return b("Loop", np.int64(trees.depth()), None, first, body=body)


def _answer(b: Body, mode: int, value: Value, split: Value, node: Value, trees: Trees) -> Value:
    if MODES[mode] == "BRANCH_MEMBER":
        longest = max(map(len, trees.members.values()))
        sets = np.full((len(trees.yes), longest), np.nan, trees.split.dtype)
        for place, members in trees.members.items():
            sets[place, : len(members)] = members
        rows = b("Gather", _table(b, "members", sets), node)
        same = b("Cast", b("Equal", b("Unsqueeze", value, [-1]), rows), to=INT64)
        return b("Cast", b("ReduceMax", same, [-1], keepdims=0), to=BOOL)
    wanted, key = b("Gather", split, node), COMPARISONS[MODES[mode]]
    if key == "NotEqual":
        return b("Not", b("Equal", value, wanted))
    return b(key, value, wanted)


def _scores(b: Body, x: Value, trees: Trees, aggregate: str) -> Value:
    """What the leaves give the targets; [rows, targets]."""
    given = b("Gather", _table(b, "weights", trees.weights), _leaves(b, x, trees), axis=0)
    if aggregate in ("MIN", "MAX") and trees.weights.shape[1] > 1:
        raise Unsayable(f"attribute aggregate_function={aggregate!r} with several targets")
    key = {"AVERAGE": "ReduceMean", "SUM": "ReduceSum", "MIN": "ReduceMin", "MAX": "ReduceMax"}
    return b(key[aggregate], given, [1], keepdims=0)


def _trees(given: dict[str, Any], prefix: str, targets: int, dtype: np.dtype[Any]) -> Trees:
    """The trees of the first three releases: one list of nodes with leaves among them."""

    def listed(name: str, kind: Any = np.int64) -> Array:
        tensor = given.pop(f"{name}_as_tensor", None)
        found = given.pop(name, ())
        return np.asarray(found if tensor is None else tensor, kind)

    tree, number = listed("nodes_treeids"), listed("nodes_nodeids")
    place = {key: k for k, key in enumerate(zip(tree.tolist(), number.tolist(), strict=True))}
    modes = given.pop("nodes_modes")
    unknown = set(modes) - {"LEAF", *MODES[:6]}
    if unknown:
        raise Unsayable(f"attribute nodes_modes={sorted(unknown)[0]!r}")
    inside = np.asarray([mode != "LEAF" for mode in modes])
    own = np.arange(len(modes))

    def children(name: str) -> Array:
        ids = zip(tree.tolist(), listed(name).tolist(), strict=True)
        return np.asarray(
            [
                place[key] if branch else k
                for k, (key, branch) in enumerate(zip(ids, inside, strict=True))
            ]
        )

    yes, no = children("nodes_truenodeids"), children("nodes_falsenodeids")
    weights = np.zeros((len(modes), targets), dtype)
    ids = (listed(f"{prefix}_{name}").tolist() for name in ("treeids", "nodeids", "ids"))
    for t, n, target, weight in zip(*ids, listed(f"{prefix}_weights", dtype), strict=True):
        weights[place[t, n], target] += weight
    missing = listed("nodes_missing_value_tracks_true", bool)
    listed("nodes_hitrates")
    below = np.zeros(len(modes), bool)
    below[np.concatenate([yes[inside], no[inside]])] = True
    return Trees(
        np.where(inside, listed("nodes_featureids"), 0),
        np.asarray([0 if mode == "LEAF" else MODES.index(mode) for mode in modes]),
        listed("nodes_values", dtype),
        missing if missing.size else np.zeros(len(modes), bool),
        yes, no, own[~below], weights, {},
    )  # fmt: skip


def TreeEnsembleRegressor(
    b: Body, x: Value, *, n_targets: int = 1, aggregate_function: str = "SUM",
    post_transform: str = "NONE", base_values: Sequence[float] = (), **given: Any,
) -> Value:  # fmt: skip
    rows, dtype = _rows(b, x)
    trees = _trees(given, "target", n_targets, dtype)
    base = _base(given, base_values, dtype)
    if given:
        raise Unsayable(f"attribute {next(iter(given))}")
    scores = _scores(b, rows, trees, aggregate_function)
    scores = b("Add", scores, _table(b, "base", base)) if base.size else scores
    return _transformed(b, b("Cast", scores, to=FLOAT), post_transform)


def TreeEnsembleClassifier(
    b: Body, x: Value, *, classlabels_int64s: Sequence[int] = (),
    classlabels_strings: Sequence[str] = (), post_transform: str = "NONE",
    base_values: Sequence[float] = (), **given: Any,
) -> tuple[Value, Value]:  # fmt: skip
    labels = classlabels_strings or classlabels_int64s
    rows, dtype = _rows(b, x)
    ids = sorted(set(given.get("class_ids", ())))
    weights = np.asarray(given.get("class_weights", given.get("class_weights_as_tensor", ())))
    trees = _trees(given, "class", len(labels), dtype)
    base = _base(given, base_values, dtype)
    if given:
        raise Unsayable(f"attribute {next(iter(given))}")
    if len(labels) == 2:
        # With both, or the second alone, ONNX Runtime labels otherwise than by the larger score.
        if ids != [0]:
            raise Unsayable(f"attribute class_ids of {ids} for two labels")
        return _binary(b, rows, trees, base, labels, post_transform, bool(np.all(weights >= 0)))
    if len(labels) < 2 or base.size not in (0, len(labels)):
        raise Unsayable(f"{len(labels)} labels and {base.size} base values")
    scores = _scores(b, rows, trees, "SUM")
    scores = b("Add", scores, _table(b, "base", base)) if base.size else scores
    best = b("ArgMax", scores, axis=1, keepdims=0)
    return _labelled(b, best, labels), _transformed(b, b("Cast", scores, to=FLOAT), post_transform)


def _binary(
    b: Body, x: Value, trees: Trees, base: Array, labels: Sequence[str | int],
    post_transform: str, positive: bool,
) -> tuple[Value, Value]:  # fmt: skip
    """Two classes with one score: a probability where no weight is negative, else its logit."""
    if base.size > 1 or post_transform not in ("NONE", "LOGISTIC"):
        raise Unsayable(
            f"attribute post_transform={post_transform!r} of two classes with one score"
        )
    one = Trees(**{**vars(trees), "weights": trees.weights[:, :1]})
    score = _scores(b, x, one, "SUM")
    score = b("Add", score, _table(b, "base", base)) if base.size else score
    score = b("Cast", score, to=FLOAT)
    chosen = b("Cast", b("Greater", score, 0.5 if positive else 0.0), to=INT64)
    other = b("Sub", 1.0, score) if positive else b("Neg", score)
    both = b("Concat", other, score, axis=1)
    if post_transform == "LOGISTIC" and not positive:
        both = b("Sigmoid", both)
    return _labelled(b, b("Squeeze", chosen, [1]), labels), both


def TreeEnsemble(
    b: Body, x: Value, *, nodes_featureids: Sequence[int], nodes_modes: Array, nodes_splits: Array,
    nodes_truenodeids: Sequence[int], nodes_falsenodeids: Sequence[int],
    nodes_trueleafs: Sequence[int], nodes_falseleafs: Sequence[int], tree_roots: Sequence[int],
    leaf_targetids: Sequence[int], leaf_weights: Array, n_targets: int = 1,
    aggregate_function: int = 1, post_transform: int = 0, membership_values: Array | None = None,
    nodes_missing_value_tracks_true: Sequence[int] = (), nodes_hitrates: Array | None = None,
) -> Value:  # fmt: skip
    count, leaves = len(nodes_featureids), len(leaf_targetids)
    own = count + np.arange(leaves)

    def all_nodes(ids: Sequence[int], are_leaves: Sequence[int]) -> Array:
        return np.concatenate([np.asarray(ids) + count * np.asarray(are_leaves), own])

    def padded(data: Any, kind: Any) -> Array:
        return np.concatenate([np.asarray(data).astype(kind), np.zeros(leaves, kind)])

    weights = np.zeros((count + leaves, n_targets), leaf_weights.dtype)
    weights[own, np.asarray(leaf_targetids)] = leaf_weights
    modes = padded(nodes_modes, np.int64)
    groups: list[list[float]] = [[]]
    for member in () if membership_values is None else membership_values.tolist():
        if member != member:
            groups.append([])
        else:
            groups[-1].append(member)
    asking = np.flatnonzero(modes == MODES.index("BRANCH_MEMBER")).tolist()
    missing = nodes_missing_value_tracks_true or np.zeros(count)
    trees = Trees(
        padded(nodes_featureids, np.int64), modes, padded(nodes_splits, nodes_splits.dtype),
        padded(missing, bool), all_nodes(nodes_truenodeids, nodes_trueleafs),
        all_nodes(nodes_falsenodeids, nodes_falseleafs), np.asarray(tree_roots), weights,
        dict(zip(asking, groups, strict=False)),
    )  # fmt: skip
    scores = _scores(b, x, trees, AGGREGATES[aggregate_function])
    return _transformed(b, scores, POST_TRANSFORMS[post_transform])


def _rows(b: Body, x: Value) -> tuple[Value, np.dtype[Any]]:
    """The input as floats, and the type that they are compared in."""
    if x.dtype is None:
        raise Unsayable(f"the element type of {x.name!r} is not known")
    if x.dtype == np.float64:
        return x, x.dtype
    real = b("Cast", x, to=FLOAT)
    real.dtype, real.shape = np.dtype(np.float32), x.shape
    return real, real.dtype


def _base(given: dict[str, Any], values: Sequence[float], dtype: np.dtype[Any]) -> Array:
    tensor = given.pop("base_values_as_tensor", None)
    return np.asarray(values if tensor is None else tensor, dtype).ravel()
