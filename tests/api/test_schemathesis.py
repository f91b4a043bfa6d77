"""Requests that nobody thought of, made by schemathesis from our own description, at a running server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = "6"
# A request may have the right form and still be refused for what it says: blobs that are not there, bytes that
# do not have their digest.
NOT_CHECKED = "positive_data_acceptance"
# Ends with the job, and nothing works on jobs here.
ENDLESS = "/v1/jobs/{job}/events"


def test_every_answer_is_one_that_is_described(own_server, tmp_path):
    command = [
        Path(sys.executable).with_name("st"), "run", f"{own_server.url}/openapi.json",
        "--exclude-checks", NOT_CHECKED, "--exclude-path", ENDLESS, "--max-examples", EXAMPLES, "--seed", "1", "--no-color",
        "--generation-database", "none", "--request-timeout", "30", "--no-shrink",
        "--suppress-health-check", "all",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    assert "Tested: " in done.stdout
