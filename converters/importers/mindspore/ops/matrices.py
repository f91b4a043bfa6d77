"""Products of matrices and vectors."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from converters.dtypes import BY_NAME
from converters.importers.graph import Refusal, Value
from converters.importers.mindspore.build import Call, Given, Rule
from converters.importers.mindspore.ops.convolution import check_format, less_zero_points

INT32 = BY_NAME["int32"]


def _turned(call: Call, x: Value, name: str) -> str:
    """A matrix with its last two dimensions swapped."""
    if x.rank < 2:
        call.malformed(f"a matrix of {x.rank} dimensions")
    order = [*range(x.rank)]
    order[-2:] = order[:-3:-1]
    return call.node("Transpose", name, perm=order)


def _matmul(
    call: Call, x: Given, mat2: Given, transpose_a: Given = False, transpose_b: Given = False
) -> str:
    kind = call.out_kind()
    first, second = call.tensor(x, kind), call.tensor(mat2, kind)
    for flag in (transpose_a, transpose_b):
        call.only("transpose", flag, True, False)
    if kind == INT32 and not transpose_a and not transpose_b:
        with contextlib.suppress(Refusal):
            return call.node("MatMulInteger", *less_zero_points(call, first, second, True))
    weight = second.name in call.graph.initialisers
    if transpose_b and not transpose_a and weight and first.rank == second.rank == 2:
        # The weight of a layer keeps its layout.
        return call.node("Gemm", first.name, second.name, transB=1)
    names = [
        _turned(call, one, one.name) if flag else one.name
        for one, flag in ((first, transpose_a), (second, transpose_b))
    ]
    return call.node("MatMul", *names)


def _dense(call: Call, x: Given, weight: Given, bias: Given = None) -> str:
    w = call.tensor(weight)
    turned = _turned(call, w, w.name) if w.rank == 2 else w.name
    product = call.node("MatMul", call.name(x), turned)
    return product if bias is None else call.node("Add", product, call.name(bias))


def _bias_add(call: Call, input_x: Given, bias: Given, data_format: Given = 0) -> str:
    check_format(call, data_format)
    x, b = call.tensor(input_x), call.name(bias)
    if x.rank > 2:
        b = call.node("Reshape", b, call.vector([-1] + [1] * (x.rank - 2)))
    return call.node("Add", x.name, b)


def _added_product(call: Call, x: Given, product: str, beta: Given, alpha: Given) -> str:
    kind = call.out_kind()
    x = call.name(x, kind)
    for factor, is_product in ((alpha, True), (beta, False)):
        if not isinstance(factor, (int, float)) or factor != 1:
            number = call.name(factor, kind)
            if is_product:
                product = call.node("Mul", product, number)
            else:
                x = call.node("Mul", x, number)
    return call.node("Add", x, product)


def _addmm(
    call: Call, x: Given, mat1: Given, mat2: Given, beta: Given = 1, alpha: Given = 1
) -> str:
    product = call.node("MatMul", call.name(mat1), call.name(mat2))
    return _added_product(call, x, product, beta, alpha)


def _outer(call: Call, x: Given, vec2: Given) -> str:
    kind = call.out_kind()
    column = call.node("Unsqueeze", call.name(x, kind), call.vector([1]))
    return call.node("Mul", column, call.name(vec2, kind))


def _einsum(call: Call, inputs: Given, equation: Given) -> str:
    text = call.text(equation, "equation")
    return call.node("Einsum", *(call.name(one) for one in call.items(inputs)), equation=text)


TABLE: Mapping[str, Rule] = {
    "Addbmm": lambda call, x, batch1, batch2, beta=1, alpha=1: _added_product(
        call,
        x,
        call.node(
            "ReduceSum",
            call.node("MatMul", call.name(batch1), call.name(batch2)),
            call.vector([0]),
            keepdims=0,
        ),
        beta,
        alpha,
    ),
    "Addmm": _addmm,
    "Addmv": _addmm,
    "Baddbmm": _addmm,
    "BatchMatMul": _matmul,
    "BatchMatMulExt": _matmul,
    "BiasAdd": _bias_add,
    "Dense": _dense,
    "Dot": _matmul,
    "Einsum": _einsum,
    "MatMul": _matmul,
    "MatMulExt": _matmul,
    "MatMulV2": _matmul,
    "Mm": _matmul,
    "Mv": _matmul,
    "Outer": _outer,
}
