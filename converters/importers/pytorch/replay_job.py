"""Reference inputs through an ONNX file, in onnxruntime's process. Imports nothing of this project.

python replay_job.py JOB.json ANSWER.json

JOB.json: {"model", "cases": [[inputs.npz, outputs.npz], ...]}; the outputs are written. ANSWER.json gets
{"inputs": [names], "outputs": [names]} or {"failed": why}.
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
    for source, target in cases:
        with np.load(source, allow_pickle=False) as file:
            given = {name: file[name] for name in file.files if name in wanted}
        np.savez(target, **dict(zip(outputs, session.run(None, given), strict=True)))
    return {"inputs": wanted, "outputs": outputs}


if __name__ == "__main__":
    main()
