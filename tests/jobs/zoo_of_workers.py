"""A zoo with a server and workers as processes of their own, small models, and a real PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
from onnx import TensorProto, helper, numpy_helper

from zoo.bucket import open_bucket
from zoo.client import Client
from zoo.jobs.records import ENDED, Job
from zoo.settings import Settings

PATIENCE = 300  # seconds until something is given up as stuck
HEAD = {
    "version": "1.0.0",
    "task": "doubling",
    "summary": "A layer.",
    "licence": {"expression": "MIT"},
    "lineage": {"publisher": "Us"},
}


def write_model(path: Path, operator: str = "Relu", seed: int = 0) -> Path:
    """One matrix product and one operator; `Strange` is one that nobody knows."""
    weights = np.random.default_rng(seed).standard_normal((4, 3)).astype(np.float32)
    strange = {"domain": "my.domain"} if operator == "Strange" else {}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["m"]),
            helper.make_node(operator, ["m"], ["y"], **strange),
        ],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(weights, "w")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my.domain", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


class Zoo:
    """A directory, a server and any number of workers.

    With a bucket every worker has a directory, a machine, of its own; without one they share the server's.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.data = folder / "zoo"
        self.environment = {
            **os.environ,
            "POLYZOO_DATA": str(self.data),
            "POLYZOO_CACHE": str(folder / "cache"),
            "POLYZOO_WORKER_LEASE": "3",
            "POLYZOO_JOB_ATTEMPTS": "1000",
            "TMPDIR": str(folder / "system-tmp"),
            **environment,
        }
        (folder / "system-tmp").mkdir(parents=True)
        self.workers: list[subprocess.Popen[bytes]] = []
        self.machines: dict[int, Path] = {}  # by the worker's process
        self.log = (folder / "log").open("ab")
        self.server = self.serve()
        settings = Settings(cache=folder / "client", timeout=60)
        self.client = Client(self.url, settings)

    def serve(self, port: int = 0) -> subprocess.Popen[str]:
        """Start the server."""
        command = [sys.executable, "-m", "api.server", "--data", str(self.data)]
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=self.environment,
        )
        assert process.stdout is not None
        self.url = process.stdout.readline().strip()
        assert self.url
        return process

    def work(self, machine: int | None = None) -> subprocess.Popen[bytes]:
        """Start a worker, on a new machine or on one that is there."""
        place, own = self.data, {}
        if self.environment.get("POLYZOO_BUCKET"):
            place = self.folder / f"machine-{len(self.workers) if machine is None else machine}"
            own = {"POLYZOO_DATA": str(place), "POLYZOO_CACHE": str(place / "cache")}
        process = subprocess.Popen(
            [sys.executable, "-m", "zoo.jobs.worker"],
            stdout=self.log,
            stderr=self.log,
            env={**self.environment, **own},
        )
        self.workers.append(process)
        self.machines[process.pid] = place
        return process

    def submit(self, name: str, targets: list[str], operator: str = "Relu", **more: Any) -> Job:
        """Submit a small model."""
        model = write_model(self.folder / "model.onnx", operator, seed=len(name))
        head = {**HEAD, "name": name}
        return self.client.submit(model, head, {"targets": targets}, **more)

    def until(self, job_id: str, holds: Callable[[Job], bool]) -> Job:
        """Wait until something holds of a job."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            job = self.client.job(job_id)
            if holds(job):
                return job
            time.sleep(0.05)
        raise AssertionError(f"stuck: {job}\n{self.said()}")

    def ended(self, job_id: str) -> Job:
        """Wait until a job has ended."""
        return self.until(job_id, lambda job: job.state in ENDED)

    def said(self) -> str:
        """The newest lines of the log."""
        return (self.folder / "log").read_text(errors="replace")[-6000:]

    def left_behind(self) -> list[Path]:
        """What should not be there when all jobs have ended; waits until it is gone."""
        deadline = time.monotonic() + 60
        while True:
            left = [p for p in self.folder.joinpath("system-tmp").iterdir() if "polyzoo" in p.name]
            living = [self.machines[w.pid] for w in self.workers if w.poll() is None]
            # Of a machine whose worker is dead nobody takes care until one is there again.
            for place in set(living):
                left += [path for path in (place / "jobs").iterdir() if path.name != "tmp"]
                left += list((place / "blobs" / "tmp").glob("*"))
                own = list((place / "jobs" / "tmp").iterdir())
                left += own if len(own) > living.count(place) else []
            left += self._shared()
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.5)

    def _shared(self) -> list[Path]:
        """What is in the bucket besides blobs and marks."""
        settings = Settings.from_environment(self.environment)
        if not settings.bucket:
            return []
        # Its credentials are variables of this process too.
        names = [name for name, _ in open_bucket(settings).all()]
        return [Path(name) for name in names if name.partition("/")[0] in ("jobs", "uploads")]

    def stop(self) -> None:
        """End everything."""
        self.client.close()
        for process in [*self.workers, self.server]:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                process.wait(60)
        self.log.close()


def kill(process: subprocess.Popen[Any]) -> None:
    """`kill -9`, of one process and not of its children."""
    process.send_signal(signal.SIGKILL)
    process.wait()


def children_of(process: subprocess.Popen[Any]) -> list[psutil.Process]:
    """All processes below one."""
    return psutil.Process(process.pid).children(recursive=True)
