"""A tree of regions -> the source of model.py and the weights that go with it.

Regions that differ in nothing but sizes become one class, made with those sizes; repeated ones in a
row become a module list and a loop. Class and attribute names follow the source where it has names.
"""

from __future__ import annotations

import ast
import pathlib
import re
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from ruff.__main__ import find_ruff_bin

from converters.emitters.forward import (
    HINTS,
    RESHAPING,
    Body,
    Forward,
    Rounds,
    Step,
    attribute_name,
    identifier,
    result,
    write_forward,
)
from converters.emitters.framework import Framework
from converters.emitters.lower import Program, Statement
from converters.emitters.names import Path, parameter_path
from converters.emitters.outline import Region, outline
from converters.emitters.table import Layer
from converters.emitters.text import is_text
from converters.graph.model import Value

LONGEST_LINE = 100
# The class of the whole model, which scripts make by this name.
ROOT = "Model"
# More absent neighbours than this in a list of numbered modules are no layers that inference leaves out.
WIDEST_GAP = 8
# Names that every module class of some framework already uses.
RESERVED = {
    "add_module", "apply", "buffers", "children", "construct", "cpu", "cuda", "double", "eval", "float",
    "forward", "half", "modules", "parameters", "size", "state_dict", "to", "train", "training", "type",
    "name", "cls_name", "bfloat16", "full_name", "sublayers", "cells", "insert_child_to_cell",
}  # fmt: skip


# Functions of Python that emitted source calls: no argument may hide them.
BUILTINS = {"bool", "float", "int", "len", "max", "min", "range", "reversed", "tuple", "zip"}


@dataclass(frozen=True)
class Source:
    """What is written for one model.

    Attributes:
        text: The source of model.py, formatted.
        weights: The constants of the graph by their key in the framework's state dictionary.
    """

    text: str
    weights: Mapping[str, Value]


@dataclass(eq=False)
class Member:
    """An attribute of a module: a layer, a bare parameter or constant, or inner modules."""

    attribute: str
    made: ast.stmt | None = None
    modules: list[Module] = field(default_factory=list)
    listed: bool = False
    weights: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Chain:
    """Modules of which each feeds the next: the constructor of all, and what goes in and comes out.

    Attributes:
        weights: By their keys within it.
        number: Its place in a chain around it, where the source says it.
        rest: What is computed from its result in the same region.
    """

    text: str
    weights: Mapping[str, Value]
    source: Value
    result: Value
    number: int | None = None
    rest: tuple[Statement, ...] = ()

    def member(self, attribute: str) -> Member:
        """It as an attribute of a module."""
        return Member(attribute, _assignment(attribute, self.text), weights=dict(self.weights))


@dataclass(eq=False)
class Module:
    """A region on its way to a class, or what only holds modules that others call.

    Attributes:
        path: Names of the modules around it in the source, and its own.
        names: The names of its members.
        forward: None for what only holds others; where their names are numbers that is a list.
    """

    region: Region
    title: str
    path: Path
    names: _Names
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    forward: Forward | None = None
    class_name: str = ""
    listed: bool = False
    sizes: dict[str, ast.expr] = field(default_factory=dict)

    @property
    def is_list(self) -> bool:
        """Whether it is a list that only holds modules."""
        return self.forward is None and self.names.numbered

    @property
    def height(self) -> int:
        """How many levels of modules are below it."""
        inner = [module.height for member in self.members for module in member.modules]
        return 1 + max(inner, default=-1)

    def settle(self, name: str, inner: Module) -> str:
        """Give an inner module its attribute, and what was to be held under its name."""
        attribute = self.names.attributes.get(name, "")
        held = [m for m in self.members if m.attribute == attribute and m.modules]
        if held and held[0].modules[0].forward is None:
            inner.absorb(held[0].modules[0])
            held[0].modules = [inner]
            return held[0].attribute
        attribute = self.names.named(name)
        self.members.append(Member(attribute, modules=[inner]))
        return attribute

    def absorb(self, held: Module) -> None:
        """Take over what was to be held under its name, at every depth."""
        for member in held.members:
            same = next((m for m in self.members if m.attribute == member.attribute), None)
            if same is None or not same.modules or not member.modules:
                self.members.append(member)
            elif same.listed:
                for inner in member.modules[0].members:
                    same.modules[int(inner.attribute)].absorb(inner.modules[0])
            else:
                same.modules[0].absorb(member.modules[0])

    def weights(self, prefix: str = "") -> dict[str, Value]:
        """Its constants by state dictionary key."""
        found: dict[str, Value] = {}
        for member in self.members:
            base = f"{prefix}{member.attribute}"
            for name, value in member.weights.items():
                found[f"{base}.{name}" if name else base] = value
            for number, module in enumerate(member.modules):
                inner = f"{base}.{number}." if member.listed else f"{base}."
                found.update(module.weights(inner))
        return found


class _CallsDiffer(Exception):
    """Calls of one module that cannot be written as calls of one class."""


def write(program: Program, framework: Framework, header: str) -> Source:
    """Write a program as a module of a framework."""
    try:
        root = _Writer(program, framework, True).root()
    except _CallsDiffer:
        root = _Writer(program, framework, False).root()
    classes = _Classes(framework).define(root)
    body = "\n\n\n".join(classes)
    parts = [f'"""{header}"""', "from __future__ import annotations"]
    functions = _functions(framework, body)
    parts.append(_imports(framework, f"{functions}\n{body}"))
    parts += [functions] if functions else []
    parts.append(body)
    return Source(format_source("\n\n".join(parts)), root.weights())


def format_source(text: str) -> str:
    """Format Python source as `ruff format` does."""
    done = subprocess.run(
        [find_ruff_bin(), "format", "--isolated", "--line-length", str(LONGEST_LINE), "-"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


class _Writer:
    """Writes modules; `apart` says whether the calls of one module are calls of one class."""

    def __init__(self, program: Program, framework: Framework, apart: bool) -> None:
        self.program, self.framework, self.apart = program, framework, apart
        self.tree = outline(program, apart=apart)
        self.token_of = {value: token for token, value in program.tokens.items()}
        self.readers: dict[Value, set[Statement]] = {}
        for s in program.every_statement():
            for value in (*s.direct, *s.results()):
                # What the calls of one module read of its constants, one of them reads.
                reader = s.first if s.first is not None and value.const is not None else s
                self.readers.setdefault(value, set()).add(reader)
        named = {*BUILTINS, *framework.imports, *_defined(framework.folder)}
        names = {v: identifier(v.name) for v in program.graph.inputs}
        self.inputs = {v: f"{name}_" if name in named else name for v, name in names.items()}
        # Modules of the source: where a parameter belongs to one of them, nothing else has it.
        self.paths = {
            (*s.scope, s.leaf)[:length] if s.leaf else s.scope[:length]
            for s in program.statements
            for length in range(len(s.scope) + 2)
        }
        # What modules hold already, each with its attribute: a further call makes no other.
        self.layers: dict[tuple[Module, int], str] = {}
        self.chains_made: dict[Region, tuple[str, Chain]] = {}
        self.modules: dict[Region, tuple[str, list[Module]]] = {}
        # The regions that hold the lists which `items` makes, by the list's identity.
        self.lists: dict[int, Region] = {}

    def root(self) -> Module:
        """The module of the whole model."""
        self.open_lists(self.tree)
        return self.module(self.tree, ROOT, (), is_root=True)

    def module(self, region: Region, title: str, path: Path, *, is_root: bool = False) -> Module:
        """Write one region, inner ones included; classes are named later."""
        inputs = list(self.program.graph.inputs) if is_root else self.reads(region, path)
        outputs = list(self.program.graph.outputs) if is_root else self.given(region)
        module = Module(region, title, path, _Names(region), inputs, outputs)
        steps, held = self.steps(module)
        named = [(v, self.inputs.get(v, "x" if k == 0 else "")) for k, v in enumerate(inputs)]
        module.forward = write_forward(steps, named, outputs, self.program.tokens, held)
        return module

    def reads(self, region: Region, path: Path) -> list[Value]:
        """What a region reads from outside: values, and constants that others read or have."""
        written = region.written()
        mine = {first for s in region.statements() for first in (s, s.first) if first is not None}
        found: dict[Value, None] = {}
        for s in region.statements():
            reads = (*s.direct, *s.results())
            for value in sorted(set(reads), key=lambda v: reads.index(v)):
                shared = value.const is not None and (
                    not self.readers.get(value, mine) <= mine or self.is_of_another(value, path)
                )
                if (value.const is None and value not in written) or shared:
                    found[value] = None
        return list(found)

    def is_of_another(self, value: Value, path: Path) -> bool:
        """Whether a parameter belongs to a module that is not the one at a path, nor in it."""
        own = parameter_path(value)[:-1]
        return bool(own) and own in self.paths and own[: len(path)] != path

    def given(self, region: Region) -> list[Value]:
        """What a region computes and something outside reads."""
        mine, outer = set(region.statements()), set(self.program.graph.outputs)
        return [
            value
            for s in region.items_outside()
            for value in s.outputs
            if value is not None and (value in outer or not self.readers.get(value, set()) <= mine)
        ]

    def steps(self, module: Module) -> tuple[list[Step], dict[Value, str]]:
        """What a module computes, its inner modules and layers, and the constants that it holds."""
        making = _Making(module)
        for value in module.outputs:
            self.ensure_token(value)
        steps = self.steps_of(module.region, making)
        for value in module.outputs:
            self.hold_if_needed(value, None, making)
        return steps, making.held

    def steps_of(self, region: Region, making: _Making) -> list[Step]:
        steps: list[Step] = []
        making.note(region)
        before: Module | None = None
        turns = 1
        for item in self.items(region):
            last, before = before, None
            if isinstance(item, Statement):
                for value in item.direct:
                    self.hold_if_needed(value, item, making)
                control = bool(item.blocks)
                steps.append(
                    self.control(item, making) if control else self.statement(item, making)
                )
                continue
            inners: list[Module] = []
            if isinstance(item, Region):
                holder, access = making.holder(item.home)
                chain = self.sequential(item)
                if chain is not None:
                    attribute = self.chain(chain, item, holder)
                    steps.append(self.chained(chain, _joined(access, attribute)))
                    steps += [self.statement(s, making) for s in chain.rest]
                    continue
                in_list = bool(item.home) and item.name.isdigit()
                title = item.home[-1] if in_list else item.name
                inner = self.module(item, title, (*holder.path, item.name))
                inner.listed = in_list
                inners = [inner]
                attribute = self.settle(inners, item, holder, listed=False)
                steps.append(self.call(inner, f"self.{_joined(access, attribute)}"))
            else:
                inners, calls = self.repeated(item, making)
                steps.extend(calls)
            for value in (value for inner in inners for value in inner.inputs):
                self.hold_if_needed(value, None, making)
            (before,) = inners if len(inners) == 1 else (None,)
            turns = turns + 1 if self.goes_on(last, before, steps) else 1
            if turns > 1:
                *steps, first, again = steps
                steps.append(replace(first, outputs=again.outputs, loop=f"range({turns})"))
        return steps

    def goes_on(self, last: Module | None, module: Module | None, steps: Sequence[Step]) -> bool:
        """Whether the last step calls a module with what the step before it made of it, and all else as before."""
        if last is None or module is None or not _feeds(last, module):
            return False
        a, b = (step.expression for step in steps[-2:])
        if not isinstance(a, ast.Call) or not isinstance(b, ast.Call):
            return False
        return ast.unparse(a.func) == ast.unparse(b.func) and self.is_private(last, module)

    def chain(self, chain: Chain, region: Region, holder: Module) -> str:
        """Keep a chain in a module, unless it was called before; returns its attribute."""
        if region.first is None:
            attribute = holder.names.named(region.name)
            holder.members.append(chain.member(attribute))
            self.chains_made[region] = attribute, chain
            return attribute
        attribute, first = self.chains_made.get(region.first, ("", None))
        if first is None or (chain.text, chain.weights) != (first.text, first.weights):
            raise _CallsDiffer
        return attribute

    def settle(self, inners: list[Module], region: Region, holder: Module, *, listed: bool) -> str:
        """Keep inner modules in a module, unless they were called before; returns their attribute."""
        if region.first is None:
            if listed:
                attribute = holder.names.named(region.name)
                holder.members.append(Member(attribute, modules=inners, listed=True))
            else:
                attribute = holder.settle(region.name, inners[0])
            self.modules[region] = attribute, inners
            return attribute
        attribute, first = self.modules.get(region.first, ("", []))
        if len(first) != len(inners) or not all(map(_alike, first, inners)):
            raise _CallsDiffer
        return attribute

    def control(self, statement: Statement, making: _Making) -> Step:
        """Control flow, whose layers belong to the module that it stands in."""
        rounds = statement.rounds
        if rounds is None:
            bodies = tuple(
                self.body(block, block.graph.outputs, statement, making)
                for block in statement.choice
            )
            return Step(statement.outputs, statement.expression, bodies=bodies)
        body = self.body(rounds.body, statement.results(), statement, making)
        condition = next((c for c in rounds.carried if c.inner is rounds.condition), None)
        return Step(
            statement.outputs,
            statement.expression,
            rounds=Rounds(
                body,
                rounds.items,
                tuple((c.initial, c.inner, c.output) for c in rounds.carried),
                tuple(into for _, into in rounds.collected),
                rounds.condition,
                condition is not None and condition.initial is not None,
            ),
        )

    def body(
        self, block: Program, results: Sequence[Value], statement: Statement, making: _Making
    ) -> Body:
        region = outline(block, statement.scope, apart=self.apart)
        self.open_lists(region)
        steps = self.steps_of(region, making)
        for value in results:
            self.ensure_token(value)
            self.hold_if_needed(value, None, making)
        return Body([*steps, Step((), result(results, self.program.tokens))])

    def hold_if_needed(self, value: Value, reader: Statement | None, making: _Making) -> None:
        """Keep a constant in the module, unless it has it or is given it."""
        if value.const is None or value in making.held or value in making.module.inputs:
            return
        making.held[value] = self.hold(value, reader, making)

    def ensure_token(self, value: Value) -> None:
        if value not in self.token_of:
            token = f"_v{len(self.program.tokens)}_"
            self.program.tokens[token] = value
            self.token_of[value] = token

    def open_lists(self, region: Region) -> None:
        """Lists that are neither chains nor of modules alone only hold what the module around them calls."""
        items: list[Statement | Region] = []
        for item in region.items:
            if isinstance(item, Region):
                self.open_lists(item)
                numbers = [i for i in item.items if _name_in(i).isdigit()]
                if numbers and self.sequential(item) is None and not _is_plain_list(item):
                    for position, inner in enumerate(item.items):
                        inner.home = (*item.home, item.name, *inner.home)
                        if isinstance(inner, Region) and item.first is not None:
                            inner.first = _first(item.first.items[position])
                    items += item.items
                    continue
            items.append(item)
        region.items = items

    def items(self, region: Region) -> list[Statement | Region | list[Region]]:
        """The items of a region; inner regions that only hold numbered ones are lists of those."""
        found: list[Statement | Region | list[Region]] = []
        for item in region.items:
            if isinstance(item, Region) and _is_plain_list(item) and self.sequential(item) is None:
                inner = [i for i in item.items if isinstance(i, Region)]
                found.append(inner)
                self.lists[id(inner)] = item
            else:
                found.append(item)
        return found

    def sequential(self, region: Region) -> Chain | None:
        """A region of numbered layers of which each feeds the next, as one call of constructors."""
        texts: list[str] = []
        weights: dict[str, Value] = {}
        source: Value | None = None
        result: Value | None = None
        rest: tuple[Statement, ...] = ()
        for position, item in enumerate(region.items):
            link = self.link(item)
            if link is None or (result is not None and not self.feeds_alone(result, link, item)):
                # What has no weights may stand behind the chain as well.
                rest = tuple(i for i in region.items[position:] if isinstance(i, Statement))
                held = any(
                    s.layer or s.blocks or any(v.const is not None for v in s.reads) for s in rest
                )
                if held or len(rest) < len(region.items) - position:
                    return None
                break
            wanted = link.number if link.number is not None else len(texts)
            if not len(texts) <= wanted <= len(texts) + WIDEST_GAP:
                return None
            # What is not there in inference mode, Dropout for one, keeps its number.
            texts += ["nn.Identity()"] * (wanted - len(texts))
            weights |= {f"{len(texts)}.{name}": value for name, value in link.weights.items()}
            texts.append(link.text)
            source, result = source or link.source, link.result
        if source is None or result is None or not weights:
            return None
        text = f"{self.framework.sequential}({', '.join(texts)})"
        return Chain(text, weights, source, result, rest=rest)

    def feeds_alone(self, value: Value, link: Chain, item: Statement | Region) -> bool:
        """Whether a value goes into the next link and nowhere else."""
        own = set(item.statements()) if isinstance(item, Region) else {item}
        return (
            link.source is value
            and value not in self.program.graph.outputs
            and self.readers.get(value, set()) <= own
        )

    def link(self, item: Statement | Region) -> Chain | None:
        """One module of a chain: a numbered layer or chain, or what has a class of its own."""
        if item.home:
            return None
        if isinstance(item, Region):
            chain = self.sequential(item) if item.name.isdigit() else None
            if chain is None or chain.rest:
                return None
            return replace(chain, number=int(item.name))
        if len(item.outputs) != 1 or item.outputs[0] is None or len(item.reads) != 1:
            return None
        source, result, call = item.reads[0], item.outputs[0], item.expression
        if not isinstance(call, ast.Call) or source.const is not None:
            return None
        if item.layer is not None:
            plain = len(call.args) == 1 and isinstance(call.args[0], ast.Name) and not call.keywords
            if not (plain and item.leaf.isdigit() and ast.unparse(call.func) == "layer"):
                return None
            weights = {k: v for k, v in item.layer.weights.items() if v is not None}
            return Chain(item.layer.constructor, weights, source, result, int(item.leaf))
        made = self.as_module(call)
        number = int(item.scope[-1]) if item.scope and item.scope[-1].isdigit() else None
        return None if made is None else Chain(made, {}, source, result, number)

    def as_module(self, call: ast.Call) -> str | None:
        """The constructor of the class that computes what an expression of one tensor does."""
        token = next(
            n.id for n in ast.walk(call) if isinstance(n, ast.Name) and n.id in self.program.tokens
        )
        modules = self.framework.modules
        whole = ast.unparse(call).replace(token, "_")
        if whole in modules:
            return modules[whole]
        name = ast.unparse(call.func)
        first = call.args[0] if call.args else None
        if name not in modules or not isinstance(first, ast.Name) or first.id != token:
            return None
        rest = [ast.unparse(arg) for arg in call.args[1:]]
        rest += [f"{kw.arg}={ast.unparse(kw.value)}" for kw in call.keywords]
        made = modules[name] if "..." in modules[name] else f"{modules[name]}(...)"
        return made.replace("...", ", ".join(rest))

    def chained(self, chain: Chain, attribute: str) -> Step:
        """The call of a chain."""
        for value in (chain.source, chain.result):
            self.ensure_token(value)
        argument = ast.Name(self.token_of[chain.source], ast.Load(), col_offset=0)
        function = ast.Name(f"self.{attribute}", ast.Load())
        return Step((chain.result,), ast.Call(function, [argument], []), comment=True)

    def repeated(self, regions: list[Region], making: _Making) -> tuple[list[Module], list[Step]]:
        """Numbered regions: a module list, called in a loop where each feeds the next."""
        around = self.lists[id(regions)]
        holder, access = making.holder(around.home)
        path = (*holder.path, around.name)
        inners = [self.module(region, around.name, (*path, region.name)) for region in regions]
        for inner in inners:
            inner.listed = True
        attribute = self.settle(inners, around, holder, listed=True)
        name = _joined(access, attribute)
        return inners, [
            step for run in self.chains(inners) for step in self.calls(name, inners, run)
        ]

    def chains(self, modules: Sequence[Module]) -> list[range]:
        """Runs of modules, each feeding nothing but the next, that one loop can call."""
        runs: list[range] = []
        for k, module in enumerate(modules):
            before = modules[k - 1] if k else None
            if before is not None and _feeds(before, module) and self.is_private(before, module):
                runs[-1] = range(runs[-1].start, k + 1)
            else:
                runs.append(range(k, k + 1))
        return runs

    def is_private(self, module: Module, reader: Module) -> bool:
        """Whether only `reader` reads what a module gives."""
        value = module.outputs[0]
        readers = self.readers.get(value, set())
        return value not in self.program.graph.outputs and readers <= set(
            reader.region.statements()
        )

    def calls(self, attribute: str, modules: Sequence[Module], run: range) -> list[Step]:
        if len(run) == 1:
            return [self.call(modules[run.start], f"self.{attribute}[{run.start}]")]
        first = self.call(modules[run.start], "_item_")
        whole = len(run) == len(modules)
        start = run.start or ""
        stop = "" if run.stop == len(modules) else run.stop
        part = "" if whole else f"[{start}:{stop}]"
        outputs = tuple(modules[run.stop - 1].outputs)
        loop = f"self.{attribute}{part}"
        return [Step(outputs, first.expression, comment=first.comment, loop=loop)]

    def call(self, module: Module, function: str) -> Step:
        args: list[ast.expr] = []
        for value in module.inputs:
            self.ensure_token(value)
            args.append(ast.Name(self.token_of[value], ast.Load()))
        for value in module.outputs:
            self.ensure_token(value)
        expression = ast.Call(ast.Name(function, ast.Load()), args, [])
        # Positions give the order in which the arguments are read.
        for column, arg in enumerate(args):
            arg.col_offset = column
        return Step(tuple(module.outputs), expression, hint="", comment=len(module.outputs) == 1)

    def statement(self, statement: Statement, making: _Making) -> Step:
        node = statement.node
        hint = HINTS.get(node.key, "")
        expression = statement.expression
        if statement.layer is not None:
            holder, access = making.holder(statement.home)
            attribute = self.layer(statement.layer, statement, holder)
            expression = _LayerName(f"self.{_joined(access, attribute)}").visit(expression)
            if statement.leaf and re.fullmatch(r"[A-Za-z_]+", attribute):
                hint = attribute
        x = next((v for v in node.inputs if v is not None), None)
        changed = x is None or x.shape != node.output.shape
        role = self.attention_role(node.output)
        shown = node.key in RESHAPING and changed
        return Step(statement.outputs, expression, role or hint, shown, strong=bool(role))

    def layer(self, layer: Layer, statement: Statement, holder: Module) -> str:
        """Keep a layer in a module, unless it was called before; returns its attribute."""
        key = (holder, id(layer.weights))
        if key not in self.layers:
            attribute = self.layers[key] = holder.names.layer(statement)
            weights = {k: v for k, v in layer.weights.items() if v is not None}
            made = _assignment(attribute, layer.constructor)
            holder.members.append(Member(attribute, made, weights=weights))
        return self.layers[key]

    def attention_role(self, value: Value) -> str:
        """`q`, `k` or `v` for what only an attention reads."""
        readers = self.readers.get(value, set())
        if len(readers) != 1:
            return ""
        node = next(iter(readers)).node
        if node.key != "ScaledDotProductAttention" or value not in node.inputs[:3]:
            return ""
        return "qkv"[node.inputs.index(value)]

    def hold(self, value: Value, reader: Statement | None, making: _Making) -> str:
        """Keep a constant in the module; returns its attribute."""
        path, own = parameter_path(value), making.module.path
        holder, access = making.module, ""
        if path[: len(own)] == own and len(path) > len(own):
            holder, access = making.holder(path[len(own) : -1])
            attribute = holder.names.take(attribute_name(_leaf(path, value, reader)), given=True)
        else:
            attribute = holder.names.constant(value, reader.node.key if reader is not None else "")
        form = self.framework.parameter if value.trainable else self.framework.buffer
        shape = list(value.const.shape) if value.const is not None else []
        made = form.format(
            name=attribute, shape=shape, dtype=self.framework.spelling.dtype(value.dtype)
        )
        text = made if "{name}" in form else f"self.{attribute} = {made}"
        holder.members.append(Member(attribute, ast.parse(text).body[0], weights={"": value}))
        return _joined(access, attribute)


@dataclass(eq=False)
class _Making:
    """A module while its steps are written.

    Attributes:
        held: The constants that it holds, and where.
        children: The names in modules that only hold others, by the path from here.
    """

    module: Module
    held: dict[Value, str] = field(default_factory=dict)
    children: dict[Path, set[str]] = field(default_factory=dict)

    def note(self, region: Region) -> None:
        """Learn what is in the modules that only hold others."""
        own = self.module.path
        inner = [
            (*item.home, _own_name(item))
            for item in region.items
            if isinstance(item, Region) or item.layer is not None
        ]
        constants = (v for s in region.statements() for v in s.reads if v.const is not None)
        bare = [p[len(own) :] for p in map(parameter_path, constants) if p[: len(own)] == own]
        for path in inner + bare:
            for k, name in enumerate(path):
                self.children.setdefault(path[:k], set()).add(name)

    def holder(self, home: Path) -> tuple[Module, str]:
        """The module at a path from here, made where there is none, and how it is reached."""
        module, access = self.module, ""
        listed: dict[str, Module] = {}
        for depth, name in enumerate(home, 1):
            attribute = name if listed else module.names.attributes.get(name, "")
            known = [m for m in module.members if m.attribute == attribute and m.modules]
            numbers = {str(k): m for k, m in enumerate(known[0].modules if known else ())}
            if listed:
                module, listed = listed[name], {}
            elif known and not known[0].listed:
                module = known[0].modules[0]
            elif home[depth : depth + 1] and home[depth] in numbers:
                listed = numbers
            else:
                region = Region(name)
                inner = Module(region, name, (*module.path, name), _Names(region))
                inside = self.children.get(home[:depth], home[depth : depth + 1])
                inner.names.numbered = bool(inside) and all(n.isdigit() for n in inside)
                attribute = module.names.named(name)
                module.members.append(Member(attribute, modules=[inner]))
                module = inner
            access = _joined(access, attribute)
        return module, access


# What every framework but the source's own calls the weights of operators that may be no layer.
LEAVES = dict.fromkeys(
    (
        "BatchNormalization",
        "GroupNormalization",
        "InstanceNormalization",
        "LayerNormalization",
        "PRelu",
    ),
    ("weight", "bias"),
)


def _leaf(path: Path, value: Value, reader: Statement | None) -> str:
    """The last name of a bare parameter."""
    leaves = LEAVES.get(reader.node.key, ()) if reader is not None else ()
    named = dict(zip(reader.node.inputs[1:], leaves, strict=False)) if reader is not None else {}
    return named.get(value, path[-1])


def _joined(access: str, attribute: str) -> str:
    """How a member is reached: `blocks[3].conv`."""
    if attribute.isdigit():
        return f"{access}[{attribute}]"
    return f"{access}.{attribute}" if access else attribute


def _assignment(attribute: str, text: str) -> ast.stmt:
    """`self.conv = nn.Conv2d(3, 16, 3)`; what stands in a list has no attribute of its own."""
    name = f"_{attribute}" if attribute.isdigit() else attribute
    return ast.parse(f"self.{name} = {text}").body[0]


def _own_name(item: Statement | Region) -> str:
    """What an item is called in the module that holds it."""
    return item.name if isinstance(item, Region) else item.leaf


def _name_in(item: Statement | Region) -> str:
    """What an item, or the module that holds it, is called in the region."""
    return item.home[0] if item.home else _own_name(item)


def _is_plain_list(region: Region) -> bool:
    """Whether there is nothing in a region but regions with numbers, in order."""
    numbers = [i.name for i in region.items if isinstance(i, Region) and not i.home]
    return bool(numbers) and numbers == [str(k) for k in range(len(region.items))]


def _first(item: Statement | Region) -> Region | None:
    """The first call of a module."""
    return (item.first or item) if isinstance(item, Region) else None


class _LayerName(ast.NodeTransformer):
    def __init__(self, name: str) -> None:
        self.name = name

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id != "layer":
            return node
        return ast.copy_location(ast.Name(self.name, ast.Load()), node)


def _alike(a: Module, b: Module) -> bool:
    """Whether two modules are the same one, called twice."""
    if a is b:
        return True
    forms = [
        (
            module.forward and module.forward.parameters,
            module.forward and module.forward.lines,
            [
                (m.attribute, m.listed, m.weights, m.made and ast.unparse(m.made))
                for m in module.members
            ],
        )
        for module in (a, b)
    ]
    inner = [[m for member in module.members for m in member.modules] for module in (a, b)]
    return forms[0] == forms[1] and len(inner[0]) == len(inner[1]) and all(map(_alike, *inner))


def _feeds(a: Module, b: Module) -> bool:
    """Whether the only output of one module is the first input of the next, all else being shared."""
    return (
        len(a.outputs) == len(b.outputs) == 1
        and bool(a.inputs and b.inputs)
        and b.inputs[0] is a.outputs[0]
        and b.inputs[1:] == a.inputs[1:]
    )


# What parameters without a name are called by what reads them; a model that is converted once more has such names.
ROLES = {"Mul": "scale", "Add": "shift", "Gather": "table", "MatMul": "matrix"}
GIVEN = re.compile(rf"({'|'.join([*ROLES.values(), 'weight', 'constant'])})\d*")


class _Names:
    """Attribute names of one module: unique, numbered only where there are several of a kind.

    Attributes:
        given: Names that are the source's, which nothing else gets.
        numbered: Its members have numbers for names.
        attributes: Attributes by the source's names.
    """

    def __init__(self, region: Region) -> None:
        self.taken: set[str] = set()
        self.given = {name for item in region.items if (name := _name_in(item))}
        self.numbered = False
        self.attributes: dict[str, str] = {}
        own = [s for i in region.items if isinstance(i, Statement) for s in i.every()]
        constants = (value for s in own for value in s.reads if value.const is not None)
        self.given |= {value.name for value in constants if GIVEN.fullmatch(value.name)}
        self.roles = Counter(s.layer.role for s in own if s.layer is not None and not s.leaf)
        self.numbers: Counter[str] = Counter()

    def take(self, wanted: str, *, given: bool = False) -> str:
        if wanted in RESERVED:
            wanted += "_"
        name, number = wanted, 1
        while name in self.taken or (name in self.given and not given):
            number += 1
            name = f"{wanted}_{number}" if wanted[-1:].isdigit() else f"{wanted}{number}"
        self.taken.add(name)
        return name

    def named(self, name: str) -> str:
        """The attribute for a name of the source."""
        wanted = name if self.numbered else attribute_name(name)
        attribute = self.take(wanted, given=True)
        self.attributes.setdefault(name, attribute)
        return attribute

    def layer(self, statement: Statement) -> str:
        assert statement.layer is not None  # noqa: S101 - the caller has looked
        if statement.leaf:
            leaf = statement.leaf
            plain = leaf.isdigit() and not self.numbered
            return self.take(f"layer{leaf}", given=True) if plain else self.named(leaf)
        role = statement.layer.role
        if self.roles[role] == 1:
            return self.take(role)
        self.numbers[role] += 1
        return self.take(f"{role}{self.numbers[role]}")

    def constant(self, value: Value, key: str) -> str:
        last = re.split(r"[./:]", value.name.rstrip("_"))[-1]
        plain = re.fullmatch(r"[A-Za-z][A-Za-z_]*[A-Za-z]", last)
        if GIVEN.fullmatch(value.name):
            return self.take(value.name, given=True)
        if plain and value.trainable and not last.startswith("onnx"):
            return self.take(last)
        kind = ROLES.get(key)
        return self.take(kind or ("weight" if value.trainable else "constant"))


class _Classes:
    """Finds modules of the same form and writes one class for them."""

    def __init__(self, framework: Framework) -> None:
        self.framework = framework
        # The class of the whole model has this name, and imports have theirs, whatever modules are called.
        self.names: set[str] = {ROOT, *framework.imports}
        self.parameters: dict[str, dict[str, _Parameter]] = {}
        self.root: Module | None = None
        # The module around each one, past the lists that only hold it.
        self.around: dict[Module, Module] = {}

    def define(self, root: Module) -> list[str]:
        self.root = root
        every: list[Module] = []
        self.collect(root, every)
        texts: list[str] = []
        for height in range(root.height + 1):
            groups: dict[str, list[Module]] = {}
            for module in (m for m in every if m.height == height):
                groups.setdefault(self.form(module), []).append(module)
            texts.extend(self.define_class(group) for group in groups.values())
        return texts

    def collect(self, module: Module, found: list[Module]) -> None:
        for member in module.members:
            for inner in member.modules:
                self.around[inner] = self.around.get(module, module) if module.is_list else module
                self.collect(inner, found)
        found += [] if module.is_list else [module]

    def form(self, module: Module) -> str:
        """Everything about a module but its sizes."""
        made = [ast.unparse(_Hole().visit(stmt)) for _, stmt in self.made(module)]
        forward = module.forward or Forward([], [])
        return "\n".join([",".join(forward.parameters), *made, *forward.lines])

    def made(self, module: Module) -> list[tuple[str, ast.stmt]]:
        """The statements of a module's constructor, with every default argument written out."""
        found = []
        for member in module.members:
            stmt = member.made if member.made is not None else self.inner(member)
            copied = ast.parse(ast.unparse(stmt)).body[0]
            for call in (n for n in ast.walk(copied) if isinstance(n, ast.Call)):
                defaults = self.defaults_of(call)
                given = {kw.arg: kw for kw in call.keywords}
                extra = [kw for name, kw in given.items() if name not in defaults]
                call.keywords = [
                    given.get(name) or ast.keyword(name, ast.parse(repr(value), mode="eval").body)
                    for name, value in defaults.items()
                ] + extra
            found.append((member.attribute, copied))
        return found

    def defaults_of(self, call: ast.Call) -> Mapping[str, object]:
        name = ast.unparse(call.func)
        if name not in self.parameters:
            return self.framework.defaults.get(name, {})
        own = self.parameters[name].values()
        return {p.name: ast.literal_eval(p.default) for p in own if p.default}

    def arguments(self) -> dict[str, tuple[str, ...]]:
        """Names of positional arguments: of the framework's classes and of those defined so far."""
        own = {name: tuple(parameters) for name, parameters in self.parameters.items()}
        return {**self.framework.arguments, **own}

    def without_defaults(self, stmt: ast.stmt) -> ast.stmt:
        """Leave out again what is at its default."""
        for call in (n for n in ast.walk(stmt) if isinstance(n, ast.Call)):
            defaults = self.defaults_of(call)
            call.keywords = [
                kw
                for kw in call.keywords
                if kw.arg is None
                or kw.arg not in defaults
                or ast.unparse(kw.value) != repr(defaults[kw.arg])
            ]
        return stmt

    def inner(self, member: Member) -> ast.stmt:
        """`self.blocks = nn.ModuleList([Block(16) for _ in range(6)])` or the like."""
        calls = [self.construction(module) for module in member.modules]
        text = self.module_list(calls) if member.listed else calls[0]
        return _assignment(member.attribute, text)

    def module_list(self, calls: Sequence[str]) -> str:
        """A list of what these calls make, which says so once where all are the same."""
        repeated = len(calls) > 1 and len(set(calls)) == 1
        items = f"{calls[0]} for _ in range({len(calls)})" if repeated else ", ".join(calls)
        return f"{self.framework.module_list}([{items}])"

    def construction(self, module: Module) -> str:
        """The call that makes a module: sizes by position, those with a default by name."""
        if module.is_list:
            made = {int(m.attribute): m.made or self.inner(m) for m in module.members}
            # A number that nothing has, as Dropout in inference mode.
            texts = [
                ast.unparse(stmt.value) if isinstance(stmt, ast.Assign) else "nn.Identity()"
                for stmt in (made.get(k) for k in range(max(made) + 1))
            ]
            return self.module_list(texts)
        parameters = self.parameters[module.class_name]
        args = [
            f"{name}={ast.unparse(size)}" if parameters[name].default else ast.unparse(size)
            for name, size in module.sizes.items()
        ]
        return f"{module.class_name}({', '.join(args)})"

    def define_class(self, group: list[Module]) -> str:
        first = group[0]
        name = self.name(group)
        statements = [self.made(module) for module in group]
        parameters = self.parameters[name] = self.sizes(group, statements)
        for module in group:
            module.class_name = name
        lines = [f"class {name}({self.framework.module}):"]
        signature = "".join(f", {parameter}" for parameter in parameters.values())
        lines.append(f"    def __init__(self{signature}) -> None:")
        lines.append("        super().__init__()")
        lines += [
            f"        {ast.unparse(self.without_defaults(stmt))}" for _, stmt in statements[0]
        ]
        if first.forward is None:
            return "\n".join(lines)
        lines.append("")
        pairs = zip(first.forward.parameters, first.inputs, strict=True)
        arguments = "".join(f", {name}: {self.annotation(value)}" for name, value in pairs)
        given = [self.annotation(value) for value in first.outputs]
        returned = given[0] if len(given) == 1 else f"tuple[{', '.join(given)}]"
        lines.append(f"    def {self.framework.forward}(self{arguments}) -> {returned}:")
        for k, line in enumerate(first.forward.lines):
            said = {m.forward.comments[k] for m in group if m.forward is not None}
            comment = said.pop() if len(said) == 1 else ""
            text = f"        {line}  # {comment}"
            # A comment is not worth breaking a line for.
            lines.append(text if comment and len(text) <= LONGEST_LINE else f"        {line}")
        return "\n".join(lines)

    def annotation(self, value: Value) -> str:
        """The type of an argument or a result."""
        tensor = "np.ndarray" if is_text(value) else self.framework.tensor
        if value.kind == "index":
            return "int"
        text = f"list[{tensor}]" if "sequence" in value.kind or value.kind == "list" else tensor
        return f"{text} | None" if "optional" in value.kind else text

    def sizes(
        self, group: list[Module], statements: list[list[tuple[str, ast.stmt]]]
    ) -> dict[str, _Parameter]:
        """Turn what differs between the modules of a group into parameters of the class."""
        holes = [
            [(attr, hole) for attr, stmt in made for hole in _holes(stmt, self.arguments())]
            for made in statements
        ]
        names: dict[tuple[str, ...], str] = {}
        parameters: dict[str, _Parameter] = {}
        for position, (attribute, hole) in enumerate(holes[0]):
            column = tuple(ast.unparse(row[position][1].value) for row in holes)
            if len(set(column)) == 1:
                continue
            if column not in names:
                name = hole.name if hole.name not in parameters else f"{attribute}_{hole.name}"
                while name in parameters:
                    name += "_"
                names[column] = name
                usual, count = Counter(column).most_common(1)[0]
                with_default = hole.keyword is not None and count > 1
                parameters[name] = _Parameter(name, _type_of(column), usual if with_default else "")
                for module, row in zip(group, holes, strict=True):
                    module.sizes[name] = row[position][1].value
            hole.replace(ast.Name(names[column], ast.Load()))
        order = sorted(parameters, key=lambda name: bool(parameters[name].default))
        for module in group:
            module.sizes = {name: module.sizes[name] for name in order}
        return {name: parameters[name] for name in order}

    def name(self, group: Sequence[Module]) -> str:
        if group[0] is self.root:
            return ROOT
        base = _class_title(group[0])
        around = {self.around[module] for module in group}
        # Only what is in one kind of module can be called after it.
        (outer, *others) = {"" if one is self.root else _class_title(one) for one in around}
        outer = "" if others else outer
        if base == "Self":
            # `attention.self` of BERT: self-attention.
            base = f"Self{outer}"
        more = [f"{outer}{base}"] if outer not in ("", base) else []
        names = (base, *more, *(f"{base}{number}" for number in range(2, len(self.names) + 3)))
        name = next(name for name in names if name not in self.names)
        self.names.add(name)
        return name


def _class_title(module: Module) -> str:
    """What the class of a module is called, were it the only one."""
    # A list is called after its blocks: `conv_blocks2` holds ConvBlocks.
    title = re.sub(r"(?<=[a-z])s\d*$", "", module.title) if module.listed else module.title
    words = re.split(r"[_\W]+", re.sub(r"(?<=[a-z])\d+$", "", title))
    base = "".join(word[:1].upper() + word[1:] for word in words if word) or "Block"
    if base[0].isdigit():
        base = f"Block{base}"
    if base == ROOT:
        # The model within a wrapper is often called so too, as is the list of all blocks.
        base = "Block" if module.listed else f"Inner{ROOT}"
    return base


@dataclass(frozen=True)
class _Parameter:
    """A parameter of a class's constructor, as it is written there."""

    name: str
    type: str
    default: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.type}" + (f" = {self.default}" if self.default else "")


def _type_of(texts: Sequence[str]) -> str:
    """The annotation for values with these texts: `int | tuple[int, ...]`."""
    kinds: dict[str, None] = {}
    for text in texts:
        value = ast.literal_eval(text)
        if isinstance(value, tuple | list):
            inner = type(value[0]).__name__ if value else "int"
            box = "tuple" if isinstance(value, tuple) else "list"
            kinds[f"{box}[{inner}, ...]" if box == "tuple" else f"list[{inner}]"] = None
        else:
            kinds["None" if value is None else type(value).__name__] = None
    return " | ".join(sorted(kinds))


@dataclass
class _Size:
    """A literal argument of a constructor and how to put something else in its place."""

    name: str
    value: ast.expr
    owner: ast.Call
    position: int
    keyword: ast.keyword | None = None

    def replace(self, by: ast.expr) -> None:
        if self.keyword is not None:
            self.keyword.value = by
        else:
            self.owner.args[self.position] = by


def _is_literal(node: ast.expr) -> bool:
    return not any(
        isinstance(n, ast.Name | ast.Call | ast.Attribute) for n in ast.walk(node)
    ) and not (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _holes(stmt: ast.stmt, arguments: Mapping[str, tuple[str, ...]]) -> list[_Size]:
    """The literal arguments of every constructor call in a statement."""
    found = []
    for call in (n for n in ast.walk(stmt) if isinstance(n, ast.Call)):
        names = arguments.get(ast.unparse(call.func), ())
        for position, arg in enumerate(call.args):
            if _is_literal(arg):
                name = names[position] if position < len(names) else "size"
                found.append(_Size(name, arg, call, position))
        found += [
            _Size(kw.arg, kw.value, call, 0, kw)
            for kw in call.keywords
            if kw.arg is not None and _is_literal(kw.value)
        ]
    return found


class _Hole(ast.NodeTransformer):
    """Leaves a hole for every literal argument."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        for size in _holes(ast.Expr(node), {}):
            size.replace(ast.Name("_", ast.Load()))
        return node


@dataclass(frozen=True)
class _Definition:
    """A function, class or constant that is copied when used: its source, and the names that it reads."""

    source: str
    reads: frozenset[str]


@cache
def _defined(folder: pathlib.Path) -> Mapping[str, _Definition]:
    """What a framework's `functions.py` and `operators.py` and `text_functions.py` define, by name, in file order."""
    defined: dict[str, _Definition] = {}
    files = (folder / "functions.py", folder / "operators.py", folder.parent / "text_functions.py")
    for file in filter(pathlib.Path.is_file, files):
        text = file.read_text(encoding="utf-8")
        lines = text.splitlines()
        for stmt in ast.parse(text).body:
            if isinstance(stmt, ast.FunctionDef | ast.ClassDef):
                name = stmt.name
            elif isinstance(stmt, ast.Assign) and isinstance(stmt.targets[0], ast.Name):
                name = stmt.targets[0].id
            else:
                continue
            first = min(one.lineno for one in (*getattr(stmt, "decorator_list", ()), stmt))
            source = "\n".join(lines[first - 1 : stmt.end_lineno])
            defined[name] = _Definition(source, frozenset(_free(stmt)))
    return defined


def _functions(framework: Framework, body: str) -> str:
    """The functions of these files that a text calls, with those that they call, in file order."""
    defined = _defined(framework.folder)
    wanted: set[str] = set()
    queue = [*_free(ast.parse(body))]
    while queue:
        name = queue.pop()
        if name in defined and name not in wanted:
            wanted.add(name)
            queue += defined[name].reads
    return "\n\n\n".join(one.source for name, one in defined.items() if name in wanted)


def _free(tree: ast.AST) -> set[str]:
    """The names that a text reads and does not bind itself: a variable is not the function of its name."""
    bound: set[str] = set()
    if isinstance(tree, ast.FunctionDef):
        names = (n for n in ast.walk(tree) if isinstance(n, ast.Name))
        bound = {n.id for n in names if isinstance(n.ctx, ast.Store)}
        bound |= {n.arg for n in ast.walk(tree.args) if isinstance(n, ast.arg)}
    found: set[str] = set()
    for child in ast.iter_child_nodes(tree):
        found |= _free(child)
    if isinstance(tree, ast.Name) and isinstance(tree.ctx, ast.Load):
        found.add(tree.id)
    return found - bound


def _imports(framework: Framework, text: str) -> str:
    names = {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)}
    lines = [line for name, line in framework.imports.items() if name in names]
    return "\n".join(lines)
