"""Chunked uploads, made by hand: what is rebuilt, and what is refused."""

from __future__ import annotations

import contextlib
import hashlib
import struct

import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import DigestMismatch, MissingBlobs, TooLarge, Unauthorized
from zoo.hub.xet import InvalidUpload, Xet, chunks, read_shard, spelt
from zoo.store import Folder, Store

XORB = "ab" * 32


def packed(data: bytes, kind: int) -> bytes:
    grouped = b"".join(data[place::4] for place in range(4)) if kind == 2 else data
    body = grouped if kind == 0 else lz4.frame.compress(grouped)
    return (
        b"\0"
        + len(body).to_bytes(3, "little")
        + bytes([kind])
        + len(data).to_bytes(3, "little")
        + body
    )


def raw(name: str) -> bytes:
    return struct.pack("<4Q", *(int(name[i : i + 16], 16) for i in range(0, 64, 16)))


def shard(sha256: str, *terms: tuple[str, int, int, int], flags: int = 1 << 30) -> bytes:
    rows = [
        b"\0" * 32 + struct.pack("<QQ", 2, 0),
        b"\1" * 32 + struct.pack("<IIQ", flags, len(terms), 0),
    ]
    rows += [raw(xorb) + struct.pack("<IIII", 0, *numbers) for xorb, *numbers in terms]
    if flags & 1 << 31:
        rows += [b"\2" * 48] * len(terms)
    if flags & 1 << 30:
        rows.append(raw(sha256) + b"\0" * 16)
    return b"".join([*rows, b"\xff" * 48])


@pytest.fixture
def xet(tmp_path):
    return Xet(Folder(tmp_path / "xet"), Store(tmp_path / "blobs"), largest=1 << 20)


@pytest.fixture
def ours(xet):
    return xet.collection("ours")


@given(st.lists(st.tuples(st.binary(max_size=300), st.sampled_from([0, 1, 2])), min_size=1))
def test_chunks_of_every_kind(parts):
    xorb = b"".join(packed(data, kind) for data, kind in parts) + b"XETBLOB"
    assert [chunk.data for chunk in chunks(xorb)] == [data for data, _ in parts]


@given(st.binary(max_size=400))
def test_nonsense_is_refused_in_words(content):
    for read in (
        lambda: [chunk.data for chunk in chunks(content)],
        lambda: list(read_shard(content)),
    ):
        with contextlib.suppress(InvalidUpload):
            read()


def test_a_file_of_several_terms(xet, ours, tmp_path):
    xet.put_xorb(
        ours,
        XORB,
        b"".join(packed(data, kind) for kind, data in enumerate((b"zero", b"one!", b"two"))),
    )
    whole = b"one!twozero"
    digest = hashlib.sha256(whole).hexdigest()
    assert spelt(raw(digest)) == digest
    both = (1 << 31) | (1 << 30)
    xet.put_shard(ours, shard(digest, (XORB, 7, 1, 3), (XORB, 4, 0, 1), flags=both))
    assert Store(tmp_path / "blobs").path(digest).read_bytes() == whole


def test_what_does_not_fit_is_refused_and_nothing_is_kept(xet, ours, tmp_path):
    xet.put_xorb(ours, XORB, packed(b"data", 0))
    digest = hashlib.sha256(b"data").hexdigest()
    refused = {
        DigestMismatch: shard("0" * 64, (XORB, 4, 0, 1)),
        InvalidUpload: shard(digest, (XORB, 5, 0, 1)),
        MissingBlobs: shard(digest, ("cd" * 32, 4, 0, 1)),
        TooLarge: shard(digest, (XORB, 1 << 30, 0, 1)),
    }
    for error, content in refused.items():
        with pytest.raises(error):
            xet.put_shard(ours, content)
    with pytest.raises(InvalidUpload, match="SHA-256"):
        xet.put_shard(ours, shard(digest, (XORB, 4, 0, 1), flags=0))
    assert list(Store(tmp_path / "blobs")) == []
    assert list((tmp_path / "blobs" / "tmp").iterdir()) == []


def test_a_chunk_cannot_unpack_to_more_than_it_says(xet):
    bomb = packed(bytes(100_000), 1)
    lie = bomb[:5] + (10).to_bytes(3, "little") + bomb[8:]
    with pytest.raises(InvalidUpload, match="another size"):
        next(chunks(lie)).data  # noqa: B018


@pytest.mark.parametrize("name", ["../" * 22, "AB" * 32, "a", ""])
def test_names_of_xorbs_are_checked(xet, ours, name):
    with pytest.raises(InvalidUpload):
        xet.put_xorb(ours, name, packed(b"x", 0))


def test_nobody_spoils_what_another_organisation_sends(xet, ours, tmp_path):
    digest = hashlib.sha256(b"data").hexdigest()
    theirs = xet.collection("theirs")
    assert xet.put_xorb(theirs, XORB, packed(b"evil", 0))
    assert xet.put_xorb(ours, XORB, packed(b"data", 0))
    with pytest.raises(DigestMismatch):
        xet.put_shard(theirs, shard(digest, (XORB, 4, 0, 1)))
    xet.put_shard(ours, shard(digest, (XORB, 4, 0, 1)))
    assert Store(tmp_path / "blobs").path(digest).read_bytes() == b"data"
    assert xet.collection("OURS") == ours


def test_tokens(xet, ours, tmp_path):
    token, _ = xet.token(ours)
    xet.check(token, ours)
    Xet(Folder(tmp_path / "xet"), Store(tmp_path / "blobs"), 1).check(token, ours)
    until, _, signature = token.partition(".")
    for wrong in (
        "",
        "x",
        f"{int(until) + 1}.{signature}",
        f"{until}.",
        f"{until}.é",
        "9" * 5000 + ".x",
    ):
        with pytest.raises(Unauthorized):
            xet.check(wrong, ours)
    for elsewhere in (xet.collection("theirs"), "", f"{ours}/..", "\ud800"):
        with pytest.raises(Unauthorized):
            xet.check(token, elsewhere)
    assert (tmp_path / "xet" / "key").stat().st_mode & 0o077 == 0


def test_a_lost_collection_has_another_name(xet, tmp_path):
    before = xet.generation
    assert before == xet.generation
    (tmp_path / "xet" / "generation").unlink()
    assert xet.generation != before
