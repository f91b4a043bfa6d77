"""Submissions through a real server and real workers: published once and whole, or explained."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from zoo.access import Role
from zoo.errors import Conflict, InvalidManifest, NotFound, Unauthorized
from zoo.jobs.jobs import Jobs
from zoo.registry import Registry

sys.path.insert(0, str(Path(__file__).parent))
from zoo_of_workers import Zoo, children_of, kill, write_model

ROOT = Path(__file__).parents[2]
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
PUSH = ["--task", "doubling", "--summary", "A layer.", "--licence", "MIT", "--publisher", "Us"]


@pytest.fixture
def zoo(tmp_path: Path) -> Iterator[Zoo]:
    made = Zoo(tmp_path)
    yield made
    made.stop()


def command(zoo: Zoo, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from zoo.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**zoo.environment, "POLYZOO_SERVER": zoo.url},
    )


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 looks there first")
def test_what_lies_in_the_working_directory_is_not_run(tmp_path: Path) -> None:
    """From server to conversion, in a folder with files that are called as modules are."""
    for name in ("json", "typing", "secrets", "psutil", "numpy", "pip", "api", "granian"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module was taken')")
    program = Path(sys.executable).with_name("zoo")
    environment = {**os.environ, "POLYZOO_CACHE": str(tmp_path / "cache")}
    model = write_model(tmp_path / "model.onnx")

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [program, *arguments, "--data", "zoo"],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    with start("serve", "--port", "0") as server, start("worker") as worker:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            pushed = subprocess.run(
                [program, "push", model, "us/here@1.0.0", *PUSH, "--convert", "pytorch", "--wait"],
                cwd=tmp_path, env={**environment, "POLYZOO_SERVER": url},
                capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
            assert pushed.returncode == 0, pushed.stderr
        finally:
            server.terminate()
            worker.terminate()


def test_a_version_is_there_when_all_of_it_is(zoo: Zoo, tmp_path: Path) -> None:
    """Two workers race for it; the same submission again is the same job."""
    job = zoo.submit("us/whole", ["pytorch"])
    assert zoo.submit("us/whole", ["pytorch"]).id == job.id
    with pytest.raises(Conflict):
        zoo.submit("us/whole", ["onnx"])
    with pytest.raises(NotFound):
        zoo.client.manifest("us/whole")
    zoo.work()
    zoo.work()
    job = zoo.ended(job.id)
    assert (job.state, job.error) == ("succeeded", None), zoo.said()
    assert [step.name for step in job.steps] == [
        "fetch", "ingest", "hub graph", "emit pytorch", "verify pytorch", "publish",
    ]  # fmt: skip
    assert all(step.state == "done" and step.attempts == 1 for step in job.steps)
    manifest = zoo.client.manifest("us/whole")
    assert [artifact.framework for artifact in manifest.artifacts] == ["onnx", "pytorch"]
    report = manifest.artifacts[1].verification
    assert report is not None
    assert report.passed
    assert job.published == f"sha256:{manifest.digest}"
    assert manifest.lineage.derived_from == manifest.artifacts[0].files[0].sha256
    place = zoo.client.pull("us/whole", "pytorch", tmp_path / "pulled")
    assert (place / "model.py").is_file()
    assert zoo.left_behind() == []
    with pytest.raises(Conflict):
        zoo.client.cancel(job.id)


@pytest.mark.parametrize(
    "name", ["fetch", "ingest", "hub graph", "emit pytorch", "verify pytorch", "publish"]
)
def test_a_worker_killed_at_a_step_is_replaced(zoo: Zoo, name: str) -> None:
    zoo.submit("us/killed", ["pytorch"])
    first = zoo.work()
    job = zoo.client.jobs()[0]
    zoo.until(job.id, lambda job: any(step.name == name for step in job.steps))
    kill(first)
    port = int(zoo.url.rpartition(":")[2])
    below = children_of(zoo.server)
    kill(zoo.server)
    # Granian's worker process would go on serving.
    for process in below:
        if process.is_running():
            process.kill()
    zoo.server = zoo.serve(port) if not _taken(port) else zoo.serve()
    zoo.client.transport.endpoint = zoo.url
    zoo.work()
    job = zoo.ended(job.id)
    assert job.state == "succeeded", zoo.said()
    # Remembered steps are not done again; at most the one that was cut off is.
    assert all(step.attempts <= 2 for step in job.steps)
    assert sum(step.attempts - 1 for step in job.steps) <= 1
    assert len(zoo.client.model("us/killed")["versions"]) == 1
    assert zoo.left_behind() == []


def _taken(port: int) -> bool:
    # The server's own worker process ends a little after it.
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_stopped_worker_that_wakes_up_may_not_write(zoo: Zoo) -> None:
    job = zoo.submit("us/stopped", ["pytorch"])
    first = zoo.work()
    zoo.until(job.id, lambda job: any(step.name == "emit pytorch" for step in job.steps))
    first.send_signal(signal.SIGSTOP)
    zoo.work()
    zoo.until(job.id, lambda job: any(step.attempts > 1 for step in job.steps))
    first.send_signal(signal.SIGCONT)
    job = zoo.ended(job.id)
    assert job.state == "succeeded", zoo.said()
    assert len(zoo.client.model("us/stopped")["versions"]) == 1
    assert zoo.left_behind() == []


def test_a_cancelled_job_stops_and_can_be_begun_anew(zoo: Zoo) -> None:
    worker = zoo.work()
    job = zoo.submit("us/cancelled", ["pytorch"])
    zoo.until(
        job.id,
        lambda job: (
            any(s.name == "verify pytorch" for s in job.steps) and bool(children_of(worker))
        ),
    )
    assert zoo.client.cancel(job.id).state == "cancelled"
    assert zoo.left_behind() == []
    for _ in range(600):
        if not children_of(worker):
            break
        threading.Event().wait(0.1)
    assert not children_of(worker)
    with pytest.raises(NotFound):
        zoo.client.manifest("us/cancelled")
    zoo.client.retry(job.id)
    assert zoo.ended(job.id).state == "succeeded", zoo.said()


def test_what_cannot_be_converted_ends_the_command_with_3(zoo: Zoo, tmp_path: Path) -> None:
    zoo.work()
    model = write_model(tmp_path / "bad.onnx", "Strange")
    arguments = ("push", model, "us/bad@1.0.0", "--convert", "pytorch", *PUSH, "--wait")
    done = command(zoo, *arguments)
    assert done.returncode == 3, done.stderr
    assert "my.domain::Strange" in done.stderr
    assert "Traceback" not in done.stderr
    said = command(zoo, *arguments, "--json")
    assert said.returncode == 3, said.stderr
    error = json.loads(said.stdout)["error"]
    assert error["code"] == "unsupported-operators"
    assert [found["operator"] for found in error["operators"]] == ["my.domain::Strange"]
    with pytest.raises(NotFound):
        zoo.client.manifest("us/bad")
    assert zoo.left_behind() == []


def test_a_form_that_differs_ends_the_command_with_4(zoo: Zoo, tmp_path: Path) -> None:
    """PyTorch's interpreter is one whose `relu` computes something else."""
    crooked = tmp_path / "crooked"
    crooked.mkdir()
    (crooked / "sitecustomize.py").write_text(
        "import sys, importlib.abc, importlib.util\n"
        "class Finder(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name != 'torch': return None\n"
        "        sys.meta_path.remove(self)\n"
        "        spec = importlib.util.find_spec(name)\n"
        "        run = spec.loader.exec_module\n"
        "        def exec_module(module):\n"
        "            run(module)\n"
        "            module.nn.functional.relu = lambda x, inplace=False: module.abs(x) + 1\n"
        "            module.relu = module.nn.functional.relu\n"
        "        spec.loader.exec_module = exec_module\n"
        "        return spec\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    path = os.pathsep.join([str(crooked), *filter(None, [os.environ.get("PYTHONPATH")])])
    zoo.environment["PYTHONPATH"] = path
    zoo.work()
    model = write_model(tmp_path / "model.onnx")
    arguments = ("push", model, "us/differs@1.0.0", "--convert", "pytorch", *PUSH, "--wait")
    done = command(zoo, *arguments)
    assert done.returncode == 4, done.stderr
    assert "differs from its source" in done.stderr
    # Never tried twice.
    assert all(step.attempts == 1 for step in zoo.client.job(zoo.client.jobs()[0].id).steps)
    with pytest.raises(NotFound):
        zoo.client.manifest("us/differs")
    assert zoo.left_behind() == []


def test_a_disk_that_is_full_is_no_fault_of_the_model(tmp_path: Path) -> None:
    """No file of a part may be longer than its limit, for as long as there is one."""
    limit = tmp_path / "limit"
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "sitecustomize.py").write_text(
        "import resource, sys\n"
        "from pathlib import Path\n"
        f"limit = Path({str(limit)!r})\n"
        "if 'zoo.jobs.process' in sys.orig_argv and limit.exists():\n"
        "    longest = int(limit.read_text())\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (longest, longest))\n"
    )
    path = os.pathsep.join(filter(None, [str(tmp_path / "python"), os.environ.get("PYTHONPATH")]))
    zoo = Zoo(tmp_path, POLYZOO_JOB_ATTEMPTS="2", PYTHONPATH=path)
    try:
        zoo.work()
        # Nothing can be written; then all but the longest files.
        for longest in (0, 300):
            limit.write_text(str(longest))
            job = zoo.submit(f"us/full{longest}", ["pytorch"])
            job = zoo.ended(job.id)
            assert (job.state, job.error and job.error.status) == ("failed", 1), zoo.said()
            assert re.fullmatch(r"hub graph: no space left .*", job.error.message), job.error
            assert job.steps[-1].attempts == 2
            assert zoo.left_behind() == []
        limit.unlink()
        zoo.client.retry(job.id)
        assert zoo.ended(job.id).state == "succeeded", zoo.said()
    finally:
        zoo.stop()


def test_events_go_on_where_they_were_left(zoo: Zoo) -> None:
    job = zoo.submit("us/events", ["onnx"])
    zoo.work()
    told = list(zoo.client.follow(job.id))
    assert [event["state"] for event in told if "step" not in event] == [
        "queued", "running", "publishing", "succeeded",
    ]  # fmt: skip
    address = f"{zoo.url}/v1/jobs/{job.id}/events"
    whole = httpx.get(address).text
    numbers = [int(found) for found in re.findall(r"^id: (\d+)$", whole, re.MULTILINE)]
    assert len(numbers) == len(told)
    assert numbers == sorted(set(numbers))
    rest = httpx.get(address, headers={"Last-Event-ID": str(numbers[2])}).text
    left = [int(found) for found in re.findall(r"^id: (\d+)$", rest, re.MULTILINE)]
    assert left == numbers[3:]
    for strange in ("9" * 5000, "9" * 19, "-1", "x"):
        assert httpx.get(address, headers={"Last-Event-ID": strange}).text == whole
    unknown = httpx.get(f"{zoo.url}/v1/jobs/none/events")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not-found")


def test_the_end_is_told_to_allowed_servers_only_and_signed(tmp_path: Path) -> None:
    heard: list[tuple[dict[str, str], bytes]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append(({k.lower(): v for k, v in self.headers.items()}, body))
            # The first call fails: it is made again.
            self.send_response(503 if len(heard) == 1 else 204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    receiver = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{receiver.server_port}"
    zoo = Zoo(tmp_path, POLYZOO_WEBHOOK_HOSTS=host, POLYZOO_WEBHOOK_SECRET=SECRET)
    try:
        for other in ("http://169.254.169.254/x", f"http://{host}@evil/x", "file:///etc/passwd"):
            with pytest.raises(InvalidManifest, match="not allowed"):
                zoo.submit("us/hook", ["onnx"], webhook=other)
        zoo.work()
        job = zoo.submit("us/hook", ["onnx"], webhook=f"http://{host}/hook")
        zoo.ended(job.id)
        for _ in range(600):
            if len(heard) > 1:
                break
            threading.Event().wait(0.1)
        (first, _), (headers, body) = heard[:2]
        assert first["webhook-id"] == headers["webhook-id"]
        assert Webhook(SECRET).verify(body, headers)["state"] == "succeeded"
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(body.replace(b"succeeded", b"cancelled"), headers)
    finally:
        zoo.stop()
        receiver.shutdown()


@pytest.mark.parametrize("system", ["github", "gitlab"])
def test_the_recipes_work(zoo: Zoo, tmp_path: Path, system: str) -> None:
    """The commands are taken from the YAML in docs/ci.md, and run as they stand there."""
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    recipes = [yaml.safe_load(found) for found in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    if system == "github":
        workflow = next(recipe for recipe in recipes if "jobs" in recipe)
        steps = workflow["jobs"]["publish"]["steps"]
        given = workflow["jobs"]["publish"]["env"]
        script = [step["run"] for step in steps if "run" in step]
    else:
        script = next(recipe for recipe in recipes if "publish" in recipe)["publish"]["script"]
        given = {"POLYZOO_SERVER": "", "POLYZOO_TOKEN": ""}  # variables of the project
    installs = [line for line in script if line.startswith("pip install")]
    assert len(installs) == 1
    registry = Registry(zoo.data)
    _, secret = registry.access.create("ci", {"my-org": Role.WRITE})
    registry.close()
    known = {"POLYZOO_SERVER": zoo.url, "POLYZOO_TOKEN": secret}
    variables = {
        **zoo.environment,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **{name: known[name] for name in given},
        "GITHUB_REF_NAME": "v1.2.0",
        "CI_COMMIT_TAG": "v1.2.0",
    }
    zoo.work()
    write_model(tmp_path / "model.onnx", "Strange")
    (tmp_path / "model.yaml").write_text(re.findall(r"```yaml title=model.yaml\n(.*?)```", text, re.DOTALL)[0])  # fmt: skip
    lines = "\n".join(line for line in script if line not in installs)

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", lines],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    assert run().returncode == 3
    write_model(tmp_path / "model.onnx")
    done = run()
    assert done.returncode == 0, done.stderr
    assert zoo.client.manifest("my-org/my-model@1.2.0").artifact("pytorch") is not None


def test_jobs_are_as_private_as_their_models(zoo):
    job = zoo.submit("us/secret", ["pytorch"])
    registry = Registry(zoo.data)
    registry.access.set_private("us/secret", True)
    registry.access.create("them", {"them": Role.WRITE})
    registry.close()
    with pytest.raises(NotFound, match="there is no job"):
        zoo.client.job(job.id)
    assert job.id not in {found.id for found in zoo.client.jobs()}
    with pytest.raises(Unauthorized):
        zoo.submit("us/other", ["pytorch"])


@pytest.mark.embedded("that release knew no PostgreSQL")
def test_jobs_of_an_older_release_are_still_there(tmp_path: Path) -> None:
    """Their database had Alembic's own name for its notes."""
    Jobs(Registry(tmp_path)).close()
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as database:
        database.execute("ALTER TABLE jobs_version RENAME TO alembic_version")
        database.commit()
    jobs = Jobs(Registry(tmp_path))
    assert jobs.list() == ()
