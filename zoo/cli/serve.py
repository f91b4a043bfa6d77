"""Verbs for a zoo of one's own: serve, apply."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from zoo import present
from zoo.cli.common import Json, options
from zoo.interpreter import running


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("serve")(serve)
    app.command("apply")(apply)


def serve(
    context: typer.Context,
    data: Annotated[
        Path | None, typer.Option(help="Directory of the zoo.", show_default=False)
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8000,
) -> None:
    """Serve the local zoo over HTTP until interrupted."""
    place = data or options(context).data
    # The server is a program of its own; the command gives way to it.
    arguments = ["--data", str(place), "--host", host, "--port", str(port)]
    sys.stdout.flush()
    os.execv(sys.executable, running("api.server", *arguments))  # noqa: S606


def apply(
    context: typer.Context,
    manifests: Annotated[Path, typer.Argument(help="A manifest, or a directory of them.")],
    data: Annotated[
        Path | None, typer.Option(help="Directory of the zoo.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Fetch what manifests name and publish them in the local zoo; prints what changed."""
    from zoo.apply import apply as apply_manifests
    from zoo.registry import Registry

    given = options(context)
    registry = Registry(data or given.data, given.settings)
    with present.transfers(quiet=json) as progress:
        changes = apply_manifests(manifests, registry, progress=progress)
    if json:
        present.document({"changes": [{"model": c.reference, "change": c.change} for c in changes]})
    else:
        present.table(("model", "change"), [(c.reference, c.change) for c in changes])
