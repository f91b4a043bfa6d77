"""Jobs: the newest first, and one with its steps, which move while it runs."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Query, Request
from starlette.responses import RedirectResponse, Response

from api.dependencies import Visitor, Who, Zoo
from api.pages import names
from api.pages.language import language_of, message
from api.pages.site import Pages, page, require_same_origin, root_of
from api.routes.jobs import JobId, TheJobs, is_visible, may
from zoo.access import Role
from zoo.jobs.records import ENDED

router = Pages()
MOST = 100
CHOICES = ("queued", "running", "succeeded", "failed", "cancelled")
MESSAGES = {
    "cancel": message("Cancel this job"),
    "retry": message("Begin it anew"),
}


@router.show("/jobs")
def list_jobs(
    jobs: TheJobs, who: Who, request: Request, state: Annotated[str, Query(max_length=20)] = ""
) -> Response:
    """The newest jobs that whoever asks may see."""
    chosen = state if state in CHOICES else None
    found = [job for job in jobs.list(state=chosen, limit=MOST) if is_visible(jobs, who, job)]
    return page(
        request, "jobs.html", who=who, jobs=found, states=names.STATES, choices=CHOICES,
        chosen=chosen or "",
    )  # fmt: skip


@router.show("/jobs/{job}", dependencies=[Depends(may)])
def show_job(jobs: TheJobs, who: Who, request: Request, job: JobId) -> Response:
    """A job with its steps as they are now; a script follows them."""
    found = jobs.get(job)
    language = language_of(request)
    writes = max(who.role(found.name.partition("/")[0]), who.public) >= Role.WRITE
    actions = {
        "cancel": found.state in ("queued", "running"),
        "retry": found.state in ("failed", "cancelled"),
    }
    return page(
        request,
        "job.html",
        who=who,
        job=found,
        states=names.STATES,
        steps=[(names.step(step.name, language), step) for step in found.steps],
        running=found.state not in ENDED,
        actions={key: MESSAGES[key] for key, holds in actions.items() if holds and writes},
    )


@router.post("/jobs/{job}/{action}", include_in_schema=False)
def act(
    zoo: Zoo,
    jobs: TheJobs,
    who: Visitor,
    request: Request,
    job: JobId,
    action: Literal["cancel", "retry"],
) -> Response:
    """Cancel a job or begin it anew, by a button of its page."""
    require_same_origin(request)
    may(request, jobs, who, job)
    {"cancel": jobs.cancel, "retry": jobs.retry}[action](job)
    return RedirectResponse(f"{root_of(request, zoo.settings)}/jobs/{job}", 303)
