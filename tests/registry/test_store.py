from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from zoo import store as room
from zoo.errors import DigestMismatch, InvalidReference, NoSpace, NotFound, ZooError
from zoo.store import Store


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def files(root):
    return [path for path in root.rglob("*") if path.is_file()]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "blobs")


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.binary(max_size=3000))
def test_bytes_come_back(store, data):
    digest = sha256(data)
    path = store.put(io.BytesIO(data), digest)
    assert path.parts[-3:] == ("sha256", digest[:2], digest[2:])
    assert store.path(digest).read_bytes() == data
    assert store.size(digest) == len(data)
    with store.open(digest) as file:
        assert file.read() == data
    store.verify(digest)
    assert digest in set(store)


def test_takes_paths_and_pieces_and_keeps_one_copy(store, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"abc")
    first = store.put(source, sha256(b"abc"))
    before = first.stat()
    assert store.put([b"a", b"bc"], sha256(b"abc")) == first
    assert first.stat().st_ino == before.st_ino
    assert len(files(tmp_path / "blobs")) == 1
    assert not first.stat().st_mode & 0o222


def test_refuses_other_bytes_and_keeps_nothing(store, tmp_path):
    with pytest.raises(DigestMismatch) as caught:
        store.put([b"abx"], sha256(b"abc"))
    assert caught.value.status == 5
    assert not store.has(sha256(b"abc"))
    assert files(tmp_path) == []


def test_adopts_a_file_by_renaming_it(store, tmp_path):
    part = tmp_path / "part"
    part.write_bytes(b"abc")
    inode = part.stat().st_ino
    with pytest.raises(DigestMismatch):
        store.adopt(part, sha256(b"x"))
    assert part.exists()
    assert store.adopt(part, sha256(b"abc")).stat().st_ino == inode
    assert not part.exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "", "A" * 64, "0" * 63, "0" * 63 + "/"])
def test_nothing_but_digests_reaches_the_disk(store, name):
    for action in (store.has, store.path, store.open, store.remove, lambda n: store.put([b""], n)):
        with pytest.raises(InvalidReference):
            action(name)


def test_unknown_and_corrupt_blobs(store):
    with pytest.raises(NotFound):
        store.path("0" * 64)
    path = store.put([b"abc"], sha256(b"abc"))
    path.chmod(0o644)
    path.write_bytes(b"abd")
    with pytest.raises(DigestMismatch):
        store.verify(sha256(b"abc"))
    store.remove(sha256(b"abc"))
    assert not store.has(sha256(b"abc"))


def test_a_source_that_breaks_off_leaves_nothing(store, tmp_path):
    def broken():
        yield b"abc"
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        store.put(broken(), sha256(b"abcdef"))
    assert files(tmp_path) == []


WRITER = """
import sys
from pathlib import Path
from zoo.store import Store

def pieces():
    yield b"a" * 100_000
    print("writing", flush=True)
    sys.stdin.read()
    yield b"b"

Store(Path(sys.argv[1])).put(pieces(), sys.argv[2])
"""


def test_a_killed_writer_leaves_nothing_that_is_seen(tmp_path):
    data = b"a" * 100_000 + b"b"
    command = [sys.executable, "-c", WRITER, str(tmp_path), sha256(data)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"writing\n"
        store = Store(tmp_path)
        # Safe beside a running writer, however long its source makes it wait.
        (partly,) = files(tmp_path)
        long_ago = time.time() - room.REST_SECONDS - 60
        os.utime(partly, (long_ago, long_ago))
        assert store.sweep() == 0
        writer.send_signal(signal.SIGKILL)
    assert not store.has(sha256(data))
    assert list(store) == []
    assert len(files(tmp_path)) == 1
    # It might be somebody who has not taken the lock yet.
    os.utime(partly)
    assert store.sweep() == 0
    os.utime(partly, (long_ago, long_ago))
    assert store.sweep() == 1
    assert files(tmp_path) == []
    store.put([data], sha256(data))
    assert store.has(sha256(data))


SMALL_DISK = """
import resource, sys
from pathlib import Path
from zoo.errors import NoSpace
from zoo.store import Store
import hashlib

resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
data = bytes(3 << 20)
try:
    Store(Path(sys.argv[1])).put([data], hashlib.sha256(data).hexdigest())
except NoSpace as error:
    sys.exit(42)
"""


def test_a_full_disk_leaves_nothing(tmp_path):
    # A limit on file size stands for a full disk: the kernel refuses the write half-way.
    done = subprocess.run([sys.executable, "-c", SMALL_DISK, str(tmp_path)], check=False)
    assert done.returncode == 42
    assert files(tmp_path) == []


def test_a_disk_that_is_full_at_the_end_leaves_nothing(store, tmp_path, monkeypatch):
    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room.os, "fsync", full)
    with pytest.raises(NoSpace) as caught:
        store.put([b"abc"], sha256(b"abc"))
    assert caught.value.fix
    assert files(tmp_path) == []


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ZooError, match="Not a directory"):
        Store(tmp_path / "file" / "blobs")


RACER = """
import sys
from pathlib import Path
from zoo.store import Store
for i in range(20):
    data = bytes([i]) * 50_000
    import hashlib
    Store(Path(sys.argv[1])).put([data], hashlib.sha256(data).hexdigest())
"""


def test_writers_of_the_same_blobs_do_not_disturb_each_other(tmp_path):
    command = [sys.executable, "-c", RACER, str(tmp_path)]
    racers = [subprocess.Popen(command) for _ in range(4)]
    assert [racer.wait() for racer in racers] == [0] * 4
    store = Store(tmp_path)
    assert len(list(store)) == 20
    assert len(files(tmp_path)) == 20
    for digest in store:
        store.verify(digest)
