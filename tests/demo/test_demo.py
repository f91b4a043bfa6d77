"""The main job, end to end, as a user starts it: real weights, four frameworks, HTTP."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.real
@pytest.mark.timeout(600)
def test_four_frameworks_read_the_same_text() -> None:
    command = [sys.executable, "-m", "zoo", "demo", "--exit", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    rows = {row["framework"]: row for row in outcome["rows"]}
    assert list(rows) == ["onnx", "pytorch", "paddle", "mindspore", "paddle-inference"]
    assert {row["text"] for row in rows.values()} == {outcome["drawn"]}
    assert "模型" in outcome["drawn"]
    for row in rows.values():
        assert row["max_abs_error"] <= 1e-4
        assert row["bytes"] > 10_000_000
        assert row["latency_ms"] > 0
