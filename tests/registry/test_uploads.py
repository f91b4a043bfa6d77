from __future__ import annotations

import errno
import hashlib
import os
import time

import pytest

from zoo import uploads as room
from zoo.errors import Conflict, DigestMismatch, NoSpace, NotFound, TooLarge, ZooError
from zoo.store import Store
from zoo.uploads import Uploads

DATA = b"0123456789"
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "blobs")


@pytest.fixture
def uploads(tmp_path, store):
    return Uploads(tmp_path / "uploads", store, largest=1000, lifetime=100)


def send(uploads, upload_id, offset, data):
    with uploads.append(upload_id, offset) as writer:
        writer.write(data)


def left(tmp_path):
    return list((tmp_path / "uploads").iterdir())


def test_in_parts_across_a_restart(tmp_path, store, uploads):
    upload = uploads.create(DIGEST, 10)
    send(uploads, upload.id, 0, DATA[:4])
    again = Uploads(tmp_path / "uploads", Store(tmp_path / "blobs"), largest=1000, lifetime=100)
    assert again.status(upload.id).offset == 4
    send(again, upload.id, 4, DATA[4:])
    assert store.path(DIGEST).read_bytes() == DATA
    assert left(tmp_path) == []
    assert again.create(DIGEST, 10) is None
    with pytest.raises(NotFound):
        again.status(upload.id)


def test_a_disk_that_fails_on_the_way_is_heard_of(monkeypatch, tmp_path, store, uploads):
    """The system tells of it once, when the file is synced before its end."""
    upload, said = uploads.create(DIGEST, 10), [OSError(errno.EIO, os.strerror(errno.EIO))]
    sync = os.fsync

    def failing(handle):
        if said:
            raise said.pop()
        sync(handle)

    monkeypatch.setattr(room, "SYNC", 4)
    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(ZooError, match=os.strerror(errno.EIO)):
        send(uploads, upload.id, 0, DATA[:5])
    assert said == []
    send(uploads, upload.id, 5, DATA[5:])
    assert store.path(DIGEST).read_bytes() == DATA


def test_an_offset_out_of_step_says_where_to_go_on(uploads):
    upload = uploads.create(DIGEST, 10)
    send(uploads, upload.id, 0, DATA[:4])
    for offset in (0, 3, 5, 10):
        with pytest.raises(Conflict, match="is at offset 4") as caught:
            send(uploads, upload.id, offset, b"x")
        assert caught.value.details == {"offset": 4}


def test_one_writer_at_a_time(uploads):
    upload = uploads.create(DIGEST, 10)
    with uploads.append(upload.id, 0) as writer:
        writer.write(DATA[:5])
        with pytest.raises(Conflict, match="another request"):
            send(uploads, upload.id, 5, DATA[5:])
        with pytest.raises(Conflict, match="another request"):
            uploads.forget(upload.id)
    send(uploads, upload.id, 5, DATA[5:])


def test_what_came_before_a_failure_stays(uploads):
    upload = uploads.create(DIGEST, 10)

    def break_off():
        with uploads.append(upload.id, 0) as writer:
            writer.write(DATA[:5])
            raise ConnectionResetError

    with pytest.raises(ZooError):
        break_off()
    assert uploads.status(upload.id).offset == 5


def test_wrong_bytes_are_dropped(tmp_path, store, uploads):
    upload = uploads.create(DIGEST, 10)
    with pytest.raises(DigestMismatch):
        send(uploads, upload.id, 0, b"x" * 10)
    assert not store.has(DIGEST)
    assert left(tmp_path) == []


def test_more_than_announced_is_refused(uploads):
    upload = uploads.create(DIGEST, 10)
    with pytest.raises(TooLarge):
        send(uploads, upload.id, 0, DATA + b"x")
    assert uploads.status(upload.id).offset == 0
    with pytest.raises(TooLarge, match="larger than the 1000"):
        uploads.create("0" * 64, 1001)


def test_an_empty_blob(store, uploads):
    empty = hashlib.sha256(b"").hexdigest()
    upload = uploads.create(empty, 0)
    send(uploads, upload.id, 0, b"")
    assert store.size(empty) == 0


def test_no_room(uploads, monkeypatch):
    usage = type("Usage", (), {"free": 9})
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(NoSpace):
        uploads.create(DIGEST, 10)


def test_forgetting(tmp_path, uploads):
    upload = uploads.create(DIGEST, 10)
    uploads.forget(upload.id)
    assert left(tmp_path) == []
    with pytest.raises(NotFound):
        uploads.forget(upload.id)


def test_those_that_rest_too_long_are_removed(tmp_path, uploads):
    old, new = uploads.create(DIGEST, 10), uploads.create(DIGEST, 10)
    then = time.time() - 1000
    os.utime(tmp_path / "uploads" / f"{old.id}.part", (then, then))
    assert uploads.sweep() == 1
    assert uploads.status(new.id).offset == 0
    with pytest.raises(NotFound):
        uploads.status(old.id)


@pytest.mark.parametrize("name", ["../x", "", "x" * 32, "0" * 33, "0" * 31 + "/", "\x00" * 32])
def test_nothing_but_ids_reaches_the_disk(uploads, name):
    for action in (uploads.status, uploads.forget, lambda n: send(uploads, n, 0, b"")):
        with pytest.raises(NotFound):
            action(name)


def test_large_pieces_in_parts_are_hashed_in_their_order(store, uploads):
    """A thread hashes large pieces behind the writer; small ones between them wait for their turn."""
    pieces = [os.urandom(size) for size in (300_000, 7, 1 << 20, 1 << 20, 140_000, 0, 9, 1 << 20)]
    data = b"".join(pieces)
    digest = hashlib.sha256(data).hexdigest()
    room_for_it = Uploads(uploads._root, store, largest=1 << 23, lifetime=100)
    upload = room_for_it.create(digest, len(data))
    for part in (pieces[:4], pieces[4:]):
        with room_for_it.append(upload.id, room_for_it.status(upload.id).offset) as writer:
            for piece in part:
                writer.write(piece)
    assert store.path(digest).read_bytes() == data


def test_a_large_piece_that_is_wrong_is_found(store, uploads):
    right = os.urandom(3 << 20)
    room_for_it = Uploads(uploads._root, store, largest=1 << 23, lifetime=100)
    upload = room_for_it.create(hashlib.sha256(right).hexdigest(), len(right))
    send(room_for_it, upload.id, 0, right[: 1 << 20])
    with pytest.raises(DigestMismatch):
        send(room_for_it, upload.id, 1 << 20, right[: 2 << 20])
    assert not store.has(upload.sha256)
