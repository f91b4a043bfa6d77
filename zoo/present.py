"""How the command line shows things: tables, bytes, progress, JSON, errors.

Facts go to standard output, everything else to standard error, so that output can be piped.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Table

STATUS_INTERRUPTED = 130


def notes() -> Console:
    """Where messages and progress go."""
    return Console(stderr=True, highlight=False)


def size(count: int) -> str:
    """Bytes for people: `10.8 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return ""


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: str = "") -> None:
    """Print rows on standard output; columns whose initial is in `right` are aligned to the right."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify = "right" if column[:1] in right else "left"
        shown.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        shown.add_row(*("" if cell is None else str(cell) for cell in row))
    wide = None if sys.stdout.isatty() else 200
    Console(highlight=False, width=wide).print(shown)


def document(data: Any) -> None:
    """Print one JSON document on standard output."""
    print(json.dumps(data, ensure_ascii=False, indent=2))


@contextmanager
def transfers(quiet: bool = False) -> Iterator[Any]:
    """A progress display for files on their way; gives the function that is told of bytes."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
    )
    # Only for eyes: in a log, an empty display would leave an empty line.
    hidden = quiet or not sys.stderr.isatty()
    with Progress(*columns, console=notes(), transient=True, disable=hidden) as shown:
        tasks: dict[str, Any] = {}

        def progress(what: str, count: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total)
            shown.advance(tasks[what], count)

        yield progress


@contextmanager
def steps(quiet: bool = False) -> Iterator[Any]:
    """A progress display for steps by name; gives a function `step(name, state)`."""
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    shown = Progress(*columns, console=notes(), disable=quiet)
    tasks: dict[str, Any] = {}

    def step(name: str, state: str) -> None:
        if not tasks:
            shown.start()
        if name not in tasks:
            tasks[name] = shown.add_task(name, total=1)
        shown.update(tasks[name], description=f"{name}: {state}")
        if state.startswith("done"):
            shown.update(tasks[name], completed=1)

    try:
        yield step
    finally:
        if tasks:
            shown.stop()


def failure(message: str, fix: str) -> None:
    """A line that says what was wrong, further problems below it, and a line that says what to do."""
    first, *others = message.strip().splitlines() or ["failed"]
    print(f"zoo: error: {first}", file=sys.stderr)
    for line in others:
        print(f"  {line}", file=sys.stderr)
    if fix:
        print(f"fix: {fix}", file=sys.stderr)


def debugging() -> bool:
    """Whether errors should show where they were raised."""
    return bool(os.environ.get("POLYZOO_DEBUG"))
