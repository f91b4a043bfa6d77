"""What a model file is, without running anything of it and without any framework."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from converters.errors import UnsafeInput
from converters.importers import recognise


def inspect(path: Path) -> dict[str, Any]:
    """Facts about a file: format, opset, producer, signature, operators, parameters.

    Raises:
        UsageError: There is no such file.
        UnsupportedError: A format that cannot be read yet.
        UnsafeInput: The file is malformed.
    """
    source = recognise(path)
    from converters.emitters.signature import name_dimensions, signature
    from converters.graph import read_graph
    from converters.graph.load import key_of, read_model

    model = read_model(source.path)
    graph = read_graph(source.path)
    name_dimensions(graph)
    operators = Counter(key_of(node.domain, node.op_type) for node in model.graph.node)
    parameters = {
        value: value.const
        for node in graph.nodes
        for value in node.inputs
        if value is not None and value.const is not None and value.trainable
    }
    if not graph.outputs:
        raise UnsafeInput(f"{path.name}: the graph has no outputs")
    return {
        "format": source.format,
        "opset": graph.opset,
        "producer": f"{model.producer_name} {model.producer_version}".strip() or "unknown producer",
        "signature": signature(graph),
        "operators": dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))),
        "parameters": sum(int(data.size) for data in parameters.values()),
        "parameter_bytes": sum(int(data.nbytes) for data in parameters.values()),
        "metadata": graph.metadata,
    }
