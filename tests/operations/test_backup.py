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
from zoo.errors import Conflict, DigestMismatch, NotSupported
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
    zoo.publish(manifest(zoo, "org/model", b"one"))
    zoo.publish(manifest(zoo, "org/model", b"two", "2.0"))
    zoo.repositories.create("org/hub", LOCAL, private=True)
    help_.commit(zoo, "org/hub", {"a/b": b"deep", "README.md": b"---\ntags: [x]\n---\n"})
    zoo.access.create("alice", {"org": Role.WRITE})
    help_.put(zoo, b"stray")
    return zoo


@pytest.mark.parametrize("name", ["copy", "copy.tar"])
def test_a_restored_zoo_answers_the_same(used, tmp_path, name):
    made = backup(used, tmp_path / name)
    # Files, README of versions and of forms; not what nobody needs.
    assert made.blobs == len(everything_is_there(used)) == sum(1 for _ in used.store) - 1
    before = answers(used)
    used.publish(manifest(used, "org/later", b"later"))
    found = restore(tmp_path / name, tmp_path / "restored", Settings())
    assert (found.blobs, found.size) == (made.blobs, made.size)
    zoo = Registry(tmp_path / "restored")
    assert answers(zoo) == before
    everything_is_there(zoo)
    assert zoo.access.audit()[-1].action == "zoo.restore"
    assert zoo.models(q="one").items == used.models(q="one").items
    zoo.publish(manifest(zoo, "org/model", b"three", "3.0"))
    # A second copy in the same place takes the place of the first.
    backup(used, tmp_path / name)
    restore(tmp_path / name, tmp_path / "again", Settings())
    assert Registry(tmp_path / "again").model("org/later").latest == "1.0"
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")) == [
        "again", name, "restored", "zoo"
    ]  # fmt: skip


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
    from zoo.jobs.records import Submission

    def submit(name):
        asked = Submission(
            manifest=manifest(used, name, name.encode()), convert={"targets": ["pytorch"]}
        )
        return jobs.submit(asked)[0].id

    waiting, running, ending = map(submit, ("org/waiting", "org/running", "org/ending"))
    jobs.enter("w")
    for job in (running, ending):
        jobs.claim(job, 1, "w")
    jobs.publishing(ending, "w")
    used.publish(manifest(used, "org/ending", b"org/ending"))
    backup(used, tmp_path / "copy")
    restore(tmp_path / "copy", tmp_path / "restored", Settings())
    restored = Jobs(Registry(tmp_path / "restored"))
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
        restore(tmp_path / "copy", used.data, Settings())
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


def test_databases_elsewhere_are_not_saved(used, tmp_path):
    settings = Settings(database="postgresql://u:secret@h/d")
    used.settings = settings
    with pytest.raises(NotSupported, match="not in its directory") as caught:
        backup(used, tmp_path / "copy")
    assert "secret" not in caught.value.message


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
