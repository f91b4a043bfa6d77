from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from zoo.catalogue import queries
from zoo.catalogue.engine import database_url, open_engine
from zoo.catalogue.search import is_index
from zoo.catalogue.tables import IMMUTABLE, Table
from zoo.errors import Conflict, InvalidManifest, InvalidReference, MissingBlobs, NotFound, ZooError
from zoo.registry import Registry

# Everything here is true of SQLite and of PostgreSQL.
pytestmark = pytest.mark.both_setups


def test_migrations_make_what_the_tables_say(registry):
    def named(name, kind, _parents):
        # What the database makes of an index, and what makes up for a collation that SQLite has.
        return not (kind == "table" and is_index(name)) and not (
            kind == "index" and name.endswith("_caseless")
        )

    with registry._engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_name": named}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Table.metadata) == []


@pytest.mark.embedded("pragmas are of SQLite")
def test_settings_of_the_database(tmp_path):
    engine = open_engine(database_url("", tmp_path / "zoo.db"))
    with engine.connect() as connection:
        pragmas = ("journal_mode", "foreign_keys", "synchronous")
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]
    assert found == ["wal", 1, 2]


def test_publishes_once_and_for_ever(registry, manifest):
    first = registry.publish(manifest())
    assert first.created
    assert first.digest == f"sha256:{manifest().digest}"
    again = registry.publish(manifest())
    assert not again.created
    assert again.published_at == first.published_at
    artifacts = json.loads(manifest().canonical())["artifacts"]
    artifacts[0]["precision"] = "fp16"
    changed = manifest(summary="Other.", artifacts=artifacts)
    with pytest.raises(Conflict, match=r"differs in: summary, artifacts\[0\].precision") as caught:
        registry.publish(changed)
    assert caught.value.details["fields"] == ["summary", "artifacts[0].precision"]
    assert registry.version("org/model", "1.0.0").manifest == manifest()


def test_the_database_itself_refuses_changes(registry, manifest):
    registry.publish(manifest())
    registry.access.set_private("org/model", False)  # leaves a line in the audit log
    for table in IMMUTABLE:
        for statement in (
            f"UPDATE {table.__tablename__} SET id = 9",
            f"DELETE FROM {table.__tablename__}",
        ):
            with (
                pytest.raises(IntegrityError, match="never changes"),
                registry._engine.begin() as connection,
            ):
                connection.execute(text(statement))


def test_missing_blobs_are_listed_and_nothing_is_published(registry, manifest):
    wanted = manifest(b"elsewhere")
    with pytest.raises(MissingBlobs) as caught:
        registry.publish(wanted)
    digest = wanted.artifacts[0].files[0].sha256
    assert caught.value.details == {"missing": [f"sha256:{digest}"]}
    assert registry.models().items == ()


def test_sizes_are_checked_and_filled_in(registry, fields, manifest):
    data = fields()
    data["artifacts"][0]["files"][0]["size"] = 8
    with pytest.raises(InvalidManifest, match=r"files\[0\].size: expected 7, got 8"):
        registry.publish(manifest(artifacts=data["artifacts"]))
    del data["artifacts"][0]["files"][0]["size"]
    registry.publish(manifest(artifacts=data["artifacts"]))
    assert registry.file("org/model", "1.0.0", "onnx", "model.onnx").size == 7
    # And then the same manifest is the same version, with its size or without.
    assert not registry.publish(manifest()).created
    assert registry.published(manifest(artifacts=data["artifacts"])) is not None


def test_names_that_differ_in_case_only(registry, manifest):
    registry.publish(manifest(version="1.0a"))
    with pytest.raises(Conflict, match="case of letters"):
        registry.publish(manifest(name="Org/Model"))
    with pytest.raises(Conflict, match="case of letters"):
        registry.publish(manifest(version="1.0A"))


def test_latest(registry, manifest):
    for version in ("1.9", "1.10", "2.0rc1", "nightly", "1.2"):
        registry.publish(manifest(version=version, summary=f"This is {version}."))
    model = registry.model("org/model")
    assert (model.latest, model.summary) == ("1.10", "This is 1.10.")
    assert model.versions == ("2.0rc1", "1.10", "1.9", "1.2", "nightly")
    assert registry.version("org/model", "latest").version == "1.10"
    assert [v.version for v in registry.versions("org/model")] == list(model.versions)


def test_not_found_says_what_there_is(registry, manifest):
    registry.publish(manifest())
    with pytest.raises(NotFound) as caught:
        registry.model("org/Model")
    assert caught.value.fix == "its name is org/model"
    with pytest.raises(NotFound) as caught:
        registry.version("org/model", "2")
    assert caught.value.fix == "published are: 1.0.0"
    with pytest.raises(NotFound) as caught:
        registry.artifact("org/model", "1.0.0", "paddle")
    assert caught.value.fix == "it has: onnx"
    with pytest.raises(NotFound) as caught:
        registry.file("org/model", "1.0.0", "onnx", "../x")
    assert caught.value.fix == "it has: model.onnx"


@pytest.fixture
def many(registry, manifest):
    registry.publish(manifest(name="a/one", summary="Reads 100% of text.", tags=["文字"]))
    registry.publish(manifest(name="a/two", summary="Sees x_y.", task="detection"))
    licence = {"expression": "MIT AND (Apache-2.0 OR BSD-3-Clause)"}
    registry.publish(manifest(name="B/three", summary="Größe", licence=licence))
    return registry


@pytest.mark.parametrize(
    ("search", "names"),
    [
        ({}, ["a/one", "a/two", "B/three"]),
        ({"q": "%"}, ["a/one"]),
        ({"q": "_"}, ["a/two"]),
        ({"q": "\\"}, []),
        ({"q": "'; DROP TABLE model; --"}, []),
        ({"q": "READS text"}, ["a/one"]),
        ({"q": "文字"}, ["a/one"]),
        ({"q": "GRÖSSE"}, ["B/three"]),
        ({"q": "b/three"}, ["B/three"]),
        ({"task": "detection"}, ["a/two"]),
        ({"framework": "onnx"}, ["a/one", "a/two", "B/three"]),
        ({"framework": "paddle"}, []),
        ({"licence": "bsd-3-clause"}, ["B/three"]),
        ({"licence": "Apache-2.0"}, ["a/one", "a/two", "B/three"]),
        ({"licence": "Apache"}, []),
        ({"licence": "%"}, []),
    ],
)
def test_search(many, search, names):
    assert [item.name for item in many.models(**search).items] == names


def test_pages_are_stable_while_models_are_added(registry, manifest):
    for i in range(0, 10, 2):
        registry.publish(manifest(name=f"org/m{i}"))
    page = registry.models(limit=2)
    seen = [item.name for item in page.items]
    registry.publish(manifest(name="org/a"))
    registry.publish(manifest(name="org/m3"))
    while page.next_cursor:
        page = registry.models(limit=2, cursor=page.next_cursor)
        seen += [item.name for item in page.items]
    assert seen == ["org/m0", "org/m2", "org/m3", "org/m4", "org/m6", "org/m8"]
    for cursor in ("é", "!", "====", "/w=="):
        with pytest.raises(InvalidReference):
            registry.models(cursor=cursor)


def test_times_are_utc(registry, manifest):
    zone = timezone(timedelta(hours=8))
    when = datetime(2026, 1, 1, 8, tzinfo=zone)
    publication = queries.publish(registry._engine, manifest(), when)
    assert publication.published_at == when
    assert publication.published_at.utcoffset() == timedelta(0)


PUBLISHER = """
import json, sys
from pathlib import Path
from zoo.errors import Conflict
from zoo.manifest import parse_manifest
from zoo.registry import Registry

registry = Registry(Path(sys.argv[1]))
sys.stdin.readline()
said = []
for line in sys.stdin:
    try:
        said.append(registry.publish(parse_manifest(line.encode(), "x")).created)
    except Conflict:
        said.append("conflict")
print(json.dumps(said))
"""


def test_publishers_in_several_processes(tmp_path, registry, manifest):
    # Every process publishes the same ten models, and its own idea of an eleventh; they also race to
    # make the catalogue.
    fresh = tmp_path / "fresh"
    command = [sys.executable, "-c", PUBLISHER, str(fresh)]
    racers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    blob = manifest().artifacts[0].files[0].sha256
    Registry(fresh).store.put([b"weights"], blob)
    answers = []
    for number, racer in enumerate(racers):
        lines = [manifest(name=f"org/m{i}").canonical().decode() for i in range(10)]
        lines.append(manifest(name="org/mine", summary=f"By {number}.").canonical().decode())
        racer.stdin.write("\n" + "\n".join(lines) + "\n")
        racer.stdin.flush()
    for racer in racers:
        answers.append(json.loads(racer.communicate()[0]))
        assert racer.returncode == 0
    for i in range(10):
        assert sorted(answer[i] for answer in answers) == [False, False, False, True]
    assert sorted(str(answer[10]) for answer in answers) == ["True", *["conflict"] * 3]
    assert len(Registry(fresh).models().items) == 11


def test_a_catalogue_of_a_newer_release_is_refused(tmp_path, registry):
    with registry._engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ZooError, match="newer release"):
        Registry(registry.data)


@pytest.mark.embedded("the catalogue is a file")
def test_a_file_that_is_no_catalogue_is_refused(tmp_path):
    (tmp_path / "zoo.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(ZooError, match="not a database"):
        Registry(tmp_path)
