"""A bucket as a store: what is promised of a disk holds of it too."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from zoo import bucket as room
from zoo.errors import DigestMismatch, InvalidReference, NotFound, StorageUnavailable
from zoo.registry import Registry
from zoo.store import copy_out

pytestmark = pytest.mark.scaled_only


@pytest.fixture
def zoo(tmp_path: Path) -> Iterator[Registry]:
    made = Registry(tmp_path / "zoo")
    yield made
    made.close()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_bytes_come_back_whole_or_not_at_all(zoo: Registry, tmp_path: Path) -> None:
    store = zoo.store
    for data in (b"", b"abc", bytes(range(256)) * (3 * room.PART // 512)):
        digest = sha256(data)
        store.put([data[at : at + (1 << 20)] for at in range(0, len(data), 1 << 20)], digest)
        assert (store.has(digest), store.size(digest)) == (True, len(data))
        copy_out(store, digest, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == data
        assert b"".join(store.pieces(digest, 1, 2) if data else ()) == data[1:2]
        with pytest.raises(DigestMismatch):
            store.put([data, b"x"], sha256(data + b"y"))
        assert not store.has(sha256(data + b"y"))
    assert len(list(store)) == 3
    with pytest.raises(NotFound):
        store.size("0" * 64)
    for name in ("../x", "A" * 64, ""):
        with pytest.raises(InvalidReference):
            store.has(name)


def test_a_blob_may_be_copied_while_it_is_written(zoo: Registry) -> None:
    """Pieces of one object become another: the client is asked while it asks."""
    data = bytes(room.PART + 1)
    zoo.store.put([data], sha256(data))
    twice = sha256(data + b"!")
    zoo.store.put((p for part in (zoo.store.pieces(sha256(data)), [b"!"]) for p in part), twice)
    assert zoo.store.size(twice) == len(data) + 1


def test_what_is_relied_on_counts_as_new(zoo: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "FRESH", 0.0)
    old, kept = sha256(b"old"), sha256(b"kept")
    zoo.store.put([b"old"], old)
    zoo.store.put([b"kept"], kept)
    time.sleep(2.1)  # times of objects are whole seconds
    since = time.time() - 1
    assert {digest for digest, _ in zoo.store.rested(since)} == {old, kept}
    assert zoo.store.keep(kept)
    assert not zoo.store.keep("0" * 64)
    assert list(zoo.store.rested(since)) == [(old, 3)]
    assert not zoo.store.remove_rested(kept, since)
    assert zoo.store.remove_rested(old, since)
    assert list(zoo.store) == [kept]


def test_a_secret_is_made_once(zoo: Registry, tmp_path: Path) -> None:
    other = Registry(tmp_path / "other")
    assert zoo.xet.generation == other.xet.generation
    ours = zoo.xet.collection("ours")
    other.xet.check(zoo.xet.token(ours)[0], ours)
    other.close()


def test_a_bucket_that_is_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYZOO_BUCKET", "s3://nowhere/zoo")
    zoo = Registry(tmp_path / "zoo")
    assert zoo.bucket is not None
    for action in (zoo.bucket.check, lambda: zoo.store.put([b"abc"], sha256(b"abc"))):
        with pytest.raises(StorageUnavailable, match="s3://nowhere/zoo") as caught:
            action()
        assert "a-secret-that-no-log-has" not in caught.value.message
    zoo.close()
