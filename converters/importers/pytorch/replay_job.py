"""Reference inputs through an ONNX file, in onnxruntime's process. Imports nothing of this project.

python replay_job.py JOB.json ANSWER.json

JOB.json: {"model", "cases": [[inputs.npz, outputs.npz], ...]}; the outputs are written. ANSWER.json gets
{"inputs": [names], "outputs": [names]} or {"failed": why}. What the file says of shapes beyond that of its
inputs is taken out where a run shows another one, and so is all of it that no run shows.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main() -> None:
    """Run every case."""
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    try:
        answer = replay(job["model"], job["cases"])
    except Exception as error:
        answer = {"failed": f"onnxruntime: {type(error).__name__}: {error}"}
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(answer, file)


def replay(model: str, cases: list[list[str]]) -> dict[str, Any]:
    """Run a model on every case and save its outputs."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Errors only.
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    wanted = [value.name for value in session.get_inputs()]
    outputs = [value.name for value in session.get_outputs()]
    shapes: list[list[tuple[int, ...]]] = []
    for source, target in cases:
        with np.load(source, allow_pickle=False) as file:
            given = {name: file[name] for name in file.files if name in wanted}
        results = session.run(None, given)
        np.savez(target, **dict(zip(outputs, results, strict=True)))
        shapes.append([result.shape for result in results])
    correct(model, shapes)
    return {"inputs": wanted, "outputs": outputs}


def correct(model: str, shapes: list[list[tuple[int, ...]]]) -> None:
    """Take out of a file what it says wrongly of shapes: exporters write down those of their example."""
    import onnx

    proto = onnx.load(model, load_external_data=False)
    del proto.graph.value_info[:]
    for index, output in enumerate(proto.graph.output):
        dims = output.type.tensor_type.shape.dim
        for axis, dim in enumerate(dims):
            seen = {shape[index][axis] for shape in shapes}
            if dim.HasField("dim_value") and seen != {dim.dim_value}:
                dim.ClearField("dim_value")
    onnx.save(proto, model)


if __name__ == "__main__":
    main()
