"""Telling others that a job has ended: signed as Standard Webhooks says, tried again for hours.

Only servers that the operator names are called, and no redirect is followed.
"""

from __future__ import annotations

import logging
from datetime import datetime, timezone

import httpx
from standardwebhooks.webhooks import Webhook

from zoo.errors import InvalidManifest
from zoo.jobs.jobs import Jobs, require_allowed
from zoo.jobs.records import Job

ATTEMPTS = 12
TIMEOUT_SECONDS = 10.0

log = logging.getLogger("polyzoo.jobs")


def deliver(jobs: Jobs) -> None:
    """Make the calls that are due."""
    for job, address, attempt in jobs.calls():
        try:
            # The list may be shorter than when the job was submitted.
            require_allowed(address, jobs.settings)
            _post(job, address, jobs.settings.webhook_secret)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("webhook of job %s, attempt %d: %s", job.id, attempt, error)
            if attempt < ATTEMPTS:
                continue
        except InvalidManifest as error:
            log.warning("webhook of job %s: %s", job.id, error.message)
        jobs.called(job.id)


def _post(job: Job, address: str, secret: str) -> None:
    body = job.model_dump_json()
    now = datetime.now(timezone.utc)
    # The same for every attempt, so that a receiver can tell that it has heard already.
    ended = int(job.ended_at.timestamp()) if job.ended_at else 0
    identity = f"job_{job.id}_{ended}"
    headers = {
        "Content-Type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(identity, now, body),
    }
    with httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False) as client:
        client.post(address, content=body, headers=headers).raise_for_status()
