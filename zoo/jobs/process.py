"""A part of a conversion in a process of its own, which can be ended at any moment.

    python -m zoo.jobs.process TASK.json ANSWER.json

TASK.json: {"do": "recognise" | "convert" | "verify", ...}; ANSWER.json gets {} or a `Failure`. Models are read and run
in further processes, without network, that this one starts; they end when it ends.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from converters.errors import ConversionError, RuntimeFailed
from zoo.errors import NoSpace, ZooError
from zoo.interpreter import running
from zoo.jobs.jobs import failure
from zoo.jobs.records import Failure
from zoo.settings import Settings
from zoo.store import FULL

POLL_SECONDS = 0.1
# What may pass by itself: somebody else ended the process.
PASSING = frozenset({"SIGKILL", "SIGTERM", "Ended"})
# What of a task is the place of a file.
PATHS = ("source", "reference", "candidate", "out")
# How a part ends that has no space left, not even for an answer.
_FULL_STATUS = 74  # EX_IOERR
_FULL_WORDS = tuple(map(os.strerror, FULL))
_LEAST_FREE = 1 << 20  # bytes


class Interrupted(Exception):
    """A part was ended from outside; beginning it again may help."""


class PartFailed(Exception):
    """A part said why it failed."""

    def __init__(self, said: Failure) -> None:
        super().__init__(said.message)
        self.failure = said


def run_part(
    task: dict[str, Any], folder: Path, settings: Settings, stopped: Callable[[], bool]
) -> None:
    """Run a part and wait for it.

    Args:
        task: What to do.
        folder: Where its messages and temporary files go.
        settings: How long it may take, and how much memory.
        stopped: Asked all the time whether to end it.

    Raises:
        Interrupted: It was ended from outside, or `stopped` said so.
        NoSpace: The disk is full.
        PartFailed: It failed.
    """
    question, answer, log = folder / "task.json", folder / "answer.json", folder / "log"
    question.write_text(json.dumps(task), encoding="utf-8")
    temporary = folder / "tmp"
    temporary.mkdir()
    with log.open("wb") as output:
        process = subprocess.Popen(
            running("zoo.jobs.process", str(question), str(answer)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "TMPDIR": str(temporary)},
            start_new_session=True,
        )
    deadline = time.monotonic() + settings.job_seconds
    try:
        while process.poll() is None:
            if stopped():
                raise Interrupted("stopped")
            if time.monotonic() > deadline:
                raise PartFailed(_limit(f"took longer than {settings.job_seconds:g} seconds"))
            if _resident(process.pid) > settings.job_memory:
                raise PartFailed(_limit(f"used more than {settings.job_memory >> 20} MiB"))
            time.sleep(POLL_SECONDS)
    finally:
        _end(process)
    if process.returncode < 0:
        raise Interrupted(f"its process was ended by signal {-process.returncode}")
    found = json.loads(answer.read_text(encoding="utf-8")) if answer.is_file() else None
    # With no space left, frameworks fail in words of their own, or without any.
    if process.returncode == _FULL_STATUS or (
        found != {} and shutil.disk_usage(folder).free < _LEAST_FREE
    ):
        raise NoSpace("no space left on the worker's disk", fix="free some space there")
    if found is None:
        said = log.read_text(encoding="utf-8", errors="replace")[-2000:].strip().splitlines()
        raise PartFailed(_limit(f"failed: {said[-1] if said else 'its process said nothing'}"))
    if found.get("interrupted"):
        raise Interrupted(found["interrupted"])
    if found:
        failed = Failure.model_validate(found)
        places = {str(folder), *(str(Path(task[key]).parent) for key in PATHS if key in task)}
        shown = {"message": _without(places, failed.message), "fix": _without(places, failed.fix)}
        raise PartFailed(failed.model_copy(update=shown))


def _without(places: Iterable[str], text: str) -> str:
    """A text that calls files by their names: where a worker has them is nothing to its users."""
    for place in sorted(places, key=len, reverse=True):
        text = text.replace(f"{place}{os.sep}", "")
    return text


def _limit(said: str) -> Failure:
    return Failure(
        code="runtime-failed",
        message=f"the conversion {said}",
        fix="try `zoo convert` on a machine of your own, or ask for a higher limit",
        status=1,
    )


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _resident(pid: int) -> int:
    total = 0
    for process in _tree(pid):
        with suppress(psutil.Error):
            memory = process.memory_info()
            total += memory.rss - getattr(memory, "shared", 0)
    return total


def _end(process: subprocess.Popen[bytes]) -> None:
    for found in reversed(_tree(process.pid)):
        with suppress(psutil.Error):
            found.kill()
    process.wait()


def recognise(source: Path, out: Path) -> None:
    """Write the artifact that a model makes as JSON, without digests, and with the folder of its files."""
    from zoo.submission import source_files

    found = source_files(source)
    artifact = found.artifact(dict.fromkeys(found.paths, ("", 0)))
    out.write_text(json.dumps({**artifact, "root": str(found.root)}), encoding="utf-8")


def _is_full(error: BaseException | None) -> bool:
    """Whether an error comes of a disk, a quota or a file size limit that is full, here or in a process of this one."""
    while error is not None:
        said = f"{error} {getattr(error, 'detail', '')}"
        if getattr(error, "errno", None) in FULL or any(words in said for words in _FULL_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def main() -> None:
    """The part's own side."""
    try:
        _work()
    except Exception as error:
        if _is_full(error):
            sys.exit(_FULL_STATUS)
        raise


def _work() -> None:
    import threading

    from converters.convert import convert, verify_artifact
    from converters.runtimes.worker import end_with

    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answer: dict[str, Any] = {}
    sizes = {name: tuple(found) for name, found in task["sizes"].items()}
    try:
        if task["do"] == "convert":
            # A graph that was imported has to prove itself; native forms have steps of their own for it.
            convert(
                Path(task["source"]),
                [task["target"]],
                Path(task["out"]),
                sizes=sizes,
                check=task["target"] == "onnx",
                name=task["name"],
            )
        elif task["do"] == "recognise":
            recognise(Path(task["source"]), Path(task["out"]))
        else:
            verify_artifact(Path(task["reference"]), Path(task["candidate"]), sizes)
    except (ConversionError, ZooError) as error:
        if _is_full(error):
            raise
        if isinstance(error, RuntimeFailed) and error.reason in PASSING:
            answer = {"interrupted": error.message}
        else:
            answer = failure(error).model_dump(mode="json")
    place = Path(sys.argv[2])
    place.with_suffix(".part").write_text(json.dumps(answer), encoding="utf-8")
    place.with_suffix(".part").replace(place)


if __name__ == "__main__":
    main()
