"""Sequences of different lengths: what torch packs without its padding, ONNX keeps padded, with the lengths beside it.

Before: `gru(pack_padded_sequence(x, lengths))`, whose size depends on numbers. After: `GRU(x, ..., lengths)`. While a
module is traced, packing gives `Padded`, and recurrent layers take it; otherwise everything is torch's own.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.utils import rnn
from torch.onnx import JitScalarType, symbolic_helper

# The gates of a layer in ONNX's order, by their places in torch's: https://onnx.ai/onnx/operators/onnx__LSTM.html
GATES: Mapping[str, tuple[int, ...]] = {
    "LSTM": (0, 3, 1, 2),
    "GRU": (1, 0, 2),
    "RNN_TANH": (0,),
    "RNN_RELU": (0,),
}
NODES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "LSTM": ("LSTM", {}),
    "GRU": ("GRU", {"linear_before_reset_i": 1}),
    "RNN_TANH": ("RNN", {"activations_s": ["Tanh"]}),
    "RNN_RELU": ("RNN", {"activations_s": ["Relu"]}),
}


@dataclass(frozen=True)
class Padded:
    """What takes the place of a `PackedSequence`; code that looks into one finds nothing that it knows.

    Attributes:
        steps: [length, batch, width].
        lengths: [batch], int64.
    """

    steps: Tensor
    lengths: Tensor


def install() -> None:
    """Make packing mind traces; a class that imports its functions has to be imported later."""
    if hasattr(torch.ops.polyzoo, "recurrent"):
        return  # a process does several steps
    torch.library.custom_op("polyzoo::recurrent", recurrent, mutates_args=())
    packing = _with_as_many_lengths(rnn.pack_padded_sequence)
    rnn.pack_padded_sequence = _in_traces(packing, pack_padded_sequence)
    rnn.pad_packed_sequence = _in_traces(rnn.pad_packed_sequence, pad_packed_sequence)


def _in_traces(usual: Callable[..., Any], traced: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(usual)
    def chosen(*arguments: Any, **named: Any) -> Any:
        return (traced if torch.jit.is_tracing() else usual)(*arguments, **named)

    return chosen


def _with_as_many_lengths(usual: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse more sequences than lengths, as torch itself does where it need not sort: they vary together."""

    @functools.wraps(usual)
    def packed(
        input: Tensor,  # noqa: A002 - as torch calls it
        lengths: Any,
        batch_first: bool = False,
        enforce_sorted: bool = True,
    ) -> Any:
        if input.shape[0 if batch_first else 1] != len(lengths):
            raise ValueError(f"{len(lengths)} lengths for sequences of shape {list(input.shape)}")
        return usual(input, lengths, batch_first, enforce_sorted)

    return packed


@contextlib.contextmanager
def taken() -> Iterator[None]:
    """Recurrent layers take `Padded`."""
    with contextlib.ExitStack() as stack:
        for kind in (nn.LSTM, nn.GRU, nn.RNN):
            stack.enter_context(mock.patch.object(kind, "forward", _taking(kind.forward)))
        yield


def _taking(usual: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(usual)
    def forward(net: nn.RNNBase, x: Any, hx: Any = None) -> Any:
        return layers(net, x, hx) if isinstance(x, Padded) else usual(net, x, hx)

    return forward


def pack_padded_sequence(
    input: Tensor,  # noqa: A002 - as torch calls it
    lengths: Any,
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> Padded:
    """The sequences as they are; in which order they stand makes no difference here."""
    lengths = lengths if isinstance(lengths, Tensor) else torch.tensor(lengths)
    return Padded(input.transpose(0, 1) if batch_first else input, lengths.long())


def pad_packed_sequence(
    sequence: Padded,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The sequences, as long as the longest of them, or all of the length that is asked for.

    Raises:
        NotImplementedError: That is another length than they came with.
    """
    steps, lengths = sequence.steps, sequence.lengths
    if total_length is None:
        steps = steps.index_select(0, torch.arange(lengths.max()))
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if int(total_length) != int(steps.shape[0]):
                raise NotImplementedError("packed sequences of another total_length")
    if padding_value:
        inside = torch.arange(steps.shape[0]).unsqueeze(1) < lengths
        steps = torch.where(inside.unsqueeze(-1), steps, padding_value)
    return (steps.transpose(0, 1) if batch_first else steps), lengths


def layers(net: nn.RNNBase, sequence: Padded, hx: Any) -> tuple[Padded, Any]:
    """All layers of a module, a node of ONNX for each.

    Raises:
        NotImplementedError: The states are projected, for which ONNX has no form.
    """
    if net.proj_size:
        raise NotImplementedError("LSTM with projections")
    sides, x = 1 + net.bidirectional, sequence.steps
    if hx is None:
        hx = x.new_zeros(net.num_layers * sides, x.shape[1], net.hidden_size)
        hx = (hx, hx) if net.mode == "LSTM" else hx
    before = hx if net.mode == "LSTM" else (hx, hx)
    after = []
    for first in range(0, net.num_layers * sides, sides):
        place = slice(first, first + sides)
        every = [_parameters(net, weights) for weights in net.all_weights[place]]
        y, *states = torch.ops.polyzoo.recurrent(
            x, sequence.lengths, *(state[place] for state in before),
            *(torch.stack(one) for one in zip(*every, strict=True)), net.mode,
        )  # fmt: skip
        x = y.transpose(1, 2).flatten(2)
        after.append(states)
    h, c = (torch.cat(one) for one in zip(*after, strict=True))
    return Padded(x, sequence.lengths), (h, c) if net.mode == "LSTM" else h


def _parameters(net: nn.RNNBase, weights: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """W, R and B of one direction."""

    def ordered(one: Tensor) -> Tensor:
        parts = one.chunk(len(GATES[net.mode]))
        return torch.cat([parts[gate] for gate in GATES[net.mode]])

    w, r, *biases = map(ordered, weights)
    return w, r, torch.cat(biases) if biases else w.new_zeros(2 * w.shape[0])


def recurrent(
    x: Tensor, lengths: Tensor, h: Tensor, c: Tensor, w: Tensor, r: Tensor, b: Tensor, kind: str
) -> tuple[Tensor, Tensor, Tensor]:
    """One layer as ONNX has it: Y [length, directions, batch, width], Y_h, Y_c. A trace needs no more than the shapes."""
    return x.new_zeros(x.shape[0], *h.shape), torch.zeros_like(h), torch.zeros_like(c)


def register(opset: int) -> None:
    """Make the exporter of TorchScript know the layer."""

    def node(graph: Any, x: Any, lengths: Any, h: Any, c: Any, *rest: Any) -> Any:
        *weights, kind = rest
        name, more = NODES[symbolic_helper._get_const(kind, "s", "kind")]
        sides, _, width = symbolic_helper._get_tensor_sizes(weights[1])
        states = [h, c] if name == "LSTM" else [h]
        counted = graph.op("Cast", lengths, to_i=JitScalarType.INT.onnx_type())
        found = graph.op(
            name, x, *weights, counted, *states, outputs=1 + len(states), hidden_size_i=width,
            direction_s="bidirectional" if sides == 2 else "forward",
            **{key: value * sides if isinstance(value, list) else value for key, value in more.items()},
        )  # fmt: skip
        return (*found, found[-1])[:3]

    torch.onnx.register_custom_op_symbolic("polyzoo::recurrent", node, opset)
