"""The ONNX backend suite on emitted PyTorch, a file of its own, so that it has a worker of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import coverage_page


@pytest.mark.timeout(900)
def test_what_passes_is_what_the_ledger_says(tmp_path: Path) -> None:
    coverage_page.check("pytorch", tmp_path)
