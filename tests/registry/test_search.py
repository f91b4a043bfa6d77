"""Searching the catalogue: words, filters, orders, cursors; also with limits that only many models reach."""

from __future__ import annotations

import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from zoo.access import LOCAL, Identity
from zoo.catalogue import engine, paging, queries, search
from zoo.catalogue.listing import INDEX
from zoo.errors import InvalidReference
from zoo.manifest import validate_manifest
from zoo.registry import Registry

TASKS = ("text-recognition", "detection", "speech-recognition")
LICENCES = ("MIT", "Apache-2.0", "MIT AND (Apache-2.0 OR BSD-3-Clause)")
FAMILIES = ("bert", "roberta", "pp-ocrv4", "MiniLM", "resnet50")
SUMMARIES = (
    "Reads Chinese text.",
    "识别中文文字。",
    "Größe zählt.",
    "Finds bert-like things.",
    "Other.",
)
ROOM = ("LOOK", "FEW")


def verification(passed=True):
    output = {"name": "y", "shape": [1], "max_abs": 0.0, "passed": passed}
    case = {"inputs": {"x": [1]}, "outputs": [output]}
    head = {"reference": "onnx", "passed": passed, "rtol": 1e-3, "atol": 1e-4}
    return {**head, "cases": [case]}


def artifact(framework, precision="fp32", targets=("cpu",), verified=None):
    file = {"path": "m.bin", "sha256": "0" * 64, "size": 1}
    fields = {"framework": framework, "format": "x", "precision": precision, "entry": "m.bin"}
    report = {} if verified is None else {"verification": verification(verified)}
    return {**fields, "targets": list(targets), "files": [file], **report}


def fields(name, version="1.0", **changes):
    return {
        "name": name,
        "version": version,
        "task": "detection",
        "summary": "Other.",
        "licence": {"expression": "MIT"},
        "lineage": {"publisher": "Org"},
        "artifacts": [artifact("onnx")],
        **changes,
    }


def publish(zoo, name, version="1.0", **changes):
    manifest = validate_manifest(fields(name, version, **changes), "test")
    queries.publish(zoo._engine, manifest)


def drawn(number):
    """A model that looks like many others."""
    draw = random.Random(number)
    artifacts = [
        artifact(
            framework,
            draw.choice(["fp32", "fp16"]),
            draw.sample(["cpu", "cuda", "ascend"], draw.randint(1, 2)),
            draw.choice([None, True, False]),
        )
        for framework in draw.sample(["onnx", "pytorch", "mindspore"], draw.randint(1, 3))
    ]
    return fields(
        f"{draw.choice(['acme', 'Bot', 'zed'])}/{draw.choice(FAMILIES)}-{number}",
        task=draw.choice(TASKS),
        summary=draw.choice(SUMMARIES),
        tags=draw.sample(["ocr", "文字", "nlp"], draw.randint(0, 2)),
        licence={"expression": draw.choice(LICENCES)},
        artifacts=artifacts,
    )


@pytest.fixture(scope="module")
def models():
    return [drawn(number) for number in range(80)]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory, models):
    zoo = Registry(tmp_path_factory.mktemp("zoo"))
    for model in models:
        # Two thirds have an older version that says something else.
        if model["name"][-1] in "123456":
            publish(zoo, model["name"], "0.1", summary="xyzzy", licence={"expression": "0BSD"})
        publish(zoo, **model)
    zoo.repositories.create("org/kept", LOCAL)
    return zoo


@pytest.fixture(params=[(1000, 1000), (7, 1000), (7, 3)], ids=["few", "some", "many"])
def room(request, monkeypatch):
    """As with so many models that not all are looked at, or sorted."""
    for name, value in zip(ROOM, request.param, strict=True):
        monkeypatch.setattr(paging, name, value)


def pages(zoo, **asked):
    cursor = None
    while True:
        page = zoo.models(**asked, cursor=cursor)
        yield [item.name for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return


def names(zoo, limit=9, **asked):
    return [name for page in pages(zoo, limit=limit, **asked) for name in page]


def fits(model, org=None, q="", task=None, licence=None, verified=None, **form):
    """What the filters mean, said another way."""
    parts = (model["name"], model["task"], model["summary"], *model.get("tags", ()))
    text = "\n".join(parts).casefold()

    def has(item, wanted):
        known = {**item, "target": item["targets"]}
        return all(value in (known[key] if key == "target" else [known[key]])
                   for key, value in wanted.items())  # fmt: skip

    forms = [item for item in model["artifacts"] if has(item, form)]
    proven = any(item.get("verification", {}).get("passed") for item in forms)
    words = model["licence"]["expression"].translate({40: " ", 41: " "}).split()
    return (
        all(word.casefold() in text for word in q.split())
        and (org is None or model["name"].lower().startswith(f"{org.lower()}/"))
        and (task is None or model["task"] == task)
        and (licence is None or licence in words or licence == model["licence"]["expression"])
        and bool(forms)
        and (verified is None or verified == proven)
    )


ASKED = [
    {},
    {"q": "bert"},
    {"q": "ERT ocr"},
    {"q": "文"},
    {"q": "中文"},
    {"q": "识别中文"},
    {"q": "GRÖSSE"},
    {"q": "v4"},
    {"q": "%"},
    {"q": 'resnet" OR x*'},
    {"q": "xyzzy"},
    {"org": "bot"},
    {"task": "detection"},
    {"licence": "BSD-3-Clause"},
    {"licence": "MIT AND (Apache-2.0 OR BSD-3-Clause)"},
    {"licence": "0BSD"},
    {"framework": "mindspore"},
    {"framework": "pytorch", "precision": "fp16", "target": "ascend", "verified": True},
    {"verified": False},
    {"verified": False, "framework": "onnx", "target": "cuda"},
    {"precision": "int8"},
    {"q": "recognition bert", "licence": "MIT", "org": "Acme", "verified": True},
]


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_finds_what_fits_in_every_order(zoo, models, room, asked):
    wanted = [model["name"] for model in models if fits(model, **asked)]
    assert names(zoo, sort="name", **asked) == sorted(wanted, key=str.lower)
    assert names(zoo, sort="updated", **asked) == wanted[::-1]
    assert sorted(names(zoo, sort="relevance", **asked)) == sorted(wanted)


@pytest.mark.scaled_only
def test_a_database_elsewhere_finds_the_same(tmp_path, models):
    zoo, some = Registry(tmp_path), models[:30]
    for model in some:
        publish(zoo, model["name"], "0.1", summary="xyzzy", licence={"expression": "0BSD"})
        publish(zoo, **model)
    for asked in ASKED:
        wanted = [model["name"] for model in some if fits(model, **asked)]
        assert names(zoo, sort="name", **asked) == sorted(wanted, key=str.lower)
        assert names(zoo, sort="updated", **asked) == wanted[::-1]
        assert sorted(names(zoo, sort="relevance", **asked)) == sorted(wanted)
    ranks = [not re.search(r"\bbert", name) for name in names(zoo, q="bert", limit=2)]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == 2


def test_the_fixture_has_something_to_find(models):
    found = [sum(fits(model, **asked) for model in models) for asked in ASKED]
    assert sum(count > 0 for count in found) >= 16


def test_better_matches_come_first(tmp_path):
    zoo = Registry(tmp_path)
    publish(zoo, "a/other", summary="Not unlike bert.")
    publish(zoo, "a/tagged", tags=["bert"])
    publish(zoo, "a/roberta")
    publish(zoo, "a/bert-base")
    publish(zoo, "bert/base")
    order = ["a/bert-base", "bert/base", "a/roberta", "a/tagged", "a/other"]
    assert names(zoo, q="BERT") == order
    assert names(zoo, q="bert", limit=1) == order
    assert names(zoo, q="bert", sort="name") == sorted(order)
    assert names(zoo, q="base bert") == order[:2]


@pytest.mark.parametrize("sort", ["name", "updated", "relevance"])
@pytest.mark.parametrize("q", ["", "thing"])
def test_nothing_is_lost_or_comes_twice_while_others_publish(tmp_path, monkeypatch, sort, q):
    monkeypatch.setattr(paging, "LOOK", 5)
    zoo = Registry(tmp_path)
    there = [f"org/thing-{number:02}" for number in range(9)]
    for name in there:
        publish(zoo, name)
    seen = []
    for number, page in enumerate(pages(zoo, q=q, sort=sort, limit=2)):
        seen += page
        if number < len(there):
            # A new one at either end, and new versions of what was seen, and what was not.
            publish(zoo, f"org/a-thing-{number}")
            publish(zoo, f"org/z-thing-{number}")
            publish(zoo, there[number], "2.0")
            publish(zoo, there[-1 - number], "3.0")
    assert len(seen) == len(set(seen))
    assert set(there) <= set(seen)


def test_cursors_belong_to_an_order(zoo):
    cursors = {sort: zoo.models(q="e", sort=sort, limit=2).next_cursor for sort in
               ("name", "updated", "relevance")}  # fmt: skip
    for sort in cursors:
        for other, cursor in cursors.items():
            if other != sort:
                with pytest.raises(InvalidReference, match="not a cursor"):
                    zoo.models(q="e", sort=sort, cursor=cursor)
    for place in (["updated", 2**63, 1], ["updated", True, 1], ["updated", -1, 1], ["updated", 1],
                  ["updated", "1", 1], ["updated", 1.5, 1], {}, [], 7, [["updated"]]):  # fmt: skip
        with pytest.raises(InvalidReference):
            zoo.models(sort="updated", cursor=paging.write_cursor(*_split(place)))
    with pytest.raises(InvalidReference):
        zoo.models(q="e", cursor=paging.write_cursor("relevance", [4, 0]))


def _split(place):
    return (place[0], place[1:]) if isinstance(place, list) and place else (place, [])


def test_private_models_are_found_by_their_organisation_only(tmp_path):
    zoo = Registry(tmp_path)
    publish(zoo, "acme/bert")
    publish(zoo, "other/bert")
    zoo.access.set_private("acme/bert", True)
    stranger, member = Identity("x"), Identity("x", {"acme": 1})
    for asked in ({"q": "bert"}, {"q": "bert", "sort": "name"}, {"sort": "updated"}):
        assert names(zoo, who=stranger, **asked) == ["other/bert"]
        assert len(names(zoo, who=member, **asked)) == 2


# From what the newest release makes to what 0003 left, on either kind of database.
UNDO = (
    "DROP INDEX ix_repository_published",
    "ALTER TABLE repository DROP COLUMN published",
    "DROP TABLE waiting",
    "ALTER TABLE repository ADD COLUMN committed_at TIMESTAMP",
    "CREATE INDEX ix_repository_committed_at ON repository (committed_at)",
    "DROP TABLE upload_part",
    "DROP TABLE upload",
    "DROP TABLE model_search",
    "DROP TABLE repository_search",
    "DROP INDEX ix_repository_changed",
    "ALTER TABLE repository DROP COLUMN changed",
    "CREATE INDEX ix_repository_updated_at ON repository (updated_at)",
    "DROP TABLE form",
    "DROP INDEX ix_version_model_id",
    "DROP INDEX ix_version_id",
    "CREATE INDEX ix_model_task ON model (task)",
    "UPDATE alembic_version SET version_num = '0003'",
)


def undo(zoo):
    with zoo._engine.begin() as connection:
        for statement in UNDO:
            connection.execute(text(statement))
    zoo.close()


@pytest.mark.both_setups
def test_what_was_published_before_is_found_after_migrating(tmp_path, models, monkeypatch):
    """A catalogue as release 0003 left it becomes what it would be now, also when that was cut off before."""
    zoo = Registry(tmp_path)
    for model in models:
        if model["name"][-1] in "123":
            publish(zoo, model["name"], "0.1", summary="xyzzy", licence={"expression": "0BSD"})
        publish(zoo, **model)
    zoo.repositories.create("org/kept", LOCAL)

    def answers(zoo):
        found = [names(zoo, **asked) for asked in ASKED]
        for unpublished in (True, False):
            some = zoo.repositories.search(LOCAL, words="e", unpublished=unpublished, limit=99)[0]
            found.append(sorted(each.name for each in some))
        return found

    before = answers(zoo)
    undo(zoo)

    monkeypatch.setattr(search, "_AT_ONCE", 30)  # as with many
    with monkeypatch.context() as patched:
        add, added = search.Index._add, []

        def cut_off(index, connection, documents):
            added.append(len(documents))
            if index == INDEX and len(added) > 2:
                raise KeyboardInterrupt
            add(index, connection, documents)

        patched.setattr(search.Index, "_add", cut_off)
        with pytest.raises(KeyboardInterrupt):
            Registry(tmp_path)
    assert added == [1, 30, 30]  # the repository, then models

    migrated = Registry(tmp_path)
    assert answers(migrated) == before
    # What it says of a model can be changed, so it is what publishing would have written.
    publish(migrated, models[0]["name"], "9.0", summary="plugh", task="detection")
    assert names(migrated, q="plugh") == [models[0]["name"]]
    assert models[0]["name"] not in names(migrated, q=models[0]["summary"])


@pytest.mark.both_setups
def test_others_wait_for_whoever_migrates(tmp_path, monkeypatch):
    """Longer than for any other writer."""
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.2)
    zoo = Registry(tmp_path)
    publish(zoo, "org/model")
    undo(zoo)
    fill, begun = search.Index.fill, threading.Event()

    def slow(*arguments):
        begun.set()
        time.sleep(0.5)
        fill(*arguments)

    monkeypatch.setattr(search.Index, "fill", slow)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(Registry, tmp_path)
        assert begun.wait(20)
        assert names(Registry(tmp_path), q="model") == ["org/model"]
        assert names(first.result(), q="model") == ["org/model"]
