"""The command as people and scripts meet it: exit statuses, messages, JSON, speed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

import zoo.present as present

Result = subprocess.CompletedProcess[str]
Command = Callable[..., Result]

INFER = """
import numpy as np
def load(device="auto"):
    return {factor}
def run(model, inputs):
    return {{"y": inputs["x"] * np.float32(model)}}
"""
SPEC = {"dtype": "float32", "shape": ["N", 3]}


@pytest.fixture
def zoo(tmp_path: Path) -> Command:
    """Runs the command with a cache and a zoo of its own."""

    def run(*arguments: object, **environment: str) -> Result:
        own = {"POLYZOO_CACHE": str(tmp_path / "cache"), "POLYZOO_DATA": str(tmp_path / "data")}
        return subprocess.run(
            [sys.executable, "-m", "zoo", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=tmp_path,
            env={**os.environ, **own, **environment},
        )

    return run


@pytest.fixture
def failed() -> Callable[..., str]:
    """Checks the form of a failure; gives its first line."""

    def check(result: Result, status: int) -> str:
        assert result.returncode == status, result.stderr
        assert "Traceback" not in result.stderr
        assert result.stdout == ""
        said, *others = result.stderr.splitlines()
        assert said.startswith("zoo: error: "), result.stderr
        assert all(line.startswith(("  ", "fix: ")) for line in others), result.stderr
        return said

    return check


@pytest.fixture
def artifact(tmp_path: Path) -> Callable[..., Path]:
    """Writes an artifact directory for ONNX Runtime that multiplies by a number."""

    def write(name: str, factor: float) -> Path:
        folder = tmp_path / name / "onnx"
        folder.mkdir(parents=True)
        (folder / "infer.py").write_text(INFER.format(factor=factor))
        fields = {
            "framework": "onnx", "format": "onnx", "precision": "fp32", "entry": "infer.py",
            "files": [],
            "signature": {"inputs": [{"name": "x", **SPEC}], "outputs": [{"name": "y", **SPEC}]},
        }  # fmt: skip
        (folder / "manifest.json").write_text(json.dumps(fields))
        return folder

    return write


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Path]:
    """Writes an ONNX file with these operators, one behind the other."""

    def write(*operators: str, domain: str = "") -> Path:
        nodes = [
            helper.make_node(operator, [f"t{i}"], [f"t{i + 1}"], name=f"n{i}", domain=domain)
            for i, operator in enumerate(operators)
        ]
        first = helper.make_tensor_value_info("t0", TensorProto.FLOAT, [2, 3])
        last = helper.make_tensor_value_info(f"t{len(nodes)}", TensorProto.FLOAT, [2, 3])
        opsets = [helper.make_opsetid(name, 17) for name in sorted({"", domain})]
        graph = helper.make_graph(nodes, "g", [first], [last])
        path = tmp_path / "model.onnx"
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
        return path

    return write


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pull"], "NAME"),
        (["nonsense"], "nonsense"),
        (["ls", "--nonsense"], "--nonsense"),
        (["pull", "org/model", "-f", "tensorflow"], "tensorflow"),
        (["pull", "no-model", "-f", "onnx"], "no-model"),
        (["convert", "missing.onnx", "--to", "paddle", "--out", "out"], "missing.onnx"),
        (["convert", "x.onnx", "--to", "tensorflow", "--out", "out"], "tensorflow"),
        (["--endpoint", "ftp://x", "ls"], "ftp://x"),
        (["--endpoint", "localhost:8000", "ls"], "localhost:8000"),
    ],
)
def test_misuse_ends_with_2(
    zoo: Command, failed: Any, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "x.onnx").write_bytes(b"")
    assert said in failed(zoo(*arguments), 2)
    assert not (tmp_path / "out").exists()


def test_a_wrong_setting_is_named(zoo: Command, failed: Any) -> None:
    assert "POLYZOO_PART" in failed(zoo("ls", POLYZOO_PART="many"), 2)


def test_what_is_not_found_ends_with_1(zoo: Command, failed: Any, server: Any) -> None:
    result = zoo("--endpoint", server.url, "pull", "org/missing", "-f", "onnx", "--json")
    assert "org/missing" in failed(result, 1)


def test_a_server_that_is_not_there_ends_with_1(zoo: Command, failed: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    result = zoo("ls", "--json", POLYZOO_SERVER=f"http://127.0.0.1:{port}")
    assert str(port) in failed(result, 1)
    assert "zoo serve" in result.stderr


@pytest.mark.parametrize("verb", ["convert", "inspect"])
def test_a_malformed_file_ends_with_5(zoo: Command, failed: Any, tmp_path: Path, verb: str) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x08not a model" * 50)
    rest = ["--to", "pytorch", "--out", "out"] if verb == "convert" else []
    assert "bad.onnx" in failed(zoo(verb, "bad.onnx", *rest, "--json"), 5)
    assert not (tmp_path / "out").exists()


def test_an_unsupported_operator_ends_with_3(
    zoo: Command, failed: Any, model: Any, tmp_path: Path
) -> None:
    source = model("Wobble", "Wobble", "Wobble", domain="com.example")
    line = failed(zoo("convert", source, "--to", "pytorch", "--out", "out", "--json"), 3)
    assert line.count("Wobble") == 1
    assert "x3" in line
    assert not (tmp_path / "out").exists()


def test_a_difference_ends_with_4(zoo: Command, artifact: Any) -> None:
    one, same, other = artifact("one", 2), artifact("same", 2), artifact("other", 2.5)
    passed = zoo("verify", one, same, "--json")
    assert passed.returncode == 0, passed.stderr
    assert json.loads(passed.stdout)["passed"] is True
    result = zoo("verify", one, other, "--json")
    assert result.returncode == 4
    assert json.loads(result.stdout)["passed"] is False
    assert result.stderr.startswith("zoo: error: ")
    assert "Traceback" not in result.stderr


def test_a_source_that_fails_by_itself_ends_with_1(
    zoo: Command, failed: Any, artifact: Any, tmp_path: Path
) -> None:
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["N"])
    graph = helper.make_graph(
        # No row of a table of three is the thousandth.
        [
            helper.make_node("Add", ["ids", "far"], ["i"]),
            helper.make_node("Gather", ["t", "i"], ["y"]),
        ],
        "g",
        [ids],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])],
        [
            helper.make_tensor("far", TensorProto.INT64, [1], [1000]),
            helper.make_tensor("t", TensorProto.FLOAT, [3], [1, 2, 3]),
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "far.onnx")
    line = failed(zoo("convert", "far.onnx", "--to", "pytorch", "--out", "out", "--json"), 1)
    assert "ONNX Runtime itself fails on this model" in line
    assert "indices element out of data bounds" in line
    assert not (tmp_path / "out").exists()
    result = zoo("verify", artifact("broken", "'no number'"), artifact("good", 2))
    assert result.returncode == 1
    assert "itself fails: the reference failed: ONNX Runtime, running the model" in result.stderr
    result = zoo("verify", artifact("sound", 2), artifact("worse", "'no number'"))
    assert result.returncode == 4
    assert "fails, unlike" in result.stderr


def test_models_go_to_a_zoo_and_back(
    zoo: Command, failed: Any, artifact: Any, server: Any, tmp_path: Path
) -> None:
    place = artifact("made", 2)

    def ask(*arguments: object) -> Any:
        result = zoo(*arguments, "--json", POLYZOO_SERVER=server.url)
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
        return json.loads(result.stdout)

    result = zoo("push", place.parent, "cli/double@1.0.0", POLYZOO_SERVER=server.url)
    assert "made: " in failed(result, 2)
    assert result.stderr.splitlines()[-1].startswith("fix: ")
    wrong = result.stderr.splitlines()
    assert len(wrong) > 3
    assert all(line.startswith("  ") for line in wrong[1:-1])
    head = ["--task", "doubling", "--summary", "Doubles.", "--licence", "MIT", "--publisher", "Us"]
    said = ask("push", place.parent, "cli/double@1.0.0", *head)
    assert said["published"] == "cli/double@1.0.0"
    assert [m["name"] for m in ask("ls", "--task", "doubling")["items"]] == ["cli/double"]
    assert [m["name"] for m in ask("search", "doubles")["items"]] == ["cli/double"]
    assert ask("show", "cli/double")["digest"] == said["digest"]
    pulled = ask("pull", "cli/double", "-f", "onnx", "--out", "got")
    assert pulled["files"] == ["infer.py", "manifest.json"]
    assert (tmp_path / "got" / "infer.py").read_bytes() == (place / "infer.py").read_bytes()
    shown = zoo("show", "cli/double", POLYZOO_SERVER=server.url)
    assert "cli/double@1.0.0" in shown.stdout
    plain = zoo("pull", "cli/double", "-f", "onnx", "--out", "got", POLYZOO_SERVER=server.url)
    assert plain.stdout == "got\n"


def test_inspect_prints_one_document(zoo: Command, model: Any) -> None:
    result = zoo("inspect", model("Relu", "Relu"), "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["operators"] == {"Relu": 2}


def test_help_imports_little() -> None:
    code = (
        "import sys, zoo.cli; status = zoo.cli.status_of(['--help']);"
        "heavy = {'onnx', 'onnxruntime', 'fastapi', 'sqlmodel', 'torch', 'paddle', 'mindspore'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr); sys.exit(status)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "[]\n")
    assert "convert" in result.stdout


def test_problems_stand_below_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    present.failure("one\ntwo\nthree", "mend it")
    assert capsys.readouterr().err == "zoo: error: one\n  two\n  three\nfix: mend it\n"


def test_the_reference_is_current() -> None:
    from zoo.cli.reference import page

    written = Path(__file__).parents[2] / "docs" / "cli.md"
    assert page() == written.read_text(encoding="utf-8"), "run python -m zoo.cli.reference"
