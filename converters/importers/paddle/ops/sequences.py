"""Operators that look along sequences of different lengths; `ragged.py` says what these are in ONNX.

Recurrences become `Scan` over the steps of all sequences at once: where a sequence has ended, its state stays. The
cells of Paddle's old `gru` and `lstm` take inputs that were multiplied with their weights before, and `lstm` has
peepholes, which layers of frameworks do not know.

Source: paddle/phi/kernels/funcs/gru_compute.cc, lstm_compute.cc, detail/lstm_kernel.h, impl/gru_kernel_impl.h,
cpu/crf_decoding_kernel.cc, funcs/sequence_pooling.cc of PaddlePaddle 3.3; the numbers of its kernels
(tests/importers).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from onnx import helper

from converters.dtypes import BY_NAME, ElementType
from converters.importers.graph import INT64, Graph, Step, Value
from converters.importers.paddle.build import Call, Rule
from converters.importers.paddle.ragged import LENGTHS, Lengths

BOOL = BY_NAME["bool"]
# What `activation` may say -> the operator.
ACTIVATIONS = {"identity": "Identity", "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}

Typed: TypeAlias = tuple[str, ElementType]
# States and what is scanned -> the next states and what is collected.
Body: TypeAlias = Callable[[list[str], list[str]], tuple[list[str], list[Typed]]]


# ***** Rows, steps, lengths *****


def _padded(call: Step, x: Value, lengths: Lengths) -> str:
    """Rows as [N, T, ...]."""
    if any(size < 0 for size in x.shape[1:]):
        call.refuse("rows of a size that is not known")
    head = call.dims(lengths.padded, 0, 2)
    shape = call.node("Concat", head, call.vector(x.shape[1:]), axis=0) if x.rank > 1 else head
    return call.node("Reshape", x.name, shape)


def _steps(call: Call, x: Value, lengths: Lengths) -> str:
    """Rows as [T, N, size]."""
    if x.rank != 2:
        call.malformed(f"rows of {x.rank} dimensions")
    return call.node("Transpose", _padded(call, x, lengths), perm=[1, 0, 2])


def _put_rows(call: Call, slot: str, padded: str, rest: Sequence[int]) -> None:
    """Put [N, T, ...] as rows."""
    call.put(slot, "Reshape", padded, call.vector([-1, *rest]))


class _Aside(Step):
    """What stands beside the operators of a program, at an input or output."""

    def __init__(self, graph: Graph, name: str) -> None:
        super().__init__(graph)
        self._name = name

    @property
    def hint(self) -> str:
        """The input or output."""
        return self._name


def lengths_of(graph: Graph, first: str) -> Lengths:
    """The sequences of a padded input."""
    step = _Aside(graph, LENGTHS.format(first))
    steps = _size(step, first, 1)
    ends = step.node("Unsqueeze", step.hint, step.vector([1]))
    return Lengths(first, step.hint, step.node("Less", _range(step, steps), ends))


def put_padded(graph: Graph, name: str, rows: Value, lengths: Lengths) -> None:
    """Put rows as an output [N, T, ...], zero behind the end of each sequence."""
    step = _Aside(graph, name)
    mask = lengths.inside
    if rows.rank > 1:
        mask = step.node("Unsqueeze", mask, step.vector(range(2, rows.rank + 1)))
    zero = graph.constant(np.zeros((), rows.type.numpy))
    graph.node("Where", [mask, _padded(step, rows, lengths), zero], [name])


def _range(step: Step, end: str) -> str:
    """0, 1, 2 ... up to a number, which is excluded."""
    zero, one = (step.graph.constant(np.array(number, np.int64)) for number in (0, 1))
    return step.node("Range", zero, end, one)


def _size(step: Step, name: str, axis: int) -> str:
    """A dimension, as a number."""
    return step.node("Squeeze", step.dims(name, axis, axis + 1), step.vector([0]))


def _scan(
    call: Call, body: Body, states: Sequence[Typed], scanned: Sequence[Typed], *, backwards: bool
) -> list[str]:
    """Go through steps, the first dimension; the last states, then what was collected."""
    inputs = [(call.graph.fresh(f"{call.hint}/step"), kind) for _, kind in (*states, *scanned)]
    names = [name for name, _ in inputs]
    with call.graph.within() as nodes:
        kept, made = body(names[: len(states)], names[len(states) :])
        ends = [call.node("Identity", name) for name in (*kept, *(name for name, _ in made))]
    kinds = [*(kind for _, kind in states), *(kind for _, kind in made)]
    graph = helper.make_graph(
        nodes,
        "step",
        [helper.make_tensor_value_info(name, kind.onnx, None) for name, kind in inputs],
        [
            helper.make_tensor_value_info(name, kind.onnx, None)
            for name, kind in zip(ends, kinds, strict=True)
        ],
    )
    return call.nodes(
        "Scan",
        *(name for name, _ in (*states, *scanned)),
        outputs=len(ends),
        body=graph,
        num_scan_inputs=len(scanned),
        scan_input_directions=[int(backwards)] * len(scanned),
        scan_output_directions=[int(backwards)] * len(made),
    )


def _mask(call: Call, lengths: Lengths) -> str:
    """Which sequences are still going on, by step: [T, N, 1]."""
    turned = call.node("Transpose", lengths.inside, perm=[1, 0])
    return call.node("Unsqueeze", turned, call.vector([2]))


def _state(call: Call, slot: str, steps: str, size: int, kind: ElementType) -> str:
    """The state before the first step: one that is given, or zeros."""
    given = call.maybe(slot)
    if given is not None:
        return given.name
    shape = call.node("Concat", call.dims(steps, 1, 2), call.vector([size]), axis=0)
    return call.node("Expand", call.scalar(0, kind), shape)


def _activation(call: Call, attribute: str, default: str) -> Callable[[str], str]:
    said = call.text(attribute, default)
    if said not in ACTIVATIONS:
        call.refuse(f"{attribute} = {said[:50]}")
    return lambda name: call.node(ACTIVATIONS[said], name)


# ***** Recurrences *****


def _gru(call: Call) -> None:
    """`gru`: update and reset gates, then the candidate; their weights are two blocks, one after the other."""
    x, weight, bias = call.value("Input"), call.value("Weight"), call.maybe("Bias")
    lengths = call.lengths("Input")
    size = weight.shape[0]
    if size < 1 or weight.shape != (size, 3 * size) or x.shape[-1] != 3 * size:
        call.malformed(f"weights of {list(weight.shape)} for inputs of {list(x.shape)}")
    gate = _activation(call, "gate_activation", "sigmoid")
    candidate = _activation(call, "activation", "tanh")
    steps = _steps(call, x, lengths)
    if bias is not None:
        steps = call.node("Add", steps, bias.name)
    flat = call.node("Reshape", weight.name, call.vector([-1]))
    cuts = call.vector([2 * size * size, size * size])
    both, last = call.nodes("Split", flat, cuts, outputs=2, axis=0)
    both = call.node("Reshape", both, call.vector([size, 2 * size]))
    last = call.node("Reshape", last, call.vector([size, size]))
    inputs = call.nodes("Split", steps, call.vector([2 * size, size]), outputs=2, axis=2)
    origin = call.flag("origin_mode")

    def step(states: list[str], rows: list[str]) -> tuple[list[str], list[Typed]]:
        (hidden,), (gates, new, going) = states, rows
        gates = gate(call.node("Add", gates, call.node("MatMul", hidden, both)))
        update, reset = call.nodes("Split", gates, outputs=2, axis=1, num_outputs=2)
        product = call.node("MatMul", call.node("Mul", reset, hidden), last)
        new = candidate(call.node("Add", new, product))
        # How much of the one is in the other: of the candidate, or of the state.
        first, second = (new, hidden) if origin else (hidden, new)
        change = call.node("Mul", update, call.node("Sub", second, first))
        state = call.node("Where", going, call.node("Add", first, change), hidden)
        return [state], [(state, x.type)]

    states = [(_state(call, "H0", steps, size, x.type), x.type)]
    scanned = [*((name, x.type) for name in inputs), (_mask(call, lengths), BOOL)]
    made = _scan(call, step, states, scanned, backwards=call.flag("is_reverse"))[1]
    _put_rows(call, "Hidden", call.node("Transpose", made, perm=[1, 0, 2]), [size])


def _lstm(call: Call) -> None:
    """`lstm`: candidate, input, forget and output gate; behind their biases, the weights of peepholes."""
    x, weight, bias = call.value("Input"), call.value("Weight"), call.maybe("Bias")
    lengths = call.lengths("Input")
    size = weight.shape[0]
    peepholes = call.flag("use_peepholes", True)
    wide = (7 if peepholes else 4) * size
    if size < 1 or weight.shape != (size, 4 * size) or x.shape[-1] != 4 * size:
        call.malformed(f"weights of {list(weight.shape)} for inputs of {list(x.shape)}")
    if (bias is None and peepholes) or (bias is not None and bias.shape[-1] != wide):
        call.malformed(f"biases for {wide // max(size, 1)} times {size}")
    gate = _activation(call, "gate_activation", "sigmoid")
    outwards = _activation(call, "cell_activation", "tanh")
    candidate = _activation(call, "candidate_activation", "tanh")
    steps = _steps(call, x, lengths)
    peeps: list[str] = []
    if bias is not None:
        flat = call.node("Reshape", bias.name, call.vector([-1]))
        cuts = [4 * size, *([size] * 3 if peepholes else [])]
        added, *peeps = call.nodes("Split", flat, call.vector(cuts), outputs=len(cuts), axis=0)
        steps = call.node("Add", steps, added)

    def peeped(name: str, state: str, which: int) -> str:
        if not peeps:
            return name
        return call.node("Add", name, call.node("Mul", state, peeps[which]))

    def step(states: list[str], rows: list[str]) -> tuple[list[str], list[Typed]]:
        (hidden, cell), (all_gates, going) = states, rows
        gates = call.node("Add", all_gates, call.node("MatMul", hidden, weight.name))
        new, enter, forget, leave = call.nodes("Split", gates, outputs=4, axis=1, num_outputs=4)
        enter = gate(peeped(enter, cell, 0))
        forget = gate(peeped(forget, cell, 1))
        fresh = call.node(
            "Add", call.node("Mul", candidate(new), enter), call.node("Mul", cell, forget)
        )
        leave = gate(peeped(leave, fresh, 2))
        made = call.node("Mul", leave, outwards(fresh))
        hidden = call.node("Where", going, made, hidden)
        cell = call.node("Where", going, fresh, cell)
        return [hidden, cell], [(hidden, x.type), (cell, x.type)]

    states = [(_state(call, slot, steps, size, x.type), x.type) for slot in ("H0", "C0")]
    scanned = [(steps, x.type), (_mask(call, lengths), BOOL)]
    made = _scan(call, step, states, scanned, backwards=call.flag("is_reverse"))[2:]
    for slot, name in zip(("Hidden", "Cell"), made, strict=True):
        _put_rows(call, slot, call.node("Transpose", name, perm=[1, 0, 2]), [size])


# ***** Conditional random fields *****


def _crf_decoding(call: Call) -> None:
    """The best path (Viterbi): scores forwards, then from the best last tag back."""
    emission, transition = call.value("Emission"), call.value("Transition")
    if call.has("Length"):
        call.refuse("padded inputs with Length")
    lengths = call.lengths("Emission")
    tags = transition.shape[-1]
    if tags < 1 or transition.shape != (tags + 2, tags) or emission.shape[-1] != tags:
        call.malformed(f"transitions of {list(transition.shape)} for {list(emission.shape)}")
    kind = emission.type
    steps, mask = _steps(call, emission, lengths), _mask(call, lengths)
    cuts = call.vector([1, 1, tags])
    start, end, between = call.nodes("Split", transition.name, cuts, outputs=3, axis=0)
    places = _range(call, _size(call, steps, 0))
    first = call.node("Equal", places, call.scalar(0, INT64))
    first = call.node("Reshape", first, call.vector([-1, 1, 1]))

    def forwards(states: list[str], rows: list[str]) -> tuple[list[str], list[Typed]]:
        (score,), (row, going, begins) = states, rows
        ways = call.node("Add", call.node("Unsqueeze", score, call.vector([2])), between)
        best = call.node("ReduceMax", ways, call.vector([1]), keepdims=0)
        came = call.node("ArgMax", ways, axis=1, keepdims=0)
        new = call.node("Add", call.node("Where", begins, start, best), row)
        return [call.node("Where", going, new, score)], [(came, INT64)]

    initial = _state(call, "", steps, tags, kind)
    scanned = [(steps, kind), (mask, BOOL), (first, BOOL)]
    score, came = _scan(call, forwards, [(initial, kind)], scanned, backwards=False)
    last = call.node("ArgMax", call.node("Add", score, end), axis=1, keepdims=1)

    def back(states: list[str], rows: list[str]) -> tuple[list[str], list[Typed]]:
        (tag,), (came, going) = states, rows
        before = call.node("GatherElements", came, tag, axis=1)
        return [call.node("Where", going, before, tag)], [(tag, INT64)]

    scanned = [(came, INT64), (mask, BOOL)]
    path = _scan(call, back, [(last, INT64)], scanned, backwards=True)[1]
    path = call.node("Transpose", path, perm=[1, 0, 2])
    label = call.maybe("Label")
    if label is None:
        _put_rows(call, "ViterbiPath", path, [1])
    else:
        rows = call.node("Reshape", path, call.vector([-1, 1]))
        same = call.node("Equal", rows, call.node("Reshape", label.name, call.vector([-1, 1])))
        call.put("ViterbiPath", "Cast", same, to=INT64.onnx)
    # Programs declare floats.
    call.retype("ViterbiPath", INT64)


# ***** Sequences as a whole *****


def _lod_reset(call: Call) -> None:
    """The rows of one variable with the lengths of another: the same ones."""
    if not call.has("Y") or call.lengths("X") != call.lengths("Y") or call.flag("append"):
        call.refuse("other lengths than the rows have")
    call.put("Out", "Identity", call.value("X").name)


def _sequence_softmax(call: Call) -> None:
    x, lengths = call.value(), call.lengths("X")
    if x.shape[1:] not in ((), (1,)):
        call.malformed(f"rows of {list(x.shape)}")
    plain = call.node("Reshape", x.name, call.dims(lengths.padded, 0, 2))
    low = call.scalar(float(np.finfo(x.type.numpy).min), x.type)
    kept = call.node("Where", lengths.inside, plain, low)
    _put_rows(call, "Out", call.node("Softmax", kept, axis=1), x.shape[1:])


def _sequence_pool(call: Call) -> None:
    """One row of each sequence."""
    x, lengths = call.value(), call.lengths("X")
    form = call.text("pooltype", "AVERAGE").upper()
    if x.rank != 2:
        call.refuse(f"rows of {x.rank} dimensions")
    padded = _padded(call, x, lengths)
    counts = call.node("Unsqueeze", lengths.name, call.vector([1]))
    if form in ("FIRST", "LAST"):
        before = call.scalar(1, INT64) if form == "LAST" else counts
        call.put("Out", "GatherND", padded, call.node("Sub", counts, before), batch_dims=1)
        return
    mask = call.node("Unsqueeze", lengths.inside, call.vector([2]))
    if form == "MAX":
        low = call.scalar(float(np.finfo(x.type.numpy).min), x.type)
        kept = call.node("Where", mask, padded, low)
        call.put("Out", "ReduceMax", kept, call.vector([1]), keepdims=0)
        return
    if form not in ("AVERAGE", "SQRT", "SUM"):
        call.refuse(f"pooltype = {form[:50]}")
    kept = call.node("Where", mask, padded, call.scalar(0, x.type))
    if form == "SUM":
        call.put("Out", "ReduceSum", kept, call.vector([1]), keepdims=0)
        return
    total = call.node("ReduceSum", kept, call.vector([1]), keepdims=0)
    number = call.node("Cast", counts, to=x.type.onnx)
    call.put("Out", "Div", total, number if form == "AVERAGE" else call.node("Sqrt", number))


TABLE: Mapping[str, Rule] = {
    "crf_decoding": _crf_decoding,
    "gru": _gru,
    "lod_reset": _lod_reset,
    "lstm": _lstm,
    "sequence_pool": _sequence_pool,
    "sequence_softmax": _sequence_softmax,
}
