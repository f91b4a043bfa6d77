"""What a `.gitignore` leaves out, as git itself says."""

from __future__ import annotations

import subprocess
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo.hub.ignored import Ignored


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    place = tmp_path_factory.mktemp("work")
    subprocess.run(["git", "init", "-q"], cwd=place, check=True)
    return place


def as_git_says(work, text, paths):
    """Those of some paths that git would not add."""
    (work / ".gitignore").write_bytes(text.encode())
    done = subprocess.run(
        ["git", "-c", "core.excludesFile=", "check-ignore", "--no-index", "-z", "--stdin"],
        cwd=work, input="".join(f"{path}\0" for path in paths).encode(), capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return set(done.stdout.decode().split("\0")) - {""}


PATHS = ["a", "b", "a/b", "a/b/c", "a/b/c/d", "b/a", "x.log", "a/x.log", "a/b/x.log", "ab", "ab/c", "a-b", "a]b",
         "#a", "!a", "a ", "a\\b", "é/日本", "A", ".env", "sub/.env", "a*b", "a/a/a", "build/x", "x/build/y"]  # fmt: skip
TEXTS = ["*.log", "/a", "a/", "a/b", "**/b", "a/**", "a/**/c", "**", "*", "/*", "!a", "*\n!a", "*\n!*/\n!x.log",
         "a/*\n!a/b", "a?b", "[ab]", "[!a]*", "[^a]*", "[a-b]", "a[]]b", "[", "a\\", "\\#a", "\\!a", "#a", "a ", "a\\ ",
         "\\a", "a\\\\b", "[[:alpha:]]", "[[:nope:]]", "é", "é/", "/é/*", "**/a/**", "a/**b", "a**", "**a", "/**/c",
         "//a", "a//b", "/", "!", "a/\r\n", ".env", "build/", "!build/\nbuild/", "a\\*b", "[a-]b", "[\\]a]", "a/b/",
         "x/**/y", "**/", "a/**/", "*/b", "[b-a]"]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_patterns(work, text):
    assert {path for path in PATHS if path in Ignored(text)} == as_git_says(work, text, PATHS)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.text("ab*?/![]\\- #", max_size=8), min_size=1, max_size=4))
def test_any_pattern(work, lines):
    text = "\n".join(lines)
    assert {path for path in PATHS if path in Ignored(text)} == as_git_says(work, text, PATHS)


def test_no_pattern_takes_long():
    begun = time.process_time()
    assert "a" * 250 not in Ignored("\n".join(["*a" * 60 + "b", "**/" * 300 + "x", "[a-" * 1000]))
    assert time.process_time() - begun < 1
