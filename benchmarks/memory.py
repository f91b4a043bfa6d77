"""What the processes of a server hold, watched while they work."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import psutil

MIB = 1 << 20
EVERY = 0.1  # seconds


def held(process: psutil.Process) -> int:
    """Anonymous memory of a process and its children, in bytes: what no file could give back."""
    found = 0
    for one in (process, *process.children(recursive=True)):
        text = Path(f"/proc/{one.pid}/status").read_text(encoding="utf-8")
        line = re.search(r"RssAnon:\s+(\d+) kB", text)
        found += int(line[1]) * 1024 if line else 0
    return found


def most(process: psutil.Process, work: Callable[[], object]) -> int:
    """The most that they hold while something is done, in bytes."""
    peak = held(process)
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(EVERY):
            peak = max(peak, held(process))

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        work()
    finally:
        done.set()
        watching.join()
    return peak


def told(start: int, first: int, again: int) -> str:
    """One sentence for a page: whether memory grows with work that is only repeated."""
    return (
        f"Anonymous memory of the zoo's processes: {start / MIB:.0f} MiB after the first request,"
        f" {first / MIB:.0f} MiB at most during all of this, {again / MIB:.0f} MiB at most when all of it"
        f" was done once more ({again / first - 1:+.1%}; the goal is that it does not grow)."
    )
