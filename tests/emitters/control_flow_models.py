"""Small models with control flow, sequences and optionals in ONNX's text form, and inputs for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import parser

OPSET = 17


@dataclass(frozen=True)
class Model:
    """A graph in text form, and the inputs that it is run with."""

    text: str
    feeds: tuple[dict[str, Any], ...]
    opset: int = OPSET

    def proto(self) -> onnx.ModelProto:
        head = f'<ir_version: 9, opset_import: ["" : {self.opset}]>'
        model = parser.parse_model(f"{head}\n{self.text}")
        for node in model.graph.node:
            # The text form cannot leave out a first input.
            node.input[:] = ["" if name == "absent" else name for name in node.input]
        return model


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def integer(value: int) -> np.ndarray:
    return np.array(value, np.int64)


YES, NO = np.array(True), np.array(False)

MODELS = {
    "nested_if_in_loop": Model(
        """
        agraph (int64 n, float[N,4] x) => (float[N,4] y)
        <float[4,4] w = {1,0,0,1, 0,2,0,0, 0,0,3,0, 1,0,0,4}, float half = {0.5},
         float zero = {0}, int64 two = {2}, int64 none = {0}, bool yes = {1}> {
          y = Loop (n, yes, x) <body = step (int64 i, bool go, float[N,4] a) => (bool on, float[N,4] b) {
            on = Identity (go)
            s = ReduceSum <keepdims = 0> (a)
            positive = Greater (s, zero)
            b = If (positive) <
              then_branch = g1 () => (float[N,4] t) {
                m = Mod (i, two)
                even = Equal (m, none)
                t = If (even) <
                  then_branch = g2 () => (float[N,4] p) { p = MatMul (a, w) },
                  else_branch = g3 () => (float[N,4] q) { q = Sub (x, a) }
                >
              },
              else_branch = g4 () => (float[N,4] u) { u = Mul (a, half) }
            >
          }>
        }
        """,
        tuple(
            {"n": integer(n), "x": normal(3, 4, seed=seed) + shift}
            for n, seed, shift in ((0, 0, 0), (1, 1, 1), (4, 2, 1), (5, 3, -1))
        ),
    ),
    "early_exit": Model(
        """
        agraph (int64 most, float limit, float[2] x) => (float[2] y, float[K,2] ys, int64[K] steps)
        <bool yes = {1}, float factor = {1.5}> {
          y, ys, steps = Loop (most, yes, x)
          <body = step (int64 i, bool go, float[2] a) => (bool on, float[2] b, float[2] c, int64 j) {
            b = Mul (a, factor)
            c = Identity (b)
            j = Identity (i)
            top = ReduceMax <keepdims = 0> (b)
            on = Less (top, limit)
          }>
        }
        """,
        tuple(
            {"most": integer(most), "limit": np.array(limit, np.float32), "x": np.float32([1, 2])}
            for most, limit in ((10, 9), (2, 100), (7, 0), (0, 5))
        ),
    ),
    "while_with_round_number": Model(
        """
        agraph (bool start, float[3] x) => (float[3] y, int64[K] rounds)
        <float most = {40}> {
          y, rounds = Loop (absent, start, x)
          <body = step (int64 i, bool go, float[3] a) => (bool on, float[3] b, int64 j) {
            f = Cast <to = 1> (i)
            d = Add (a, a)
            b = Add (d, f)
            total = ReduceSum <keepdims = 0> (b)
            on = Less (total, most)
            j = Add (i, i)
          }>
        }
        """,
        (
            {"start": YES, "x": np.float32([1, 2, 0])},
            {"start": NO, "x": np.float32([1, 2, 0])},
            {"start": YES, "x": np.float32([50, 2, 0])},
        ),
    ),
    "swapped_states": Model(
        """
        agraph (int64 n) => (int64 a, int64 b, int64[K] all)
        <int64 zero = {0}, int64 one = {1}> {
          a, b, all = Loop (n, , zero, one)
          <body = step (int64 i, bool go, int64 p, int64 q) => (bool on, int64 q2, int64 r, int64 s) {
            on = Identity (go)
            q2 = Identity (q)
            r = Add (p, q)
            s = Identity (r)
          }>
        }
        """,
        ({"n": integer(10)}, {"n": integer(0)}),
    ),
    "one_initial_value_for_two": Model(
        """
        agraph (int64 n, float[2] x) => (float[2] a, float[2] b, float[2] c)
        <float one = {1}> {
          p, q = Loop (n, , x, x)
          <body = step (int64 i, bool go, float[2] u, float[2] v) => (bool on, float[2] s, float[2] t) {
            on = Identity (go)
            s = Add (u, one)
            t = Mul (v, s)
          }>
          a = Add (p, x)
          b = Identity (q)
          c = Identity (x)
        }
        """,
        ({"n": integer(3), "x": normal(2)}, {"n": integer(0), "x": normal(2)}),
    ),
    "growing_state": Model(
        """
        agraph (int64 n, float[N,2] x) => (float[M,2] y, int64[2] s)
        { y = Loop (n, , x) <body = step (int64 i, bool go, float[N,2] a) => (bool on, float[M,2] b) {
            on = Identity (go)
            twice = Concat <axis = 0> (a, x)
            b = Relu (twice)
          }>
          s = Shape (y)
        }
        """,
        ({"n": integer(3), "x": normal(2, 2)}, {"n": integer(0), "x": normal(1, 2)}),
    ),
    "loop_in_loop": Model(
        """
        agraph (int64 n, float[4] x) => (float[4] y, float[A,B] table)
        <int64 one = {1}, bool yes = {1}> {
          y, table = Loop (n, yes, x)
          <body = outer (int64 i, bool go, float[4] a) => (bool on, float[4] b, float[B] row) {
            on = Identity (go)
            b, unused = Loop (n, yes, a)
            <body = inner (int64 j, bool going, float[4] c) => (bool on2, float[4] d, float e) {
              on2 = Identity (going)
              f = Gather (x, i)
              g = Cast <to = 1> (j)
              h = Mul (f, g)
              d = Add (c, h)
              e = ReduceSum <keepdims = 0> (d)
            }>
            row = Identity (unused)
          }>
        }
        """,
        ({"n": integer(4), "x": normal(4)}, {"n": integer(1), "x": normal(4, seed=1)}),
    ),
    "invariant_states": Model(
        """
        agraph (int64 n, float[2,2] w, float[2] x) => (float[2] y, float[2,2] same)
        { y, same = Loop (n, , x, w)
          <body = step (int64 i, bool go, float[2] a, float[2,2] v) => (bool on, float[2] b, float[2,2] k) {
            on = Identity (go)
            b = MatMul (v, a)
            k = Identity (v)
          }>
        }
        """,
        ({"n": integer(3), "w": normal(2, 2), "x": normal(2)},),
    ),
    "beam_search": Model(
        """
        agraph (int64 most, float[B,6] start) => (int64[B,T] tokens, float[B] scores, int64 rounds)
        <float[6,6] w = {0.1,0.9,0,0,0.3,0, 0,0.2,0.8,0,0.1,0, 0.5,0,0.1,0.7,0,0,
                         0,0.4,0,0.1,0.9,0, 0.2,0,0.3,0,0.1,0.8, 0.6,0,0,0.2,0,0.3},
         int64[1] k = {3}, int64[1] one = {1}, int64[1] flat = {-1}, int64 eos = {5},
         int64 zero = {0}, int64[2] column = {-1,1}, int64[2] wide = {1,-1}, int64 vocabulary = {6},
         bool yes = {1}, int64 step = {1}> {
          logp = LogSoftmax <axis = -1> (start)
          first = ReduceMax <keepdims = 0, axes = [1]> (logp)
          seed = ArgMax <axis = 1, keepdims = 1> (logp)
          tokens, scores, rounds = Loop (most, yes, seed, first, zero)
          <body = round (int64 i, bool go, int64[B,T] said, float[B] score, int64 count)
                     => (bool on, int64[B2,T2] said2, float[B2] score2, int64 count2) {
            last = Gather <axis = 1> (said, minus)
            minus_unused = Identity (minus)
            rows = Gather <axis = 0> (w, last)
            logits = LogSoftmax <axis = -1> (rows)
            before = Unsqueeze (score, one)
            total = Add (logits, before)
            every = Reshape (total, flat)
            best, place = TopK <axis = 0> (every, k)
            beam = Div (place, vocabulary)
            token = Mod (place, vocabulary)
            kept = Gather <axis = 0> (said, beam)
            next = Reshape (token, column)
            said2 = Concat <axis = 1> (kept, next)
            score2 = Identity (best)
            count2 = Add (count, step)
            is_end = Equal (token, eos)
            ended = Cast <to = 7> (is_end)
            all_ended = ReduceMin <keepdims = 0> (ended)
            done = Cast <to = 9> (all_ended)
            on = Not (done)
          }>
        }
        """.replace("int64 eos = {5},", "int64 eos = {5}, int64 minus = {-1},"),
        tuple(
            {"most": integer(most), "start": normal(rows, 6, seed=rows)}
            for most, rows in ((4, 3), (12, 2), (0, 3))
        ),
    ),
    "scan_two_states": Model(
        """
        agraph (float[2] h, float[2] c, float[T,2] xs, float[2,T] zs)
            => (float[2] h2, float[2] c2, float[T,2] ys, float[2,T] back)
        <float[2,2] w = {0.5,-0.2,0.1,0.7}> {
          h2, c2, ys, back = Scan <num_scan_inputs = 2, scan_input_axes = [0, -1],
              scan_input_directions = [0, 1], scan_output_axes = [0, 1],
              scan_output_directions = [0, 1],
            body = step (float[2] a, float[2] b, float[2] x, float[2] z)
                     => (float[2] a2, float[2] b2, float[2] y, float[2] v) {
              m = MatMul (w, a)
              n = Add (m, x)
              a2 = Tanh (n)
              p = Mul (b, z)
              b2 = Add (p, a2)
              y = Identity (b2)
              v = Sub (a2, z)
            }> (h, c, xs, zs)
        }
        """,
        tuple(
            {"h": normal(2), "c": normal(2, seed=1), "xs": normal(t, 2), "zs": normal(2, t)}
            for t in (1, 5)
        ),
    ),
    "scan_in_if": Model(
        """
        agraph (bool sum, float[N,T,3] x) => (float[N,3] y)
        <int64[1] axis = {1}, float[3,3] w = {1,2,3,4,5,6,7,8,9}> {
          y = If (sum) <
            then_branch = yes () => (float[N,3] a) {
              shape = Shape (x)
              i0 = Constant <value_ints = [0]> ()
              i2 = Constant <value_ints = [2]> ()
              n = Gather (shape, i0)
              d = Gather (shape, i2)
              nd = Concat <axis = 0> (n, d)
              zeros = ConstantOfShape (nd)
              a = Scan <num_scan_inputs = 1, scan_input_axes = [1],
                body = step (float[N,3] s, float[N,3] item) => (float[N,3] t) { t = Add (s, item) }
              > (zeros, x)
            },
            else_branch = no () => (float[N,3] b) {
              top = ReduceMax <keepdims = 0, axes = [1]> (x)
              b = MatMul (top, w)
            }
          >
        }
        """,
        ({"sum": YES, "x": normal(2, 3, 3)}, {"sum": NO, "x": normal(1, 4, 3)}),
    ),
    "rank_changes_in_branch": Model(
        """
        agraph (float[N,M] x) => (float[K] y)
        <int64 one = {1}, int64[1] first = {0}, int64[1] last = {1}, int64[1] flat = {-1}> {
          shape = Shape (x)
          width = Gather (shape, one)
          narrow = Equal (width, one)
          v = If (narrow) <
            then_branch = yes () => (float[N] a) { a = Squeeze (x, last) },
            else_branch = no () => (float[N,M] b) { b = Relu (x) }
          >
          y = Reshape (v, flat)
        }
        """,
        ({"x": normal(3, 1)}, {"x": normal(2, 4)}),
    ),
    "rank_that_what_follows_asks_for": Model(
        """
        agraph (float[N,2,L] x) => (float[N,2] y)
        <float[1,2,2] w = {1, 0.5, -1, 2}, float[1,2,2] r = {0.1, 0.2, 0.3, 0.4},
         int64 one = {1}, int64 two = {2}, int64[1] first = {0}, int64[1] last = {-1}> {
          shape = Shape (x)
          length = Gather (shape, two)
          single = Equal (length, one)
          v = If (single) <
            then_branch = yes () => (float[N,2] a) { a = Squeeze (x, last) },
            else_branch = no () => (float[N,2,L] b) { b = Identity (x) }
          >
          sizes = Shape (v)
          rank = Size (sizes)
          more = Greater (rank, two)
          u = If (more) <
            then_branch = deep () => (float[1,N,2] c) { c = Unsqueeze (v, first) },
            else_branch = flat () => (float[N,2] d) { d = Identity (v) }
          >
          steps = Unsqueeze (u, first)
          all, h = RNN <hidden_size = 2> (steps, w, r)
          y = Squeeze (h, first)
        }
        """,
        ({"x": normal(3, 2, 1)}, {"x": normal(1, 2, 1)}),
    ),
    "layers_in_branches": Model(
        """
        agraph (bool fine, float[N,2,H,W] x) => (float[N,3,H2,W2] y, float[3] c)
        <float[3,2,1,1] one.weight = {1,2,3,4,5,6}, float[3,2,3,3] three.weight =
          {1,0,1,0,1,0,1,0,1, 0,1,0,1,0,1,0,1,0, 1,1,1,0,0,0,1,1,1, 2,0,0,0,2,0,0,0,2,
           0,0,1,0,0,1,0,0,1, 1,0,0,0,0,0,0,0,1},
         float[3] three.bias = {0.1,0.2,0.3}, float[3] other.bias = {3,2,1}> {
          y, c = If (fine) <
            then_branch = yes () => (float[N,3,H2,W2] a, float[3] d) {
              a = Conv (x, one.weight)
              d = Identity (three.bias)
            },
            else_branch = no () => (float[N,3,H2,W2] b, float[3] e) {
              conv = Conv <pads = [1,1,1,1]> (x, three.weight, three.bias)
              b = Relu (conv)
              e = Identity (other.bias)
            }
          >
        }
        """.replace("one.weight", "one_weight")
        .replace("three.weight", "three_weight")
        .replace("three.bias", "three_bias")
        .replace("other.bias", "other_bias"),
        ({"fine": YES, "x": normal(1, 2, 4, 4)}, {"fine": NO, "x": normal(2, 2, 3, 5)}),
    ),
    "captured_value_lives_on": Model(
        """
        agraph (bool p, bool q, float[N] x) => (float[N] y)
        <float two = {2}, float three = {3}> {
          a = Mul (x, two)
          b = If (p) <
            then_branch = t () => (float[N] r) { s = Exp (a)  r = Sub (s, x) },
            else_branch = f () => (float[N] u) { u = Identity (a) }
          >
          c = If (q) <
            then_branch = t2 () => (float[N] v) { v = Add (a, b) },
            else_branch = f2 () => (float[N] w) { k = Mul (b, three) w = Sub (k, a) }
          >
          y = Add (c, a)
        }
        """,
        tuple({"p": p, "q": q, "x": normal(3)} for p in (YES, NO) for q in (YES, NO)),
    ),
    "sequence_in_loop": Model(
        """
        agraph (int64 n, float[3] x, int64 at) => (float[K,3] stacked, float[J] joined, int64 count, float[3] one)
        <int64 first = {0}> {
          empty = SequenceConstruct (x)
          all = Loop (n, , empty)
          <body = step (int64 i, bool go, seq(float[3]) s) => (bool on, seq(float[3]) t) {
            on = Identity (go)
            f = Cast <to = 1> (i)
            y = Add (x, f)
            t = SequenceInsert (s, y, first)
          }>
          shorter = SequenceErase (all, at)
          stacked = ConcatFromSequence <axis = 0, new_axis = 1> (all)
          joined = ConcatFromSequence <axis = 0> (shorter)
          count = SequenceLength (shorter)
          one = SequenceAt (all, at)
        }
        """,
        tuple(
            {"n": integer(n), "x": normal(3), "at": integer(at)}
            for n, at in ((3, 1), (2, -1), (4, 0), (1, -2))
        ),
    ),
    "sequences_in_and_out": Model(
        """
        agraph (seq(float[N,2]) xs, bool more) => (seq(float[N,2]) ys, int64 n)
        <float one = {1}> {
          ys = If (more) <
            then_branch = t () => (seq(float[N,2]) a) {
              k = Constant <value = int64 {0}> ()
              first = SequenceAt (xs, k)
              again = Add (first, one)
              a = SequenceInsert (xs, again)
            },
            else_branch = f () => (seq(float[N,2]) b) { b = SequenceErase (xs) }
          >
          n = SequenceLength (ys)
        }
        """,
        tuple(
            {"xs": [normal(k + 1, 2, seed=k) for k in range(count)], "more": more}
            for count, more in ((2, YES), (3, NO), (1, NO))
        ),
    ),
    "split_and_join": Model(
        """
        agraph (float[N,4] x, int64[P] parts, int64 size) => (seq(float[M,4]) a, seq(float[N,L]) b, float[4] c)
        <int64 two = {2}> {
          a = SplitToSequence <axis = 0> (x, parts)
          b = SplitToSequence <axis = 1> (x, size)
          rows = SplitToSequence <axis = 0, keepdims = 0> (x)
          at = Constant <value = int64 {-1}> ()
          c = SequenceAt (rows, at)
        }
        """,
        (
            {"x": normal(5, 4), "parts": np.array([2, 3]), "size": integer(3)},
            {"x": normal(3, 4), "parts": np.array([1, 1, 1]), "size": integer(2)},
        ),
    ),
    "sequence_map": Model(
        """
        agraph (seq(float[N]) xs, float[1] bias) => (seq(float[N]) ys, seq(int64[1]) ns)
        <float two = {2}> {
          ys, ns = SequenceMap (xs, bias)
          <body = each (float[N] x, float[1] b) => (float[N] y, int64[1] n) {
            d = Mul (x, two)
            y = Add (d, b)
            n = Shape (x)
          }>
        }
        """,
        tuple(
            {"xs": [normal(k + 1, seed=k) for k in range(count)], "bias": normal(1)}
            for count in (3, 1)
        ),
    ),
    "optional_input": Model(
        """
        agraph (optional(float[N]) maybe, float[N] x) => (float[N] y, bool given)
        <float two = {2}> {
          given = OptionalHasElement (maybe)
          y = If (given) <
            then_branch = t () => (float[N] a) { v = OptionalGetElement (maybe) a = Add (v, x) },
            else_branch = f () => (float[N] b) { b = Mul (x, two) }
          >
        }
        """,
        ({"maybe": normal(3, seed=1), "x": normal(3)}, {"maybe": None, "x": normal(3)}),
        18,
    ),
    "composite_operator_in_a_body": Model(
        """
        agraph (int64 n, float[N,3] x, int64[N] labels) => (float[K] losses)
        { losses = Loop (n, ) <body = step (int64 i, bool go) => (bool on, float loss) {
            on = Identity (go)
            f = Cast <to = 1> (i)
            y = Mul (x, f)
            loss = SoftmaxCrossEntropyLoss (y, labels)
          }>
        }
        """,
        ({"n": integer(3), "x": normal(4, 3), "labels": np.array([0, 2, 1, 1])},),
    ),
    "sizes_of_a_growing_state": Model(
        """
        agraph (int64 n, float[1,2] x) => (float[M,2] y, float total, int64[K] sizes)
        <int64[1] flat = {-1}, int64 none = {0}, int64[1] first = {0}> {
          y, total, sizes = Loop (n, , x, zero)
          <body = step (int64 i, bool go, float[L,2] a, float t)
                    => (bool on, float[M,2] b, float u, int64 size) {
            on = Identity (go)
            shape = Shape (a)
            size = Gather (shape, none)
            row = Reshape (a, flat)
            rows = Gather (shape, first)
            half = Slice (row, first, rows, first)
            s = ReduceSum <keepdims = 0> (half)
            u = Add (t, s)
            count = Cast <to = 1> (size)
            wide = Expand (x, shape)
            c = Add (wide, count)
            b = Concat <axis = 0> (a, c)
          }>
        }
        """.replace("int64 none", "float zero = {0}, int64 none"),
        ({"n": integer(3), "x": normal(1, 2)}, {"n": integer(0), "x": normal(1, 2)}),
    ),
    "constants_as_results": Model(
        """
        agraph (int64 n, bool p, float[2] x) => (float[2] y, float[K,2] ys, float[2] z, int64 s)
        <float[2] start = {1,2}, float[2] fixed = {3,4}, int64 one = {1}, int64 two = {2}> {
          y, old, ys = Loop (n, , x, start)
          <body = step (int64 i, bool go, float[2] a, float[2] b)
                    => (bool on, float[2] c, float[2] d, float[2] e) {
            on = Identity (go)
            c = Add (b, a)
            d = Identity (fixed)
            e = Identity (fixed)
          }>
          z, s = If (p) <
            then_branch = t () => (float[2] f, int64 g) { f = Identity (old) g = Identity (one) },
            else_branch = e () => (float[2] h, int64 k) { h = Identity (fixed) k = Identity (two) }
          >
        }
        """,
        tuple({"n": integer(n), "p": p, "x": normal(2)} for n, p in ((2, YES), (0, YES), (1, NO))),
    ),
    "choice_of_shapes": Model(
        """
        agraph (bool p, float[N,4] x) => (float[A,B] y, int64[2] s, float[C] flat)
        <int64[2] tall = {-1,2}, int64[1] all = {-1}, int64[1] one = {1}> {
          v = If (p) <
            then_branch = t () => (float[M,2] a) { a = Reshape (x, tall) },
            else_branch = f () => (float[N,4] b) { b = Exp (x) }
          >
          s = Shape (v)
          back = Reshape (v, s)
          y = Relu (back)
          count = ReduceProd <keepdims = 1> (s)
          flat = Reshape (v, count)
        }
        """,
        ({"p": YES, "x": normal(3, 4)}, {"p": NO, "x": normal(2, 4)}),
    ),
    "rank_that_only_the_file_states": Model(
        """
        agraph (bool p, float[N] x, int64[K] shape) => (float[A,B] y)
        <float[A,B] square> {
          square = Reshape (x, shape)
          turned = Transpose (square)
          y = If (p) <
            then_branch = t () => (float[A,B] a) { a = Exp (turned) },
            else_branch = f () => (float[A,B] b) { b = Neg (turned) }
          >
        }
        """,
        tuple({"p": p, "x": normal(6), "shape": np.array([2, -1])} for p in (YES, NO)),
    ),
    "inputs_with_names_of_python": Model(
        """
        agraph (int64 range, bool bool, float[N] len, float[N] items) => (float[N] int, float[K,N] i)
        { int, i = Loop (range, bool, len)
          <body = step (int64 j, bool go, float[N] a) => (bool on, float[N] b, float[N] c) {
            on = Identity (go)
            b = Add (a, items)
            c = Mul (b, items)
          }>
        }
        """,
        (
            {"range": integer(3), "bool": YES, "len": normal(2), "items": normal(2, seed=1)},
            {"range": integer(3), "bool": NO, "len": normal(2), "items": normal(2, seed=1)},
        ),
    ),
    "nothing_collected": Model(
        """
        agraph (int64 n, float[N,3] x) => (float[K,N,3] ys, int64[J] js, int64[3] shape)
        { ys, js = Loop (n, ) <body = step (int64 i, bool go) => (bool on, float[N,3] y, int64 j) {
            on = Identity (go)
            f = Cast <to = 1> (i)
            y = Add (x, f)
            j = Identity (i)
          }>
          shape = Shape (ys)
        }
        """,
        ({"n": integer(0), "x": normal(2, 3)}, {"n": integer(2), "x": normal(2, 3)}),
    ),
}
