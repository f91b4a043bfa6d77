"""Copies of a zoo in use, and zoos made of them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from zoo.access import LOCAL, Role
from zoo.backup import InvalidBackup, backup, restore
from zoo.errors import Conflict, DigestMismatch
from zoo.jobs.jobs import Jobs
from zoo.registry import Registry
from zoo.settings import Settings

_spec = importlib.util.spec_from_file_location(
    "zoo_in_use", Path(__file__).with_name("conftest.py")
)
help_ = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(help_)
manifest, everything_is_there = help_.manifest, help_.everything_is_there


def answers(zoo):
    """What users see."""
    models = zoo.models().items
    repositories = zoo.repositories.search(LOCAL, sort="name")[0]
    heads = [zoo.repositories.files(r.name, "main", LOCAL) for r in repositories]
    versions = [zoo.versions(model.name) for model in models]
    return models, repositories, heads, versions, zoo.access.tokens(), zoo.access.audit()[:5]


@pytest.fixture
def used(zoo, jobs):
    return fill(zoo)


def fill(zoo):
    zoo.publish(manifest(zoo, "org/model", b"one"))
    zoo.publish(manifest(zoo, "org/model", b"two", "2.0"))
    zoo.repositories.create("org/hub", LOCAL, private=True)
    help_.commit(zoo, "org/hub", {"a/b": b"deep", "README.md": b"---\ntags: [x]\n---\n"})
    zoo.access.create("alice", {"org": Role.WRITE})
    help_.put(zoo, b"stray")
    return zoo


def submitted(jobs):
    """A job that waits, one that runs, and one whose version is published."""
    from zoo.jobs.records import Submission

    def submit(name):
        asked = Submission(
            manifest=manifest(jobs.registry, name, name.encode()), convert={"targets": ["pytorch"]}
        )
        return jobs.submit(asked)[0].id

    waiting, running, ending = map(submit, ("org/waiting", "org/running", "org/ending"))
    jobs.enter("w")
    for job in (running, ending):
        jobs.claim(job, 1, "w")
    jobs.publishing(ending, "w")
    jobs.registry.publish(manifest(jobs.registry, "org/ending", b"org/ending"))
    return waiting, running, ending


@pytest.mark.both_setups
@pytest.mark.parametrize("name", ["copy", "copy.tar"])
def test_a_restored_zoo_answers_the_same(used, tmp_path, name):
    """Wherever the zoo has its databases and blobs, the copy becomes a directory."""
    made = backup(used, tmp_path / name)
    # Files, README of versions and of forms; not what nobody needs.
    assert made.blobs == len(everything_is_there(used)) == sum(1 for _ in used.store) - 1
    before = answers(used)
    used.publish(manifest(used, "org/later", b"later"))
    found = restore(tmp_path / name, tmp_path / "restored", Settings())
    assert (found.blobs, found.size) == (made.blobs, made.size)
    zoo = Registry(tmp_path / "restored", Settings())
    assert answers(zoo) == before
    everything_is_there(zoo)
    assert zoo.access.audit()[-1].action == "zoo.restore"
    assert zoo.models(q="one").items == used.models(q="one").items
    zoo.publish(manifest(zoo, "org/model", b"three", "3.0"))
    # A second copy in the same place takes the place of the first.
    backup(used, tmp_path / name)
    restore(tmp_path / name, tmp_path / "again", Settings())
    assert Registry(tmp_path / "again", Settings()).model("org/later").latest == "1.0"
    assert {path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")} == {
        "again", name, "restored", "zoo"
    }  # fmt: skip


@pytest.mark.scaled_only
def test_a_zoo_moves_to_more_machines_and_back(tmp_path, services):
    """From a directory to PostgreSQL and a bucket, to others of these, and to a directory again."""
    with services.fresh() as first, services.fresh() as second:
        places = [Settings()]
        places += [Settings.from_environment(environment) for environment in (first, second)]
        places += [Settings()]
        zoo = Registry(tmp_path / "0", places[0])
        jobs = Jobs(zoo)
        fill(zoo)
        zoo.access.note(LOCAL, "x", "a\0b")  # as older releases did
        waiting, running, ending = submitted(jobs)
        begun = jobs.get(waiting).created_at
        before = answers(zoo)
        for number, settings in enumerate(places[1:], 1):
            made = backup(zoo, tmp_path / f"copy{number}")
            found = restore(tmp_path / f"copy{number}", tmp_path / str(number), settings)
            assert (found.blobs, found.size) == (made.blobs, made.size)
            elsewhere = bool(settings.bucket)
            assert (tmp_path / str(number) / "zoo.db").exists() != elsewhere
            zoo = Registry(tmp_path / str(number), settings)
            jobs = Jobs(zoo)
            assert answers(zoo) == before
            assert everything_is_there(zoo)
            assert [zoo.models(q=word, sort="name").items for word in ("reads", "ocr", "two")] == [
                before[0], before[0], ()]  # fmt: skip
            assert [r.name for r in zoo.repositories.search(LOCAL, tags=("x",))[0]] == ["org/hub"]
            assert "a\ufffdb" in {line.target for line in zoo.access.audit()}
            states = [jobs.get(job).state for job in (waiting, running, ending)]
            assert states == ["queued", "queued", "succeeded"]
            assert {job for job, _ in jobs.queued()} == {waiting, running}
            assert jobs.get(waiting).created_at == begun
            # The queue of this zoo knows them; that of the next does not.
            for job, turn in jobs.queued():
                jobs.handed_over(job, turn)
            with pytest.raises(Conflict, match="not empty"):
                restore(tmp_path / f"copy{number}", tmp_path / str(number), settings)
            if elsewhere:
                with pytest.raises(Conflict, match="it has rows"):
                    restore(tmp_path / f"copy{number}", tmp_path / "other", settings)
                assert not (tmp_path / "other").exists()
        # Numbers go on behind those that were copied, and what is published stays.
        zoo.publish(manifest(zoo, "org/new", b"new"))
        assert zoo.models(q="new").items


@pytest.mark.scaled_only
def test_what_is_in_a_bucket_comes_once(tmp_path):
    zoo = Registry(tmp_path / "zoo")
    fill(zoo)
    first = backup(zoo, tmp_path / "copy")
    assert first.linked == 0
    zoo.publish(manifest(zoo, "org/later", b"later"))
    second = backup(zoo, tmp_path / "copy")
    assert second.linked == first.blobs < second.blobs
    # One that the disk has changed comes again.
    blob = next(path for path in (tmp_path / "copy" / "blobs").rglob("*") if path.is_file())
    blob.chmod(0o644)
    blob.write_bytes(b"rotten")
    assert backup(zoo, tmp_path / "copy").linked == second.blobs - 1
    restore(tmp_path / "copy", tmp_path / "restored", Settings())
    # A bucket that looks after itself: the databases alone, for a zoo with the same blobs.
    assert backup(zoo, tmp_path / "databases", blobs=False).blobs == 0
    with pytest.raises(InvalidBackup, match="lacks"):
        restore(tmp_path / "databases", tmp_path / "without", Settings())
    same = Settings.from_environment({**os.environ, "POLYZOO_DATABASE": "sqlite"})
    assert restore(tmp_path / "databases", tmp_path / "same", same).blobs == second.blobs
    assert Registry(tmp_path / "same", same).model("org/later").latest == "1.0"
    blob = next(iter(everything_is_there(zoo)))
    zoo.store.remove(blob)
    with pytest.raises(InvalidBackup, match="lacks 1 blobs"):
        restore(tmp_path / "databases", tmp_path / "without", same)


@pytest.mark.embedded("blobs of a bucket have no links")
def test_links_where_it_can_and_copies_where_it_is_told(used, tmp_path):
    linked = backup(used, tmp_path / "linked")
    assert linked.linked == linked.blobs
    copied = backup(used, tmp_path / "copied", link=False)
    assert copied.linked == 0
    blob = next(iter(everything_is_there(used)))
    places = [Registry(tmp_path / name).store.path(blob) for name in ("linked", "copied")]
    original = used.store.path(blob).stat().st_ino
    assert [place.stat().st_ino == original for place in places] == [True, False]


def test_jobs_that_were_under_way_begin_anew(used, jobs, tmp_path):
    waiting, running, ending = submitted(jobs)
    backup(used, tmp_path / "copy")
    restore(tmp_path / "copy", tmp_path / "restored", Settings())
    restored = Jobs(Registry(tmp_path / "restored", Settings()))
    assert [restored.get(job).state for job in (waiting, running, ending)] == [
        "queued", "queued", "succeeded",
    ]  # fmt: skip
    assert restored.get(ending).published == used.version("org/ending", "1.0").digest
    assert dict(restored.queued()) == {waiting: 1, running: 2}
    assert restored.living() == {}


def test_what_is_no_backup_is_refused(used, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    (tmp_path / "file.tar").write_bytes(b"no archive")
    with pytest.raises(Conflict, match="is no backup"):
        backup(used, tmp_path / "other")
    for source in ("other", "file.tar"):
        with pytest.raises(InvalidBackup):
            restore(tmp_path / source, tmp_path / "restored", Settings())
    backup(used, tmp_path / "copy", link=False)
    with pytest.raises(Conflict, match="not empty"):
        restore(tmp_path / "copy", tmp_path / "other", Settings())
    blob = next(path for path in (tmp_path / "copy" / "blobs").rglob("*") if path.is_file())
    content = blob.read_bytes()
    blob.chmod(0o644)
    blob.write_bytes(content[::-1] + b"!")
    with pytest.raises(DigestMismatch):
        restore(tmp_path / "copy", tmp_path / "restored", Settings())
    blob.unlink()
    with pytest.raises(InvalidBackup, match="lacks 1 blobs"):
        restore(tmp_path / "copy", tmp_path / "restored", Settings())
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.add(tmp_path / "other" / "file", "../../evil")
    with pytest.raises(InvalidBackup, match="has no"):
        restore(tmp_path / "evil.tar", tmp_path / "restored", Settings())
    assert not (tmp_path / "restored").exists()
    assert not list(tmp_path.glob(".*.partial.*"))


PUBLISHER = """
import importlib.util, sys
from pathlib import Path
from zoo.access import LOCAL
from zoo.registry import Registry
spec = importlib.util.spec_from_file_location("zoo_in_use", sys.argv[2])
help_ = importlib.util.module_from_spec(spec)
spec.loader.exec_module(help_)
zoo = Registry(Path(sys.argv[1]))
print("ready", flush=True)
number = 0
while True:
    number += 1
    zoo.publish(help_.manifest(zoo, f"org/m{number % 7}", f"{number}".encode(), f"{number}"))
    zoo.repositories.create(f"org/hub{number}", LOCAL)
    help_.commit(zoo, f"org/hub{number}", {"f": f"hub {number}".encode()})
    if number % 4 == 0:
        zoo.repositories.delete(f"org/hub{number}", LOCAL)
"""


def test_beside_publications_and_killed(zoo, tmp_path):
    command = [
        sys.executable,
        "-c",
        PUBLISHER,
        str(zoo.data),
        str(Path(__file__).with_name("conftest.py")),
    ]
    saving = [
        sys.executable,
        "-m",
        "zoo",
        "--data",
        str(zoo.data),
        "backup",
        str(tmp_path / "copy"),
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as publisher:
        assert publisher.stdout.readline() == "ready\n"
        time.sleep(0.5)
        first = json.loads(subprocess.run(saving, capture_output=True, check=True).stdout)
        for delay in (0.9, 1.3):
            with subprocess.Popen(saving, stdout=subprocess.DEVNULL) as killed:
                time.sleep(delay)
                killed.kill()
        restore(tmp_path / "copy", tmp_path / "restored", Settings())
        assert Registry(tmp_path / "restored").models().items
        last = json.loads(subprocess.run(saving, capture_output=True, check=True).stdout)
        publisher.kill()
    assert last["blobs"] > first["blobs"]
    restore(tmp_path / "copy", tmp_path / "again", Settings())
    again = Registry(tmp_path / "again")
    everything_is_there(again)
    for model in again.models().items:
        for version in again.versions(model.name):
            assert version.digest == zoo.version(model.name, version.version).digest
    assert not [p for p in tmp_path.glob(".copy.partial.*") if os.listdir(p)]
