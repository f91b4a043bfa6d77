"""Runtimes at work: real frameworks, and processes that misbehave in every way we know."""

import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
import time
import types
import venv
from pathlib import Path

import ml_dtypes
import numpy as np
import psutil
import pytest

from converters.errors import MissingRuntime, RuntimeFailed, UsageError
from converters.runtimes import FRAMEWORKS, Limits, Runtime

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_each_framework_loads_runs_and_is_timed(name, scripts, tmp_path):
    (tmp_path / "infer.py").write_text(scripts[name])
    with Runtime(name, limits=Limits(seconds=120, memory_bytes=4 << 30)) as runtime:
        runtime.load(tmp_path)
        np.testing.assert_array_equal(runtime.run({"x": X})["y"], X * 2)
        seconds = runtime.time({"x": X}, repeats=3, warmup=1)
    assert len(seconds) == 3
    assert all(0 < s < 10 for s in seconds)
    assert set(runtime.versions) == {FRAMEWORKS[name].module, "numpy", "python"}
    assert os.listdir(tmp_path) == ["infer.py"]


@pytest.fixture
def runtime():
    """The lightest framework, with short limits."""
    with Runtime("onnx", limits=Limits(seconds=5, memory_bytes=600 << 20)) as runtime:
        yield runtime


def fails(runtime, folder, inputs=None):
    with pytest.raises(RuntimeFailed) as caught:  # noqa: PT012 - either may fail
        runtime.load(folder)
        runtime.run(inputs or {})
    assert "\n" not in caught.value.message
    return caught.value


def test_arrays_of_every_kind_survive(runtime, artifact):
    runtime.load(artifact("return inputs"))
    arrays = {
        "bf16": X.astype(ml_dtypes.bfloat16),
        "fp8": X.astype(ml_dtypes.float8_e4m3fn),
        "int4": X.astype(ml_dtypes.int4),
        "big-endian": X.astype(">f4"),
        "fortran": np.asfortranarray(X),
        "strided": X[:, ::2],
        "scalar": np.array(3, np.int64),
        "scalar bf16": np.array(3, ml_dtypes.bfloat16),
        "empty": np.zeros((0, 3), bool),
        "complex": X.astype(np.complex64),
        "a/../b": X,
        "file": X,
        "名": X,
    }
    found = runtime.run(arrays)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype.name == array.dtype.name, name
        assert found[name].shape == array.shape, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_an_exception_comes_back_whole_and_the_process_goes_on(runtime, artifact):
    folder = artifact("print('about to fail'); raise ValueError('width 7 is odd')")
    error = fails(runtime, folder)
    assert error.message == "ONNX Runtime, running the model: ValueError: width 7 is odd"
    assert error.reason == "ValueError"
    assert "infer.py" in error.detail
    assert "about to fail" in error.detail
    runtime.load(artifact("return inputs", name="other"))
    np.testing.assert_array_equal(runtime.run({"x": X})["x"], X)


@pytest.mark.parametrize(
    ("run", "says"),
    [
        ("return [1]", "TypeError: a list instead of a dict of arrays"),
        ("return {'y': [1]}", "TypeError: 'y' is a list, not a numpy array"),
        ("return {'y': np.array([None])}", "TypeError: 'y' has elements of type object"),
        ("sys.exit('no')", "SystemExit: no"),
    ],
)
def test_results_that_are_no_arrays(runtime, artifact, run, says):
    assert fails(runtime, artifact(run)).message.endswith(says)


def test_a_hang_ends_at_the_time_limit_with_its_children(runtime, artifact):
    folder = artifact("""
        import subprocess
        child = subprocess.Popen(["sleep", "60"], start_new_session=True)
        print("child", child.pid, flush=True)
        time.sleep(60)
    """)
    start = time.monotonic()
    error = fails(runtime, folder)
    assert time.monotonic() - start < 50
    assert error.reason == "TimeLimit"
    assert "longer than the limit of 5 s" in error.message
    child = int(error.detail.split("child ")[1].split()[0])
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"
    with pytest.raises(RuntimeFailed, match="its process has ended") as caught:
        runtime.run({})
    assert caught.value.reason == "Ended"


def test_a_hang_that_holds_the_interpreter(runtime, artifact):
    error = fails(runtime, artifact("ctypes.PyDLL(None).sleep(60)"))
    assert error.reason == "TimeLimit"


def test_memory_that_grows_ends_at_the_limit(runtime, artifact):
    error = fails(
        runtime,
        artifact("""
        kept = []
        while True:
            kept.append(np.ones(4 << 20))
            time.sleep(0.01)
    """),
    )
    assert error.reason == "MemoryLimit"
    assert "600 MiB" in error.message


def test_memory_of_children_counts(runtime, artifact):
    error = fails(
        runtime,
        artifact("""
        import subprocess
        code = "import time; kept = b'1' * (700 << 20); time.sleep(60)"
        subprocess.run([sys.executable, "-c", code])
    """),
    )
    assert error.reason == "MemoryLimit"


def test_a_huge_allocation_is_an_error_of_the_process(runtime, artifact):
    error = fails(runtime, artifact("return {'y': np.ones(100 << 30, np.uint8)}"))
    assert "MemoryError" in error.reason


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ("ctypes.string_at(0)", "SIGSEGV"),
        ("os.abort()", "SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("print('leaving'); sys.stdout.flush(); os._exit(0)", "Ended"),
    ],
)
def test_a_crash_is_named(runtime, artifact, run, reason):
    error = fails(runtime, artifact(run))
    assert error.reason == reason
    assert reason == "Ended" or reason in error.message


def test_megabytes_of_output_do_no_harm(runtime, artifact):
    runtime.load(
        artifact("""
        for _ in range(40):
            print("x" * (1 << 20))
            os.write(2, b"y" * 1000)
            time.sleep(0.005)
        print("the last line")
        if "fail" in inputs:
            raise ValueError("after all")
        return inputs
    """)
    )
    np.testing.assert_array_equal(runtime.run({"x": X})["x"], X)
    with pytest.raises(RuntimeFailed) as caught:
        runtime.run({"fail": X})
    assert "the last line" in caught.value.detail
    assert len(caught.value.detail) < 20_000


def test_output_without_end_is_bounded_on_disk(artifact):
    folder = artifact("""
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            os.write(1, b"x" * 100_000)
            time.sleep(0.0005)
        return {"size": np.array(os.fstat(1).st_size)}
    """)
    with Runtime("onnx", limits=Limits(seconds=10)) as runtime:
        runtime.load(folder)
        assert runtime.run({})["size"] < 100 << 20


def test_a_broken_infer_script(runtime, tmp_path):
    (tmp_path / "infer.py").write_text("def load(:\n")
    assert fails(runtime, tmp_path).reason == "SyntaxError"
    with pytest.raises(UsageError, match=r"no infer\.py"):
        runtime.load(tmp_path / "nowhere")


def test_the_process_sees_no_secrets_no_network_and_few_threads(monkeypatch, artifact):
    monkeypatch.setenv("HF_TOKEN", "hidden")
    monkeypatch.setenv("VENDOR_SETTING", "seen")
    folder = artifact("""
        import socket
        lo = socket.create_server(("127.0.0.1", 0))
        socket.create_connection(lo.getsockname()).close()
        try:
            socket.create_connection(("192.0.2.1", 80), timeout=1)
        except OSError as error:
            print("offline:", error.strerror)
        for name in ("HF_TOKEN", "VENDOR_SETTING", "HF_HUB_OFFLINE", "OMP_NUM_THREADS"):
            print(name, os.environ.get(name))
        print("cwd", os.getcwd(), "path", sys.path[0])
        raise ValueError("show it")
    """)
    with Runtime("onnx", limits=Limits(seconds=10, threads=1)) as runtime:
        printed = fails(runtime, folder).detail
    for line in ("HF_TOKEN None", "VENDOR_SETTING seen", "HF_HUB_OFFLINE 1", "OMP_NUM_THREADS 1"):
        assert line in printed
    if os.geteuid() == 0:
        assert "offline: Network is unreachable" in printed
    assert f"path {folder}" in printed
    assert str(Path.cwd()) not in printed.split("cwd ")[1].split()[0]


def test_nothing_is_left_after_the_end(artifact, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    descriptors = len(os.listdir("/proc/self/fd"))
    before = set(psutil.Process().children())
    with Runtime("onnx") as runtime:
        runtime.load(artifact("return inputs"))
        runtime.run({"x": X})
        (child,) = set(psutil.Process().children()) - before
    assert not child.is_running()
    assert os.listdir(tmp_path / "temporary") == []
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_the_process_ends_when_its_parent_is_killed(artifact):
    folder = artifact("print('pid', os.getpid(), flush=True); time.sleep(120)")
    code = (
        "import sys, os, threading, time, psutil\nfrom pathlib import Path\n"
        "from converters.runtimes import Runtime\n"
        "r = Runtime('onnx').__enter__(); r.load(Path(sys.argv[1]))\n"
        "threading.Thread(target=r.run, args=({},), daemon=True).start(); time.sleep(0.5)\n"
        "print(psutil.Process().children()[0].pid, r._folder.name, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True)
    pid, left = done.stdout.split()
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(pid)).wait(30)
    shutil.rmtree(left)


def test_a_framework_that_is_not_installed(tmp_path):
    """A virtual environment without packages: neither numpy nor a framework."""
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = tmp_path / "bare/bin/python"
    with pytest.raises(MissingRuntime) as caught, Runtime("paddle", python=python):
        pass
    assert caught.value.message.startswith("PaddlePaddle is not installed")
    assert caught.value.fix == f"{python} -m pip install numpy paddlepaddle"
    assert caught.value.status == 2


def test_the_fix_for_our_own_interpreter_names_the_extra(monkeypatch):
    row = dataclasses.replace(FRAMEWORKS["paddle"], module="paddle_that_is_missing")
    table = types.MappingProxyType({**FRAMEWORKS, "paddle": row})
    monkeypatch.setattr("converters.runtimes.frameworks.FRAMEWORKS", table)
    with pytest.raises(MissingRuntime) as caught, Runtime("paddle"):
        pass
    assert caught.value.fix == "pip install 'polyzoo[paddle]'"


def test_the_interpreter_is_a_setting(monkeypatch):
    monkeypatch.setenv("POLYZOO_PYTHON_ONNX", "/nowhere/python")
    with pytest.raises(MissingRuntime) as caught, Runtime("onnx"):
        pass
    assert "cannot start /nowhere/python" in caught.value.message
    assert "POLYZOO_PYTHON_ONNX" in caught.value.fix
    with pytest.raises(UsageError, match="unknown framework 'jax'"):
        Runtime("jax")


def test_an_interpreter_that_is_none():
    with (
        pytest.raises(RuntimeFailed, match="ended with status") as caught,
        Runtime("onnx", python="/bin/false"),
    ):
        pass
    assert caught.value.reason == "Ended"


def test_scripts(runtime, tmp_path):
    script = tmp_path / "job.py"
    (tmp_path / "beside.py").write_text("WORD = 'beside'")
    script.write_text(
        "import sys, beside\n"
        "if __name__ == '__main__':\n"
        "    print(beside.WORD, sys.argv[1:])\n"
        "    sys.exit(int(sys.argv[1]))\n"
    )
    assert runtime.script(script, ["0", "b c"]) == "beside ['0', 'b c']\n"
    with pytest.raises(RuntimeFailed, match=r"job.py ended with status 3"):
        runtime.script(script, ["3"])
    script.write_text("raise KeyError('k')")
    with pytest.raises(RuntimeFailed, match=r"running job\.py: KeyError: 'k'"):
        runtime.script(script)


def test_a_process_starts_while_its_owner_does_something_else(artifact):
    begun = Runtime("onnx", limits=Limits(seconds=30))
    begun.begin()
    assert begun.alive
    assert not begun.versions
    with begun as runtime:
        runtime.load(artifact("return inputs"))
        np.testing.assert_array_equal(runtime.run({"x": X})["x"], X)
    never_waited_for = Runtime("pytorch", limits=Limits(seconds=30))
    never_waited_for.begin()
    never_waited_for.close()
    assert not never_waited_for.alive
