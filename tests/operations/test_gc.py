"""Garbage collection: what nobody needs goes, what anybody needs stays, whatever happens meanwhile."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo.access import LOCAL
from zoo.errors import MissingBlobs, NotFound
from zoo.garbage import collect
from zoo.hub.records import Addition, Deletion
from zoo.jobs.records import Submission

_spec = importlib.util.spec_from_file_location(
    "zoo_in_use", Path(__file__).with_name("conftest.py")
)
help_ = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(help_)
DAY, put, rest, manifest = help_.DAY, help_.put, help_.rest, help_.manifest


def submission(zoo, name, content):
    return Submission(manifest=manifest(zoo, name, content), convert={"targets": ["pytorch"]})


def blobs(zoo):
    return set(zoo.store)


def age_all(zoo, age=30 * DAY):
    for digest in blobs(zoo):
        rest(zoo.store.path(digest), age)


@pytest.mark.embedded("it makes files of a disk old, which no bucket lets anybody do")
def test_only_what_nobody_needs_goes(zoo, jobs):
    zoo.publish(manifest(zoo, "org/model", b"old"))
    zoo.publish(manifest(zoo, "org/model", b"new", "2.0"))
    zoo.repositories.create("org/hub", LOCAL)
    help_.commit(zoo, "org/hub", {"a/b/first": b"first", "x": b"x"})
    zoo.repositories.create_branch("org/hub", "side", "main", LOCAL)
    zoo.repositories.change("org/hub", "main", [Deletion("a", folder=True)], LOCAL, title="Without")
    jobs.submit(submission(zoo, "org/job", b"waiting"))
    cancelled, _ = jobs.submit(submission(zoo, "org/other", b"cancelled"))
    jobs.cancel(cancelled.id)  # it may be begun anew
    zoo.repositories.create("org/gone", LOCAL)
    help_.commit(zoo, "org/gone", {"f": b"of a repository that is gone", "x": b"x"})
    zoo.repositories.delete("org/gone", LOCAL)
    stray = put(zoo, b"stray")
    gone = {stray, put(zoo, b"of a repository that is gone")}
    needed = blobs(zoo) - gone
    age_all(zoo)
    young = put(zoo, b"young")
    asked = collect(jobs, 7 * DAY, dry_run=True)
    assert set(asked.digests) == gone
    assert blobs(zoo) == needed | gone | {young}
    done = collect(jobs, 7 * DAY)
    assert (set(done.digests), done.size, done.kept) == (gone, asked.size, asked.kept)
    assert blobs(zoo) == needed | {young}
    help_.everything_is_there(zoo)
    assert collect(jobs, 7 * DAY).digests == ()
    assert zoo.access.audit(limit=1000)[-1].action == "blobs.collect"


@pytest.mark.embedded("it makes files of a disk old, which no bucket lets anybody do")
def test_who_relies_on_an_old_blob_keeps_it(zoo, jobs):
    """What an uploader was told is there stays until the upload is over."""
    told = [put(zoo, f"told {way}".encode()) for way in range(3)]
    age_all(zoo)
    assert zoo.uploads.create(told[0], 6) is None
    assert zoo.store.keep(told[1])
    put(zoo, b"told 2")
    age_open = zoo.uploads.create("a" * 64, 7)
    assert collect(jobs, DAY).digests == ()
    assert zoo.uploads.status(age_open.id).size == 7


@pytest.mark.embedded("it makes files of a disk old, which no bucket lets anybody do")
def test_a_blob_that_went_meanwhile_is_missed_in_words(zoo, jobs):
    """Between looking and committing, with no grace at all: refused, not half there."""
    wanted = manifest(zoo, "org/model", b"weights")
    digest = wanted.artifacts[0].files[0].sha256
    kept = zoo.store.keep

    def keep(sha256):
        there = kept(sha256)
        zoo.store.keep = kept
        rest(zoo.store.path(digest), DAY)
        assert collect(jobs, 0).digests == (digest,)
        return there

    zoo.store.keep = keep
    with pytest.raises(MissingBlobs):
        zoo.publish(wanted)
    assert zoo.models().items == ()
    zoo.repositories.create("org/hub", LOCAL)
    put(zoo, b"weights")
    zoo.store.keep = keep
    with pytest.raises((MissingBlobs, NotFound)):
        zoo.repositories.change("org/hub", "main", [Addition("f", digest)], LOCAL, title="x")
    assert zoo.repositories.files("org/hub", "main", LOCAL)[1] == {}


COLLECTOR = """
import sys
from pathlib import Path
from zoo.garbage import collect
from zoo.jobs.jobs import Jobs
from zoo.registry import Registry
jobs = Jobs(Registry(Path(sys.argv[1])))
print("ready", flush=True)
while True:
    found = collect(jobs, 0)
    print(len(found.digests), flush=True)
"""


@pytest.mark.embedded("blobs of a bucket that are minutes old are never collected")
def test_beside_uploads_and_publications_and_killed(zoo):
    """A collector without any grace, killed again and again, loses nothing that was published."""
    published = refused = collected = 0
    end = time.monotonic() + 6
    number = 0
    while time.monotonic() < end:
        with subprocess.Popen(
            [sys.executable, "-c", COLLECTOR, str(zoo.data)], stdout=subprocess.PIPE, text=True
        ) as collector:
            assert collector.stdout.readline() == "ready\n"
            for _ in range(12):
                number += 1
                put(zoo, f"stray {number}".encode())
                try:
                    if number % 3:
                        wanted = manifest(
                            zoo, f"org/m{number % 5}", f"{number}".encode(), str(number)
                        )
                        zoo.publish(wanted)
                    else:
                        name = f"org/hub{number}"
                        zoo.repositories.create(name, LOCAL)
                        help_.commit(zoo, name, {"f": f"hub {number}".encode(), "g": b"same"})
                    published += 1
                except MissingBlobs:
                    refused += 1
            collector.kill()
            collected += sum(int(line) for line in collector.stdout.read().split())
    assert published > refused
    assert collected > 0
    help_.everything_is_there(zoo)


@pytest.mark.embedded("it makes files of a disk old, which no bucket lets anybody do")
def test_the_command(zoo):
    stray = put(zoo, b"stray", age=30 * DAY)
    command = [sys.executable, "-m", "zoo", "--data", str(zoo.data), "gc", "--json"]
    said = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=True)
    assert json.loads(said.stdout)["blobs"] == [f"sha256:{stray}"]
    assert zoo.store.has(stray)
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(said.stdout)
    assert (found["blobs"], found["bytes"]) == ([f"sha256:{stray}"], 5)
    assert not zoo.store.has(stray)


@pytest.mark.scaled_only
def test_a_bucket_is_cleared_of_what_nobody_needs(zoo, jobs, monkeypatch):
    zoo.publish(manifest(zoo, "org/model", b"old"))
    zoo.repositories.create("org/hub", LOCAL)
    help_.commit(zoo, "org/hub", {"a/b": b"first"})
    jobs.submit(submission(zoo, "org/job", b"waiting"))
    needed = blobs(zoo)
    stray = put(zoo, b"stray")
    assert collect(jobs, 0).digests == ()  # it is too young, whatever the grace
    monkeypatch.setattr("zoo.bucket.FRESH", -10.0)  # ten seconds later
    assert set(collect(jobs, 0, dry_run=True).digests) == {stray}
    assert set(collect(jobs, 0).digests) == {stray}
    assert blobs(zoo) == needed
    help_.everything_is_there(zoo)
