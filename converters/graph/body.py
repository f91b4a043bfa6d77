"""What rules write standard nodes with: a node of another domain, and the nodes that it becomes."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from converters.graph.model import Node, Value, constant

Given: TypeAlias = "Value | None"
Written: TypeAlias = "Value | tuple[Given, ...]"


class Unsayable(Exception):
    """An operator, as it is used, cannot be said in standard nodes; the text says why."""


class Body:
    """What a node becomes: calling it writes a standard node and gives its first result."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.nodes: list[Node] = []

    def __call__(self, key: str, *inputs: Any, **attributes: Any) -> Value:
        """Write a node of one result. Numbers and lists among its inputs become constants."""
        return self.several(1, key, *inputs, **attributes)[0]

    def several(self, outputs: int, key: str, *inputs: Any, **attributes: Any) -> tuple[Value, ...]:
        """Write a node of several results. Numbers are integers or float32, as they are written."""
        name = f"{self.node.name}.{len(self.nodes)}"
        values: list[Given] = [
            x if x is None or isinstance(x, Value) else constant(f"{name}.{k}", _array(x))
            for k, x in enumerate(inputs)
        ]
        while values and values[-1] is None:
            values.pop()
        results = tuple(Value(f"{name}:{k}") for k in range(outputs))
        given = {k: v for k, v in attributes.items() if v is not None}
        self.nodes.append(Node(key, values, list(results), given, name, self.node.scope))
        return results

    def like(self, x: Value, number: float) -> Value:
        """A number in the element type of a tensor."""
        return constant(f"{self.node.name}.n{len(self.nodes)}", np.asarray(number, known_type(x)))

    def uses(self, position: int) -> bool:
        """Whether something reads an output of the node."""
        return position < len(self.node.outputs) and self.node.outputs[position] is not None

    def lacks(self, **given: Any) -> None:
        """Refuse what is given (inputs), or asked for (attributes other than zero)."""
        for name, value in given.items():
            if isinstance(value, Value):
                raise Unsayable(f"input {name}")
            if value:
                raise Unsayable(f"attribute {name}={value!r}")

    def lacks_outputs(self, *positions: int) -> None:
        """Refuse a node some of whose outputs are read."""
        for position in positions:
            if self.uses(position):
                raise Unsayable(f"output {position}")


def _array(x: Any) -> Any:
    data = np.asarray(x)
    return data.astype(np.float32 if data.dtype.kind == "f" else np.int64)


def known_type(x: Value) -> np.dtype[Any]:
    """The element type of a tensor; `Unsayable` where it is not known."""
    if x.dtype is None:
        raise Unsayable(f"the element type of {x.name!r} is not known")
    return x.dtype


def known_rank(x: Value) -> int:
    """How many axes a tensor has; `Unsayable` where that is not known."""
    if x.rank is None:
        raise Unsayable(f"the rank of {x.name!r} is not known")
    return x.rank


def known_size(x: Value, axis: int) -> int:
    """The length of an axis; `Unsayable` where it is not a number that is known."""
    found = x.shape[axis] if x.shape is not None and len(x.shape) > axis else None
    if not isinstance(found, int):
        raise Unsayable(f"size {axis} of {x.name!r} is not known")
    return found
