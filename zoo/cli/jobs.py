"""Verbs for conversions in the background: jobs list, show, cancel, retry; worker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo import present
from zoo.cli.common import Json, Options, options

STATUS_CANCELLED = 1

jobs_app = typer.Typer(no_args_is_help=True, help="Conversions in the background.")
JobId = Annotated[str, typer.Argument(help="Id of the job.", metavar="JOB")]


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    for name, verb in (("list", list_jobs), ("show", show), ("cancel", cancel), ("retry", retry)):
        jobs_app.command(name)(verb)
    app.add_typer(jobs_app, name="jobs")
    app.command("worker")(worker)


def submit(
    given: Options,
    source: Path,
    head: Mapping[str, Any],
    policy: Any,
    targets: str | None,
    size_texts: list[str],
    webhook: str | None,
    *,
    wait: bool,
    json: bool,
) -> None:
    """Upload a model file, have it converted, and wait for the end if that is wished."""
    from zoo.cli.convert import sizes
    from zoo.client import Client
    from zoo.errors import InvalidManifest

    if policy is not None and not isinstance(policy, dict):
        raise InvalidManifest(
            "convert: expected an object", fix="write convert: {targets: [pytorch, paddle]}"
        )
    wanted = dict(policy or {})
    if targets is not None:
        wanted["targets"] = [target.strip() for target in targets.split(",") if target.strip()]
    if size_texts:
        wanted["sizes"] = sizes(size_texts)
    with Client(given.endpoint, given.settings) as client:
        with present.transfers(quiet=json) as progress:
            job = client.submit(source, head, wanted, webhook=webhook, progress=progress)
        if not wait:
            _print(job, json)
            return
        with present.steps(quiet=json) as step:
            for event in client.follow(job.id):
                if "step" in event:
                    again = event.get("attempts", 1)
                    state = event["state"] + (f", attempt {again}" if again > 1 else "")
                    step(event["step"], state)
        _end(client.job(job.id), json)


def list_jobs(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="Only in this state.")] = None,
    json: Json = False,
) -> None:
    """List jobs, the newest first."""
    with _client(context) as client:
        found = client.jobs(state)
    if json:
        present.document({"items": [job.model_dump(mode="json") for job in found]})
        return
    present.table(
        ("job", "model", "state", "to", "since"),
        [
            (
                job.id,
                f"{job.name}@{job.version}",
                job.state,
                ",".join(job.targets),
                f"{job.created_at:%Y-%m-%d %H:%M}",
            )
            for job in found
        ],
    )


def show(context: typer.Context, job: JobId, json: Json = False) -> None:
    """Show a job with its steps."""
    with _client(context) as client:
        found = client.job(job)
    _print(found, json)
    if not json and found.error is not None:
        present.failure(found.error.message, found.error.fix)


def cancel(context: typer.Context, job: JobId, json: Json = False) -> None:
    """End a job."""
    with _client(context) as client:
        _print(client.cancel(job), json)


def retry(context: typer.Context, job: JobId, json: Json = False) -> None:
    """Begin a failed or cancelled job anew."""
    with _client(context) as client:
        _print(client.retry(job), json)


def worker(
    context: typer.Context,
    data: Annotated[
        Path | None, typer.Option(help="Directory of the zoo.", show_default=False)
    ] = None,
) -> None:
    """Convert what is submitted to the local zoo, until interrupted; any number may run."""
    import os
    import sys

    from zoo.interpreter import running
    from zoo.settings import variable

    # A program of its own, which may start itself anew; the command gives way to it.
    os.environ[variable("data")] = str((data or options(context).data).absolute())
    sys.stdout.flush()
    os.execv(sys.executable, running("zoo.jobs.worker"))  # noqa: S606


def _client(context: typer.Context) -> Any:
    from zoo.client import Client

    given = options(context)
    return Client(given.endpoint, given.settings)


def _print(job: Any, json: bool) -> None:
    if json:
        present.document(job.model_dump(mode="json"))
        return
    print(f"job {job.id}: {job.name}@{job.version} is {job.state}")
    if job.steps:
        rows = [
            (
                step.name,
                step.state,
                step.attempts,
                f"{(step.ended_at - step.started_at).total_seconds():.1f} s"
                if step.ended_at
                else "",
                step.message,
            )
            for step in job.steps
        ]
        present.table(("step", "state", "attempts", "time", "message"), rows)


def _end(job: Any, json: bool) -> None:
    """Say how a job ended; the exit status is that of its conversion."""
    if json:
        present.document(job.model_dump(mode="json"))
    if job.state == "succeeded":
        if not json:
            print(f"published {job.name}@{job.version} ({job.published[:19]})")
        return
    if job.error is None:
        present.failure(f"job {job.id} was cancelled", f"begin it anew: zoo jobs retry {job.id}")
        raise typer.Exit(STATUS_CANCELLED)
    present.failure(job.error.message, job.error.fix)
    raise typer.Exit(job.error.status)
