"""What frameworks call the parameters of a module, and how they lay them out: one table.

A cell is a name and its axes, one letter each: `weight IO` is a matrix whose rows are inputs. Equal letters
are equal sizes, so that shapes alone tell many kinds apart. `1` is an axis of size one, `(CD)` two axes in
one; `?` marks what a module can do without; `-` is a framework that has no such parameter. Names of axes:

    O I outputs, inputs   B bias   K D H W kernel   V E vocabulary, embedding   C channels   G gates x hidden

To add a kind: a row here and its module in tests/checkpoints/test_layouts.py, where the frameworks
themselves are asked.

Sources: `state_dict()` of torch.nn 2.13 and paddle.nn 3.3, parameter names of mindspore.nn 2.10 in a cell;
transformers' `Conv1D` (transformers/pytorch_utils.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

FRAMEWORKS = ("pytorch", "paddle", "mindspore")


@dataclass(frozen=True)
class Spelling:
    """A parameter in one framework: its name in the module, and its axes."""

    leaf: str
    axes: str
    optional: bool

    @property
    def rank(self) -> int:
        """Dimensions that the axes say."""
        return len(re.sub(r"\(.*?\)", "x", self.axes))


@dataclass(frozen=True)
class Kind:
    """A kind of module.

    Attributes:
        name: Its name in mapping files.
        roles: Its parameters; each by framework, None where that has none.
        named: Pattern of the module's own name that decides for this kind where shapes do not.
        only_named: Whether it is thought of only where its name, or the user, says so.
    """

    name: str
    roles: tuple[Mapping[str, Spelling | None], ...]
    named: str = ""
    only_named: bool = False


def _cell(text: str) -> Spelling | None:
    if text == "-":
        return None
    leaf, _, axes = text.removesuffix("?").partition(" ")
    return Spelling(leaf, axes.strip(), text.endswith("?"))


def _kind(name: str, *rows: str, named: str = "", only_named: bool = False) -> Kind:
    roles = tuple(
        MappingProxyType(
            dict(zip(FRAMEWORKS, map(_cell, map(str.strip, row.split("|"))), strict=True))
        )
        for row in rows
    )
    return Kind(name, roles, named, only_named)


# fmt: off
KINDS: tuple[Kind, ...] = (
    #                       PyTorch                  | PaddlePaddle     | MindSpore
    _kind("Linear",        "weight OI                | weight IO        | weight OI",
                           "bias O?                  | bias O?          | bias O?",
          named=r"[qkvo]_proj|out_proj|gate_proj|up_proj|down_proj|lm_head|lora_[AB]"),
    # transformers' GPT-2: a Linear that is kept as [inputs, outputs]; shown by what is not square.
    _kind("Conv1D",        "weight IO                | weight IO        | weight OI",
                           "bias O                   | bias O           | bias O",
          only_named=True),
    _kind("Embedding",     "weight VE                | weight VE        | embedding_table VE",
          named=r"embed_tokens|embed_positions|(word|position|token_type|tok)_embeddings|wte|wpe"),
    _kind("BatchNorm",     "weight C?                | weight C?        | gamma C?",
                           "bias C?                  | bias C?          | beta C?",
                           "running_mean C           | _mean C          | moving_mean C",
                           "running_var C            | _variance C      | moving_variance C",
                           "num_batches_tracked ?    | -                | -"),
    # LayerNorm, GroupNorm; BatchNorm without statistics.
    _kind("Norm",          "weight C                 | weight C         | gamma C",
                           "bias C                   | bias C           | beta C"),
    _kind("LayerNorm2d",   "weight CD                | weight (CD)      | gamma CD",
                           "bias CD                  | bias (CD)        | beta CD"),
    _kind("LayerNorm3d",   "weight CDE               | weight (CDE)     | gamma CDE",
                           "bias CDE                 | bias (CDE)       | beta CDE"),
    _kind("InstanceNorm",  "weight C                 | scale C          | gamma C",
                           "bias C                   | bias C           | beta C",
          named=r".*instance_?norm.*", only_named=True),
    _kind("RMSNorm",       "weight C                 | weight C         | weight C",
          named=r".*norm\d*|ln_?(\d+|f)?"),
    _kind("PReLU",         "weight C                 | _weight C        | w C",
          named=r".*prelu.*"),
    _kind("Conv1d",        "weight OIK               | weight OIK       | weight OI1K",
                           "bias B?                  | bias B?          | bias B?"),
    _kind("Conv2d",        "weight OIHW              | weight OIHW      | weight OIHW",
                           "bias B?                  | bias B?          | bias B?"),
    _kind("Conv3d",        "weight OIDHW             | weight OIDHW     | weight OIDHW",
                           "bias B?                  | bias B?          | bias B?"),
    _kind("Bilinear",      "weight OIJ               | weight OIJ       | weight OIJ",
                           "bias O?                  | bias 1O?         | bias O?",
          named=r".*bilinear.*", only_named=True),
)

# Parts of nn.MultiheadAttention: one tensor in PyTorch and MindSpore, three in Paddle, split along axis 0.
ATTENTION = "MultiheadAttention"
ATTENTION_FUSED: Mapping[str, tuple[str, ...]] = {
    "in_proj_weight OI": ("q_proj.weight IO", "k_proj.weight IO", "v_proj.weight IO"),
    "in_proj_bias O": ("q_proj.bias O", "k_proj.bias O", "v_proj.bias O"),
}
# ... and where keys and values have sizes of their own.
ATTENTION_APART: Mapping[str, str] = {
    "q_proj_weight OI": "q_proj.weight IO",
    "k_proj_weight OI": "k_proj.weight IO",
    "v_proj_weight OI": "v_proj.weight IO",
}
ATTENTION_PARTS = ("q_proj", "k_proj", "v_proj", "out_proj")
# Parameters of it that only some frameworks have.
ATTENTION_ONLY = {"bias_k", "bias_v"}

# nn.LSTM, nn.GRU, nn.RNN: names, layouts and the order of gates (LSTM i f g o; GRU r z n) are the same
# everywhere. Paddle lists every parameter a second time, under the cell that holds it.
RECURRENT = re.compile(r"(?P<role>(?:weight|bias)_[ih]h)_l(?P<layer>\d+)(?P<back>_reverse)?")
RECURRENT_AGAIN = re.compile(
    r"(?P<layer>\d+)\.cell(?P<way>_fw|_bw)?\.(?P<role>(?:weight|bias)_[ih]h)"
)

# Modules within nn.Transformer's layers that frameworks call differently: siblings that show that it is one,
# then the names in PyTorch, Paddle, MindSpore.
SUBMODULES: tuple[tuple[frozenset[str], tuple[str, str, str]], ...] = (
    (frozenset({"self_attn", "linear1", "linear2", "norm1"}), ("linear1", "linear1", "dense1")),
    (frozenset({"self_attn", "linear1", "linear2", "norm1"}), ("linear2", "linear2", "dense2")),
    (frozenset({"self_attn", "multihead_attn", "linear1", "linear2", "norm3"}),
     ("multihead_attn", "cross_attn", "multihead_attn")),
)
# What GPT-2 calls its Conv1D modules; others call Linear modules so.
TURNED = re.compile(r"c_attn|c_proj|c_fc|q_attn")
# Parameters that others are computed from, and names that say nothing of a module: no table knows their layout.
DERIVED = re.compile(
    # Projections of an LSTM: Paddle's own flat names for them lead to other weights.
    r"weight_hr_l\d+.*|weight_[guv]|weight_orig|weight_mask|parametrizations|weight_scale|qweight|qzeros|scales|g_idx"
    # Variables of Paddle's programs and optimizers: linear_0.w_0, linear_0.w_0_moment1_0.
    r"|[wb]_\d+(_.*)?"
)

# What classes of the frameworks are called, and which kind they are.
CLASSES: Mapping[str, str] = MappingProxyType({
    "Linear": "Linear", "Dense": "Linear", "NonDynamicallyQuantizableLinear": "Linear", "Conv1D": "Conv1D",
    "Embedding": "Embedding", "EmbeddingBag": "Embedding",
    "BatchNorm1d": "BatchNorm", "BatchNorm2d": "BatchNorm", "BatchNorm3d": "BatchNorm",
    "BatchNorm1D": "BatchNorm", "BatchNorm2D": "BatchNorm", "BatchNorm3D": "BatchNorm",
    "BatchNorm": "BatchNorm", "SyncBatchNorm": "BatchNorm",
    "LayerNorm": "Norm", "GroupNorm": "Norm",
    "InstanceNorm1d": "InstanceNorm", "InstanceNorm2d": "InstanceNorm", "InstanceNorm3d": "InstanceNorm",
    "InstanceNorm1D": "InstanceNorm", "InstanceNorm2D": "InstanceNorm", "InstanceNorm3D": "InstanceNorm",
    "RMSNorm": "RMSNorm", "PReLU": "PReLU",
    "Conv1d": "Conv1d", "Conv2d": "Conv2d", "Conv3d": "Conv3d", "Conv2D": "Conv2d", "Conv3D": "Conv3d",
    "ConvTranspose1d": "Conv1d", "ConvTranspose2d": "Conv2d", "ConvTranspose3d": "Conv3d",
    "Conv1dTranspose": "Conv1d", "Conv2dTranspose": "Conv2d", "Conv3dTranspose": "Conv3d",
    "Conv1DTranspose": "Conv1d", "Conv2DTranspose": "Conv2d", "Conv3DTranspose": "Conv3d",
    "Bilinear": "Bilinear", "BiDense": "Bilinear",
    "MultiheadAttention": ATTENTION, "MultiHeadAttention": ATTENTION,
})
# fmt: on
BY_NAME: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in KINDS})


def spellings(kind: Kind, framework: str) -> dict[str, Spelling]:
    """A kind's parameters in a framework, by leaf."""
    found = (role[framework] for role in kind.roles)
    return {spelling.leaf: spelling for spelling in found if spelling is not None}


# Leaves that some kind has; a parameter of another name is a module's own, and the same everywhere.
LEAVES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        framework: frozenset(leaf for kind in KINDS for leaf in spellings(kind, framework))
        for framework in FRAMEWORKS
    }
)
