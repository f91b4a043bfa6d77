"""What a model file is, without running anything of it and without any framework."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from converters.checkpoints.checkpoint import Checkpoint
from converters.checkpoints.formats import NATIVE, open_checkpoint, recognise, resolve
from converters.checkpoints.onnx_initializers import has_nodes
from converters.checkpoints.translate import plan
from converters.errors import ConversionError, UnsafeInput


def inspect(path: Path, key: str | None = None) -> dict[str, Any]:
    """Facts about a file: of a model its format, opset, producer, signature, operators and parameters; of a
    checkpoint its format, tensors, likely framework and kinds of modules, metadata and findings.

    Args:
        path: The file, or a folder that holds one.
        key: Where in a checkpoint's nested containers the weights are.

    Raises:
        UsageError: There is no such file.
        UnsupportedError: A format that cannot be read yet.
        UnsafeInput: The file is malformed or hostile.
    """
    models = sorted(path.glob("*.onnx")) if path.is_dir() else []
    found = models[0] if len(models) == 1 else resolve(path)
    if recognise(found) == "onnx" and has_nodes(found):
        return _model(found)
    return _checkpoint(open_checkpoint(found, key))


def _checkpoint(opened: Checkpoint) -> dict[str, Any]:
    tensors = [
        {
            "name": name,
            "dtype": tensor.kind.name,
            "shape": list(tensor.shape),
            "bytes": tensor.nbytes,
        }
        for name, tensor in opened.tensors.items()
    ]
    shared = Counter(
        tensor.storage.key for tensor in opened.tensors.values() if tensor.storage is not None
    )
    tied = sum(count for count in shared.values() if count > 1)
    findings = [*opened.findings, *([f"{tied} tensors share their storage"] if tied else [])]
    framework = opened.framework or _likely(opened)
    return {
        "format": opened.format,
        "framework": framework,
        "files": [file.name for file in opened.files],
        "parameters": sum(tensor.size for tensor in opened.tensors.values()),
        "parameter_bytes": sum(tensor.nbytes for tensor in opened.tensors.values()),
        "tensors": tensors,
        "modules": _modules(opened, framework),
        "metadata": dict(opened.metadata),
        "findings": findings,
    }


# Names that only one framework gives.
TELLING = {
    ".moving_mean": "mindspore",
    ".embedding_table": "mindspore",
    ".gamma": "mindspore",
    "._mean": "paddle",
    "._variance": "paddle",
    ".running_mean": "pytorch",
    ".num_batches_tracked": "pytorch",
    ".in_proj_weight": "pytorch",
}


def _likely(opened: Checkpoint) -> str | None:
    """The framework whose names these are, where they tell."""
    for end, framework in TELLING.items():
        if any(name.endswith(end) for name in opened.tensors):
            return framework
    return None


def _modules(opened: Checkpoint, framework: str | None) -> dict[str, int]:
    """How many modules of each kind there seem to be."""
    if framework is None or opened.format == "pdiparams":
        return {}
    other = next(key for key in NATIVE if key != framework)
    try:
        found = plan(opened.tensors, framework, other)
    except ConversionError:
        return {}
    counts = Counter(decision.kind for decision in found.decisions)
    counts["undecided"] = len(found.open)
    return {kind: count for kind, count in counts.most_common() if count}


def _model(path: Path) -> dict[str, Any]:
    from converters.emitters.signature import name_dimensions, signature
    from converters.graph import read_graph
    from converters.graph.load import every_node, key_of, read_model
    from converters.graph.model import every_graph

    model = read_model(path)
    graph = read_graph(path)
    name_dimensions(graph)
    operators = Counter(key_of(node.domain, node.op_type) for node in every_node(model.graph))
    parameters = {
        value: value.const
        for inner in every_graph(graph)
        for value in (*(v for node in inner.nodes for v in node.inputs), *inner.outputs)
        if value is not None and value.const is not None and value.trainable
    }
    if not graph.outputs:
        raise UnsafeInput(f"{path.name}: the graph has no outputs")
    return {
        "format": "onnx",
        "opset": graph.opset,
        "producer": f"{model.producer_name} {model.producer_version}".strip() or "unknown producer",
        "signature": signature(graph),
        "operators": dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))),
        "parameters": sum(int(data.size) for data in parameters.values()),
        "parameter_bytes": sum(int(data.nbytes) for data in parameters.values()),
        "metadata": graph.metadata,
    }
