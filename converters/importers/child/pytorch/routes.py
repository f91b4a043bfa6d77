"""A module -> model.onnx, one function for each route.

BatchNorm stays what it is, parameters keep their names and nodes the scope of their module, so that source can
be written from the graph that a person would recognise.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from ..cases import References
from . import operators, packing, symbolics
from .decompositions import decomposed
from .scripts import name_weights
from .sources import Source

# What the exporter notes of a node that we keep; the rest names lines of code and folders of this machine.
KEPT = ("namespace", "pkg.torch.onnx.class_hierarchy", "pkg.torch.onnx.name_scopes")
SCOPES = "pkg.torch.onnx.name_scopes"
MADE_UP = "_empty_nn_module_stack_from_metadata_hook"
# The newest that has no forms which onnxruntime lacks.
OPSET = 18


def dynamo(source: Source, found: References, dynamic: str, path: str) -> None:
    """torch.export, then the exporter that reads its programs."""
    import onnxscript.optimizer

    program = source.program
    if program is None:
        program = _exported(source, found, dynamic)
    written = torch.onnx.export(
        decomposed(program),
        dynamo=True,
        # The optimiser folds BatchNorm into Conv and loses the names of what it folds.
        optimize=False,
        input_names=found.inputs,
        output_names=found.outputs,
        custom_translation_table=operators.translations(),
        verbose=False,
    )
    weights = set(written.model.graph.initializers)
    onnxscript.optimizer.inline(written.model)
    # Sequences of parts become parts; what is computed from weights stays, and so do their names.
    # It raises at what it cannot fold, such as parts of a number that varies; the rest stays as it is.
    with contextlib.suppress(RuntimeError):
        onnxscript.optimizer.fold_constants(
            written.model,
            should_fold=lambda node: (
                False if any(v is not None and v.name in weights for v in node.inputs) else None
            ),
        )
    onnxscript.optimizer.remove_unused_nodes(written.model)
    _tidy(written.model, found)
    written.save(path)


def traced(source: Source, found: References, dynamic: str, path: str) -> None:
    """The exporter that records what one run does."""
    _traced(source.module, source, found, dynamic, path)


def scripted(source: Source, found: References, dynamic: str, path: str) -> None:
    """The exporter that reads TorchScript, on the program as it was loaded."""
    if source.script is None:
        raise NotImplementedError("only for TorchScript without memory and constants")
    # A copy that never ran: what ran is compiled, and stays as it was.
    copied = io.BytesIO()
    torch.jit.save(source.script, copied)
    copied.seek(0)
    script = torch.jit.load(copied).eval()
    torch._C._jit_pass_inline(script.graph)
    name_weights(script)
    symbolics.register(OPSET)
    _traced(script, source, found, dynamic, path)


ROUTES: Mapping[str, Callable[[Source, References, str, str], None]] = {
    "dynamo": dynamo,
    "traced": traced,
    "scripted": scripted,
}


def _example(source: Source, found: References, dynamic: str) -> list[torch.Tensor]:
    """Inputs for an export, in order, of the types that the module takes."""
    pairs = zip(found.example(dynamic), source.inputs.values(), strict=True)
    return [torch.from_numpy(array).to(tensor.dtype) for array, tensor in pairs]


def _exported(source: Source, found: References, dynamic: str) -> Any:
    """Export a module.

    Raises:
        ValueError: torch.export took a size for a constant that may vary.
    """
    tensors = _example(source, found, dynamic)
    varying = {place for _, axes in found.varying(dynamic) for place in axes}
    shapes = tuple(
        {a: torch.export.Dim.AUTO for a in range(tensor.dim()) if (index, a) in varying}
        for index, tensor in enumerate(tensors)
    )
    program = torch.export.export(
        source.module, tuple(tensors), dynamic_shapes=shapes, strict=False
    )
    names = program.graph_signature.user_inputs
    nodes = {n.name: n.meta["val"] for n in program.graph.nodes if n.op == "placeholder"}
    for name, axes in found.varying(dynamic):
        for index, axis in axes:
            size = nodes[names[index]].shape[axis]
            if isinstance(size, int):
                raise ValueError(f"torch.export fixed {name} of {found.inputs[index]} to {size}")
    return program


def _traced(module: Any, source: Source, found: References, dynamic: str, path: str) -> None:
    dynamic_axes: dict[str, dict[int, str]] = {}
    for name, axes in found.varying(dynamic):
        for index, axis in axes:
            dynamic_axes.setdefault(found.inputs[index], {})[axis] = name
    operators.register(OPSET)
    packing.register(OPSET)
    with _equal_apart(), packing.taken():
        torch.onnx.export(
            module,
            tuple(_example(source, found, dynamic)),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=found.inputs,
            output_names=found.outputs,
            dynamic_axes=dynamic_axes,
            do_constant_folding=False,
            # Not EVAL: that folds BatchNorm into Conv. The module itself is in inference mode.
            training=torch.onnx.TrainingMode.PRESERVE,
            verbose=False,
        )
    if not os.path.isfile(path):
        raise RuntimeError("nothing was written")


@contextlib.contextmanager
def _equal_apart() -> Iterator[None]:
    """Keep the exporter from merging parameters of equal numbers: one of two names would be lost.

    It asks whether the module is in training, which would change Dropout and BatchNorm too; so this alone is told
    that it is. What shares its memory is one parameter still.
    """
    merge = torch._C._jit_pass_onnx_deduplicate_initializers
    torch._C._jit_pass_onnx_deduplicate_initializers = lambda graph, weights, _: merge(
        graph, weights, True
    )
    try:
        yield
    finally:
        torch._C._jit_pass_onnx_deduplicate_initializers = merge


def _tidy(model: Any, found: References) -> None:
    """Readable names of dimensions, scopes without what the exporter made up, no paths of this machine."""
    import onnx_ir as ir

    called: dict[str, str] = {}
    for name, axes in found.classes:
        for index, axis in axes:
            size = model.graph.inputs[index].shape[axis]
            if isinstance(size, ir.SymbolicDim) and size.value:
                called.setdefault(size.value, name)
    nodes = list(model.graph.all_nodes())
    computed = (value for node in nodes for value in node.outputs)
    for value in (*model.graph.inputs, *model.graph.outputs, *computed):
        if value.shape is not None and called:
            value.shape = ir.Shape([_renamed(size, called) for size in value.shape])
    for node in nodes:
        for key in [key for key in node.metadata_props if key not in KEPT]:
            del node.metadata_props[key]
        scopes = node.metadata_props.get(SCOPES, "")
        if MADE_UP in scopes:
            kept = [part for part in ast.literal_eval(scopes) if part != MADE_UP]
            node.metadata_props[SCOPES] = str(kept)


def _renamed(size: Any, called: Mapping[str, str]) -> Any:
    """A size with names for symbols: `2*s77` -> `2*batch`."""
    symbols = getattr(size, "value", size)
    if not isinstance(symbols, str):
        return size
    if symbols in called:
        return called[symbols]
    return re.sub(r"\w+", lambda found: called.get(found[0], found[0]), symbols)
