"""Repositories as the domain: what main is made of, races, refs, and when a repository is quiet."""

from __future__ import annotations

import hashlib
import subprocess

import pytest

from zoo.access import LOCAL, Identity, Role
from zoo.catalogue import paging
from zoo.errors import Conflict, Forbidden, InvalidReference, NotFound
from zoo.hub.objects import REGULAR_LIMIT, Entry, file_id, pointer, write_trees
from zoo.hub.records import Addition, Deletion
from zoo.hub.repositories import EntryNotFound, RevisionNotFound
from zoo.manifest import validate_manifest
from zoo.registry import Registry


@pytest.fixture
def zoo(tmp_path):
    made = Registry(tmp_path / "zoo")
    yield made
    made.close()


def put(zoo, content):
    digest = hashlib.sha256(content).hexdigest()
    zoo.store.put([content], digest)
    return digest


def commit(zoo, files, name="org/model", title="Change", **more):
    operations = [Addition(path, put(zoo, content)) for path, content in files.items()]
    return zoo.repositories.change(
        name, more.pop("branch", "main"), operations, LOCAL, title=title, **more
    )


def publish(zoo, version="1.0.0", name="org/model", frameworks=("onnx",), **more):
    artifacts = [
        {"framework": framework, "format": "any", "precision": "fp32", "entry": "m",
         "files": [{"path": "m", "sha256": put(zoo, f"{framework} {version}".encode())}]}
        for framework in frameworks
    ]  # fmt: skip
    fields = {"name": name, "version": version, "task": "ocr", "summary": "Reads.",
              "licence": {"expression": "MIT"}, "lineage": {"publisher": "Org"},
              "artifacts": artifacts, **more}  # fmt: skip
    zoo.publish(validate_manifest(fields, "test"))


def paths(zoo, revision="main", name="org/model"):
    return set(zoo.repositories.files(name, revision, LOCAL)[1])


def test_ids_are_those_of_git(tmp_path):
    """A repository made by git itself has the same ids."""
    files = {"a.txt": b"a", "b/c.txt": b"c", "b.txt": b"", "b-d": b"d", "b0/é": b"x"}
    entries = []
    for path, content in files.items():
        place = tmp_path / path
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        oid = file_id(digest, len(content), [content])
        entries.append(Entry(path, digest, len(content), oid))
    for command in (("init", "-q"), ("add", "."), ("write-tree",)):
        done = subprocess.run(
            ["git", *command], cwd=tmp_path, capture_output=True, text=True, check=True
        )
    assert write_trees(entries)[0] == done.stdout.strip()
    large = file_id("0" * 64, REGULAR_LIMIT + 1, ())
    (tmp_path / "pointer").write_bytes(pointer("0" * 64, REGULAR_LIMIT + 1))
    done = subprocess.run(
        ["git", "hash-object", "pointer"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert large == done.stdout.strip()


def test_main_is_the_upload_with_the_published_forms_beside_it(zoo):
    zoo.repositories.create("org/model", LOCAL)
    files = {"model.safetensors": b"w", "paddle/own": b"mine"}
    upload = commit(zoo, files, branch="refs/heads/main")
    assert paths(zoo) == {"model.safetensors", "paddle/own"}
    publish(zoo, frameworks=("onnx", "paddle"))
    # A folder of the upload is left alone; the form can be had by its revision.
    assert paths(zoo) == {"model.safetensors", "paddle/own", "README.md", "onnx/m"}
    assert paths(zoo, "paddle") == {"m", "README.md"}
    assert paths(zoo, "1.0.0") == {"README.md", "onnx/m", "paddle/m"}
    assert paths(zoo, upload.id) == {"model.safetensors", "paddle/own"}
    commit(zoo, {"README.md": b"---\ntags: [mine]\n---\n"}, title="Card")
    assert {"mine", "onnx", "paddle"} <= set(zoo.repositories.info("org/model", LOCAL).tags)
    history = [c.title for c in zoo.repositories.history("org/model", "main", LOCAL)]
    assert history == ["Card (with 1.0.0 beside it)", "Card", "Change", "Begin"]
    with pytest.raises(Conflict, match="belongs to a published version"):
        zoo.repositories.change("org/model", "main", [Deletion("onnx", True)], LOCAL, title="x")


def test_forms_follow_the_latest_version(zoo):
    publish(zoo, "2.0.0", frameworks=("onnx", "pytorch"))
    head = zoo.repositories.commit("org/model", "main", LOCAL).id
    publish(zoo, "1.5.0", frameworks=("mindspore",))
    assert zoo.repositories.commit("org/model", "main", LOCAL).id == head
    publish(zoo, "3.0.0", frameworks=("pytorch",))
    assert paths(zoo) == {"README.md", "pytorch/m"}
    assert paths(zoo, "1.5.0") == {"README.md", "mindspore/m"}
    with pytest.raises(RevisionNotFound):
        paths(zoo, "onnx")


def test_zoos_of_before_have_repositories_too(zoo):
    """What was published while there were no repositories is there at the first look."""
    publish(zoo)
    engine = zoo._engine
    with engine.begin() as connection:
        for table in ("ref", '"commit"', "tree", "repository"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    assert paths(zoo) == {"README.md", "onnx/m"}


def test_a_race_is_lost_by_whoever_comes_second(zoo):
    zoo.repositories.create("org/model", LOCAL)
    head = zoo.repositories.commit("org/model", "main", LOCAL).id
    first = commit(zoo, {"a": b"1"}, parent=head)
    with pytest.raises(Conflict, match=f"is at {first.id}, not at {head}"):
        commit(zoo, {"b": b"2"}, parent=head)
    assert commit(zoo, {"a": b"1"}).id == first.id, "nothing changes, so nothing is committed"


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/x",
        "a//b",
        ".git/config",
        "a\\b",
        "a\x00b",
        "",
        "con",
        "x/..",
        "a\x1fb",
        "exe\u202etxt.sh",
    ],
)
def test_paths_are_checked(zoo, path):
    zoo.repositories.create("org/model", LOCAL)
    with pytest.raises(InvalidReference):
        commit(zoo, {path: b"x"})


def test_a_path_is_a_file_or_a_folder(zoo):
    zoo.repositories.create("org/model", LOCAL)
    with pytest.raises(InvalidReference, match="a file and a folder"):
        commit(zoo, {"a": b"x", "a/b": b"y"})
    with pytest.raises(EntryNotFound):
        zoo.repositories.change("org/model", "main", [Deletion("no")], LOCAL, title="x")


@pytest.mark.parametrize(
    "name", ["main", "onnx", "a" * 40, "refs/heads/x", "..", "a b", "-x", "x.lock"]
)
def test_names_of_branches_are_checked(zoo, name):
    zoo.repositories.create("org/model", LOCAL)
    with pytest.raises(InvalidReference):
        zoo.repositories.create_branch("org/model", name, "main", LOCAL)


def test_what_is_published_is_not_deleted_moved_or_renamed(zoo):
    publish(zoo)
    for refused in (
        lambda: zoo.repositories.delete("org/model", LOCAL),
        lambda: zoo.repositories.move("org/model", "org/other", LOCAL),
        lambda: zoo.repositories.delete_ref("org/model", "tag", "1.0.0", LOCAL),
        lambda: zoo.repositories.create_tag("org/model", "1.0.0", "main", LOCAL),
        lambda: zoo.repositories.create("org/MODEL", LOCAL),
    ):
        with pytest.raises(Conflict):
            refused()


def test_roles(zoo):
    who = Identity("alice", {"org": Role.WRITE}, token=1)
    zoo.repositories.create("org/model", who)
    with pytest.raises(Forbidden):
        zoo.repositories.delete("org/model", who)
    with pytest.raises(Forbidden):
        zoo.repositories.create("other/model", who)
    zoo.access.set_private("org/model", True)
    with pytest.raises(NotFound):
        zoo.repositories.info("org/model", Identity("bob", token=2))


def test_uploads_wait_until_somebody_has_looked_at_them(zoo):
    publish(zoo, name="org/published")
    zoo.repositories.create("org/model", LOCAL)
    assert zoo.intake.due(0) == ()
    commit(zoo, {"a": b"1", "onnx/model.onnx": b"of a form"})
    assert zoo.intake.due(3600) == ()
    (found,) = zoo.intake.due(0)
    assert (found.name, found.revision, found.version) == ("org/model", "main", "0.0.2")
    assert set(found.files) == {"a"}
    # Another commit while somebody looks: nothing is lost.
    commit(zoo, {"b": b"2"})
    zoo.intake.done(found)
    zoo.intake.refuse(found, "no model")
    assert zoo.intake.refused("org/model") == ()
    (found,) = zoo.intake.due(0)
    assert (set(found.files), found.version) == ({"a", "b"}, "0.0.3")
    zoo.intake.refuse(found, "no model")
    assert [item.problem for item in zoo.intake.refused("org/model")] == ["no model"]
    assert zoo.intake.due(0) == ()
    zoo.repositories.create_tag("org/model", "later", "main", LOCAL)
    zoo.repositories.create_tag("org/model", "v1.0rc1", "main", LOCAL)
    (tagged,) = zoo.intake.due(3600)
    assert (tagged.revision, tagged.version) == ("v1.0rc1", "1.0rc1")
    zoo.intake.done(tagged)
    assert zoo.intake.due(3600) == ()


def test_the_card_is_metadata_only_where_it_can_be_read(zoo):
    zoo.repositories.create("org/model", LOCAL)
    bomb = b"---\na: &a [1,1]\nb: [*a,*a]\ntags: [x]\n---\n"
    lone = b'---\na: "\\uD800"\n---\n'
    for text in (
        bomb,
        lone,
        b"---\n[\n---\n",
        b"---\n- 1\n---\n",
        b"\xff\xfe",
        b"---\ntags: 3\n---\n",
    ):
        commit(zoo, {"README.md": text})
        assert zoo.repositories.info("org/model", LOCAL).tags == ()


def listed(zoo, **asked):
    """Names of all pages, two at a time."""
    found, cursor = [], None
    while True:
        page, cursor = zoo.repositories.search(LOCAL, **asked, limit=2, cursor=cursor)
        found += [info.name for info in page]
        if cursor is None:
            return found


def test_repositories_are_found_by_words_tags_and_authors(zoo, monkeypatch):
    for name in ("acme/bert", "acme/roberta", "Other/bert-large", "other/ocr"):
        zoo.repositories.create(name, LOCAL)
    head = "---\nlicense: mit\ntags: [文字, bert]\n---\n"
    commit(zoo, {"README.md": head.encode()}, name="other/ocr")
    publish(zoo, name="acme/published")
    zoo.repositories.move("acme/roberta", "acme/distilled", LOCAL)
    zoo.repositories.create("acme/gone-bert", LOCAL)
    zoo.repositories.delete("acme/gone-bert", LOCAL)
    newest = ["acme/published", "other/ocr", "Other/bert-large", "acme/distilled", "acme/bert"]
    for room in (1000, 1):  # as few, and as if there were many
        monkeypatch.setattr(paging, "LOOK", room)
        monkeypatch.setattr(paging, "FEW", room)
        assert listed(zoo) == newest
        assert listed(zoo, sort="name") == sorted(newest, key=str.lower)
        assert listed(zoo, sort="lastModified")[:2] == ["acme/published", "other/ocr"]
        assert listed(zoo, words="BERT") == ["acme/bert", "Other/bert-large", "other/ocr"]
        assert listed(zoo, words="文") == ["other/ocr"]
        assert listed(zoo, words="roberta") == []
        assert listed(zoo, author="OTHER", sort="name") == ["Other/bert-large", "other/ocr"]
        assert listed(zoo, tags=["license:mit", "文字"]) == ["other/ocr"]
        assert listed(zoo, tags=["onnx"], words="publ") == ["acme/published"]
        assert listed(zoo, tags=["onn"]) == []
    assert [i.name for i in zoo.repositories.search(LOCAL, limit=2, offset=3)[0]] == newest[3:]
    with pytest.raises(InvalidReference, match="cursor"):
        zoo.repositories.search(LOCAL, cursor="bmFtZQ")


def test_paths_know_the_commit_that_changed_them_last(zoo, monkeypatch):
    zoo.repositories.create("org/model", LOCAL)
    first = commit(
        zoo, {"a": b"1", "deep/down/x": b"1", "deep/y": b"1", "gone/z": b"1"}, title="first"
    )
    second = commit(zoo, {"deep/down/x": b"2"}, title="second")
    gone = [Deletion("gone", folder=True), Addition("new", put(zoo, b"n"))]
    third = zoo.repositories.change("org/model", "main", gone, LOCAL, title="third")
    # What was a file becomes a folder.
    both = [Deletion("a"), Addition("a/b", put(zoo, b"1"))]
    fourth = zoo.repositories.change("org/model", "main", both, LOCAL, title="fourth")

    def last(*wanted, at="main"):
        where = zoo.repositories.commit("org/model", at, LOCAL).id
        found = zoo.repositories.changed_last("org/model", where, wanted, LOCAL)
        return [found[path].id if path in found else None for path in wanted]

    assert last("a", "a/b", "deep", "deep/down", "deep/down/x", "deep/y", "new") == [
        fourth.id, fourth.id, second.id, second.id, second.id, first.id, third.id,
    ]  # fmt: skip
    assert last("deep/y", "gone", at=first.id) == [first.id, first.id]
    # Published forms came beside the upload with the version.
    publish(zoo)
    at = zoo.repositories.commit("org/model", "main", LOCAL)
    assert last("onnx", "onnx/m", "deep/y") == [at.id, at.id, first.id]
    # Where all of a history is too much, nothing is said rather than something wrong.
    monkeypatch.setattr("zoo.hub.history.MOST_NAMES", 150)
    assert last("onnx", "deep/y") == [at.id, None]


def test_the_beginning_of_a_commit_names_it_where_it_is_the_only_one(zoo):
    zoo.repositories.create("org/model", LOCAL)
    first, second = (commit(zoo, {"a": content}).id for content in (b"1", b"2"))
    look = zoo.repositories.commit
    assert look("org/model", first[:7], LOCAL).id == first
    for nothing in (first[:4], first[:39] + "g", first[:39] + ("0" if first[-1] != "0" else "1")):
        with pytest.raises(RevisionNotFound):
            look("org/model", nothing, LOCAL)
    zoo.repositories.create_tag("org/model", first[:7], second, LOCAL)
    assert look("org/model", first[:7], LOCAL).id == second
    assert commit(zoo, {"a": b"3"}, parent=second[:7]).id
    with pytest.raises(Conflict):
        commit(zoo, {"a": b"4"}, parent=second[:7])
    with pytest.raises(RevisionNotFound, match="no branch"):
        commit(zoo, {"a": b"4"}, branch=first)


def test_a_squashed_branch_is_one_commit_and_frees_what_only_its_past_had(zoo):
    zoo.repositories.create("org/model", LOCAL)
    past = [commit(zoo, {"a": content, "b": b"kept"}).id for content in (b"1", b"2", b"3")]
    zoo.repositories.create_branch("org/model", "side", past[1], LOCAL)
    made = zoo.repositories.squash("org/model", "main", LOCAL, title="One")
    assert [step.title for step in zoo.repositories.history("org/model", "main", LOCAL)] == ["One"]
    assert paths(zoo) == {"a", "b"}
    # What the other branch leads to is still there, the rest is not.
    assert zoo.repositories.commit("org/model", past[0], LOCAL).id == past[0]
    with pytest.raises(RevisionNotFound):
        zoo.repositories.commit("org/model", past[2], LOCAL)
    zoo.repositories.squash("org/model", "side", LOCAL, title="Side")
    needed = set(zoo.repositories.blobs())
    assert {put(zoo, content) in needed for content in (b"2", b"3", b"kept")} == {True}
    assert put(zoo, b"1") not in needed
    # What waits to be converted is what is there now, and commits go on from it.
    (waiting,) = zoo.intake.due(0)
    assert set(waiting.files) == {"a", "b"}
    assert commit(zoo, {"c": b"4"}, parent=made.id)
    with pytest.raises(Forbidden):
        zoo.repositories.squash(
            "org/model", "main", Identity("w", grants={"org": Role.WRITE}), title="x"
        )
    # Versions count commits.
    publish(zoo)
    with pytest.raises(Conflict, match="published versions"):
        zoo.repositories.squash("org/model", "main", LOCAL, title="x")
    assert zoo.repositories.squash("org/model", "side", LOCAL, title="y").title == "y"


def test_a_tag_that_is_taken_away_is_not_converted(zoo):
    zoo.repositories.create("org/model", LOCAL)
    commit(zoo, {"a": b"1"})
    zoo.repositories.create_tag("org/model", "v1.0", "main", LOCAL)
    assert {upload.revision for upload in zoo.intake.due(0)} == {"main", "v1.0"}
    zoo.repositories.delete_ref("org/model", "tag", "v1.0", LOCAL)
    assert {upload.revision for upload in zoo.intake.due(0)} == {"main"}


def test_a_duplicate_has_the_files_and_is_as_private(zoo):
    zoo.repositories.create("org/model", LOCAL, private=True)
    commit(zoo, {"README.md": b"---\ntags: [x]\n---\n", "a/b": b"1"})
    zoo.repositories.duplicate("org/model", "else/copy", LOCAL)
    copy = zoo.repositories.info("else/copy", LOCAL)
    assert (copy.private, copy.tags, paths(zoo, name="else/copy")) == (
        True,
        ("x",),
        {"README.md", "a/b"},
    )
    assert len(zoo.repositories.history("else/copy", "main", LOCAL)) == 2
    zoo.repositories.duplicate("org/model", "else/open", LOCAL, private=False)
    assert not zoo.repositories.info("else/open", LOCAL).private
    with pytest.raises(Conflict):
        zoo.repositories.duplicate("org/model", "else/copy", LOCAL)
    stranger = Identity("s", grants={"else": Role.WRITE})
    with pytest.raises(NotFound):
        zoo.repositories.duplicate("org/model", "else/stolen", stranger)
    with pytest.raises(Forbidden):
        zoo.repositories.duplicate("else/open", "org/mine", stranger)
