"""Numbers for Prometheus: of requests as they come, of the zoo when it is asked.

Where several processes serve, each writes what it counts to a file of a directory that they share
(PROMETHEUS_MULTIPROC_DIR, set by the server), and whichever is asked adds them up.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from zoo.jobs.jobs import Jobs
from zoo.jobs.records import STATES
from zoo.store import Store

SHARED = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)
RECOUNT_SECONDS = 60.0


class Metrics:
    """The numbers of one zoo.

    Args:
        jobs: Its jobs.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._registry = CollectorRegistry()
        labels = ("method", "route")
        self._requests = Counter(
            "polyzoo_requests", "Requests answered.", (*labels, "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "polyzoo_request_seconds",
            "How long an answer took.",
            labels,
            buckets=SECONDS,
            registry=self._registry,
        )
        self._received = Counter(
            "polyzoo_received_bytes", "Bytes of bodies of requests.", registry=self._registry
        )
        self._sent = Counter(
            "polyzoo_sent_bytes", "Bytes of bodies of answers.", registry=self._registry
        )
        self._state = State(jobs)

    def request(
        self, method: str, route: str, status: int, seconds: float, received: int, sent: int
    ) -> None:
        """Count a request that was answered; status 0 is one that was not."""
        known = method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(known, route).observe(seconds)
        self._received.inc(received)
        self._sent.inc(sent)

    def page(self) -> bytes:
        """All of them in the text format of Prometheus."""
        registry = self._registry
        if os.environ.get(SHARED):
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        state = CollectorRegistry()
        state.register(self._state)
        return bytes(generate_latest(registry) + generate_latest(state))


class State:
    """What is so now: models, blobs, jobs, workers, the disk."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._blobs = 0
        self._counted = -RECOUNT_SECONDS

    def describe(self) -> list[Metric]:
        """Nothing is asked before somebody wants to know."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The numbers of this moment; blobs are counted once a minute."""
        registry = self._jobs.registry
        models, versions = registry.counts()
        store = registry.store
        if isinstance(store, Store) and time.monotonic() - self._counted >= RECOUNT_SECONDS:
            self._blobs, self._counted = store.count(), time.monotonic()
        disk = shutil.disk_usage(registry.data)
        yield GaugeMetricFamily("polyzoo_models", "Models.", models)
        yield GaugeMetricFamily("polyzoo_versions", "Versions.", versions)
        # Whoever runs a bucket counts what is in it; to list it takes long.
        if isinstance(store, Store):
            yield GaugeMetricFamily("polyzoo_blobs", "Blobs.", self._blobs)
        yield GaugeMetricFamily("polyzoo_disk_free_bytes", "Free on the zoo's disk.", disk.free)
        yield GaugeMetricFamily("polyzoo_disk_bytes", "Size of the zoo's disk.", disk.total)
        found = self._jobs.counts()
        jobs = GaugeMetricFamily("polyzoo_jobs", "Jobs by state.", labels=("state",))
        for state in STATES:
            jobs.add_metric((state,), found.get(state, 0))
        yield jobs
        alive = len(self._jobs.living())
        yield GaugeMetricFamily("polyzoo_workers", "Workers that count as living.", alive)
