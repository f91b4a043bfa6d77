"""ONNX: the graph as it came, with its inference script."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from converters.graph import read_graph
from converters.graph.compared import compared_values, divisors, known_words, row_counts
from converters.graph.load import read_model
from converters.graph.model import is_quantised


def emit_onnx(model: Path, out: Path, *, source: Mapping[str, Any]) -> None:
    """Write a model as an ONNX artifact; see `converters.emitters.emit`."""
    from converters.emitters import inference_script, route, write_manifest
    from converters.emitters.signature import name_dimensions, signature

    proto = read_model(model)
    graph = read_graph(model)
    name_dimensions(graph)
    specs = signature(graph)
    large = sum(len(tensor.raw_data) for tensor in proto.graph.initializer) > 1 << 30
    out.mkdir(parents=True)
    if large:
        onnx.save_model(
            proto, out / "model.onnx", save_as_external_data=True, location="model.onnx.data"
        )
    else:
        onnx.save_model(proto, out / "model.onnx")
    script = inference_script(Path(__file__).with_name("inference.py"), specs)
    (out / "infer.py").write_text(script, encoding="utf-8")
    floats = {t.data_type for t in proto.graph.initializer}
    half = onnx.TensorProto.FLOAT16 in floats and onnx.TensorProto.FLOAT not in floats
    write_manifest(
        out,
        {
            "schema": 1,
            "framework": "onnx",
            "format": "onnx",
            "precision": "int8" if is_quantised(graph) else "fp16" if half else "fp32",
            "targets": ["cpu", "cuda"],
            "entry": "model.onnx",
            "inference": "infer.py",
            "signature": specs,
            "compared": compared_values(graph),
            "rows": row_counts(graph),
            "divisors": divisors(graph),
            "words": known_words(graph),
            "source": dict(source),
            "route": route(source, "onnx"),
            "parameters": {},
            "metadata": graph.metadata,
        },
    )
