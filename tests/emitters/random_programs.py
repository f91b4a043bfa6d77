"""Random programs with nested control flow: every value is a float[2, 3], whatever happens to it."""

from __future__ import annotations

import random
from itertools import count

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

UNARY = ("Tanh", "Neg", "Abs", "Identity", "Sigmoid")
BINARY = ("Add", "Sub", "Mul", "Max")
SHAPE = [2, 3]


def random_model(seed: int) -> onnx.ModelProto:
    """A model with inputs x, y (float[2, 3]) and n (rounds), and three outputs."""
    return _Maker(random.Random(seed)).model()


class _Maker:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.names = count()
        self.weights: list[onnx.TensorProto] = []

    def model(self) -> onnx.ModelProto:
        nodes, results = self.block(["x", "y"], 3, 3, 5)
        inputs = [_info("x"), _info("y"), _info("n", TensorProto.INT64, [])]
        numbers = {"yes": np.array(True), "zero": np.float32(0), "first": np.array([0])}
        weights = [numpy_helper.from_array(np.asarray(v), k) for k, v in numbers.items()]
        graph = helper.make_graph(
            nodes, "random", inputs, [_info(r) for r in results], [*weights, *self.weights]
        )
        if self.rng.random() < 0.5:
            self.name(graph, "")
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

    def name(self, graph: onnx.GraphProto, scope: str) -> None:
        """Name nodes after modules that they are in, as PyTorch's exporter does."""
        for number, node in enumerate(graph.node):
            if self.rng.random() < 0.3:
                scope = "/".join(scope.split("/")[: self.rng.randint(1, 3)])
                scope += self.rng.choice(("", "/stem", "/blocks.0", "/blocks.1", "/head"))
            node.name = f"{scope}/{node.op_type}_{number}"
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    self.name(attribute.g, scope)

    def fresh(self) -> str:
        return f"v{next(self.names)}"

    def block(
        self, visible: list[str], outputs: int, depth: int, steps: int
    ) -> tuple[list[onnx.NodeProto], list[str]]:
        """Nodes that make values of those that are visible, and as many results as are asked for."""
        visible = list(visible)
        nodes: list[onnx.NodeProto] = []
        for _ in range(self.rng.randint(1, steps)):
            kind = self.rng.random()
            if depth and kind < 0.2:
                made = self.choice(visible, depth)
            elif depth and kind < 0.4:
                made = self.loop(visible, depth)
            elif depth and kind < 0.5:
                made = self.scan(visible, depth)
            else:
                made = self.plain(visible)
            nodes += made[0]
            visible += made[1]
        results = []
        for _ in range(outputs):
            # A result has a name of its own; some are what comes from outside, as it is.
            name = self.fresh()
            near = visible[-4:] if self.rng.random() < 0.7 else visible
            nodes.append(helper.make_node("Identity", [self.rng.choice(near)], [name]))
            results.append(name)
        return nodes, results

    def plain(self, visible: list[str]) -> tuple[list[onnx.NodeProto], list[str]]:
        out, pick = self.fresh(), self.rng.choice
        if self.rng.random() < 0.15:
            bias = self.weight([3])
            return [helper.make_node("Add", [pick(visible), bias], [out])], [out]
        if self.rng.random() < 0.2:
            # A layer, or the same one again.
            old = [tensor.name for tensor in self.weights if len(tensor.dims) == 2]
            weight = pick(old) if old and self.rng.random() < 0.3 else self.weight([3, 3])
            return [helper.make_node("MatMul", [pick(visible), weight], [out])], [out]
        if self.rng.random() < 0.4:
            return [helper.make_node(pick(UNARY), [pick(visible)], [out])], [out]
        return [helper.make_node(pick(BINARY), [pick(visible), pick(visible)], [out])], [out]

    def weight(self, shape: list[int]) -> str:
        """A new weight, whose name says which module it is in, or does not."""
        number = len(self.weights)
        name = self.rng.choice((f"w{number}", f"part{number % 3}.layer{number}.weight"))
        data = np.float32([self.rng.uniform(-1, 1) for _ in range(int(np.prod(shape)))])
        self.weights.append(numpy_helper.from_array(data.reshape(shape), name))
        return name

    def condition(self, visible: list[str]) -> tuple[list[onnx.NodeProto], str]:
        total, out = self.fresh(), self.fresh()
        return [
            helper.make_node("ReduceSum", [self.rng.choice(visible)], [total], keepdims=0),
            helper.make_node(self.rng.choice(("Greater", "Less")), [total, "zero"], [out]),
        ], out

    def choice(self, visible: list[str], depth: int) -> tuple[list[onnx.NodeProto], list[str]]:
        nodes, condition = self.condition(visible)
        outs = [self.fresh() for _ in range(self.rng.randint(1, 3))]
        branches = {}
        for name in ("then_branch", "else_branch"):
            inner, results = self.block(visible, len(outs), depth - 1, 3)
            branches[name] = helper.make_graph(inner, name, [], [_info(r) for r in results])
        return [*nodes, helper.make_node("If", [condition], outs, **branches)], outs

    def loop(self, visible: list[str], depth: int) -> tuple[list[onnx.NodeProto], list[str]]:
        carried, collected = self.rng.randint(0, 3), self.rng.randint(0, 2)
        collected = max(collected, 1 - carried)
        inputs = [self.fresh() for _ in range(carried)]
        index, going, on = self.fresh(), self.fresh(), self.fresh()
        step = self.fresh()
        nodes = [
            helper.make_node("Cast", [index], [f"{step}f"], to=TensorProto.FLOAT),
            helper.make_node("Add", [f"{step}f", self.rng.choice(visible)], [step]),
        ]
        inner, results = self.block([*visible, *inputs, step], carried + collected, depth - 1, 3)
        if self.rng.random() < 0.5:
            asked, condition = self.condition([*visible, *inputs, *results])
            inner += asked
        else:
            condition = going
        inner.append(helper.make_node("Identity", [condition], [on]))
        body = helper.make_graph(
            [*nodes, *inner],
            "body",
            [
                _info(index, TensorProto.INT64, []),
                _info(going, TensorProto.BOOL, []),
                *(_info(i) for i in inputs),
            ],
            [_info(on, TensorProto.BOOL, []), *(_info(r) for r in results)],
        )
        outs = [self.fresh() for _ in range(carried)]
        lists = [self.fresh() for _ in range(collected)]
        initial = [self.rng.choice(visible) for _ in range(carried)]
        before: list[onnx.NodeProto] = []
        start = "yes"
        if self.rng.random() < 0.3:
            before, start = self.condition(visible)
        made = helper.make_node("Loop", ["n", start, *initial], [*outs, *lists], body=body)
        sums, totals = self.summed(lists)
        return [*before, made, *sums], [*outs, *totals]

    def scan(self, visible: list[str], depth: int) -> tuple[list[onnx.NodeProto], list[str]]:
        states, taken, given = (
            self.rng.randint(0, 2),
            self.rng.randint(1, 2),
            self.rng.randint(1, 2),
        )
        inputs = [self.fresh() for _ in range(states + taken)]
        inner, results = self.block([*visible, *inputs], states + given, depth - 1, 3)
        body = helper.make_graph(
            inner, "body", [_info(i) for i in inputs], [_info(r) for r in results]
        )
        before, sources = [], []
        for _ in range(taken):
            rows = [self.fresh() for _ in range(2)]
            source = self.fresh()
            before += [
                helper.make_node("Unsqueeze", [self.rng.choice(visible), "first"], [row])
                for row in rows
            ]
            before.append(helper.make_node("Concat", rows, [source], axis=0))
            sources.append(source)
        outs = [self.fresh() for _ in range(states)]
        lists = [self.fresh() for _ in range(given)]
        made = helper.make_node(
            "Scan",
            [*(self.rng.choice(visible) for _ in range(states)), *sources],
            [*outs, *lists],
            body=body,
            num_scan_inputs=taken,
            scan_input_directions=[self.rng.randint(0, 1) for _ in range(taken)],
            scan_output_directions=[self.rng.randint(0, 1) for _ in range(given)],
        )
        sums, totals = self.summed(lists)
        return [*before, made, *sums], [*outs, *totals]

    def summed(self, lists: list[str]) -> tuple[list[onnx.NodeProto], list[str]]:
        """What was collected, as a float[2, 3] again."""
        totals = [self.fresh() for _ in lists]
        return [
            helper.make_node("ReduceSum", [name, "first"], [total], keepdims=0)
            for name, total in zip(lists, totals, strict=True)
        ], totals


def _info(
    name: str, dtype: int = TensorProto.FLOAT, shape: list[int] | None = None
) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, SHAPE if shape is None else shape)
