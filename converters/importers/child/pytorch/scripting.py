"""The source of a model -> the same program in the words that TorchScript has.

`torch.export` follows one run, so that a model which decides by numbers of its inputs cannot be saved, and a loop along a
size becomes as many steps as that run took. `torch.jit.script` reads source, but knows less of Python: no tuples of any
length, no lists backwards, no list as a condition, no stars.

Before: `for x in torch.unbind(xs, dim=0):`. After: `for k in range(xs.shape[0]): x = xs.select(0, k)`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import sys
from typing import Any

from torch import nn

# Methods that take sizes or axes one by one, or as a list.
LISTED = frozenset({"reshape", "permute", "expand", "repeat", "view"})


class Words(ast.NodeTransformer):
    """One method for each kind of expression that TorchScript lacks."""

    def __init__(self) -> None:
        self.loops = 0
        self.operators: dict[str, str] = {}

    def visit_Module(self, node: ast.Module) -> Any:
        """Look which functions are operators: TorchScript calls those by `torch.ops`."""
        for one in node.body:
            if not isinstance(one, ast.FunctionDef):
                continue
            for mark in one.decorator_list:
                match mark:
                    case ast.Call(ast.Name("operator"), [ast.Constant(str(name)), *_]):
                        self.operators[one.name] = f"torch.ops.{name.replace('::', '.')}"
        self.generic_visit(node)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        """`tuple[int, ...]` -> `list[int]`, as which TorchScript takes tuples."""
        self.generic_visit(node)
        match node:
            case ast.Subscript(ast.Name("tuple"), ast.Tuple([kind, ast.Constant(value)])) if (
                value is ...
            ):
                return ast.Subscript(ast.Name("list"), kind)
        return node

    def visit_For(self, node: ast.For) -> Any:
        """`for x in torch.unbind(xs, dim=0)` -> a count of the rounds, and what each of them looks at."""
        self.generic_visit(node)
        match node.iter, node.target:
            case ast.Call(ast.Name("zip"), sources), ast.Tuple(targets):
                pass
            case source, target:
                sources, targets = [source], [target]
        self.loops += 1
        count = f"round{self.loops}"
        before: list[ast.stmt] = []
        binds: list[ast.stmt] = []
        for place, (target, source) in enumerate(zip(targets, sources, strict=True)):
            match source:
                case ast.Call(ast.Name("reversed"), [parts]):
                    at = "{x}.shape[{axis}] - 1 - {count}"
                case parts:
                    at = "{count}"
            match parts:
                case ast.Call(ast.Attribute(ast.Name("torch"), "unbind"), [whole, *_]):
                    x, axis = f"{count}_{place}", ast.unparse(_axis(parts))
                case _:
                    return node
            index = at.format(x=x, axis=axis, count=count)
            before += ast.parse(f"{x} = {ast.unparse(whole)}").body
            binds += ast.parse(f"{ast.unparse(target)} = {x}.select({axis}, {index})").body
        node.target = ast.Name(count)
        node.iter = ast.parse(f"range({count}_0.shape[{axis}])", mode="eval").body
        node.body = [*binds, *node.body]
        return [*before, node]

    def visit_Call(self, node: ast.Call) -> Any:
        """What is stacked from a list backwards is turned as a whole; stars; operators; scales that are integers."""
        self.generic_visit(node)
        match node:
            case ast.Call(
                ast.Attribute(ast.Name("torch"), "stack"),
                [
                    ast.Subscript(
                        items, ast.Slice(None, None, ast.UnaryOp(ast.USub(), ast.Constant(1)))
                    ),
                    *_,
                ],
            ):
                node.args[0] = items
                return _flipped(node, _axis(node))
            case ast.Call(ast.Attribute(_, name), args) if name in LISTED:
                if any(isinstance(one, ast.Starred) for one in args):
                    node.args = [_joined(args)]
            case ast.Call(ast.Name(name)) if name in self.operators:
                node.func = ast.parse(self.operators[name], mode="eval").body
        for keyword in node.keywords:
            if keyword.arg == "scale_factor":
                keyword.value = _real(keyword.value)
        return node

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        """`stack(items) if items else empty`: a list is asked for its length."""
        self.generic_visit(node)
        match node:
            case ast.IfExp(ast.Name(name), ast.Call(_, [*given])):
                if any(
                    isinstance(n, ast.Name) and n.id == name for a in given for n in ast.walk(a)
                ):
                    length = ast.Call(ast.Name("len"), [node.test], [])
                    node.test = ast.Compare(length, [ast.Gt()], [ast.Constant(0)])
        return node


def _axis(call: ast.Call) -> ast.expr:
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    return call.args[1] if len(call.args) > 1 else named.get("dim", ast.Constant(0))


def _real(scale: ast.expr) -> ast.expr:
    """`2` -> `2.0`, in a tuple too."""
    match scale:
        case ast.Tuple(parts):
            return ast.Tuple([_real(part) for part in parts])
        case ast.Constant(int(number)):
            return ast.Constant(float(number))
    return scale


def _flipped(x: ast.expr, axis: ast.expr) -> ast.Call:
    flip = ast.Attribute(ast.Name("torch"), "flip")
    return ast.Call(flip, [x, ast.List([axis])], [])


def _joined(args: list[ast.expr]) -> ast.expr:
    """`a, *b` -> `[a] + b`."""
    parts = [a.value if isinstance(a, ast.Starred) else ast.List([a]) for a in args]
    whole = parts[0]
    for part in parts[1:]:
        whole = ast.BinOp(whole, ast.Add(), part)
    return whole


def made_again(model: nn.Module, path: str) -> nn.Module:
    """A model of the same numbers, of the class in the words that TorchScript has.

    Args:
        model: Made of a class without arguments, whose module holds all that it needs.
        path: Where its source is written: TorchScript reads it there.
    """
    kind = type(model)
    with open(inspect.getfile(kind), encoding="utf-8") as file:
        tree = Words().visit(ast.parse(file.read()))
    with open(path, "w", encoding="utf-8") as file:
        file.write(ast.unparse(ast.fix_missing_locations(tree)))
    sys.path.insert(0, os.path.dirname(path))
    module = importlib.import_module(os.path.splitext(os.path.basename(path))[0])
    made: nn.Module = getattr(module, kind.__name__)()
    made.load_state_dict(model.state_dict())
    # Types of weights, as of halves, are those of the file.
    for (_, one), (_, other) in zip(made.named_parameters(), model.named_parameters(), strict=True):
        one.data = other.data
    return made.eval()
