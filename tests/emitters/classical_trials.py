"""Operators of classical models (`ai.onnx.ml`) and of text, for `test_contrib.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import helper
from test_numbers import Trial

RNG = np.random.default_rng(0)
X = RNG.standard_normal((7, 6)).astype(np.float32)
WHOLE = RNG.integers(0, 4, (7, 6)).astype(np.float32)
HOLES = np.where(RNG.random((7, 6)) < 0.2, np.nan, X).astype(np.float32)
TEXTS = np.array(["Red", "green", "", "blue sky", "red", "a-b-c"], object)
# What trees ask, where they do not all ask the same.
MIXED = ("BRANCH_LT", "BRANCH_GT", "BRANCH_GTE", "BRANCH_EQ", "BRANCH_NEQ")


def classical(
    op: str,
    x: np.ndarray,
    outputs: Sequence[str] = ("y",),
    domain: str = "ai.onnx.ml",
    **given: Any,
) -> Trial:
    node = helper.make_node(op, ["x"], outputs, domain=domain, **given)
    return Trial(node, {"x": x}, {"x": ("N", *x.shape[1:])}, opset=20)


def trees(
    prefix: str, ids: Sequence[int], modes: Sequence[str] = ("BRANCH_LEQ",), positive: bool = False
) -> dict[str, list[Any]]:
    """Five random trees, up to four levels deep, whose leaves give each of some targets a weight."""
    nodes: list[tuple[Any, ...]] = []
    leaves: list[tuple[Any, ...]] = []

    def grow(tree: int, level: int) -> int:
        place, number = len(nodes), sum(node[0] == tree for node in nodes)
        nodes.append(())
        if level == 4 or (level and RNG.random() < 0.2):
            nodes[place] = (tree, number, 0, "LEAF", 0.0, 0, 0, 0)
            weights = RNG.standard_normal(len(ids)) / 5
            leaves.extend(
                (tree, number, target, float(abs(w) if positive else w))
                for target, w in zip(ids, weights, strict=True)
            )
            return number
        nodes[place] = (tree, number)
        children = [grow(tree, level + 1) for _ in range(2)]
        mode, split, missing = str(RNG.choice(modes)), RNG.normal(), int(RNG.integers(2))
        nodes[place] = (tree, number, int(RNG.integers(6)), mode, float(split), *children, missing)
        return number

    for tree in range(5):
        grow(tree, 0)
    names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids",
             "missing_value_tracks_true")  # fmt: skip
    found = {f"nodes_{n}": list(c) for n, c in zip(names, zip(*nodes, strict=True), strict=True)}
    columns = zip(("treeids", "nodeids", "ids", "weights"), zip(*leaves, strict=True), strict=True)
    return found | {f"{prefix}_{name}": list(column) for name, column in columns}


BOTH = ("label", "scores")
CLASSICAL: dict[str, Trial] = {
    "trees": classical(
        "TreeEnsembleRegressor", X, n_targets=3, base_values=[0.1, 0.2, 0.3], **trees("target", [0, 1, 2])
    ),
    "trees_nan": classical("TreeEnsembleRegressor", HOLES, n_targets=1, **trees("target", [0])),
    "trees_mixed": classical(
        "TreeEnsembleRegressor", X, n_targets=1, aggregate_function="AVERAGE",
        **trees("target", [0], MIXED),
    ),
    "trees_min": classical(
        "TreeEnsembleRegressor", X, n_targets=1, aggregate_function="MIN", **trees("target", [0])
    ),
    "forest": classical(
        "TreeEnsembleClassifier", X, BOTH, classlabels_int64s=[3, 5, 9], post_transform="SOFTMAX",
        **trees("class", [0, 1, 2]),
    ),
    "forest_texts": classical(
        "TreeEnsembleClassifier", X, BOTH, classlabels_strings=["a", "b", "c"],
        **trees("class", [0, 1, 2], positive=True),
    ),
    "forest_two": classical(
        "TreeEnsembleClassifier", X, BOTH, classlabels_int64s=[0, 1],
        **trees("class", [0], positive=True),
    ),
    "forest_two_logits": classical(
        "TreeEnsembleClassifier", X, BOTH, classlabels_int64s=[0, 1], post_transform="LOGISTIC",
        **trees("class", [0]),
    ),
    "linear": classical(
        "LinearClassifier", X, BOTH, coefficients=X[:3].ravel().tolist(), intercepts=[0.1, 0.2, 0.3],
        classlabels_ints=[1, 2, 3], post_transform="SOFTMAX",
    ),
    "linear_texts": classical(
        "LinearClassifier", X, BOTH, coefficients=X[:2].ravel().tolist(), intercepts=[0.1, 0.2],
        classlabels_strings=["no", "yes"], post_transform="LOGISTIC",
    ),
    "regression": classical(
        "LinearRegressor", X, coefficients=X[:2].ravel().tolist(), intercepts=[0.1, 0.2], targets=2
    ),
    "scaler": classical("Scaler", X, offset=X[0].tolist(), scale=X[1].tolist()),
    "normalizer": classical("Normalizer", X, norm="L2"),
    "normalizer_zeros": classical("Normalizer", X * (WHOLE > 2), norm="L1"),
    "imputer": classical(
        "Imputer", HOLES, imputed_value_floats=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        replaced_value_float=float("nan"),
    ),
    "imputer_zeros": classical(
        "Imputer", WHOLE, imputed_value_floats=[7.0], replaced_value_float=0.0
    ),
    "one_hot": classical("OneHotEncoder", WHOLE, cats_int64s=[0, 1, 2]),
    "one_hot_texts": classical("OneHotEncoder", TEXTS, cats_strings=["red", "", "green"]),
    "labels": classical(
        "LabelEncoder", WHOLE, keys_floats=[0.0, 1.0], values_int64s=[5, 6], default_int64=42
    ),
    "labels_to_texts": classical(
        "LabelEncoder", WHOLE, keys_floats=[0.0, 1.0], values_strings=["p", "q"]
    ),
    "labels_of_texts": classical(
        "LabelEncoder", TEXTS, keys_strings=["red", ""], values_floats=[0.5, 1.5], default_float=-1.0
    ),
    "categories": classical(
        "CategoryMapper", TEXTS, cats_strings=["red", "green"], cats_int64s=[3, 4]
    ),
    "texts_split": classical("StringSplit", TEXTS, ("parts", "counts"), "", delimiter="-"),
    "texts_normal": classical(
        "StringNormalizer", TEXTS, domain="", case_change_action="UPPER", is_case_sensitive=0,
        stopwords=["red"], locale="C",
    ),
    "texts_matched": classical("RegexFullMatch", TEXTS, domain="", pattern=r"[a-z]+(\s\w+)?$|"),
}  # fmt: skip
