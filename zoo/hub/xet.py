"""Uploads in the chunked form that stock Hugging Face clients from 1.20 on insist on (Xet).

Layouts, little endian, from https://huggingface.co/docs/xet:

- A *xorb* is a sequence of chunks: version u8 = 0, compressed size u24, kind u8, size u24, then the data:
  raw (0), an LZ4 frame (1), or an LZ4 frame of the bytes grouped by their place in words of four (2). A
  footer may follow, which begins with another version.
- A *shard* lists files: a header of 48 bytes, then records of 48 bytes each. A file is a record with its
  number of terms n and flags, n terms (xorb, first chunk, last chunk), n more records where bit 31 is set,
  and one with the SHA-256 where bit 30 is set. A record that begins with 32 bytes of 0xFF ends the list.
- Digests are written as four words of 64 bits, each with its bytes reversed.

Xorbs are kept beside the blobs, since clients remember what they have sent and refer to it later. What
they remember belongs to an address, so the address has the name of a collection in it: one that was lost or
dropped comes back under another name (`generation`), and clients send everything again.

An organisation has a collection of its own. The name of a xorb is not checked, so whoever sends other bytes under
a name that others will use would keep them from uploading for ever; this way it is their own files that they spoil.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

import lz4.frame

from zoo.errors import InvalidReference, MissingBlobs, TooLarge, Unauthorized
from zoo.store import Blobs, Kept

LARGEST_XORB = 64 << 20  # bytes, footer aside
LARGEST_SHARD = 64 << 20
LARGEST_CHUNK = 128 << 10
TOKEN_SECONDS = 3600
_RECORD = 48
_END = b"\xff" * 32
_HASH = re.compile(r"[0-9a-f]{64}\Z")
_VERIFIED, _DIGEST_FOLLOWS = 1 << 31, 1 << 30


class InvalidUpload(InvalidReference):
    """A xorb or a shard is not what it should be, or is not whole."""

    status, code, title = 5, "invalid-upload", "The upload cannot be read"


@dataclass(frozen=True)
class Term:
    """Chunks of a xorb: from `start` up to, and without, `stop`; `size` bytes of the file."""

    xorb: str
    size: int
    start: int
    stop: int


@dataclass(frozen=True)
class ShardFile:
    """A file of a shard: its digest and where its bytes are."""

    sha256: str
    terms: tuple[Term, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(term.size for term in self.terms)


class Xet:
    """The xorbs of one zoo, and the tokens for sending them.

    Args:
        kept: Where xorbs are kept.
        store: Where rebuilt files go.
        largest: Bytes of the largest file that is accepted.
    """

    def __init__(self, kept: Kept, store: Blobs, largest: int) -> None:
        self._kept = kept
        self._store = store
        self._largest = largest

    @property
    def generation(self) -> str:
        """The name that all collections here begin with."""
        return self._secret("generation", 8)

    def collection(self, org: str) -> str:
        """The name of an organisation's collection of xorbs."""
        return f"{self.generation}-{hashlib.sha256(org.lower().encode()).hexdigest()[:16]}"

    def token(self, collection: str) -> tuple[str, int]:
        """A token for sending xorbs, for somebody who may write.

        Returns:
            The token, and the second since 1970 at which it ends.
        """
        until = int(time.time()) + TOKEN_SECONDS
        return f"{until}.{self._sign(until, collection)}", until

    def check(self, token: str, collection: str) -> None:
        """Refuse a token that was not made here for a collection, or has ended.

        Raises:
            Unauthorized: It is one of these.
        """
        until, _, signature = token.partition(".")
        good = until.isascii() and until.isdecimal() and len(until) < 16
        expected = self._sign(int(until), collection) if good else ""
        if not good or not hmac.compare_digest(expected.encode(), signature.encode()):
            raise Unauthorized("this is no token for sending chunks", fix="ask for another")
        if int(until) < time.time():
            raise Unauthorized("the token for sending chunks has ended", fix="ask for another")

    def put_xorb(self, collection: str, xorb: str, content: bytes) -> bool:
        """Keep a xorb in a collection.

        Returns:
            Whether it is new.

        Raises:
            InvalidUpload: It cannot be read.
        """
        place = _place(collection, xorb)
        if self._kept.has(place):
            return False
        if sum(1 for _ in chunks(content)) == 0:
            raise InvalidUpload("the xorb has no chunk", fix="send it whole")
        self._kept.write(place, content)
        return True

    def put_shard(self, collection: str, content: bytes) -> tuple[str, ...]:
        """Rebuild the files of a shard from the xorbs of a collection, and place them in the store.

        Returns:
            The digests of the files.

        Raises:
            InvalidUpload: The shard cannot be read, or does not say its files' digests.
            MissingBlobs: It refers to xorbs that are not here.
            DigestMismatch: The bytes of a file are not those that its digest names.
        """
        files = list(read_shard(content))
        for file in files:
            if file.size > self._largest:
                raise TooLarge(
                    f"a file of {file.size} bytes is larger than the {self._largest} that are accepted",
                    fix="split the file, or raise POLYZOO_LARGEST_BLOB on the server",
                )
        needed = {term.xorb for file in files for term in file.terms}
        missing = sorted(xorb for xorb in needed if not self._kept.has(_place(collection, xorb)))
        if missing:
            raise MissingBlobs(
                f"{len(missing)} xorbs of the shard are not here, first {missing[0]}",
                fix="remove the client's cache of chunks ($HF_HOME/xet) and upload again",
            )
        for file in files:
            self._store.put(self._rebuild(collection, file), file.sha256)
        return tuple(file.sha256 for file in files)

    def _rebuild(self, collection: str, file: ShardFile) -> Iterator[bytes]:
        name, content = "", b""
        for term in file.terms:
            size = 0
            if term.xorb != name:
                name, content = term.xorb, self._kept.read(_place(collection, term.xorb)) or b""
            for number, piece in enumerate(chunks(content)):
                if number >= term.stop:
                    break
                if number >= term.start:
                    data = piece.data
                    size += len(data)
                    yield data
            if size != term.size:
                raise InvalidUpload(
                    f"chunks {term.start} to {term.stop} of {term.xorb} have {size} bytes, not {term.size}",
                    fix="upload again",
                )

    def _sign(self, until: int, collection: str) -> str:
        key = bytes.fromhex(self._secret("key", 32))
        said = f"{until}.{collection}".encode(errors="replace")
        return hmac.new(key, said, hashlib.sha256).hexdigest()

    def _secret(self, name: str, size: int) -> str:
        """Random digits that are made once, by whoever asks first, and kept."""
        return self._kept.once(name, secrets.token_hex(size).encode()).decode()


def _place(collection: str, xorb: str) -> str:
    if not _HASH.match(xorb):
        raise InvalidUpload("this is no name of a xorb", fix="expected 64 hex digits")
    return f"{collection}/{xorb[:2]}/{xorb[2:]}"


@dataclass(frozen=True)
class Chunk:
    """A chunk of a xorb, still compressed."""

    kind: int
    size: int
    packed: memoryview

    @property
    def data(self) -> bytes:
        """Its bytes.

        Raises:
            InvalidUpload: They cannot be unpacked.
        """
        if self.kind == 0:
            plain = bytes(self.packed)
        else:
            plain = _unpack(self.packed, self.size)
        if len(plain) != self.size:
            raise InvalidUpload("a chunk has another size than it says", fix="upload again")
        return _ungroup(plain) if self.kind == 2 else plain


def chunks(xorb: bytes) -> Iterator[Chunk]:
    """The chunks of a xorb, in order.

    Raises:
        InvalidUpload: It cannot be read.
    """
    view, at = memoryview(xorb), 0
    while at < len(view) and view[at] == 0:
        head = view[at : at + 8]
        if len(head) < 8:
            raise InvalidUpload("a xorb ends within the head of a chunk", fix="send it whole")
        packed, kind, size = (
            int.from_bytes(head[1:4], "little"),
            head[4],
            int.from_bytes(head[5:8], "little"),
        )
        at += 8
        if kind > 2 or size > LARGEST_CHUNK or at + packed > len(view):
            raise InvalidUpload("a chunk of a xorb cannot be read", fix="send it whole")
        yield Chunk(kind, size, view[at : at + packed])
        at += packed


def read_shard(shard: bytes) -> Iterator[ShardFile]:
    """The files of a shard.

    Raises:
        InvalidUpload: It cannot be read.
    """
    at = _RECORD

    def record() -> bytes:
        nonlocal at
        found = shard[at : at + _RECORD]
        if len(found) < _RECORD:
            raise InvalidUpload("a shard ends within a record", fix="send it whole")
        at += _RECORD
        return found

    while (head := record())[:32] != _END:
        flags, count = struct.unpack_from("<II", head, 32)
        if count * _RECORD > len(shard):
            raise InvalidUpload("a shard names more terms than it has", fix="send it whole")
        terms = []
        for _ in range(count):
            row = record()
            _, size, start, stop = struct.unpack_from("<IIII", row, 32)
            terms.append(Term(spelt(row), size, start, stop))
        if flags & _VERIFIED:
            at += count * _RECORD
        if not flags & _DIGEST_FOLLOWS:
            raise InvalidUpload("a shard has a file without SHA-256", fix="use a newer client")
        yield ShardFile(spelt(record()), tuple(terms))


def spelt(digest: bytes) -> str:
    """The first 32 bytes as these digests are written."""
    return "".join(f"{word:016x}" for word in struct.unpack_from("<4Q", digest))


def _unpack(packed: memoryview, size: int) -> bytes:
    try:
        machine = lz4.frame.LZ4FrameDecompressor()
        plain: bytes = machine.decompress(bytes(packed), max_length=size + 1)
    except (RuntimeError, EOFError) as problem:
        raise InvalidUpload(f"a chunk cannot be unpacked: {problem}", fix="upload again") from None
    return plain


def _ungroup(grouped: bytes) -> bytes:
    """Undo the grouping: first all bytes at places 0 of words, then those at 1, 2 and 3."""
    plain, at = bytearray(len(grouped)), 0
    for place in range(4):
        count = len(range(place, len(grouped), 4))
        plain[place::4] = grouped[at : at + count]
        at += count
    return bytes(plain)
