"""Reading a foreign program, as a program of its own.

python reading_job.py JOB.json ANSWER.json

JOB.json: {"source", "framework", "model"}; the ONNX file is written to `model`. ANSWER.json gets {} or the
error as `converters.errors.described` puts it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# The folder of this file must not offer its modules to anyone.
if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if Path(entry) != Path(__file__).parent]

LARGEST_PROTO = 1 << 30


def main() -> None:
    """Read one program and save it."""
    import onnx

    from converters.errors import ConversionError, described
    from converters.importers.reading import importer
    from converters.importers.sizes import join_sizes

    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answer: dict[str, Any] = {}
    try:
        model = importer(job["framework"]).to_onnx(Path(job["source"]))
        large = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > LARGEST_PROTO
        path = Path(job["model"])
        onnx.save_model(model, path, save_as_external_data=large, location=f"{path.name}.data")
        join_sizes(path)
    except ConversionError as error:
        answer = described(error)
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
