"""Which files a `.gitignore` at the root of a repository leaves out, as git says: https://git-scm.com/docs/gitignore.

Patterns come from outside, so they are not made regular expressions, which some of them would keep busy for ever.
The package pathspec does that, and takes in what git leaves out: `b/a` for the two lines `*` and `!a`.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass

LARGEST = 64_000  # characters of a file that are read

# What one character of a name must be.
_Test = Callable[[str], bool]

_CLASSES = {
    "alnum": string.ascii_letters + string.digits,
    "alpha": string.ascii_letters,
    "blank": " \t",
    "digit": string.digits,
    "lower": string.ascii_lowercase,
    "punct": string.punctuation,
    "space": string.whitespace,
    "upper": string.ascii_uppercase,
    "xdigit": string.hexdigits,
}


class _Unmatchable(Exception):
    """A pattern that git never matches."""


@dataclass(frozen=True)
class _Run:
    """What stands in a pattern without `*` between: so many characters of a name.

    Attributes:
        text: The characters.
        tests: What they must be, where they are not all given.
    """

    text: str
    tests: tuple[_Test, ...] = ()

    def __len__(self) -> int:
        return len(self.tests) or len(self.text)

    def at(self, name: str, start: int) -> bool:
        """Whether it is at a place of a name."""
        if not self.tests:
            return name.startswith(self.text, start)
        here = name[start : start + len(self.tests)]
        return len(here) == len(self.tests) and all(
            test(c) for test, c in zip(self.tests, here, strict=True)
        )

    def find(self, name: str, start: int, stop: int) -> int:
        """Where it first is between two places of a name; -1 where it is not."""
        if not self.tests:
            return name.find(self.text, start, stop)
        places = range(start, stop - len(self) + 1)
        return next((place for place in places if self.at(name, place)), -1)


@dataclass(frozen=True)
class _Segment:
    """Part of a pattern between slashes: what `*` parts; empty where it is `**`."""

    runs: tuple[_Run, ...]

    def matches(self, name: str) -> bool:
        """Whether it matches a name."""
        first, last = self.runs[0], self.runs[-1]
        if len(self.runs) == 1:
            return len(name) == len(first) and first.at(name, 0)
        at, end = len(first), len(name) - len(last)
        if end < at or not first.at(name, 0) or not last.at(name, end):
            return False
        # Whatever comes first leaves most for what comes after.
        for run in self.runs[1:-1]:
            place = run.find(name, at, end)
            if place < 0:
                return False
            at = place + len(run)
        return True


@dataclass(frozen=True)
class _Pattern:
    segments: tuple[_Segment, ...]
    anywhere: bool  # in any folder: the only segment is of names, not of paths
    again: bool  # `!`: what it matches is not left out after all
    folders: bool  # folders only

    def matches(self, parts: list[str]) -> bool:
        """Whether it matches a path."""
        if self.anywhere:
            return self.segments[0].matches(parts[-1])
        last = len(self.segments) - 1
        reached = self._over_folders({0})
        for name in parts:
            step = set()
            for at in reached - {last + 1}:
                if not self.segments[at].runs:
                    step.add(at)
                elif self.segments[at].matches(name):
                    step.add(at + 1)
            # What is behind a last `**` is in the folder, and not the folder.
            if last in step & reached and not self.segments[last].runs:
                step.add(last + 1)
            reached = self._over_folders(step)
        return last + 1 in reached

    def _over_folders(self, reached: set[int]) -> set[int]:
        found = set(reached)
        for at, segment in enumerate(self.segments[:-1]):
            if at in found and not segment.runs:
                found.add(at + 1)
        return found


class Ignored:
    """What a `.gitignore` leaves out.

    Args:
        text: Its content.
    """

    def __init__(self, text: str) -> None:
        self._patterns: list[_Pattern] = []
        for line in _bytes(text[:LARGEST]).split("\n"):
            try:
                pattern = _read(line.removesuffix("\r"))
            except _Unmatchable:
                continue
            if pattern is not None:
                self._patterns.append(pattern)

    def __contains__(self, path: str) -> bool:
        parts = _bytes(path).split("/")
        # What is in a folder that is left out is so too, whatever else is said of it.
        return any(
            self._left_out(parts[:depth], folder=depth < len(parts))
            for depth in range(1, len(parts) + 1)
        )

    def _left_out(self, parts: list[str], *, folder: bool) -> bool:
        for pattern in reversed(self._patterns):
            if (folder or not pattern.folders) and pattern.matches(parts):
                return not pattern.again
        return False


def _bytes(text: str) -> str:
    """Text whose characters are the bytes of UTF-8, of which git's `?` takes one."""
    return text.encode(errors="replace").decode("latin-1")


def _read(line: str) -> _Pattern | None:
    text = _without_spaces(line)
    if not text or text.startswith("#"):
        return None
    again = text.startswith("!")
    text = text[1:] if again else text
    folders = text.endswith("/")
    text = text[:-1] if folders else text
    names = _parted(text.removeprefix("/"))
    if not text or "" in names:
        raise _Unmatchable
    if "/" not in text:
        return _Pattern((_glob(text),), True, again, folders)
    segments = (_Segment(()) if name == "**" else _glob(name) for name in names)
    return _Pattern(tuple(segments), False, again, folders)


def _without_spaces(line: str) -> str:
    """A line without the spaces at its end that no backslash keeps."""
    end = len(line)
    while end and line[end - 1] == " ":
        before = line[: end - 1]
        if (len(before) - len(before.rstrip("\\"))) % 2:
            break
        end -= 1
    return line[:end]


def _parted(text: str) -> list[str]:
    """A pattern at its slashes, those between brackets aside."""
    names, at = [""], 0
    while at < len(text):
        begun, c = at, text[at]
        at += 1
        if c == "/":
            names.append("")
        elif c != "\\" or not text.startswith("/", at):
            if c == "[":
                at = _bracket(text, at)[1]
            elif c == "\\":
                at += 1
            names[-1] += text[begun:at]
    return names


def _glob(text: str) -> _Segment:
    runs: list[_Run] = []
    tests: list[_Test] = []
    given, exact, at = "", True, 0
    while at < len(text):
        c = text[at]
        at += 1
        if c == "*":
            runs.append(_Run(given) if exact else _Run("", tuple(tests)))
            given, tests, exact = "", [], True
            continue
        test: _Test
        if c == "?":
            test, exact = _any, False
        elif c == "[":
            (test, at), exact = _bracket(text, at), False
        else:
            if c == "\\":
                if at == len(text):
                    raise _Unmatchable
                c, at = text[at], at + 1
            test, given = c.__eq__, given + c
        tests.append(test)
    runs.append(_Run(given) if exact else _Run("", tuple(tests)))
    return _Segment(tuple(runs))


def _any(_: str) -> bool:
    return True


def _bracket(text: str, at: int) -> tuple[_Test, int]:
    """What is between `[` and `]`: characters, ranges, classes."""
    negated = text[at : at + 1] in ("!", "^")
    at += negated
    singles: set[str] = set()
    ranges: list[tuple[str, str]] = []
    first = True
    while True:
        if at >= len(text):
            raise _Unmatchable
        c = text[at]
        if c == "]" and not first:
            break
        first = False
        if text.startswith("[:", at):
            end = text.find(":]", at + 2)
            if end < 0 or text[at + 2 : end] not in _CLASSES:
                raise _Unmatchable
            singles.update(_CLASSES[text[at + 2 : end]])
            at = end + 2
            continue
        c, at = _character(text, at)
        if text.startswith("-", at) and text[at + 1 : at + 2] not in ("", "]"):
            last, at = _character(text, at + 1)
            ranges.append((c, last))
        # Git has looked at the first of a range before it sees that it is one.
        singles.add(c)

    def test(c: str) -> bool:
        found = c in singles or any(low <= c <= high for low, high in ranges)
        return found is not negated

    return test, at + 1


def _character(text: str, at: int) -> tuple[str, int]:
    if text[at] == "\\":
        at += 1
        if at == len(text):
            raise _Unmatchable
    return text[at], at + 1
