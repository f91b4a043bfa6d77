"""Verbs for those who run a zoo: gc, backup, restore, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo import present
from zoo.cli.common import Json, options

if TYPE_CHECKING:  # it takes a while to import
    from zoo.jobs.jobs import Jobs
    from zoo.settings import Settings

Data = Annotated[Path | None, typer.Option(help="Directory of the zoo.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (doctor, gc, backup, restore):
        app.command(verb.__name__)(verb)


def doctor(
    context: typer.Context,
    data: Data = None,
    full: Annotated[
        bool, typer.Option("--full", help="Read every byte of every blob, and compare every index.")
    ] = False,
    frameworks: Annotated[
        bool,
        typer.Option("--frameworks/--no-frameworks", help="Load every framework once."),
    ] = True,
    json: Json = False,
) -> None:
    """Look over the zoo and say what to do; ends with 1 if something is broken."""
    from dataclasses import asdict

    from zoo.doctor import examine

    given = options(context)
    findings = []
    for found in examine(data or given.data, given.settings, full=full, frameworks=frameworks):
        findings.append(found)
        if not json:
            print(f"{found.result:8} {found.what}: {found.says}")
            if found.fix:
                print(f"{'':8} fix: {found.fix}")
    failed = [found.what for found in findings if found.result == "failed"]
    if json:
        present.document({"ok": not failed, "findings": [asdict(found) for found in findings]})
    if failed:
        raise typer.Exit(1)


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


def backup(
    context: typer.Context,
    target: Annotated[
        Path,
        typer.Argument(
            help="Directory to make, or a file whose name ends in .tar.", metavar="TARGET"
        ),
    ],
    data: Data = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy blobs even where hard links are possible.")
    ] = False,
    no_blobs: Annotated[
        bool,
        typer.Option(
            "--no-blobs", help="Save the databases alone, where the bucket is safe by itself."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Save the whole zoo as it is now; it may be in use. An older backup at TARGET is replaced."""
    from zoo.backup import backup as save
    from zoo.registry import Registry

    given = options(context)
    place = data or given.data
    _require_zoo(place, given.settings)
    found = save(Registry(place, given.settings), target, link=not copy, blobs=not no_blobs)
    if json:
        document = {"backup": str(target), "blobs": found.blobs, "bytes": found.size}
        present.document({**document, "linked": found.linked})
    else:
        print(f"{target}: {found.blobs} blobs, {present.size(found.size)}")


def restore(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="What `zoo backup` has made.", metavar="BACKUP")],
    data: Data = None,
    json: Json = False,
) -> None:
    """Make a zoo of a backup, where nothing is yet; every byte is checked.

    That is a directory that is empty or not there, and the database and the bucket that the settings name.
    """
    from zoo.backup import restore as bring_back

    given = options(context)
    place = data or given.data
    found = bring_back(source, place, given.settings)
    if json:
        present.document({"data": str(place), "blobs": found.blobs, "bytes": found.size})
    else:
        print(f"{place}: {found.blobs} blobs, {present.size(found.size)}")


def _require_zoo(data: Path, settings: Settings) -> None:
    from zoo.errors import NotFound

    if not settings.bucket and not (data / "blobs").is_dir():
        raise NotFound(f"there is no zoo in {data}", fix="name its directory with --data")


def _jobs(context: typer.Context, data: Path | None) -> Jobs:
    from zoo.jobs.jobs import Jobs
    from zoo.registry import Registry

    given = options(context)
    place = data or given.data
    _require_zoo(place, given.settings)
    return Jobs(Registry(place, given.settings))
