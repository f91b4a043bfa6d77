"""Zip archives: where each member's bytes stand in the file, and an archive written by copying.

Own code rather than `zipfile`, which says neither where a stored member's bytes are nor lets the kernel copy
them, and which reads a directory of any size into memory.

Before: `[local header, name, extra][data]...[directory][end]`. Members that lie over each other, that are
encrypted, or whose two headers say different names are refused.

Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3 to 4.5 (zip64 included).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from converters.checkpoints.files import File, Span
from converters.checkpoints.placing import Output, pieces
from converters.checkpoints.tensors import BLOCK_BYTES, Array, Tensor
from converters.errors import UnsafeInput, UnsupportedError

MAGIC = b"PK\x03\x04"
EMPTY_MAGIC = b"PK\x05\x06"
STORED, DEFLATED = 0, 8
# A directory entry takes 46 bytes and its name: this is some 200,000 members.
LARGEST_DIRECTORY = 16 << 20
# Weights do not shrink to so little; what does is made to fill memory or disk.
HIGHEST_RATIO = 200
SMALL = 64 << 20
CRC_BYTES = 1 << 20

_END = struct.Struct("<4s4H2LH")
_END64_PLACE = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_ZIP64_EXTRA = 1
_ENCRYPTED = 1
_UTF8 = 1 << 11
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF


@dataclass(frozen=True)
class Member:
    """One member: its bytes as they stand in the file.

    Attributes:
        name: Its path.
        data: Its bytes, compressed where `method` says so.
        size: Bytes when they are not.
        method: STORED or DEFLATED.
    """

    name: str
    data: Span
    size: int
    method: int

    def pieces(self) -> Iterator[Array]:
        """Its bytes, uncompressed.

        Raises:
            UnsafeInput: They are more or fewer than the directory says, or broken.
        """
        if self.method == STORED:
            yield np.frombuffer(self.data.view(), np.uint8)
            return
        inflate = zlib.decompressobj(-15)
        view, left = self.data.view(), self.size
        try:
            for start in range(0, len(view), BLOCK_BYTES // 8):
                piece: bytes | memoryview = view[start : start + BLOCK_BYTES // 8]
                while piece:
                    made = inflate.decompress(piece, BLOCK_BYTES)
                    piece = inflate.unconsumed_tail
                    left -= len(made)
                    if left < 0:
                        raise UnsafeInput(f"{self.name}: more bytes than the archive says")
                    yield np.frombuffer(made, np.uint8)
        except zlib.error as error:
            raise UnsafeInput(f"{self.name}: broken: {error}") from error
        if left:
            raise UnsafeInput(f"{self.name}: fewer bytes than the archive says")

    def read(self, most: int) -> bytes:
        """All of a short member.

        Raises:
            UnsafeInput: It is longer than `most`, or broken.
        """
        if self.size > most:
            raise UnsafeInput(f"{self.name}: {self.size} bytes where {most} are the most")
        return b"".join(piece.tobytes() for piece in self.pieces())


def read_directory(file: File) -> dict[str, Member]:
    """The members of an archive, by name.

    Raises:
        UnsafeInput: The archive is broken, truncated or made to deceive.
        UnsupportedError: Encryption, a compression other than deflate, several disks.
    """
    name = file.path.name
    try:
        members = list(_members(file))
    except (struct.error, UnicodeDecodeError) as error:
        raise UnsafeInput(f"{name}: a broken zip archive: {error}") from error
    found: dict[str, Member] = {}
    for member in members:
        if member.name in found:
            raise UnsafeInput(f"{name}: two members are called {member.name!r}")
        found[member.name] = member
    end = 0
    for member in sorted(members, key=lambda member: (member.data.offset, member.data.length)):
        if member.data.offset < end and member.data.length:
            raise UnsafeInput(f"{name}: {member.name} lies over another member of the archive")
        end = max(end, member.data.offset + member.data.length)
    return found


def _members(file: File) -> Iterator[Member]:
    count, size, offset = _directory_place(file)
    if size > LARGEST_DIRECTORY:
        raise UnsafeInput(f"{file.path.name}: a directory of {size} bytes")
    directory = bytes(file.bytes(offset, size))
    at = 0
    for _ in range(count):
        (magic, _, _, flags, method, _, _, _, packed, full, name_size, extra_size, note_size,
         _, _, _, local) = _ENTRY.unpack_from(directory, at)  # fmt: skip
        if magic != b"PK\x01\x02":
            raise UnsafeInput(f"{file.path.name}: a broken zip directory")
        at += _ENTRY.size
        raw = directory[at : at + name_size]
        extra = directory[at + name_size : at + name_size + extra_size]
        at += name_size + extra_size + note_size
        full, packed, local = _zip64(extra, full, packed, local)
        name = raw.decode("utf-8" if flags & _UTF8 else "cp437")
        if flags & _ENCRYPTED or method not in (STORED, DEFLATED):
            raise UnsupportedError(
                f"{file.path.name}: {name} is encrypted, or compressed by method {method}",
                fix="unpack the archive and save it again",
            )
        yield _member(file, name, raw, method, local, packed, full)


def _member(
    file: File, name: str, raw: bytes, method: int, local: int, packed: int, full: int
) -> Member:
    head = _LOCAL.unpack(file.bytes(local, _LOCAL.size))
    start = local + _LOCAL.size
    if head[0] != MAGIC or bytes(file.bytes(start, head[9])) != raw or head[3] != method:
        raise UnsafeInput(f"{file.path.name}: the archive has two opinions about {name!r}")
    if method == STORED and packed != full:
        raise UnsafeInput(f"{file.path.name}: {name}: two sizes for what is not compressed")
    if full > SMALL and full > HIGHEST_RATIO * packed:
        raise UnsafeInput(
            f"{file.path.name}: {name} would grow from {packed} to {full} bytes",
            fix="if these really are weights, save them without compression",
        )
    return Member(name, Span(file, start + head[9] + head[10], packed), full, method)


def _directory_place(file: File) -> tuple[int, int, int]:
    """Number of entries, bytes, and offset of the directory."""
    reach = min(file.size, _END.size + _FULL16)
    tail = bytes(file.bytes(file.size - reach, reach))
    at = tail.rfind(EMPTY_MAGIC)
    if at < 0:
        raise UnsafeInput(
            f"{file.path.name}: a zip archive without its end; it is truncated",
            fix="fetch the file again",
        )
    end = file.size - reach + at
    _, disk, _, _, count, size, offset, _ = _END.unpack_from(tail, at)
    if disk not in (0, _FULL16):
        raise UnsupportedError(f"{file.path.name}: an archive on several disks")
    if _FULL16 in (count,) or _FULL32 in (size, offset):
        place = _END64_PLACE.unpack(file.bytes(end - _END64_PLACE.size, _END64_PLACE.size))
        if place[0] != b"PK\x06\x07":
            # Exactly so many, and no zip64.
            return count, size, offset
        fields = _END64.unpack(file.bytes(place[2], _END64.size))
        if fields[0] != b"PK\x06\x06":
            raise UnsafeInput(f"{file.path.name}: a broken end of a zip64 archive")
        count, size, offset = fields[7], fields[8], fields[9]
    return count, size, offset


def _zip64(extra: bytes, full: int, packed: int, local: int) -> tuple[int, int, int]:
    """Sizes and offset, the ones that are too large for 32 bits from the extra field."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        if kind == _ZIP64_EXTRA:
            numbers = iter(struct.unpack_from(f"<{min(size // 8, 3)}Q", extra, at + 4))
            full = next(numbers, full) if full == _FULL32 else full
            packed = next(numbers, packed) if packed == _FULL32 else packed
            local = next(numbers, local) if local == _FULL32 else local
        at += 4 + size
    return full, packed, local


@dataclass(frozen=True)
class _Added:
    """A member that was written, but for its sum."""

    name: bytes
    size: int
    offset: int
    crc: Future[int]


def _crc(crc: int, spans: list[Span]) -> int:
    """The CRC-32 of what has one already and of parts of files, read into memory piece by piece."""
    buffer = bytearray(min(CRC_BYTES, max((span.length for span in spans), default=0)))
    view = memoryview(buffer)
    for span in spans:
        done = 0
        while done < span.length:
            wanted = view[: span.length - done]
            count = os.preadv(span.file.descriptor, [wanted], span.offset + done)
            if not count:
                raise UnsafeInput(f"{span.file.path.name}: it was cut short while it was read")
            crc = zlib.crc32(view[:count], crc)
            done += count
    return crc


class Archive:
    """A zip archive that is written: members stored, each at a multiple of `alignment`.

    Times are zero, so that the same members give the same bytes.
    """

    # Of the fields' padding; ours, as good as any other.
    PADDING = 0x4246

    def __init__(self, output: Output, alignment: int = 1) -> None:
        self._output = output
        self._alignment = alignment
        self._members: list[_Added] = []
        # Sums are made beside the copying, and written at the end.
        self._summing = ThreadPoolExecutor(1)

    def add(self, name: str, *parts: bytes | Tensor) -> None:
        """Add a member that is these parts, one after the other.

        Raises:
            UnsafeInput: What a tensor is decoded from is malformed.
        """
        size = sum(len(part) if isinstance(part, bytes) else part.nbytes for part in parts)
        offset, raw = self._output.position, name.encode()
        self._output.write(self._local(raw, size, 0, offset))
        crc = 0
        spans: list[Span] = []
        for part in parts:
            if isinstance(part, bytes):
                crc = zlib.crc32(part, crc)
                self._output.write(part)
                continue
            for piece in pieces(part):
                self._output.piece(piece)
                if isinstance(piece, Span):
                    spans.append(piece)
                else:
                    crc = zlib.crc32(piece, crc)
        # A member is bytes and then one tensor: its parts of files come last.
        summed = self._summing.submit(_crc, crc, spans)
        self._members.append(_Added(raw, size, offset, summed))

    def close(self) -> None:
        """Write the sums and the directory."""
        directory = bytearray()
        for member in self._members:
            crc = member.crc.result()
            self._output.patch(member.offset + 14, struct.pack("<L", crc))
            extra = struct.pack("<2H3Q", _ZIP64_EXTRA, 24, member.size, member.size, member.offset)
            directory += _ENTRY.pack(
                b"PK\x01\x02", 45, 45, _UTF8, STORED, 0, 33, crc, _FULL32, _FULL32,
                len(member.name), len(extra), 0, 0, 0, 0, _FULL32,
            )  # fmt: skip
            directory += member.name + extra
        self._summing.shutdown()
        start = self._output.position
        self._output.write(bytes(directory))
        end = self._output.position
        size, count = len(directory), len(self._members)
        self._output.write(
            _END64.pack(b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
            + _END64_PLACE.pack(b"PK\x06\x07", 0, end, 1)
            + _END.pack(EMPTY_MAGIC, 0, 0, min(count, _FULL16), min(count, _FULL16), _FULL32, _FULL32, 0)
        )  # fmt: skip

    def _local(self, name: bytes, size: int, crc: int, offset: int) -> bytes:
        zip64 = struct.pack("<2H2Q", _ZIP64_EXTRA, 16, size, size)
        start = offset + _LOCAL.size + len(name) + len(zip64)
        fill = -(start + 4) % self._alignment
        extra = zip64 + struct.pack("<2H", self.PADDING, fill) + b"\0" * fill
        return (
            _LOCAL.pack(
                MAGIC, 45, _UTF8, STORED, 0, 33, crc, _FULL32, _FULL32, len(name), len(extra)
            )
            + name
            + extra
        )
