"""Paddle's inference programs -> ONNX, without Paddle: read, never run.

    program.py    a `ProgramDesc` (.pdmodel, __model__) -> small records
    pir.py        a program in the new form (.json) -> the same records
    live.py       without what no output needs
    control.py    operators one after the other; branches and rounds -> If and Loop
    build.py      what an operator's function sees of the program
    ops/          ONE table: operator -> nodes

Parameters keep Paddle's names; inputs and outputs have the names of feeds and fetches. Source: those files say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from converters.checkpoints import paddle_program
from converters.checkpoints.files import File
from converters.checkpoints.tensors import Tensor
from converters.errors import UnsafeInput, UnsupportedError
from converters.importers.graph import (
    BATCH,
    IR_VERSION,
    LARGEST_CONSTANT,
    OPSET,
    Graph,
    Value,
    symbols,
)
from converters.importers.paddle.build import complex_type, unsupported_type
from converters.importers.paddle.control import Operators
from converters.importers.paddle.live import without_dead
from converters.importers.paddle.ops.pairs import PARTS, is_complex
from converters.importers.paddle.ops.sequences import lengths_of, put_padded
from converters.importers.paddle.pir import read_pir
from converters.importers.paddle.products import exact_products
from converters.importers.paddle.program import Program, Variable, read_description
from converters.importers.paddle.ragged import LENGTHS, SEQUENCES, Lengths, groups


def to_onnx(path: Path) -> onnx.ModelProto:
    """Turn an inference model of Paddle into ONNX.

    Args:
        path: The program, its parameters, or the folder of both.

    Raises:
        UsageError: There is no such file, or the folder has several models.
        UnsafeInput: A file is malformed or contradicts the other.
        UnsupportedOperators: Some operators are unknown, or used in a way that is not supported; all are listed.
        UnsupportedError: Inputs are sequences of Paddle's old kind, or an element type is none of ONNX's.
    """
    checkpoint = paddle_program.read(path)
    return convert(read(checkpoint.files[0]), checkpoint.tensors)


def files(path: Path) -> dict[str, Path]:
    """What `inference.py` needs of an inference model, by the name under which it looks for it."""
    program, *parameters = paddle_program.read(path).files
    name = f"program{program.suffix}" if program.suffix else "program.pdmodel"
    combined = [file for file in parameters if file.suffix == paddle_program.PARAMETERS_SUFFIX]
    combined += [file for file in parameters if file.name in paddle_program.OLD_PARAMETERS]
    if parameters and not combined:
        return {"program": program.parent}
    return dict(zip((name, "program.pdiparams"), (program, *combined), strict=False))


def read(path: Path) -> Program:
    """Read a program of either form, told apart by its first byte.

    Raises:
        UnsafeInput: It is malformed.
    """
    file = File(path)
    view = file.bytes(0, file.size)
    head = bytes(view[:64]).lstrip()
    if head[:1] == b"{":
        return read_pir(bytes(view), path.name)
    return read_description(view, path.name)


def convert(program: Program, tensors: Mapping[str, Tensor]) -> onnx.ModelProto:
    """Turn a program and its parameters into ONNX; see `to_onnx`."""
    program = without_dead(program)
    graph = Graph(program.where)
    ragged = groups(program)
    inputs = [*_inputs(graph, program, ragged)]
    made = {first: lengths_of(graph, first) for first in dict.fromkeys(ragged.values())}
    lengths = {name: made[first] for name, first in ragged.items()}
    _parameters(graph, program, tensors)
    operators = Operators(graph, program, lengths)
    kept = operators.whole()
    exact_products(graph, operators.known)
    outputs = [*_outputs(graph, program, kept, lengths)]
    nodes, initialisers = graph.pruned([output.name for output in outputs])
    made = helper.make_graph(nodes, "paddle", inputs, outputs, initialisers)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    model.producer_name = "polyzoo"
    sequences = {name: lengths[name].name for name in program.feeds if name in lengths}
    sequences |= {
        name: lengths[variable].name for name, variable in program.fetches if variable in lengths
    }
    if sequences:
        helper.set_model_props(model, {SEQUENCES: json.dumps(sequences)})
    return model


def _variable(program: Program, name: str) -> Variable:
    if name not in program.variables:
        raise UnsafeInput(f"{program.where}: {name[:200]!r} is not declared")
    return program.variables[name]


def _inputs(
    graph: Graph, program: Program, ragged: Mapping[str, str]
) -> Iterator[onnx.ValueInfoProto]:
    """Inputs; dimensions of any size are symbols."""
    steps = [*dict.fromkeys(ragged.values())]
    for number, name in enumerate(program.feeds):
        variable = _variable(program, name)
        if variable.kind is None or variable.kind.onnx is None or variable.dims is None:
            raise unsupported_type(program.where, name)
        if variable.kind.name in PARTS:
            raise complex_type(program.where, name)
        if name in ragged:
            group = steps.index(ragged[name])
            yield _padded_input(graph, variable, variable.kind.onnx, group)
            if name == ragged[name]:
                lengths = graph.fresh(LENGTHS.format(name))
                yield helper.make_tensor_value_info(lengths, TensorProto.INT64, [BATCH])
            continue
        graph.values[name] = Value(graph.fresh(name), variable.kind, variable.dims)
        shape = symbols(variable.dims, number)
        yield helper.make_tensor_value_info(name, variable.kind.onnx, shape)


def _padded_input(graph: Graph, variable: Variable, kind: int, number: int) -> onnx.ValueInfoProto:
    """An input of sequences, [N, T, ...], and its rows."""
    dims = variable.dims or ()
    if not dims or any(size < 0 for size in dims[1:]):
        raise UnsupportedError(
            f"{graph.where}: the input {variable.name[:200]!r} has levels of detail (LoD) and rows of no known size",
            fix="export the model with padded inputs and their lengths",
        )
    name, rows = graph.fresh(variable.name), graph.fresh(f"{variable.name}/rows")
    graph.node("Reshape", [name, graph.constant(np.array([-1, *dims[1:]]))], [rows])
    graph.values[variable.name] = Value(rows, variable.kind, dims)
    shape = [BATCH, f"T_{number}" if number else "T", *dims[1:]]
    return helper.make_tensor_value_info(name, kind, shape)


def _parameters(graph: Graph, program: Program, tensors: Mapping[str, Tensor]) -> None:
    """Parameters, under the names that Paddle gives them; only those that are used."""
    used = {name for operator in program.operators for name in operator.reads()}
    used.update(variable for _, variable in program.fetches)
    for name, tensor in tensors.items():
        if name not in used:
            continue
        if name in graph.values:
            raise UnsafeInput(f"{program.where}: {name[:200]!r} is an input and a parameter")
        if tensor.kind.name in PARTS:
            raise complex_type(program.where, name)
        if tensor.kind.onnx is None:
            raise unsupported_type(program.where, name)
        made = onnx.TensorProto(name=graph.fresh(name), data_type=tensor.kind.onnx)
        made.dims.extend(tensor.shape)
        array = tensor.array()
        made.raw_data = np.ascontiguousarray(array).tobytes()
        graph.initialisers[name] = made
        # Indices and sizes may be parameters; weights are not looked at.
        small = array.size <= LARGEST_CONSTANT and tensor.kind.numpy.kind in "iu"
        kept = np.array(array) if small else None
        graph.values[name] = Value(name, tensor.kind, tensor.shape, kept)


def _outputs(
    graph: Graph, program: Program, kept: dict[str, str], lengths: Mapping[str, Lengths]
) -> Iterator[onnx.ValueInfoProto]:
    """Outputs, under the names of fetches where nothing else has them."""
    if not program.fetches:
        raise UnsafeInput(f"{program.where}: a program without outputs")
    for name, variable in program.fetches:
        if variable not in graph.values:
            raise UnsafeInput(f"{program.where}: nothing computes the output {variable[:200]!r}")
        value = graph.values[variable]
        if is_complex(value):
            raise complex_type(program.where, name)
        if value.kind is None or value.kind.onnx is None or value.dims is None:
            raise unsupported_type(program.where, name)
        own = kept.pop(variable, None) or graph.fresh(name)
        shape = [size if size >= 0 else None for size in value.dims]
        if variable in lengths:
            put_padded(graph, own, value, lengths[variable])
            shape = [None, *shape]
        elif own != value.name:
            # A constant, an input, or an output that is named twice.
            graph.node("Identity", [value.name], [own])
        yield helper.make_tensor_value_info(own, value.kind.onnx, shape)


__all__ = ["Program", "convert", "files", "read", "to_onnx"]
