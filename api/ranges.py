"""Byte ranges and entity tags, after RFC 9110 (sections 8.8, 13 and 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RANGE = re.compile(
    r"\s*bytes\s*=\s*(\d{0,1000})\s*-\s*(\d{0,1000})\s*\Z", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True)
class Span:
    """The bytes from `start` up to, and without, `stop`."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


class Unsatisfiable(Exception):
    """The range is well formed, and the file has no byte of it."""


def parse_range(header: str, size: int) -> Span | None:
    """Read a Range header.

    Args:
        header: Its value.
        size: Length of the file in bytes.

    Returns:
        The bytes that are asked for; None where the header is to be ignored: another unit, not well
        formed, or several ranges, which a server may answer with the whole.

    Raises:
        Unsatisfiable: The range begins behind the end.
    """
    match = _RANGE.match(header)
    first, last = match.groups() if match else ("", "")
    if not first and not last:
        return None
    if not first:
        suffix = min(int(last), size)
        if not int(last):
            raise Unsatisfiable
        return Span(size - suffix, size) if size else None
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    return Span(start, min(int(last) + 1, size) if last else size)


def entity_tag(digest: str) -> str:
    """The strong entity tag of bytes with this digest: equal tags, equal bytes."""
    return f'"{digest}"'


def tag_listed(header: str, tag: str) -> bool:
    """Whether `If-None-Match` or `If-Match` names this entity tag; a weak one is good enough."""
    tags = {item.strip().removeprefix("W/") for item in header.split(",")}
    return "*" in tags or tag in tags
