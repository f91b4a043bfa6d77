"""MindSpore's MindIR programs -> ONNX, without MindSpore: read, never run.

    program.py    a `.mindir` -> small records
    build.py      values of a program, and what an operator's function sees
    inline.py     graphs that call each other -> one graph, with If and Loop
    ops/          ONE table: primitive -> nodes
    rounds.py     loops that count and gather -> loops as ONNX has them
    biases.py     biases, which MindSpore adds behind a convolution -> inputs of it
    one_axis.py   layers along one axis, which MindSpore makes of layers of images -> such layers
    scopes.py     which cell a node belongs to

Parameters keep MindSpore's names, nodes have those of the cells that they belong to. Inputs have the names of
`construct`'s arguments; MindIR has none for outputs: `output`, or `output_0`, `output_1` ...

Source: those files say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from converters.errors import UnsafeInput, UnsupportedError
from converters.importers.graph import IR_VERSION, OPSET, Value, graphs_of, names_read, symbols
from converters.importers.mindspore.biases import with_biases
from converters.importers.mindspore.build import Again, Making, Raised
from converters.importers.mindspore.inline import Inliner, cells
from converters.importers.mindspore.one_axis import with_one_axis
from converters.importers.mindspore.ops import TABLE
from converters.importers.mindspore.program import (
    Form,
    Forms,
    Opaque,
    Program,
    is_mindir,
    read_program,
)
from converters.importers.mindspore.rounds import with_rounds
from converters.importers.mindspore.scopes import name_scopes


def to_onnx(path: Path) -> onnx.ModelProto:
    """Turn a `.mindir` into ONNX.

    Args:
        path: The program; weights in a folder beside it are found there.

    Raises:
        UsageError: There is no such file.
        UnsafeInput: A file is malformed, or weights are not where the program says.
        UnsupportedOperators: Some operators are unknown, or used in a way that is not supported; all are listed.
        UnsupportedError: It is encrypted, an input or output is no tensor, or an element type is none of ONNX's.
    """
    return convert(read_program(path))


def files(path: Path) -> dict[str, Path]:
    """What `inference.py` needs of a program, by the name under which it looks for it."""
    weights = path.with_name(f"{path.stem}_variables")
    return {
        path.name if path.suffix == ".mindir" else f"{path.name}.mindir": path,
        **({weights.name: weights} if weights.is_dir() else {}),
    }


def convert(program: Program) -> onnx.ModelProto:
    """Turn a program into ONNX; see `to_onnx`."""
    graph = Making(program.where)
    inliner = Inliner(program, graph, TABLE)
    inputs: list[onnx.ValueInfoProto] = []
    arguments = tuple(_arguments(graph, program, inputs))
    result = inliner.run(program.main.name, arguments)
    inliner.report()
    outputs = [*_outputs(inliner, program, result)]
    wanted = [output.name for output in outputs]
    graph.nodes = with_rounds(graph, graph.pruned(wanted)[0], wanted)
    nodes, initialisers = graph.pruned(wanted)
    nodes = _with_layers(nodes, {one.name: one for one in initialisers}, Counter(names_read(nodes)))
    read = {*names_read(nodes)}
    initialisers = [one for one in initialisers if one.name in read]
    name_scopes(nodes, (one.name for one in initialisers), _classes(program))
    made = helper.make_graph(nodes, "mindspore", inputs, outputs, initialisers)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    model.producer_name = "polyzoo"
    return _with_ranks(model)


def _with_layers(
    nodes: Sequence[onnx.NodeProto],
    initialisers: Mapping[str, onnx.TensorProto],
    reads: Mapping[str, int],
) -> list[onnx.NodeProto]:
    """The same nodes, with layers as ONNX has them, in graphs within nodes too."""
    for node in nodes:
        for inner in graphs_of(node):
            kept = _with_layers([*inner.node], initialisers, reads)
            del inner.node[:]
            inner.node.extend(kept)
    return with_one_axis(with_biases(nodes, initialisers, reads), initialisers, reads)


def _with_ranks(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with dimensions of outputs of which MindSpore does not know how many they are, where ONNX does."""
    if all(one.type.tensor_type.HasField("shape") for one in model.graph.output):
        return model
    inferred = onnx.shape_inference.infer_shapes(model)
    for declared, found in zip(model.graph.output, inferred.graph.output, strict=True):
        declared.CopyFrom(found)
    return model


def _arguments(graph: Making, program: Program, inputs: list[onnx.ValueInfoProto]) -> Iterator[Any]:
    """What the main graph is called with; dimensions of any size are symbols."""
    for said, form in program.main.inputs:
        name = graph.fresh(said.rpartition(":")[2] or "input")
        yield _argument(graph, program, inputs, name, form)


def _argument(
    graph: Making,
    program: Program,
    inputs: list[onnx.ValueInfoProto],
    name: str,
    form: Forms,
) -> Any:
    if isinstance(form, tuple):
        return tuple(
            _argument(graph, program, inputs, graph.fresh(f"{name}_{index}"), part)
            for index, part in enumerate(form)
        )
    where = f"{program.where}: the input {name[:200]!r}"
    if isinstance(form, Opaque) or form.number:
        raise UnsupportedError(
            f"{where} is no tensor", fix="export the model with inputs that are tensors"
        )
    if form.kind is None or form.kind.onnx is None:
        raise UnsupportedError(f"{where} has an element type that ONNX does not have")
    if form.dims is None:
        raise UnsupportedError(
            f"{where} has any number of dimensions",
            fix="export the model with a shape such as [None, 3, None, None]",
        )
    shape = symbols(form.dims, len(inputs))
    inputs.append(helper.make_tensor_value_info(name, form.kind.onnx, shape))
    graph.values[name] = Value(name, form.kind, form.dims)
    return graph.values[name]


def _outputs(inliner: Inliner, program: Program, result: Any) -> Iterator[onnx.ValueInfoProto]:
    """All tensors of the result, in order."""
    if isinstance(result, (Again, Raised)):
        raise UnsafeInput(f"{program.where}: a program that never ends, or only with an error")
    found = [*_flat(result)]
    if not found:
        raise UnsupportedError(f"{program.where}: a program without outputs that are tensors")
    for index, one in enumerate(found):
        value = inliner.as_onnx(one)
        if value is None or value.kind is None or value.kind.onnx is None:
            raise UnsupportedError(
                f"{program.where}: output {index} is no tensor, or of an element type that ONNX"
                " does not have"
            )
        name = inliner.graph.fresh("output" if len(found) == 1 else f"output_{index}")
        inliner.graph.node("Identity", [value.name], [name])
        dims = value.dims
        shape = None if dims is None else [size if size >= 0 else None for size in dims]
        yield helper.make_tensor_value_info(name, value.kind.onnx, shape)


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for part in value:
            yield from _flat(part)
    else:
        yield value


def _classes(program: Program) -> dict[tuple[str, ...], str]:
    """The class of each cell."""
    return {
        path: kind
        for function in program.functions.values()
        for node in function.nodes
        for path, kind in cells(node.scope)
    }


__all__ = ["Form", "convert", "files", "is_mindir", "read_program", "to_onnx"]
