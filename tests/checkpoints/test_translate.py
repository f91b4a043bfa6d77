"""What names and shapes decide, and what they do not."""

import numpy as np
import pytest

from converters.checkpoints.mapping import parse_mapping
from converters.checkpoints.steps import INVERSE, Step, apply
from converters.checkpoints.tensors import as_tensor
from converters.checkpoints.translate import plan
from converters.errors import UsageError


def tensors(**shapes):
    return {
        name.replace("__", "."): as_tensor(
            np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        )
        for name, shape in shapes.items()
    }


def decide(source, target, given=None, **shapes):
    """Kinds by module, and the modules that are open with their candidates."""
    said = parse_mapping({"kinds": given or {}}, "test")
    found = plan(tensors(**shapes), source, target, said)
    return (
        {one.module: one.kind for one in found.decisions},
        {one.module: set(one.candidates) for one in found.open},
    )


GPT2 = {
    "h__c_fc__weight": (3, 12),
    "h__c_fc__bias": (12,),
    "h__c_proj__weight": (3, 3),
    "h__c_proj__bias": (3,),
}
NANO = {
    "h__c_fc__weight": (12, 3),
    "h__c_fc__bias": (12,),
    "h__c_proj__weight": (3, 3),
    "h__c_proj__bias": (3,),
}
SQUARE = {"h__c_proj__weight": (3, 3), "h__c_proj__bias": (3,)}
OTHER = {"x__weight": (3, 3), "x__bias": (3,)}


@pytest.mark.parametrize(
    ("shapes", "kinds", "still_open"),
    [
        ({"a__weight": (3, 4), "a__bias": (3,)}, {"a": "Linear"}, {}),
        ({"a__weight": (3, 3), "a__bias": (3,)}, {"a": "Linear"}, {}),
        ({"a__weight": (3, 4)}, {}, {"a": {"Linear", "Embedding"}}),
        ({"a__weight": (3, 3)}, {}, {"a": {"Linear", "Embedding"}}),
        ({"a__q_proj__weight": (3, 3)}, {"a.q_proj": "Linear"}, {}),
        ({"wte__weight": (9, 3)}, {"wte": "Embedding"}, {}),
        ({"a__weight": (3,), "a__bias": (3,)}, {"a": "Norm"}, {}),
        ({"a__weight": (3,)}, {}, {"a": {"RMSNorm", "PReLU"}}),
        ({"a__weight": (1,)}, {}, {"a": {"RMSNorm", "PReLU"}}),
        ({"input_layernorm__weight": (3,)}, {"input_layernorm": "RMSNorm"}, {}),
        ({"prelu1__weight": (1,)}, {"prelu1": "PReLU"}, {}),
        ({"a__weight": (3, 2, 5, 5)}, {"a": "Conv2d"}, {}),
        # GPT-2 keeps [inputs, outputs], nanoGPT does not; a square matrix lies as the others do.
        (GPT2, {"h.c_fc": "Conv1D", "h.c_proj": "Conv1D"}, {}),
        (NANO, {"h.c_fc": "Linear", "h.c_proj": "Linear"}, {}),
        (SQUARE, {}, {"h.c_proj": {"Linear", "Conv1D"}}),
        (GPT2 | OTHER, {"h.c_fc": "Conv1D", "h.c_proj": "Conv1D"}, {"x": {"Linear", "Conv1D"}}),
        # What modules call their own, and what others are computed from.
        ({"cls_token": (1, 1, 3), "scale": (3,)}, {}, {}),
        ({"cls__bias": (3,)}, {}, {}),
        ({"a__weight_hr_l0": (2, 4)}, {}, {"a": {"Parameter"}}),
        ({"a__weight_g": (3, 1), "a__weight_v": (3, 4), "a__bias": (3,)}, {}, {"a": {"Parameter"}}),
        ({"a__parametrizations__weight__original0": (3, 1)}, {}, {"a.parametrizations.weight": {"Parameter"}}),
        ({"a__weight": (2, 2, 2, 2, 2, 2)}, {}, {"a": {"Parameter"}}),
    ],
)  # fmt: skip
def test_from_pytorch_to_paddle(shapes, kinds, still_open):
    assert decide("pytorch", "paddle", **shapes) == (kinds, still_open)


@pytest.mark.parametrize(
    ("shapes", "kinds", "still_open"),
    [
        ({"a__weight": (4, 3), "a__bias": (3,)}, {"a": "Linear"}, {}),
        ({"a__weight": (4, 3)}, {}, {"a": {"Linear", "Embedding"}}),
        ({"linear_0__w_0": (4, 3)}, {}, {"linear_0": {"Parameter"}}),
        ({f"a__{p}_proj__{r}": s for p in ("q", "k", "v", "out") for r, s in (("weight", (4, 4)), ("bias", (4,)))},
         {"a.out_proj": "Linear"}, {"a": {"MultiheadAttention", "Linear"}}),
    ],
)  # fmt: skip
def test_from_paddle_to_pytorch(shapes, kinds, still_open):
    assert decide("paddle", "pytorch", **shapes) == (kinds, still_open)


@pytest.mark.parametrize(
    ("shapes", "kinds", "still_open"),
    [
        ({"a__weight": (4, 3)}, {"a": "Linear"}, {}),
        ({"a__embedding_table": (4, 3)}, {"a": "Embedding"}, {}),
        ({"a__weight": (4, 3, 1, 5)}, {}, {"a": {"Conv1d", "Conv2d"}}),
        ({"a__weight": (4, 3, 1, 1)}, {}, {"a": {"Conv1d", "Conv2d"}}),
        ({"a__weight": (4, 3, 1, 1), "b__weight": (4, 3, 3, 3)}, {"a": "Conv2d", "b": "Conv2d"}, {}),
        ({"a__weight": (4, 3, 1, 1), "b__weight": (4, 3, 3, 3), "c__weight": (4, 3, 1, 3)},
         {"b": "Conv2d"}, {"a": {"Conv1d", "Conv2d"}, "c": {"Conv1d", "Conv2d"}}),
        # `mint` modules have PyTorch's names.
        ({"a__weight": (3,), "a__bias": (3,)}, {"a": "Norm"}, {}),
    ],
)  # fmt: skip
def test_from_mindspore_to_pytorch(shapes, kinds, still_open):
    assert decide("mindspore", "pytorch", **shapes) == (kinds, still_open)


def test_what_the_user_says_comes_first():
    kinds, still_open = decide("pytorch", "paddle", {"**": "Embedding"}, a__weight=(3, 4))
    assert (kinds, still_open) == ({"a": "Embedding"}, {})
    with pytest.raises(UsageError, match="cannot be a Linear"):
        decide("pytorch", "paddle", {"a": "Linear"}, a__weight=(3,))


def test_every_tensor_is_taken_once():
    given = tensors(
        a__weight=(3, 4), a__bias=(3,), b__running_mean=(2,), b__running_var=(2,), c=(5,)
    )
    found = plan(given, "pytorch", "mindspore")
    taken = [name for step in found.steps for name in step.sources]
    assert sorted(taken) == sorted(given)
    assert set(apply(found.steps, given)) == {
        "a.weight", "a.bias", "b.moving_mean", "b.moving_variance", "c",
    }  # fmt: skip


@pytest.mark.parametrize("op", INVERSE)
def test_a_step_is_the_inverse_of_its_inverse_and_survives_json(op):
    step = Step(
        op, ("a", "b"), ("c",), ("OI", "IO"), (2, 3), 1, (4, 5), ("float32", (1,), "AACAPw==")
    )
    assert step.inverse().inverse() == step
    assert Step.from_json(step.to_json()) == step
