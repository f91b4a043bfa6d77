"""The doctor finds what is broken, and says what to do."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from zoo.access import LOCAL
from zoo.doctor import _framework, examine
from zoo.jobs.records import Submission
from zoo.settings import Settings

_spec = importlib.util.spec_from_file_location(
    "zoo_in_use", Path(__file__).with_name("conftest.py")
)
help_ = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(help_)


def findings(data, **options):
    found = examine(data, Settings.from_environment(), frameworks=False, **options)
    return {(one.what, one.result): one for one in found}


def results(data, **options):
    return dict(findings(data, **options).keys())


WELL = dict.fromkeys(("directory", "disk", "schema", "database", "blobs", "jobs"), "ok")


def test_a_zoo_that_is_well(zoo, jobs):
    zoo.publish(help_.manifest(zoo, "org/model", b"weights"))
    well = WELL | ({} if zoo.bucket is None else {"bucket": "ok"})
    assert results(zoo.data) == well
    assert results(zoo.data, full=True) == well
    asked = Submission(
        manifest=help_.manifest(zoo, "org/job", b"job"), convert={"targets": ["pytorch"]}
    )
    jobs.submit(asked)
    assert findings(zoo.data)["jobs", "warning"].fix == "start one: zoo worker"


@pytest.mark.embedded("it writes into files of the zoo")
def test_blobs_that_are_broken_or_not_there(zoo):
    zoo.publish(help_.manifest(zoo, "org/model", b"weights"))
    digest = zoo.version("org/model", "1.0").manifest.artifacts[0].files[0].sha256
    place = zoo.store.path(digest)
    place.chmod(0o644)
    place.write_bytes(b"Weights")
    found = findings(zoo.data)["blobs", "failed"]
    assert digest in found.says
    assert "org/model" in found.says
    place.unlink()
    assert "1 of" in findings(zoo.data, full=True)["blobs", "failed"].says


@pytest.mark.embedded("it writes into files of the zoo")
def test_databases_that_are_broken(zoo, tmp_path):
    for number in range(40):
        zoo.access.note(LOCAL, "x.y", f"line {number}", text="x" * 900)
    zoo.close()
    data = zoo.data / "zoo.db"
    with closing(sqlite3.connect(data)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(data.read_bytes())
    for page in range(len(content) - 4096 * 5, len(content), 4096):
        content[page : page + 200] = b"\xff" * 200
    data.write_bytes(content)
    found = findings(zoo.data)["database", "failed"]
    assert "restore" in found.fix
    data.write_bytes(b"no database" * 1000)
    assert findings(zoo.data)["schema", "failed"].fix
    assert findings(tmp_path / "nothing")["directory", "failed"].fix.startswith(
        "name its directory"
    )


def test_frameworks(monkeypatch):
    assert _framework("onnx").result == "ok"
    monkeypatch.setenv("POLYZOO_PYTHON_ONNX", "/nowhere/python")
    found = _framework("onnx")
    assert (found.result, "POLYZOO_PYTHON_ONNX" in found.fix) == ("warning", True)


def test_the_command(zoo):
    zoo.publish(help_.manifest(zoo, "org/model", b"weights"))
    command = [sys.executable, "-m", "zoo", "--data", str(zoo.data), "doctor", "--no-frameworks"]
    done = subprocess.run(
        [*command, "--json", "--full"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["ok"]
    digest = next(iter(zoo.published_blobs()))
    zoo.store.remove(digest)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "failed   blobs: 1 of" in done.stdout
    assert "fix: bring" in done.stdout
