"""Three workers, killed and stopped at random, and the server killed too: every job is published once.

python tests/jobs/chaos.py sqlite|postgresql|scaled [SECONDS] [SEED]

`scaled` is PostgreSQL and a bucket, with a directory of its own for each worker.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import text

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
from zoo_of_workers import Zoo, kill  # noqa: E402

from tests.services import BUCKET, bucket_of, postgresql, s3  # noqa: E402
from zoo.catalogue.engine import database_url, open_engine  # noqa: E402

WORKERS = 3


def main() -> None:
    """Run, check, and print what was seen."""
    store = sys.argv[1]
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 120.0
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else time.time_ns() % 10_000
    dice = random.Random(seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        more = {}
        if store != "sqlite":
            more["POLYZOO_DATABASE"] = stack.enter_context(postgresql(folder / "pg"))
        if store == "scaled":
            more |= bucket_of(stack.enter_context(s3()), f"s3://{BUCKET}/chaos")
            os.environ.update(more)
        zoo = Zoo(folder / "run", **more)
        stack.callback(zoo.stop)
        living = [zoo.work(number) for number in range(WORKERS)]
        jobs: list[str] = []
        counts = {"killed": 0, "stopped": 0}
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if len([j for j in zoo.client.jobs() if j.state in ("queued", "running")]) < 4:
                targets = ["onnx", "pytorch"] if len(jobs) % 4 == 0 else ["onnx"]
                jobs.append(zoo.submit(f"chaos/m{len(jobs)}", targets).id)
            time.sleep(dice.uniform(0.5, 6))
            number = dice.randrange(WORKERS)
            if dice.random() < 0.6:
                kill(living[number])
                living[number] = zoo.work(number)
                counts["killed"] += 1
            else:
                living[number].send_signal(signal.SIGSTOP)
                # Shorter and longer than the lease of 3 seconds.
                time.sleep(dice.uniform(1, 7))
                living[number].send_signal(signal.SIGCONT)
                counts["stopped"] += 1
        ended = [zoo.ended(job) for job in jobs]
        failed = [job for job in ended if job.state != "succeeded"]
        database = more.get("POLYZOO_DATABASE", "")
        with open_engine(database_url(database, zoo.data / "zoo.db")).connect() as catalogue:
            rows = catalogue.execute(text("SELECT digest FROM version")).fetchall()
        published = sorted(f"sha256:{row[0].removeprefix('sha256:')}" for row in rows)
        again = sum(step.attempts - 1 for job in ended for step in job.steps)
        left = zoo.left_behind()
        print(
            f"{store}, seed {seed}, {seconds:g} s: {len(jobs)} jobs, {len(rows)} versions, "
            f"{counts['killed']} kills, {counts['stopped']} stops, {again} steps begun again, "
            f"{len(failed)} failed, {len(left)} files left",
            flush=True,
        )
        assert not failed, (failed, zoo.said())
        assert published == sorted(str(job.published) for job in ended)
        assert len(rows) == len(jobs)
        assert not left, left


if __name__ == "__main__":
    main()
