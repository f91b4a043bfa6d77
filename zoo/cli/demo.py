"""The verb demo: the main job on a real model, end to end."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from zoo import present
from zoo.cli.common import Json, options

STATUS_DIFFERS = 4


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("demo")(demo)


def demo(
    context: typer.Context,
    stop: Annotated[bool, typer.Option("--exit", help="End when the table is printed.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(help="New directory for the demo's zoo.", show_default="removed at the end"),
    ] = None,
    json: Json = False,
) -> None:
    """Fetch, convert, verify, publish, serve, fetch back and run a real model in four frameworks."""
    from zoo.demo import run

    with ExitStack() as stack:
        place = data or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="polyzoo-demo-"))
        )
        with present.steps() as step:
            outcome = stack.enter_context(run(place, options(context).settings, step))
        if json:
            present.document(outcome.to_json())
        else:
            print(f"drawn: {outcome.drawn}")
            rows = [
                (
                    row.framework,
                    f"{row.files} files, {present.size(row.bytes)}",
                    f"{row.max_abs_error:.1e}",
                    row.text,
                    f"{row.latency_ms:.1f} ms",
                )
                for row in outcome.rows
            ]
            present.table(("framework", "fetched", "max abs error", "text", "latency"), rows)
        if not outcome.agreed:
            present.failure("not every framework read what was drawn", "")
            raise typer.Exit(STATUS_DIFFERS)
        if not stop:
            print(f"\nThe zoo is running at {outcome.endpoint}; stop it with Ctrl-C.")
            print(f"  zoo --endpoint {outcome.endpoint} ls", flush=True)
            while True:
                time.sleep(3600)
