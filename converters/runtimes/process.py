"""The parent's side of a runtime: start a process, send it requests, hold it to its limits.

The protocol is described in worker.py, which is the other side.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy.typing as npt
import psutil

from converters.errors import MissingRuntime, RuntimeFailed, UsageError
from converters.runtimes import worker
from converters.runtimes.frameworks import Framework, framework

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]

WORKER = Path(worker.__file__)
POLL_SECONDS = 0.02
# What a process is doing, in the words of its errors.
STARTING, CLOSING = "starting", "closing"
# So long is waited for processes that were sent SIGKILL.
KILLED_SECONDS = 10.0
LARGEST_REPLY = 64 << 20
# What a process prints is kept to this, its newest part.
LARGEST_LOG = 16 << 20
LOG_TAIL = 8 << 10
# Beyond the limit that is watched: memory that is reserved and not yet used.
RESERVED_BYTES = 4 << 30
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
# Threads that wait sleep: those that spin take the processor from whatever else runs, ten times what they save.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "PIP_NO_INDEX": "1",
}
PYTHON = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
SECRET = re.compile("TOKEN|SECRET|PASSW|CREDENTIAL|_KEY$", re.IGNORECASE)
# Reasons for which a process ended that speak against the file it read.
REFUSED = ("TimeLimit", "MemoryLimit", "SIGSEGV", "SIGABRT", "SIGBUS")
OF_THIS_INTERPRETER = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Limits:
    """What a process may use.

    Attributes:
        seconds: Wall-clock time for one request; the first one includes the framework's import.
        memory_bytes: Resident memory of the process and its children; None for no limit.
        threads: Threads of the framework's numerical libraries.
        network: Whether it keeps the network. Without, it is cut off where the system allows.
    """

    seconds: float = 600.0
    memory_bytes: int | None = None
    threads: int = min(8, os.cpu_count() or 1)
    network: bool = False


class Runtime:
    """A framework's process, as a context manager; after a crash or a limit it is gone.

    `begin` lets it start while its owner does something else.

    Args:
        name: A key of FRAMEWORKS, or a row of one's own.
        python: The interpreter; by default what the variable POLYZOO_PYTHON_<FRAMEWORK> says, else
            this one.
        limits: What the process may use.

    Attributes:
        versions: Version texts of the framework's module, `numpy` and `python`, once entered.
    """

    def __init__(
        self,
        name: str | Framework,
        python: str | Path | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.framework = name if isinstance(name, Framework) else framework(name)
        chosen = python or os.environ.get(self.framework.interpreter_variable) or sys.executable
        self.python = str(chosen)
        self.limits = limits or Limits()
        self.versions: Mapping[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start the process and let it import the framework, without waiting for that.

        Who calls this enters the context later, or calls `close`.

        Raises:
            MissingRuntime: There is no such interpreter.
            RuntimeFailed: The process has ended already.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="polyzoo-", ignore_cleanup_errors=True)
        self._log = Path(self._folder.name, "log")
        try:
            self._start()
            self._hello()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Runtime:
        """Start the process, if it has not begun, and wait until it has imported the framework.

        Raises:
            MissingRuntime: There is no such interpreter, or it lacks the framework.
            RuntimeFailed: The framework is there, but its import fails.
        """
        if self._process is None:
            self.begin()
        try:
            self._welcome()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the process is there and can be asked."""
        return self._process is not None and self._process.poll() is None

    def load(self, directory: Path, device: str = "auto") -> None:
        """Load the model of an artifact directory; it replaces the one before.

        Raises:
            UsageError: The folder has no infer.py.
            RuntimeFailed: Loading failed.
        """
        folder = directory.resolve()
        if not (folder / "infer.py").is_file():
            raise UsageError(f"{directory}: no infer.py in this folder")
        self._ask("load", folder=str(folder), device=device, doing=f"loading {directory}")

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        """Run the loaded model once.

        Args:
            inputs: Arrays by input name, `ml_dtypes` types included.

        Returns:
            Arrays by output name.

        Raises:
            RuntimeFailed: The model raised, crashed or reached a limit.
        """
        source, target = self._file("inputs"), self._file("outputs")
        message = _write_arrays(source, inputs)
        try:
            reply = self._ask("run", inputs=message, outputs=str(target), doing="running the model")
            # Only we choose which file is read.
            return dict(worker.read_arrays({**reply["outputs"], "file": str(target)}))
        finally:
            source.unlink(missing_ok=True)
            target.unlink(missing_ok=True)

    def time(
        self, inputs: Mapping[str, npt.NDArray[Any]], repeats: int = 10, warmup: int = 2
    ) -> list[float]:
        """Seconds that each of some runs of the loaded model takes.

        Args:
            inputs: Arrays by input name.
            repeats: Runs that count.
            warmup: Runs before them that do not.

        Raises:
            RuntimeFailed: The model raised, crashed or reached a limit.
        """
        source = self._file("inputs")
        message = _write_arrays(source, inputs)
        reply = self._ask(
            "time", inputs=message, repeats=repeats, warmup=warmup, doing="timing the model"
        )
        source.unlink(missing_ok=True)
        return [float(seconds) for seconds in reply["seconds"]]

    def script(self, path: Path, arguments: Sequence[str] = ()) -> str:
        """Run a Python file as the main program of the process.

        Returns:
            The newest lines that the process printed, at most 8 KiB.

        Raises:
            RuntimeFailed: It raised, crashed, reached a limit or ended with a status that is not 0.
        """
        reply = self._ask(
            "script", path=str(path.resolve()), args=list(arguments), doing=f"running {path.name}"
        )
        if reply["status"] != 0:
            raise RuntimeFailed(
                f"{self.framework.title}: {path.name} ended with status {reply['status']}",
                detail=self._tail(),
                reason="Status",
            )
        return self._tail()

    def close(self) -> None:
        """End the process and remove its files; may be called again."""
        if self._process is not None:
            # One that is still importing would not hear it.
            if self._process.poll() is None and self.versions:
                with suppress(RuntimeFailed, OSError):
                    self._send({"op": "close"}, CLOSING)
                    self._receive(time.monotonic() + 1, CLOSING)
            self._kill()
            for descriptor in (self._requests, self._replies):
                os.close(descriptor)
            self._process = None
        self._folder.cleanup()

    def _start(self) -> None:
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [self.python, str(WORKER), str(requests), str(replies)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(requests, replies),
                    env=environment(self.framework, self.python, self.limits),
                    cwd=self._folder.name,
                    start_new_session=True,
                )
        except OSError as error:
            os.close(self._requests)
            os.close(self._replies)
            raise MissingRuntime(
                f"{self.framework.title}: cannot start {self.python}: {error.strerror}",
                fix=f"set {self.framework.interpreter_variable} to a Python interpreter",
            ) from error
        finally:
            os.close(requests)
            os.close(replies)

    def _hello(self) -> None:
        memory = self.limits.memory_bytes
        self._send(
            {
                "op": "hello",
                "module": self.framework.module,
                "memory": memory and memory + RESERVED_BYTES,
                "network": self.limits.network,
                "parent": os.getpid(),
            },
            STARTING,
        )

    def _welcome(self) -> None:
        reply = self._reply(STARTING)
        if "missing" in reply:
            ours = self.python == sys.executable
            raise MissingRuntime(
                f"{self.framework.title} is not installed: {self.python} has no module"
                f" {reply['missing']!r}",
                fix=f"pip install 'polyzoo[{self.framework.extra}]'"
                if ours
                else f"{self.python} -m pip install numpy {self.framework.distribution}",
            )
        self.versions = reply["versions"]

    def _file(self, name: str) -> Path:
        return Path(self._folder.name, f"{name}.npz")

    def _ask(self, op: str, *, doing: str, **fields: Any) -> dict[str, Any]:
        """Send a request and wait for its reply.

        Raises:
            RuntimeFailed: The reply is an error, or there is none.
        """
        if not self.alive:
            raise self._failed(doing, "its process has ended", "Ended")
        self._send({"op": op, **fields}, doing)
        return self._reply(doing)

    def _reply(self, doing: str) -> dict[str, Any]:
        reply = self._receive(time.monotonic() + self.limits.seconds, doing)
        if "error" in reply:
            error = reply["error"]
            message = f"{error['type']}: {error['message']}" if error["message"] else error["type"]
            raise self._failed(doing, message, error["type"], error["traceback"])
        return reply

    def _send(self, request: Mapping[str, Any], doing: str) -> None:
        try:
            _write(self._requests, json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise self._ended(doing) from None

    def _receive(self, deadline: float, doing: str) -> dict[str, Any]:
        data = bytearray()
        while not data.endswith(b"\n"):
            ready, _, _ = select.select([self._replies], [], [], POLL_SECONDS)
            if ready:
                block = os.read(self._replies, 1 << 16)
                if not block:
                    raise self._ended(doing)
                data += block
                if len(data) > LARGEST_REPLY:
                    self._kill()
                    raise self._failed(doing, "a reply that is too long", "Protocol")
                continue
            self._bound_log()
            self._hold_to_limits(deadline, doing)
        try:
            reply = json.loads(data)
        except ValueError:
            self._kill()
            raise self._failed(doing, "a reply that is not JSON", "Protocol") from None
        return dict(reply)

    def _hold_to_limits(self, deadline: float, doing: str) -> None:
        if time.monotonic() > deadline:
            self._kill()
            seconds = f"{self.limits.seconds:g}"
            raise self._failed(doing, f"took longer than the limit of {seconds} s", "TimeLimit")
        limit = self.limits.memory_bytes
        if limit is not None and (used := self._resident()) > limit:
            self._kill()
            raise self._failed(
                doing,
                f"used {used >> 20} MiB, more than the limit of {limit >> 20} MiB of memory",
                "MemoryLimit",
            )

    def _tree(self) -> list[psutil.Process]:
        assert self._process is not None  # noqa: S101 - called on a running process only
        try:
            root = psutil.Process(self._process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.Error:
            return []

    def _resident(self) -> int:
        total = 0
        for process in self._tree():
            with suppress(psutil.Error):
                memory = process.memory_info()
                # Pages of mapped files can be taken back at any time.
                total += memory.rss - getattr(memory, "shared", 0)
        return total

    def _kill(self) -> None:
        """End the process with all that it started, those in other process groups too."""
        assert self._process is not None  # noqa: S101 - called on a started process only
        tree = self._tree()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for process in tree:
            with suppress(psutil.Error):
                process.kill()
        self._process.wait()
        until = time.monotonic() + KILLED_SECONDS
        while not all(map(_has_ended, tree)) and time.monotonic() < until:
            time.sleep(POLL_SECONDS)

    def _ended(self, doing: str) -> RuntimeFailed:
        """The error for a process that closed its pipe."""
        assert self._process is not None  # noqa: S101 - called on a started process only
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._kill()
            return self._failed(doing, "closed its pipe", "Protocol")
        if status >= 0:
            return self._failed(doing, f"its process ended with status {status}", "Ended")
        name = signal.Signals(-status).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return self._failed(doing, f"its process was ended by {name}{hint}", name)

    def _failed(self, doing: str, what: str, reason: str, trace: str = "") -> RuntimeFailed:
        printed = self._tail()
        detail = "\n".join(part for part in (trace, printed and f"It printed:\n{printed}") if part)
        return RuntimeFailed(
            f"{self.framework.title}, {doing}: {what}", detail=detail, reason=reason
        )

    def _bound_log(self) -> None:
        """Keep the newest part of a log that grows beyond bounds; the child appends to it."""
        if self._log.stat().st_size > LARGEST_LOG:
            tail = self._tail()
            os.truncate(self._log, 0)
            with self._log.open("a", encoding="utf-8") as file:
                file.write(tail)

    def _tail(self) -> str:
        """The newest lines that the process printed."""
        if not self._log.exists():
            return ""
        with self._log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LOG_TAIL))
            text = file.read(LOG_TAIL).decode(errors="replace")
        return text if size <= LOG_TAIL else text.partition("\n")[2] or text


def environment(row: Framework, python: str, limits: Limits) -> dict[str, str]:
    """The variables of a framework's process: ours without secrets, quiet, offline, few threads."""
    drop = () if python == sys.executable else OF_THIS_INTERPRETER
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in drop and not SECRET.search(name)
    }
    threads = dict.fromkeys(THREAD_VARIABLES, str(limits.threads))
    offline = {} if limits.network else OFFLINE
    return {**kept, **PYTHON, **WAITING, **threads, **offline, **row.environment}


def _write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    try:
        return worker.write_arrays(str(path), dict(arrays))
    except TypeError as error:
        raise UsageError(f"inputs: {error}") from error


def _has_ended(process: psutil.Process) -> bool:
    try:
        # A zombie holds nothing any more; who its parent is decides when it goes.
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
