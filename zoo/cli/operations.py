"""Verbs for those who run a zoo: gc, backup, restore, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo import present
from zoo.cli.common import Json, options

if TYPE_CHECKING:  # it takes a while to import
    from zoo.jobs.jobs import Jobs

Data = Annotated[Path | None, typer.Option(help="Directory of the zoo.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("gc")(gc)


def gc(
    context: typer.Context,
    data: Data = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    grace: Annotated[
        float,
        typer.Option(
            help="Hours that a blob must have rested: longer than an upload of several files, and its"
            " commit, may take.",
            min=0,
        ),
    ] = 168.0,
    json: Json = False,
) -> None:
    """Remove blobs that no version, commit, upload or job needs; the zoo may be in use."""
    from zoo.garbage import collect

    found = collect(_jobs(context, data), grace * 3600, dry_run=dry_run)
    if json:
        present.document(
            {
                "dry_run": dry_run,
                "blobs": [f"sha256:{digest}" for digest in found.digests],
                "bytes": found.size,
                "kept": found.kept,
                "uploads": found.uploads,
                "leftovers": found.leftovers,
            }
        )
        return
    verb = "would remove" if dry_run else "removed"
    print(f"{verb} {len(found.digests)} blobs, {present.size(found.size)}; {found.kept} stay")


def _jobs(context: typer.Context, data: Path | None) -> Jobs:
    from zoo.jobs.jobs import Jobs
    from zoo.registry import Registry

    given = options(context)
    return Jobs(Registry(data or given.data, given.settings))
