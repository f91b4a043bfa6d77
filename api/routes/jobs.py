"""Jobs: submit a model to be converted and published; look, follow, cancel, begin anew."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from api.dependencies import Who
from api.problems import documented
from zoo.access import Identity, Role
from zoo.errors import Forbidden, NotFound, Unauthorized
from zoo.jobs.jobs import Jobs, unknown
from zoo.jobs.records import ENDED, Event, Job, State, Submission

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
POLL_SECONDS = 0.5
# What a database can count to; anything else was never an id of ours, and the events begin at the first.
EVENT_ID = re.compile(r"[0-9]{1,18}")


async def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


TheJobs = Annotated[Jobs, Depends(_jobs)]
JobId = Annotated[str, Path(description="Id of the job.", max_length=64)]


def may(request: Request, jobs: TheJobs, who: Who, job: JobId) -> None:
    """A job is as private as the model that it makes."""
    found = jobs.get(job)
    try:
        jobs.registry.access.require(who, Role.READ, found.name)
    except NotFound:
        raise unknown(job) from None
    if request.method not in ("GET", "HEAD"):
        jobs.registry.access.require(who, Role.WRITE, found.name)


MAY = [Depends(may)]


class JobPage(BaseModel):
    """Jobs, the newest first, without their steps."""

    items: tuple[Job, ...]


@router.post(
    "",
    operation_id="submit_job",
    summary="Convert and publish",
    status_code=201,
    responses={
        200: {"model": Job, "description": "The very same submission is there already."},
        **documented(400, 401, 403, 409, 413, 422, 507),
    },
)
def submit_job(jobs: TheJobs, who: Who, submission: Submission, response: Response) -> Job:
    """Submit a manifest with its source; it is published when all forms are made and verified."""
    jobs.registry.access.require(who, Role.WRITE, submission.manifest.name)
    job, created = jobs.submit(submission, who)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job


@router.get("", operation_id="list_jobs", summary="Jobs", responses=documented(401, 422))
def list_jobs(
    jobs: TheJobs,
    who: Who,
    state: Annotated[State | None, Query(description="Only in this state.")] = None,
    name: Annotated[str | None, Query(description="Only of this org/model.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 50,
) -> JobPage:
    """Jobs of models that whoever asks may see, the newest first."""
    found = jobs.list(state=state, name=name, limit=limit)
    return JobPage(items=tuple(job for job in found if is_visible(jobs, who, job)))


def is_visible(jobs: Jobs, who: Identity, job: Job) -> bool:
    """Whether somebody may see a job."""
    try:
        jobs.registry.access.require(who, Role.READ, job.name)
    except (NotFound, Unauthorized, Forbidden):
        return False
    return True


@router.get(
    "/{job}",
    operation_id="get_job",
    summary="A job",
    dependencies=MAY,
    responses=documented(401, 403, 404, 422),
)
def get_job(jobs: TheJobs, job: JobId) -> Job:
    """A job with its steps."""
    return jobs.get(job)


@router.post(
    "/{job}/cancel",
    operation_id="cancel_job",
    summary="Cancel a job",
    dependencies=MAY,
    responses=documented(401, 403, 404, 409, 422),
)
def cancel_job(jobs: TheJobs, job: JobId) -> Job:
    """End a job that has not ended."""
    return jobs.cancel(job)


@router.post(
    "/{job}/retry",
    operation_id="retry_job",
    summary="Begin a job anew",
    dependencies=MAY,
    responses=documented(401, 403, 404, 409, 422),
)
def retry_job(jobs: TheJobs, job: JobId) -> Job:
    """Begin a failed or cancelled job anew."""
    return jobs.retry(job)


async def _begun(
    jobs: TheJobs,
    job: JobId,
    last_event_id: Annotated[str | None, Header(description="The last one that was seen.")] = None,
) -> tuple[int, tuple[Event, ...]]:
    """Asked before the answer begins, so that an unknown job is a 404."""
    known = EVENT_ID.fullmatch(last_event_id or "")
    after = int(known[0]) if known is not None else 0
    return after, await run_in_threadpool(jobs.events, job, after)


@router.get(
    "/{job}/events",
    operation_id="job_events",
    summary="What happens to a job",
    dependencies=MAY,
    response_class=EventSourceResponse,
    responses=documented(401, 403, 404, 422),
)
async def job_events(
    jobs: TheJobs, job: JobId, begun: Annotated[tuple[int, tuple[Event, ...]], Depends(_begun)]
) -> AsyncIterator[ServerSentEvent]:
    """Server-Sent Events from the first one, or after Last-Event-ID, until the job has ended."""
    after, events = begun
    while True:
        for event in events:
            after = event.id
            yield ServerSentEvent(data=event.data, event=event.kind, id=str(event.id))
        ended = (await run_in_threadpool(jobs.get, job)).state in ENDED
        # What came between the two questions is still to be told.
        events = await run_in_threadpool(jobs.events, job, after)
        if ended and not events:
            return
        if not events:
            await asyncio.sleep(POLL_SECONDS)
