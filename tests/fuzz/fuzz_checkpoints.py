"""Coverage-guided fuzzing of every reader of checkpoints: `make fuzz ARGS=seconds`.

A case is a file. Opening it and reading all of its tensors either works or raises one of our errors; anything
else, and anything slow, is a finding, which becomes a case of tests/checkpoints/test_hostile.py.

    python tests/fuzz/fuzz_checkpoints.py CORPUS -max_total_time=60 -timeout=5
"""

import sys
import tempfile
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["converters"]):
    from converters.checkpoints import FORMATS, open_checkpoint
    from converters.checkpoints.formats import Written
    from converters.errors import ConversionError

TENSORS = {
    "a.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "b": np.ones((), np.int64),
    "c": np.arange(6, dtype=np.float16).reshape(2, 3).T,
}
LARGEST = 1 << 16
SCRATCH = Path(tempfile.mkdtemp(prefix="fuzz-")) / "case"


def seed(corpus: Path) -> None:
    """Files of our own writers, as a beginning."""
    corpus.mkdir(parents=True, exist_ok=True)
    for form in FORMATS.values():
        form.write(corpus / f"seed{form.suffix}", TENSORS, Written())
    np.savez_compressed(corpus / "compressed.npz", **TENSORS)
    np.save(corpus / "seed.npy", TENSORS["a.weight"])


def one(data: bytes) -> None:
    """Try one case."""
    SCRATCH.write_bytes(data)
    try:
        for tensor in open_checkpoint(SCRATCH).tensors.values():
            if tensor.nbytes <= LARGEST:
                tensor.array()
    except ConversionError:
        pass


if __name__ == "__main__":
    seed(Path(sys.argv[1]))
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
