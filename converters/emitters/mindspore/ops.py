"""ONNX operators; see converters.emitters.table."""

PHRASES: dict[str, str] = {}
