"""How an operator table is written, and what its functions are given.

A table is a module `emitters/<framework>/ops.py`. An operator is one entry in it, in one of two forms:

* a **phrase**, for the plain case: `PHRASES = {"LeakyRelu": "F.leaky_relu({X}, {alpha})"}`. Holes are the
  names that the ONNX schema gives to inputs and attributes. `{A:s}` may also be a plain number.
* a **function** named as the operator, for the rest. Inputs come by position, attributes by name, with
  the standard's defaults filled in; an attribute that the signature does not name and that is not at
  its default is refused, so nothing is ever dropped silently::

      def Softmax(x: Operand, *, axis: int) -> str:
          return f"F.softmax({x}, dim={axis})"

A function returns an expression, or a `Layer` where constant inputs should become a module. Several
outputs are one expression that gives a tuple. The keyword `node` in a signature asks for the `Use`.

Operators of other domains are keyed `domain::Op`; their function is named `domain_Op`, dots replaced
(`com_microsoft_FusedMatMul`). Functions that an expression calls and that `functions.py` of the same
framework defines are copied into the emitted module, with those that they call.
"""

from __future__ import annotations

import inspect
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from onnx import defs

from converters.emitters.choices import CHOICES
from converters.graph.infer import OPSET
from converters.graph.model import Array, Dim, Node, Value, constant


class Refusal(Exception):
    """An operator cannot be said in this framework; the text names the attribute and the value."""


@dataclass(frozen=True)
class Operand:
    """A tensor as an operator's function sees it; formatted, it is the expression for it.

    Attributes:
        value: The value in the graph.
        token: Stands for its expression until the module is written.
        number: Its text as a plain number, where a number may stand for it (`{x:s}`).
        exclusive: It is a constant that this node alone reads, so a layer may own it.
    """

    value: Value
    token: str
    number: str = ""
    exclusive: bool = False

    @property
    def const(self) -> Array | None:
        """Its data, where known at conversion time."""
        return self.value.const

    @property
    def weight(self) -> Array | None:
        """Its data where it is a constant that a layer may own."""
        return self.value.const if self.exclusive else None

    @property
    def shape(self) -> tuple[Dim, ...] | None:
        """Its shape; None where not even the rank is known."""
        return self.value.shape

    @property
    def real(self) -> float:
        """`number` as one; there is no literal for those that are not finite."""
        return float(self.number.replace("float('", "").replace("')", ""))

    @property
    def rank(self) -> int | None:
        """Its number of dimensions, None where unknown."""
        return self.value.rank

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """Its element type, None where unknown."""
        return self.value.dtype

    def ranked(self) -> int:
        """The rank, or a refusal where it is not known."""
        if self.value.rank is None:
            raise Refusal(f"the rank of {self.value.name!r} is not known")
        return self.value.rank

    def typed(self) -> np.dtype[Any]:
        """The element type, or a refusal where it is not known."""
        if self.value.dtype is None:
            raise Refusal(f"the element type of {self.value.name!r} is not known")
        return self.value.dtype

    def relaid(self, data: Array, part: int = 0, parts: int = 1) -> Value:
        """The same constant in another layout (transposed, split ...), under its own name.

        Args:
            data: Its elements, or some of them.
            part: Which of the parts that it is made of they are; the part has a name of its own where the
                constant was put together from as many parameters.
            parts: How many there are.
        """
        known = self.value.parts
        name = known[part] if len(known) == parts > part else self.value.name
        return constant(name, np.ascontiguousarray(data), trainable=self.value.trainable)

    def __str__(self) -> str:
        return self.token

    def __format__(self, spec: str) -> str:
        return self.number if spec == "s" and self.number else self.token


@dataclass(frozen=True)
class Numbers:
    """Numbers that an operator needs on the host: a shape, axes, pads ...

    Formatted, they are a tuple: `(x.shape[0], -1, 384)`.

    Attributes:
        items: Each a number or the text of an expression; None where even their count is only known
            when the model runs.
        text: The expression that gives them then.
        scalar: It is one number rather than a vector.
    """

    items: tuple[int | float | str, ...] | None
    text: str = ""
    scalar: bool = False

    @property
    def static(self) -> tuple[Any, ...] | None:
        """The numbers, where all of them are known at conversion time."""
        if self.items is None or any(isinstance(item, str) for item in self.items):
            return None
        return self.items

    def known(self, what: str) -> tuple[Any, ...]:
        """The numbers, or a refusal where they are only known when the model runs."""
        numbers = self.static
        if numbers is None:
            raise Refusal(f"{what} is computed by the model; it must be constant")
        return numbers

    @property
    def args(self) -> str:
        """The numbers as arguments: `x.shape[0], -1, 384`."""
        if self.items is None:
            return f"*{self.text}"
        return ", ".join(str(item) for item in self.items)

    def __str__(self) -> str:
        if self.items is None:
            return self.text
        if self.scalar:
            return str(self.items[0])
        return f"({self.args}{',' if len(self.items) == 1 else ''})"

    def __format__(self, spec: str) -> str:
        return str(self)


@dataclass(frozen=True)
class Layer:
    """A module that owns weights.

    Attributes:
        constructor: How it is made: `nn.Conv2d(3, 16, 3, padding=1)`.
        weights: Its parameters and buffers by their names in the framework; absent ones are None.
        call: The expression in which `layer` stands for the module: `layer(v1)`.
        role: What to call it where the source has no name for it.
    """

    constructor: str
    weights: Mapping[str, Value | None]
    call: str
    role: str = "layer"


@dataclass(frozen=True)
class Use:
    """The node that is being written: for functions that ask for it."""

    node: Node

    @property
    def outputs(self) -> int:
        """How many outputs there are, up to the last that is used."""
        return len(self.node.outputs)

    def uses(self, position: int) -> bool:
        """Whether something reads the output at a position."""
        outputs = self.node.outputs
        return position < len(outputs) and outputs[position] is not None

    @property
    def out(self) -> Value:
        """The first output: its type and shape."""
        return self.node.output


Written: TypeAlias = "str | Layer"
Function: TypeAlias = Callable[..., Written]


@dataclass(frozen=True)
class Table:
    """The operators of one framework."""

    module: ModuleType
    phrases: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, module: ModuleType) -> Table:
        """The table that a module holds."""
        return cls(module, module.PHRASES)

    def function(self, key: str) -> Function | None:
        """The function that writes an operator, if it is not a phrase."""
        function = getattr(self.module, key.replace("::", "_").replace(".", "_"), None)
        named = key[:1].isupper() or "::" in key
        return function if named and inspect.isfunction(function) else None

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and (key in self.phrases or self.function(key) is not None)

    def write(
        self, key: str, inputs: list[Operand | Numbers | None], attributes: dict[str, Any], use: Use
    ) -> Written:
        """The expression or layer for one node.

        Raises:
            Refusal: The operator is known, but not with these inputs or attributes.
        """
        defaults = default_attributes(key)
        given = {**defaults, **attributes}
        for name, words in CHOICES.get(key, {}).items():
            if name in given and given[name] not in words:
                raise Refusal(f"attribute {name}={given[name]!r}")
        if key in self.phrases:
            return _fill(key, self.phrases[key], inputs, given, defaults)
        function = self.function(key)
        if function is None:
            raise Refusal("")
        parameters = inspect.signature(function).parameters
        for name in [name for name in given if name not in parameters]:
            if given[name] != defaults.get(name):
                raise Refusal(f"attribute {name}={given[name]!r}")
            del given[name]
        if "node" in parameters:
            given["node"] = use
        positional = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
        if not variadic and any(v is not None for v in inputs[len(positional) :]):
            raise Refusal(f"input {len(positional)}")
        return function(*(inputs if variadic else inputs[: len(positional)]), **given)


def _fill(
    key: str,
    phrase: str,
    inputs: list[Operand | Numbers | None],
    attributes: dict[str, Any],
    defaults: dict[str, Any],
) -> str:
    names = {hole for _, hole, _, _ in string.Formatter().parse(phrase) if hole}
    for name in attributes:
        if name not in names and attributes[name] != defaults.get(name):
            raise Refusal(f"attribute {name}={attributes[name]!r}")
    holes: dict[str, Any] = {name: attributes[name] for name in attributes if name in names}
    for name, value in zip(input_names(key, len(inputs)), inputs, strict=True):
        if value is not None and name not in names:
            raise Refusal(f"input {name}")
        holes[name] = value
    return phrase.format(**holes)


# Inputs of the operators that the standard lacks.
OWN_INPUTS = {"Silu": ("X",)}


def input_names(key: str, count: int) -> list[str]:
    """The names of an operator's inputs in the standard."""
    if key in OWN_INPUTS:
        return list(OWN_INPUTS[key])
    names = [formal.name for formal in defs.get_schema(key, OPSET).inputs]
    return names[:count] + [f"input{k}" for k in range(len(names), count)]


def default_attributes(key: str) -> dict[str, Any]:
    """The defaults of an operator's attributes in the standard."""
    try:
        schema = defs.get_schema(key, OPSET)
    except defs.SchemaError:
        return {}
    from onnx import helper

    found: dict[str, Any] = {}
    for name, attribute in schema.attributes.items():
        if attribute.default_value.type:
            value = helper.get_attribute_value(attribute.default_value)
            found[name] = _decoded(value)
    return found


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value
