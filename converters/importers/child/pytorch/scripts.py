"""TorchScript -> an ordinary module that runs the program's graph operation by operation.

What torch.export and the tracer see is then plain PyTorch: `prim::If` and `prim::Loop` are decided by the
numbers at hand (sizes, flags, arguments that are constants), modules keep their names, and what a program
keeps between calls in attributes becomes inputs and outputs. A branch that depends on values of tensors is
refused by torch.export, and shows in the numbers where the tracer took it.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

Env = dict[str, Any]

MANGLED = re.compile(r"\.?___torch_mangle_\d+")
# Functions that stand in a program as they did in torch; of methods that call others the inlined graph is run.
FUNCTIONAL = "__torch__.torch.nn.functional."
MOST_STEPS = 1 << 20


class Unreadable(NotImplementedError):
    """An operation that is not run here."""


class Part(nn.Module):  # type: ignore[misc]
    """A module of a program, with its parameters, buffers and children under their names."""

    def __init__(self, script: Any, path: str, root: ScriptProgram | None) -> None:
        super().__init__()
        # Past nn.Module, which would make children of them.
        object.__setattr__(self, "script", script)
        object.__setattr__(self, "root", root or self)
        self.path = path
        self.places: dict[int, str] = {}
        for name, value in script.named_parameters(recurse=False):
            self.register_parameter(name, nn.Parameter(value.detach(), requires_grad=False))
            self.places[value.data_ptr()] = name
        for name, value in script.named_buffers(recurse=False):
            self.register_buffer(name, value)
        for name, child in script.named_children():
            self.add_module(name, Part(child, f"{path}{name}.", self.root))
        self.train(False)

    def forward(self, *values: Any, **named: Any) -> Any:
        """What `forward` of the program's module does."""
        return self.call("forward", values)

    def call(self, method: str, values: Sequence[Any]) -> Any:
        """Run a method."""
        compiled = self.script._c._get_method(method)
        graph = compiled.graph
        if any(_foreign(node) for node in _nodes(graph)):
            graph = compiled.inlined_graph
        env = dict(zip((v.debugName() for v in graph.inputs()), (self, *values), strict=True))
        _run(graph.nodes(), env)
        (result,) = (env[value.debugName()] for value in graph.outputs())
        return result

    def read(self, name: str) -> Any:
        """The value of an attribute, as it is now."""
        path = self.path + name
        if path in self.root.memory:
            return self.root.now[path]
        for known in (self._parameters, self._buffers, self._modules):
            if name in known:
                return known[name]
        if name == "training":
            return False
        value = self.script._c.getattr(name)
        if isinstance(value, list) and all(isinstance(one, torch.Tensor) for one in value):
            # The weights of a recurrent layer, under their names.
            names = [self.places.get(one.data_ptr()) for one in value]
            pairs = zip(names, value, strict=True)
            return [one if name is None else self._parameters[name] for name, one in pairs]
        return value

    def write(self, name: str, value: Any) -> None:
        """Remember what is assigned, for this run.

        Raises:
            Unreadable: It is assigned from another module, which was not looked for.
        """
        if self.path + name not in self.root.memory:
            raise Unreadable(f"{self.path}{name} is assigned from another module")
        self.root.now[self.path + name] = value


class ScriptProgram(Part):
    """A whole program.

    Attributes:
        memory: First values of the attributes that its methods assign, by path.
        owners: The modules that have them.
        now: Their values in this run.
        names: Those of them that are tensors, and so inputs and outputs.
    """

    memory: dict[str, Any]
    owners: dict[str, Part]
    now: dict[str, Any]
    names: list[str]

    def __init__(self, script: Any) -> None:
        super().__init__(script, "", None)
        places = [(part, name) for part in _parts(self) for name in _assigned(part)]
        values = {part.path + name: part.script._c.getattr(name) for part, name in places}
        owners = {part.path + name: part for part, name in places}
        for field, value in (("memory", values), ("owners", owners), ("now", {}), ("names", [])):
            object.__setattr__(self, field, value)

    def forward(self, *_: Any, **values: Any) -> Any:
        """Run the program; what it remembers comes with what it returns."""
        remembered = {name: values.pop(name) for name in self.names}
        object.__setattr__(self, "now", {**self.memory, **remembered})
        result = self.call("forward", self._arguments(values))
        return self._returned(result, self.now)

    def truth(self, **values: Any) -> Any:
        """The same of the program itself, in TorchScript."""
        remembered = {name: values.pop(name) for name in self.names}
        for path, value in {**self.memory, **remembered}.items():
            kept = value.clone() if isinstance(value, torch.Tensor) else value
            self.owners[path].script._c.setattr(path.rpartition(".")[2], kept)
        return self._returned(self.script(*self._arguments(values)), self._kept())

    def remember(self, values: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Tensors that the program keeps between calls: as they are after one call with some arguments."""
        self.truth(**values)
        found = {p: v.clone() for p, v in self._kept().items() if isinstance(v, torch.Tensor)}
        object.__setattr__(self, "names", list(found))
        return found

    def _kept(self) -> dict[str, Any]:
        """What the program itself remembers now."""
        return {
            path: part.script._c.getattr(path.rpartition(".")[2])
            for path, part in self.owners.items()
        }

    def _returned(self, result: Any, now: Mapping[str, Any]) -> Any:
        return {"output": result, **{n: now[n] for n in self.names}} if self.names else result

    def _arguments(self, values: Mapping[str, Any]) -> list[Any]:
        listed = self.script.forward.schema.arguments[1:]
        return [values.get(argument.name, argument.default_value) for argument in listed]


def _parts(part: Part) -> Iterator[Part]:
    yield part
    for child in part.children():
        if isinstance(child, Part):
            yield from _parts(child)


def _assigned(part: Part) -> list[str]:
    """Attributes of a module that its own methods assign."""
    found: dict[str, None] = {}
    for method in part.script._c._method_names():
        graph = part.script._c._get_method(method).graph
        this = next(iter(graph.inputs())).debugName()
        for node in _nodes(graph):
            if node.kind() == "prim::SetAttr" and next(iter(node.inputs())).debugName() == this:
                found[node.s("name")] = None
    return list(found)


def _nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def _foreign(node: Any) -> bool:
    """Whether a node calls a function that is not one of torch's."""
    if node.kind() != "prim::CallFunction":
        return False
    return _functional(next(iter(node.inputs())).type().annotation_str) is None


def _functional(name: str) -> Any:
    plain = MANGLED.sub("", name)
    known = plain.startswith(FUNCTIONAL)
    return getattr(nn.functional, plain.removeprefix(FUNCTIONAL), None) if known else None


def name_weights(script: Any) -> None:
    """Read weights by their names, in place, where the inlined graph of a program reads a list of them.

    Recurrent layers keep such a list, `_flat_weights`, whose members have no names.
    """
    graph, read = script.graph, []
    for node in graph.findAllNodes("prim::GetAttr"):
        if str(node.output().type()) != "List[Tensor]":
            continue
        owner = _owner(script, node.input().node())
        listed = owner._c.getattr(node.s("name"))
        names = {tensor.data_ptr(): name for name, tensor in owner.named_parameters(recurse=False)}
        if not listed or not all(tensor.data_ptr() in names for tensor in listed):
            continue
        members = []
        for tensor in listed:
            kind = torch._C.TensorType.get()
            member = _created(graph, node, "prim::GetAttr", [node.input()], kind)
            member.s_("name", names[tensor.data_ptr()])
            members.append(member.output())
        made = _created(graph, node, "prim::ListConstruct", members, node.output().type())
        node.output().replaceAllUsesWith(made.output())
        read.append((owner, node.s("name")))
    # Exporters refuse what is there under two names.
    for owner, name in read:
        owner._c.setattr(name, [])


def _owner(script: Any, node: Any) -> Any:
    """The module that a chain of attributes reaches."""
    if node.kind() != "prim::GetAttr":
        return script
    return getattr(_owner(script, node.input().node()), node.s("name"))


def _created(graph: Any, before: Any, kind: str, inputs: Sequence[Any], result: Any) -> Any:
    node = graph.create(kind, inputs, 1)
    node.output().setType(result)
    node.insertBefore(before)
    return node


def _run(nodes: Any, env: Env) -> None:
    for node in nodes:
        statement = STATEMENTS.get(node.kind(), _operation)
        names = (value.debugName() for value in node.outputs())
        env.update(zip(names, statement(node, env), strict=True))


def _inputs(node: Any, env: Env) -> list[Any]:
    return [env[value.debugName()] for value in node.inputs()]


def _operation(node: Any, env: Env) -> Sequence[Any]:
    """An operation without blocks or attributes: ours where sizes are read, else torch's own."""
    kind, values = node.kind(), _inputs(node, env)
    plain = not any(isinstance(value, torch.Tensor) for value in _flat(values))
    function = ALWAYS.get(kind) or (PLAIN.get(kind) if plain else None)
    if function is None and not kind.startswith(("aten::", "polyzoo::")):
        raise Unreadable(f"the TorchScript operation {kind} is not known here")
    result = function(*values) if function is not None else _aten(node, values)
    count = node.outputsSize()
    return [] if count == 0 else [result] if count == 1 else list(result)


def _aten(node: Any, values: list[Any]) -> Any:
    """Call torch's operator of a node's schema."""
    schema = torch._C.parse_schema(node.schema())
    space, _, name = schema.name.partition("::")
    known = getattr(getattr(torch.ops, space), name, None)
    overload = getattr(known, schema.overload_name or "default", None)
    if overload is None:
        called = f"{schema.name}.{schema.overload_name}"
        raise Unreadable(f"the TorchScript operation {called} is not known here")
    listed = overload._schema.arguments
    typed = [_typed(a, value) for a, value in zip(listed, values, strict=True)]
    split = sum(not argument.kwarg_only for argument in listed)
    named = zip(listed[split:], typed[split:], strict=True)
    return overload(*typed[:split], **{a.name: v for a, v in named if v is not None})


def _typed(argument: Any, value: Any) -> Any:
    """A value as an operator takes it: a size that stands for a tensor, an element type by its number."""
    kind = str(argument.real_type)
    if kind == "Tensor" and isinstance(value, (int, float)):
        return torch.scalar_tensor(
            value, dtype=torch.float32 if value != int(value) else torch.int64
        )
    if "ScalarType" in kind and isinstance(value, int):
        return DTYPES[value]
    return value


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _flat(value)
        else:
            yield value


def _constant(node: Any, env: Env) -> Sequence[Any]:
    value = node.output()
    if value.type().kind() == "FunctionType":
        return [_functional(value.type().annotation_str)]
    return [value.toIValue()]


def _if(node: Any, env: Env) -> Sequence[Any]:
    yes, no = node.blocks()
    return _block(yes if env[node.input().debugName()] else no, env)


def _block(block: Any, env: Env) -> list[Any]:
    _run(block.nodes(), env)
    return [env[value.debugName()] for value in block.outputs()]


def _loop(node: Any, env: Env) -> Sequence[Any]:
    most, going, *carried = _inputs(node, env)
    (body,) = node.blocks()
    names = [value.debugName() for value in body.inputs()]
    step = 0
    while going and step < most:
        if step == MOST_STEPS:
            raise Unreadable(f"a TorchScript loop of more than {MOST_STEPS} steps")
        env.update(zip(names, (step, *carried), strict=True))
        going, *carried = _block(body, env)
        step += 1
    return carried


def _get(node: Any, env: Env) -> Sequence[Any]:
    return [_part(env[node.input().debugName()]).read(node.s("name"))]


def _set(node: Any, env: Env) -> Sequence[Any]:
    owner, value = _inputs(node, env)
    _part(owner).write(node.s("name"), value)
    return []


def _method(node: Any, env: Env) -> Sequence[Any]:
    owner, *values = _inputs(node, env)
    name = node.s("name")
    # `forward` as a call of the module, so that exporters see whose operations these are.
    return [_part(owner)(*values) if name == "forward" else _part(owner).call(name, values)]


def _part(owner: Any) -> Part:
    if not isinstance(owner, Part):
        raise Unreadable("a TorchScript object that is no module")
    return owner


def _function(node: Any, env: Env) -> Sequence[Any]:
    function, *values = _inputs(node, env)
    return [function(*values)]


def _dict(node: Any, env: Env) -> Sequence[Any]:
    values = _inputs(node, env)
    return [dict(zip(values[::2], values[1::2], strict=True))]


def _raise(*values: Any) -> None:
    raise ValueError(f"the program itself refuses: {values[0]}")


def _set_item(values: Any, key: Any, value: Any) -> Any:
    values[key] = value
    return values


def _append(values: list[Any], value: Any) -> list[Any]:
    values.append(value)
    return values


def _slice(values: Any, *numbers: Any) -> Any:
    """`slice` of a tensor (with its axis first), a list or a text."""
    if isinstance(values, torch.Tensor):
        return torch.ops.aten.slice.Tensor(values, *numbers)
    return values[slice(*numbers)]


def _len(value: Any) -> Any:
    return value.shape[0] if isinstance(value, torch.Tensor) else len(value)


def _size(value: Any, axis: Any = None) -> Any:
    return list(value.shape) if axis is None else value.shape[axis]


def _to(tensor: Any, *values: Any) -> Any:
    """`to` in all its forms: of a type, or of another tensor; there is one device here."""
    if not isinstance(tensor, torch.Tensor):
        return tensor
    for value in values:
        if isinstance(value, torch.Tensor):
            return tensor.to(value.dtype)
        if isinstance(value, int) and not isinstance(value, bool):
            return tensor.to(DTYPES[value])
    return tensor


def _int(value: Any) -> Any:
    return value.item() if isinstance(value, torch.Tensor) else math.trunc(value)


def _same(value: Any, *rest: Any) -> Any:
    return value


def _convolution(*values: Any) -> Any:
    """Without the flags for libraries of NVIDIA's, which no exporter reads."""
    return torch.ops.aten.convolution(*values[:9])


# In TorchScript element types are numbers: c10/core/ScalarType.h.
DTYPES: Mapping[int, torch.dtype] = {
    0: torch.uint8,
    1: torch.int8,
    2: torch.int16,
    3: torch.int32,
    4: torch.int64,
    5: torch.float16,
    6: torch.float32,
    7: torch.float64,
    9: torch.complex64,
    10: torch.complex128,
    11: torch.bool,
    15: torch.bfloat16,
}
NUMBER_OF = {dtype: number for number, dtype in DTYPES.items()}

STATEMENTS: Mapping[str, Callable[[Any, Env], Sequence[Any]]] = {
    "prim::Constant": _constant,
    "prim::If": _if,
    "prim::Loop": _loop,
    "prim::GetAttr": _get,
    "prim::SetAttr": _set,
    "prim::CallMethod": _method,
    "prim::CallFunction": _function,
    "prim::DictConstruct": _dict,
    "prim::TupleUnpack": lambda node, env: env[node.input().debugName()],
    "prim::ListUnpack": lambda node, env: env[node.input().debugName()],
}
# What they are called with may be tensors.
ALWAYS: Mapping[str, Callable[..., Any]] = {
    "prim::ListConstruct": lambda *values: list(values),
    "prim::TupleConstruct": lambda *values: tuple(values),
    "prim::TupleIndex": operator.getitem,
    "prim::TupleSlice": _slice,
    "prim::Uninitialized": lambda: None,
    "prim::RaiseException": _raise,
    "prim::unchecked_cast": _same,
    "prim::data": _same,
    "prim::device": lambda value: None,
    "prim::is_cuda": lambda value: False,
    "prim::requires_grad": lambda value: False,
    "prim::dtype": lambda value: NUMBER_OF[value.dtype],
    "prim::shape": _size,
    # Sizes stay plain numbers, so that they may vary.
    "prim::NumToTensor": _same,
    "aten::size": _size,
    "aten::dim": lambda value: value.dim(),
    "aten::len": _len,
    "aten::to": _to,
    "aten::cpu": _same,
    "aten::detach": _same,
    "aten::slice": _slice,
    "aten::warn": lambda *values: None,
    "aten::append": _append,
    "aten::__is__": operator.is_,
    "aten::__isnot__": operator.is_not,
    "aten::Bool": bool,
    "aten::Int": _int,
    "aten::IntImplicit": _same,
    "aten::ScalarImplicit": _same,
    "aten::is_floating_point": lambda value: value.is_floating_point(),
    "aten::__getitem__": operator.getitem,
    "aten::_set_item": _set_item,
    "aten::list": list,
    "aten::dropout": _same,
    "aten::dropout_": _same,
    "aten::feature_dropout": _same,
    "aten::_convolution": _convolution,
}
# Of numbers, texts and lists of them.
PLAIN: Mapping[str, Callable[..., Any]] = {
    "aten::add": lambda a, b, alpha=1: a + b,
    "aten::sub": lambda a, b, alpha=1: a - b,
    "aten::mul": operator.mul,
    "aten::div": lambda a, b, rounding=None: a // b if rounding == "floor" else a / b,
    "aten::floordiv": operator.floordiv,
    "aten::floor_divide": operator.floordiv,
    "aten::remainder": operator.mod,
    "aten::neg": operator.neg,
    "aten::abs": abs,
    "aten::pow": operator.pow,
    "aten::sqrt": math.sqrt,
    "aten::log": math.log,
    "aten::floor": math.floor,
    "aten::ceil": math.ceil,
    "aten::eq": operator.eq,
    "aten::ne": operator.ne,
    "aten::lt": operator.lt,
    "aten::le": operator.le,
    "aten::gt": operator.gt,
    "aten::ge": operator.ge,
    "aten::__not__": operator.not_,
    "aten::__and__": operator.and_,
    "aten::__or__": operator.or_,
    "aten::__contains__": operator.contains,
    "aten::__range_length": lambda low, high, step: len(range(low, high, step)),
    "aten::__derive_index": lambda index, start, step: start + index * step,
    "aten::Float": float,
    "aten::str": str,
    "aten::format": lambda text, *values: text.format(*values),
    "aten::copy": list,
    "prim::min": min,
    "prim::max": max,
}
