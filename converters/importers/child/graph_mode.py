"""Emitted source as MindSpore's graph mode takes it, for programs that are read and never run.

Graph mode unrolls what it knows the length of, and refuses to go over what has any; it has no lists that grow. It
does have `while` and tensors that grow. Source that is to be saved as a program is therefore read from a copy:

    items = []                                   items = ops.zeros((ms.mutable(0), ms.mutable(0), 96), ms.float32)
    for x in ops.unbind(xs, 0):                  length, number = xs.shape[0], ms.mutable(ms.Tensor(0, ms.int64))
        items.append(f(x))                       while number < length:
    y = (                                            x = ops.gather(xs, number, 0)
        ops.stack(items, 0)                          items = ops.concat((items, f(x).expand_dims(0)), 0)
        if items                                     number = number + 1
        else ops.zeros((0, 0, 96), ms.float32)   y = items
    )

Of what is empty, MindSpore needs the element type and the number of dimensions, and may not know the sizes.

It has operators for convolutions of integers, sorts that keep the order of equals and boxes that are kept, but no
kernels on the CPU: what computes them there in other ways is that operator in the copy, so that the program says what
is meant.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from itertools import count

UNSTACK, STACK, EMPTY = "ops.unbind", "ops.stack", "ops.zeros"
# Functions of emitted source that stand for an operator without a kernel: what comes first in them, and before them.
OPERATORS = {
    "convolve": """
if x.ndim == 4 and not isinstance(pads, str):
    sides = (pads[0], pads[2], pads[1], pads[3])
    out, kernel = weight.shape[0], weight.shape[2:]
    return ops.Conv2D(out, kernel, 1, "pad", sides, stride, dilation, group)(x, weight)
""",
    # Of as many as there turn out to be, that of the largest ones loses the number of dimensions.
    "top_k": """
values, places = ms.mint.sort(x, dim=axis, descending=largest, stable=True)
values, places = values.swapaxes(axis, -1)[..., :k], places.swapaxes(axis, -1)[..., :k]
return values.swapaxes(axis, -1), places.swapaxes(axis, -1)
""",
    # MindSpore 2.10 has its name and attribute (core/ops), but does not know its result while it compiles.
    "non_max_suppression": """
class NonMaxSuppression(ms.ops.PrimitiveWithInfer):
    @ms.ops.prim_attr_register
    def __init__(self, center_point_box):
        pass

    def infer_shape(self, *shapes):
        return (-1, 3)

    def infer_dtype(self, *kinds):
        return ms.int64

return NonMaxSuppression(int(centered))(boxes, scores, most, overlap, least)
""",
}


def as_graph_mode_takes_it(source: str) -> str:
    """The same source, with such loops and functions; whatever is written otherwise stays."""
    tree = ast.parse(source)
    numbers = count()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body = _block(node.body, numbers)
    for place, node in reversed([*enumerate(tree.body)]):
        if isinstance(node, ast.FunctionDef) and node.name in OPERATORS:
            steps = ast.parse(OPERATORS[node.name]).body
            kinds = [step for step in steps if isinstance(step, ast.ClassDef)]
            node.body[:0] = [step for step in steps if step not in kinds]
            tree.body[place:place] = kinds
    return ast.unparse(ast.fix_missing_locations(tree))


def _block(block: list[ast.stmt], numbers: count[int]) -> list[ast.stmt]:
    """The statements of a block, and of the blocks within them."""
    for statement in block:
        for name in ("body", "orelse"):
            inner = getattr(statement, name, None)
            if isinstance(inner, list) and not isinstance(statement, ast.FunctionDef):
                setattr(statement, name, _block(inner, numbers))
    made: list[ast.stmt] = []
    for place, statement in enumerate(block):
        if not isinstance(statement, (ast.For, ast.While)):
            made.append(statement)
            continue
        _as_tensors(made, statement)
        found = [_list(name, made, block[place + 1 :]) for name in _appended(statement)]
        lists = [one for one in found if one is not None]
        if len(lists) < len(found):
            made.append(statement)
            continue
        for one in lists:
            one.grow(made, statement, block, place)
        made += _counted(statement, numbers) if isinstance(statement, ast.For) else [statement]
    return made


def _as_tensors(before: list[ast.stmt], loop: ast.For | ast.While) -> None:
    """Make what a loop changes begin as tensors: of a parameter, the first round would be written apart."""
    changed = {
        node.id
        for node in ast.walk(loop)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    for step in before:
        if not isinstance(step, ast.Assign) or not isinstance(step.value, ast.Attribute):
            continue
        if ast.unparse(step.targets[0]) in changed and ast.unparse(step.value).startswith("self."):
            text = f"ops.Identity()({ast.unparse(step.value)})"
            step.value = ast.parse(text, mode="eval").body


def _appended(loop: ast.For | ast.While) -> list[str]:
    """The lists that each round appends to."""
    return [
        ast.unparse(step.value.func.value)
        for step in loop.body
        if isinstance(step, ast.Expr)
        and isinstance(step.value, ast.Call)
        and isinstance(step.value.func, ast.Attribute)
        and step.value.func.attr == "append"
    ]


@dataclass
class _List:
    """A list that a loop fills and that becomes one tensor behind it.

    Attributes:
        begin: The statement that makes it, by its place.
        axis: The axis along which it is stacked.
        backwards: The last item is the first one of the tensor.
        sizes: Those of an empty tensor; 0 is any.
        dtype: Its element type, as it is written.
    """

    name: str
    begin: int
    axis: int
    backwards: bool
    sizes: list[str]
    dtype: str

    def grow(
        self, before: list[ast.stmt], loop: ast.For | ast.While, block: list[ast.stmt], place: int
    ) -> None:
        """Write it as a tensor that grows along its first axis."""
        sizes = self.sizes[: self.axis] + self.sizes[self.axis + 1 :]
        shape = ", ".join("ms.mutable(0)" if size == "0" else size for size in ("0", *sizes))
        before[self.begin] = _statement(f"{self.name} = {EMPTY}(({shape},), {self.dtype})")
        for index, step in enumerate(loop.body):
            text = ast.unparse(step)
            if text.startswith(f"{self.name}.append("):
                item = f"{text.removeprefix(f'{self.name}.append')}.expand_dims(0)"
                pair = (item, self.name) if self.backwards else (self.name, item)
                loop.body[index] = _statement(f"{self.name} = ops.concat(({', '.join(pair)}), 0)")
        text = f"ops.movedim({self.name}, 0, {self.axis})" if self.axis else self.name
        stacked = _Stacked(self.name, text)
        for index in range(place + 1, len(block)):
            block[index] = stacked.visit(block[index])
            if stacked.done:
                break


class _Stacked(ast.NodeTransformer):
    """Puts a tensor where a list is stacked."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text, self.done = name, text, False

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        if self.done or ast.unparse(node.test) != self.name:
            self.generic_visit(node)
            return node
        self.done = True
        return ast.parse(self.text, mode="eval").body


def _list(name: str, before: list[ast.stmt], behind: list[ast.stmt]) -> _List | None:
    """What becomes of a list; None where its element type and number of dimensions are not written."""
    begins = [k for k, one in enumerate(before) if ast.unparse(one) == f"{name} = []"]
    uses = (
        node
        for statement in behind
        for node in ast.walk(statement)
        if isinstance(node, ast.IfExp) and ast.unparse(node.test) == name
    )
    use = next(uses, None)
    if not begins or use is None:
        return None
    stack, empty = use.body, use.orelse
    if not isinstance(stack, ast.Call) or not isinstance(empty, ast.Call):
        return None
    if (ast.unparse(stack.func), ast.unparse(empty.func)) != (STACK, EMPTY):
        return None
    shape, dtype = empty.args
    if not isinstance(shape, ast.Tuple):
        return None
    return _List(
        name,
        begins[-1],
        int(ast.unparse(stack.args[1])),
        ast.unparse(stack.args[0]) == f"{name}[::-1]",
        [ast.unparse(size) for size in shape.elts],
        ast.unparse(dtype),
    )


def _counted(loop: ast.For, numbers: count[int]) -> list[ast.stmt]:
    """A loop over tensors as one that counts; any other one stays."""
    over = loop.iter
    joined = isinstance(over, ast.Call) and ast.unparse(over.func) == "zip"
    found = [
        _source(one) for one in (over.args if isinstance(over, ast.Call) and joined else [over])
    ]
    sources = [one for one in found if one is not None]
    if len(sources) < len(found):
        return [loop]
    targets = loop.target.elts if isinstance(loop.target, ast.Tuple) else [loop.target]
    mark = next(numbers)
    number, length = f"number_{mark}", f"length_{mark}"
    before, steps = [], []
    for k, ((x, axis, backwards), target) in enumerate(zip(sources, targets, strict=True)):
        before.append(f"source_{mark}_{k} = {x}")
        place = f"{length} - 1 - {number}" if backwards else number
        steps.append(f"{ast.unparse(target)} = ops.gather(source_{mark}_{k}, {place}, {axis})")
    before.append(f"{length} = source_{mark}_0.shape[{sources[0][1]}]")
    before.append(f"{number} = ms.mutable(ms.Tensor(0, ms.int64))")
    counting = ast.While(ast.parse(f"{number} < {length}", mode="eval").body, [], [])
    steps_of = [_statement(step) for step in steps]
    counting.body = [*steps_of, *loop.body, _statement(f"{number} = {number} + 1")]
    return [*map(_statement, before), counting]


def _source(over: ast.expr) -> tuple[str, str, bool] | None:
    """The tensor that is gone over, the axis, and whether backwards."""
    if not isinstance(over, ast.Call):
        return None
    if ast.unparse(over.func) == "reversed" and len(over.args) == 1:
        found = _source(over.args[0])
        return None if found is None else (found[0], found[1], True)
    if ast.unparse(over.func) != UNSTACK or len(over.args) != 2:
        return None
    x, axis = over.args
    return ast.unparse(x), ast.unparse(axis), False


def _statement(text: str) -> ast.stmt:
    return ast.parse(text).body[0]
