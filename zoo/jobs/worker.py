"""A worker: takes jobs from the queue, does their steps, hands over the jobs of dead workers.

DBOS remembers which steps of a job are done and which worker runs it, but does not notice that a worker
has died. So every worker gives signs of life in `job_worker`; one that gave none for a lease, by the
clock of whoever watches, is removed from there and may write nothing from then on. A job whose worker
is not there goes back into the queue. A worker that finds itself removed starts anew, as another one.
"""

from __future__ import annotations

import json
import logging
import logging.config
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import psutil
from dbos import DBOS, SetWorkflowID
from sqlalchemy.exc import SQLAlchemyError

from converters.errors import ConversionError
from zoo import logs
from zoo.errors import (
    NoSpace,
    ServerUnavailable,
    SourceUnavailable,
    StorageUnavailable,
    ZooError,
)
from zoo.interpreter import running
from zoo.jobs import webhooks
from zoo.jobs.jobs import Jobs, Superseded, database_url, failure
from zoo.jobs.process import Interrupted, PartFailed
from zoo.jobs.records import Failure
from zoo.jobs.steps import Work, names, perform
from zoo.jobs.uploads import take_in
from zoo.registry import Registry
from zoo.settings import Settings
from zoo.store import Store

QUEUE = "conversions"
# Steps of jobs that are under way are known by it: a release that changes the steps changes it.
STEPS_VERSION = "1"
# What passes by itself.
PASSING = (SourceUnavailable, ServerUnavailable, StorageUnavailable, NoSpace)
LONGEST_PAUSE = 30.0  # seconds
ANEW = "anew"  # argument of a worker that takes the place of itself
# More than any job's own limit of attempts: that one tells the user why.
MOST_RECOVERIES = 1_000_000

log = logging.getLogger("polyzoo.jobs")


class Worker:
    """One worker process.

    Args:
        registry: The zoo that it works for.
    """

    def __init__(self, registry: Registry) -> None:
        self.jobs = Jobs(registry)
        self.settings = registry.settings
        self.id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._owned: frozenset[str] = frozenset()
        self._stopping = threading.Event()
        # Other workers: number of the last sign of life, and when it came, by this one's clock.
        self._seen: dict[str, tuple[int, float]] = {}
        self._looked = time.monotonic()

    def run(self) -> None:
        """Work until told to stop by SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        self.jobs.enter(self.id)
        self._temporary.mkdir(parents=True)
        tempfile.tempdir = str(self._temporary)
        self._start_queue()
        pause = min(1.0, self.settings.worker_lease / 5)
        for side in (self._call, self._take_in):
            threading.Thread(target=side, daemon=True).start()
        print(f"worker {self.id} is ready", flush=True)
        while not self._stopping.is_set():
            try:
                self._tick()
            except (ZooError, SQLAlchemyError) as error:
                log.warning("the jobs' database does not answer: %s", error)
            self._stopping.wait(pause)
        self._stop()

    @property
    def _temporary(self) -> Path:
        return self.jobs.folder / "tmp" / self.id

    def _start_queue(self) -> None:
        address = database_url(self.jobs.registry.data, self.settings)
        DBOS(
            config={
                "name": "polyzoo",
                "system_database_url": address.render_as_string(hide_password=False),
                "executor_id": self.id,
                "application_version": STEPS_VERSION,
                "log_level": "ERROR",
                "enable_otlp": False,
            }
        )

        @DBOS.workflow(name="convert", max_recovery_attempts=MOST_RECOVERIES)
        def convert(job_id: str, number: int) -> None:
            self._convert(job_id, number)

        self._workflow: Callable[[str, int], None] = convert
        DBOS.launch()
        DBOS.register_queue(
            QUEUE,
            worker_concurrency=self.settings.job_parallel,
            polling_interval_sec=0.5,
            on_conflict="always_update",
        )

    def _tick(self) -> None:
        if not self.jobs.beat(self.id):
            self._start_anew("counted as dead")
        self._owned = self.jobs.owned(self.id)
        self._bury()
        for job_id, number in self.jobs.queued():
            # The same id again is the same workflow: it does not matter who hands it over, how often.
            with SetWorkflowID(f"{job_id}-{number}"):
                DBOS.enqueue_workflow(QUEUE, self._workflow, job_id, number)
            self.jobs.handed_over(job_id, number)
        self._sweep()

    def _bury(self) -> None:
        """Count the workers as dead that gave no sign of life for a lease; hand over their jobs."""
        now, living, lease = time.monotonic(), self.jobs.living(), self.settings.worker_lease
        # Whoever was stopped itself would take everybody else for late.
        known = self._seen if now - self._looked < lease else {}
        self._looked = now
        self._seen = {
            worker: known[worker] if worker in known and known[worker][0] == beat else (beat, now)
            for worker, beat in living.items()
        }
        late = {worker for worker, (_, when) in self._seen.items() if now - when > lease}
        if late:
            self.jobs.leave(late)
        pending = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        orphans = {str(found.executor_id) for found in pending} - (set(living) - late)
        if orphans:
            DBOS._recover_pending_workflows(sorted(orphans))

    def _sweep(self) -> None:
        """Remove the folders of jobs that have ended, and what workers that are dead left."""
        living = set(self.jobs.living())
        for folder in (self.jobs.folder / "tmp").iterdir():
            if folder.name not in living:
                shutil.rmtree(folder, ignore_errors=True)
        self.jobs.results.sweep(self.jobs.active)
        if isinstance(store := self.jobs.registry.store, Store):
            store.sweep()

    def _convert(self, job_id: str, number: int) -> None:
        """The workflow: steps that are done are not done again."""
        try:
            submission = self.jobs.claim(job_id, number, self.id)
            self._owned |= {job_id}
            work = Work(self.jobs, job_id, submission, lambda: self._is_stopped(job_id), {})
            for name in names(submission.convert.targets):
                outcome = DBOS.run_step({"name": name}, self._step, work, name)
                if "error" in outcome:
                    error = Failure.model_validate(outcome["error"])
                    self.jobs.end(job_id, self.id, error=error)
                    break
                work.results[name] = outcome["result"]
            else:
                self.jobs.end(job_id, self.id, published=work.results["publish"])
        except Superseded:
            self._superseded()
        except Exception:
            self._start_anew("job %s", job_id)
        # What is not removed here is swept later.
        with suppress(ZooError):
            if job_id in self.jobs.active():
                # It has been begun anew, or is somebody else's now.
                self.jobs.results.leave(job_id)
            else:
                self.jobs.results.drop(job_id)

    def _step(self, work: Work, name: str) -> dict[str, Any]:
        """A step with its attempts; gives its result or its error, as data.

        What it raises would be remembered as its outcome, for whoever takes the job over too. So it
        raises only where nobody will.
        """
        try:
            while True:
                outcome = self._attempt(work, name)
                if outcome is not None:
                    return outcome
        except Superseded:
            self._superseded()
            raise
        except Exception:
            self._start_anew("%s of job %s", name, work.job_id)

    def _attempt(self, work: Work, name: str) -> dict[str, Any] | None:
        """Do a step once; None if it should be begun again."""
        attempt = self.jobs.begin(work.job_id, name, self.id)
        if attempt > self.settings.job_attempts:
            return self._failed(work, name, _gave_up(f"{name}: begun {attempt - 1} times in vain"))
        if name == "publish":
            self.jobs.publishing(work.job_id, self.id)
        try:
            result = perform(work, name)
        except PartFailed as error:
            return self._failed(work, name, error.failure)
        except (ConversionError, ZooError, Interrupted, OSError) as error:
            # Ended because the job was cancelled or this worker is to stop: no failure.
            if self._is_stopped(work.job_id):
                raise Superseded(work.job_id) from error
            if isinstance(error, ConversionError | ZooError) and not _may_pass(error):
                return self._failed(work, name, failure(error))
            if attempt >= self.settings.job_attempts:
                return self._failed(work, name, _gave_up(f"{name}: {_said(error)}"))
            log.warning("%s of job %s failed, again: %s", name, work.job_id, error)
            self._stopping.wait(min(LONGEST_PAUSE, 0.5 * 2**attempt))
            return None
        self.jobs.finish(work.job_id, name, self.id, "done", "")
        return {"result": result}

    def _failed(self, work: Work, name: str, error: Failure) -> dict[str, Any]:
        self.jobs.finish(work.job_id, name, self.id, "failed", error.message)
        return {"error": json.loads(error.model_dump_json())}

    def _is_stopped(self, job_id: str) -> bool:
        if job_id not in self._owned:
            self._owned = self.jobs.owned(self.id)
        return self._stopping.is_set() or job_id not in self._owned

    def _superseded(self) -> None:
        """Returns if the job has ended or is somebody else's."""
        if self._stopping.is_set():
            # The process ends, and the job goes to others.
            threading.Event().wait()
        if self.id not in self.jobs.living():
            self._start_anew("counted as dead")

    def _start_anew(self, why: str, *values: object) -> NoReturn:
        """Become another worker that takes nothing along; the jobs go back into the queue."""
        log.warning(
            f"worker {self.id} starts anew: {why}", *values, exc_info=sys.exc_info()[0] is not None
        )
        self._end_children()
        _run_anew()

    def _end_children(self) -> None:
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()

    def _call(self) -> None:
        while not self._stopping.wait(1.0):
            try:
                webhooks.deliver(self.jobs)
            except (ZooError, SQLAlchemyError) as error:
                log.warning("webhooks: %s", error)

    def _take_in(self) -> None:
        """Look at what hub clients upload."""
        while not self._stopping.wait(1.0):
            try:
                take_in(self.jobs, self._stopping.is_set)
            except (ZooError, SQLAlchemyError, OSError) as error:
                log.warning("uploads: %s", error)

    def _stop(self) -> None:
        """End at once; the jobs go to others."""
        self._end_children()
        self.jobs.leave([self.id])
        shutil.rmtree(self._temporary, ignore_errors=True)
        sys.stdout.flush()
        os._exit(0)


def _run_anew() -> NoReturn:
    time.sleep(1)
    os.execv(sys.executable, running("zoo.jobs.worker", ANEW))  # noqa: S606


def _may_pass(error: ConversionError | ZooError) -> bool:
    # A ZooError of no class of its own: the disk or the database does not answer.
    return isinstance(error, PASSING) or type(error) is ZooError


def _said(error: Exception) -> str:
    """Where a worker has its files is nothing to its users."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(getattr(error, "message", error))


def _gave_up(said: str) -> Failure:
    return Failure(
        code="conversion-failed",
        message=said,
        fix="when the cause is gone: zoo jobs retry",
        status=1,
    )


def work(settings: Settings) -> None:
    """Work for the zoo in the settings' directory until told to stop."""
    logging.config.dictConfig(logs.config(settings))
    Worker(Registry(settings.data, settings)).run()


def main() -> None:
    """Work; a worker that starts anew has worked before, so it waits until it can."""
    try:
        work(Settings.from_environment())
    except (*PASSING, SQLAlchemyError) as error:
        if ANEW not in sys.argv:
            raise
        log.warning("cannot start yet: %s", error)
        _run_anew()


if __name__ == "__main__":
    main()
