"""The hub graph -> an artifact directory: source, weights, inference script, manifest.

`graph` goes through `lower` (operators of a framework), `outline` (modules), `write` (source).
"""

from __future__ import annotations

import hashlib
import importlib
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from converters.emitters.framework import Framework
from converters.emitters.lower import lower
from converters.emitters.signature import name_dimensions, signature
from converters.emitters.write import format_source, write
from converters.errors import UsageError
from converters.graph import read_graph
from converters.graph.control import CONTROL, inner_shape
from converters.graph.model import is_quantised
from converters.graph.narrow import NARROW

NATIVE = ("pytorch", "paddle", "mindspore")
PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}


def framework(key: str) -> Framework:
    """The record of a framework.

    Raises:
        UsageError: There is no emitter of that name.
    """
    if key not in NATIVE:
        raise UsageError(
            f"unknown framework {key!r}", fix=f"choose from: {', '.join(NATIVE)}, onnx"
        )
    record: Framework = getattr(importlib.import_module(f"converters.emitters.{key}"), key.upper())
    return record


def emit(
    model: Path,
    key: str,
    out: Path,
    *,
    source: Mapping[str, Any],
    name: str = "",
    names: Mapping[str, str] | None = None,
) -> None:
    """Write an ONNX file as native source of a framework into a new folder.

    Args:
        model: The ONNX file.
        key: `pytorch`, `paddle`, `mindspore` or `onnx`.
        out: The folder; it must not exist.
        source: What the manifest says of where the model comes from: `format`, `sha256`, and the
            `framework` where it is not ONNX.
        name: What to call the model in the header of its source.
        names: What parameters were called in an earlier form, where they have other names in the ONNX file.

    Raises:
        UnsupportedOperators: Some operators cannot be written in that framework; nothing is written.
        UnsafeInput: The model is malformed.
        UsageError: There is no such framework.
    """
    if key == "onnx":
        from converters.emitters.onnx import emit_onnx

        emit_onnx(model, out, source=source)
        return
    target = framework(key)
    lacking = NARROW.keys() - target.spelling.dtypes.keys()
    graph = read_graph(
        model, native=lambda op: op in CONTROL or op in target.table, lacking=lacking
    )
    name_dimensions(graph)
    program = lower(graph, target.table, target.spelling, key)
    written = write(program, target, _header(name or model.stem, target, graph))
    specs = signature(graph)
    out.mkdir(parents=True)
    (out / "model.py").write_text(written.text, encoding="utf-8")
    weights = {
        name: value.const for name, value in written.weights.items() if value.const is not None
    }
    target.write_weights(out / target.weights_file, weights)
    script = inference_script(target.folder / "inference.py", specs)
    (out / "infer.py").write_text(script, encoding="utf-8")
    dtypes = [value.dtype for value in weights.values()]
    precision = "int8" if is_quantised(graph) else _precision(dtypes)
    manifest = {
        "schema": 1,
        "framework": key,
        "format": target.weights_format,
        "precision": precision,
        "targets": list(target.targets),
        "entry": target.weights_file,
        "inference": "infer.py",
        "signature": specs,
        "source": dict(source),
        "route": route(source, key),
        "parameters": {
            name: (names or {}).get(value.name, value.name)
            for name, value in written.weights.items()
        },
        "metadata": graph.metadata,
    }
    write_manifest(out, manifest)


def route(source: Mapping[str, Any], key: str) -> list[str]:
    """The frameworks that a model came through: `["paddle", "onnx", "pytorch"]`."""
    before = source.get("lineage", {}).get("route") or [source.get("framework", "onnx")]
    return [one for one, _ in itertools.groupby([*before, "onnx", key])]


def inference_script(template: Path, specs: Mapping[str, Any]) -> str:
    """The inference script of a framework for one signature."""
    text = template.read_text(encoding="utf-8")
    if any(spec["dtype"] == "string" for side in ("inputs", "outputs") for spec in specs[side]):
        text = _with_texts(text)
    if any("kind" in spec for side in ("inputs", "outputs") for spec in specs[side]):
        text = _with_boxes(text)
    for side in ("inputs", "outputs"):
        types = {spec["name"]: KINDS[spec.get("kind", "")].format(**spec) for spec in specs[side]}
        text = text.replace(f"{side.upper()}: dict[str, str] = {{}}", f"{side.upper()} = {types!r}")
    return format_source(text)


# What an inference script says of an input or output.
KINDS = {
    "": "{dtype}",
    "sequence": "list[{dtype}]",
    "optional": "{dtype} | None",
    "optional sequence": "list[{dtype}] | None",
}


def _with_texts(text: str) -> str:
    """An inference script that also takes and gives arrays of text."""
    texts = Path(__file__).with_name("texts.py").read_text(encoding="utf-8")
    for name in ("tensor", "array"):
        text = text.replace(f"def to_{name}(", f"def number_to_{name}(")
    functions = texts[texts.index("def to_tensor(") :]
    text = text.replace("def number_to_tensor(", f"{functions}\n\ndef number_to_tensor(", 1)
    return text.replace(
        "from pathlib import Path\n", "from pathlib import Path\nfrom typing import Any\n", 1
    )


def _with_boxes(text: str) -> str:
    """An inference script that also takes and gives sequences and optionals."""
    boxes = Path(__file__).with_name("boxes.py").read_text(encoding="utf-8")
    for old, new in (("run", "run_values"), ("to_tensor", "one_tensor"), ("to_array", "one_array")):
        text = text.replace(f"def {old}(", f"def {new}(")
    functions = boxes[boxes.index("def run(") :]
    text = text.replace("def run_values(", f"{functions}\n\ndef run_values(", 1)
    text = text.replace("import sys\n", "import itertools\nimport sys\n", 1)
    if "from typing import Any\n" in text:
        return text
    return text.replace(
        "from pathlib import Path\n", "from pathlib import Path\nfrom typing import Any\n", 1
    )


def write_manifest(out: Path, manifest: dict[str, Any]) -> None:
    """Write manifest.json with the size and digest of every other file of the folder."""
    from converters import __version__

    files = [
        {"path": path.name, "size": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(out.iterdir())
        if path.is_file() and path.name != "manifest.json"
    ]
    text = json.dumps(
        {**manifest, "files": files, "converter": f"polyzoo {__version__}"},
        ensure_ascii=False,
        indent=2,
    )
    (out / "manifest.json").write_text(text + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """The digest of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _header(name: str, target: Framework, graph: Any) -> str:
    inputs, outputs = (
        ", ".join(f"{n} {list(inner_shape(v) or ())}" for n, v in zip(names, values, strict=True))
        for names, values in (
            ([v.name for v in graph.inputs], graph.inputs),
            (graph.output_names, graph.outputs),
        )
    )
    return f"{name} in {target.title}.\n\nInputs: {inputs}\nOutputs: {outputs}\n".replace("'", "")


def _precision(dtypes: list[Any]) -> str:
    floats = [dtype.name for dtype in dtypes if dtype.name in PRECISIONS]
    return PRECISIONS[max(set(floats), key=floats.count)] if floats else "fp32"


__all__ = ["NATIVE", "emit", "framework"]
