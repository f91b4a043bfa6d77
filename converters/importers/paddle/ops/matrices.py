"""Products of matrices and vectors."""

from __future__ import annotations

from collections.abc import Mapping

from converters.importers.graph import Value
from converters.importers.paddle.build import Call, Rule
from converters.importers.paddle.ops.binary import binary
from converters.importers.paddle.rows import Row, row


def _transposed(call: Call, x: Value, flag: bool) -> str:
    """A matrix with its last two dimensions swapped."""
    if not flag or x.rank < 2:
        return x.name
    order = [*range(x.rank)]
    order[-2:] = order[:-3:-1]
    return call.node("Transpose", x.name, perm=order)


def _matmul(call: Call) -> None:
    x, y = call.value("X"), call.value("Y")
    first = _transposed(call, x, call.flag("trans_x"))
    call.put("Out", "MatMul", first, _transposed(call, y, call.flag("trans_y")))


def _matmul_old(call: Call) -> None:
    """The operator before version 2: with a factor."""
    x, y = call.value("X"), call.value("Y")
    if x.rank < 2 or y.rank < 2:
        call.refuse(f"operands of {x.rank} and {y.rank} dimensions")
    first = _transposed(call, x, call.flag("transpose_X"))
    second = _transposed(call, y, call.flag("transpose_Y"))
    factor = call.real("alpha", 1.0)
    if factor == 1.0:
        call.put("Out", "MatMul", first, second)
    else:
        product = call.node("MatMul", first, second)
        call.put("Out", "Mul", product, call.scalar(factor, x.type))


def _flattened_product(call: Call, x: Value, y: Value, split_x: int, split_y: int) -> str:
    """Two tensors as matrices, split behind so many dimensions; the product has what is left of both."""
    if not 0 < split_x < x.rank or not 0 < split_y < y.rank:
        call.malformed(f"{split_x} and {split_y} of {x.rank} and {y.rank} dimensions")
    if split_x == x.rank - 1 and split_y == 1 and y.rank == 2:
        return call.node("MatMul", x.name, y.name)
    first = call.node("Flatten", x.name, axis=split_x)
    second = call.node("Flatten", y.name, axis=split_y)
    sizes = [call.dims(x.name, 0, split_x), call.dims(y.name, split_y)]
    return call.node(
        "Reshape", call.node("MatMul", first, second), call.node("Concat", *sizes, axis=0)
    )


def _mul(call: Call) -> None:
    split_x, split_y = call.integer("x_num_col_dims", 1), call.integer("y_num_col_dims", 1)
    product = _flattened_product(call, call.value("X"), call.value("Y"), split_x, split_y)
    call.put("Out", "Identity", product)


def _fc(call: Call) -> None:
    call.only("padding_weights", False)
    split = call.integer("in_num_col_dims", 1)
    name = _flattened_product(call, call.value("Input"), call.value("W"), split, 1)
    bias = call.maybe("Bias")
    if bias is not None:
        name = call.node("Add", name, call.node("Reshape", bias.name, call.vector([-1])))
    active = call.text("activation_type", "")
    if active not in ("", "relu"):
        call.refuse(f"activation_type = {active[:50]}")
    call.put("Out", "Relu" if active else "Identity", name)


def _dot(call: Call) -> None:
    product = call.node("Mul", call.value("X").name, call.value("Y").name)
    call.put("Out", "ReduceSum", product, call.vector([-1]), keepdims=0)


def _matrix_vector(call: Call) -> None:
    call.put("Out", "MatMul", call.value("X").name, call.value("Vec").name)


def _addmm(call: Call) -> None:
    x = call.value("X")
    product = call.node("MatMul", x.name, call.value("Y").name)
    product = call.node("Mul", product, call.scalar(call.real("Alpha", 1.0), x.type))
    added = call.node("Mul", call.value("Input").name, call.scalar(call.real("Beta", 1.0), x.type))
    call.put("Out", "Add", added, product)


TABLE: Mapping[str, Rule] = {
    "addmm": _addmm,
    "bmm": binary("MatMul"),
    "dot": _dot,
    "fc": _fc,
    "matmul": _matmul_old,
    "matmul_v2": _matmul,
    "mul": _mul,
    "mv": _matrix_vector,
}

ROWS: Mapping[str, Row] = {
    "bmm": row("bmm", "X Y"),
    "dot": row("dot", "X Y"),
    "addmm": row("addmm", "Input X Y", alpha="Alpha", beta="Beta"),
    "matmul": row("matmul_v2", "X Y", transpose_x="trans_x", transpose_y="trans_y"),
    "mv": row("mv", "X Vec"),
}
