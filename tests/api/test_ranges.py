from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.ranges import Span, Unsatisfiable, entity_tag, parse_range, tag_listed

sizes = st.integers(0, 1000)


@given(size=sizes, first=st.integers(0, 1100), last=st.integers(0, 10**30))
def test_from_to(size, first, last):
    data = bytes(i % 251 for i in range(size))
    if last < first:
        assert parse_range(f"bytes={first}-{last}", size) is None
    elif first >= size:
        with pytest.raises(Unsatisfiable):
            parse_range(f"bytes={first}-{last}", size)
    else:
        span = parse_range(f"bytes={first}-{last}", size)
        assert data[span.start : span.stop] == data[first : last + 1]
        assert len(span) == len(data[first : last + 1]) > 0


@given(size=sizes, first=st.integers(0, 1100))
def test_from(size, first):
    if first >= size:
        with pytest.raises(Unsatisfiable):
            parse_range(f"bytes={first}-", size)
    else:
        assert parse_range(f"bytes={first}-", size) == Span(first, size)


@given(size=sizes, suffix=st.integers(1, 10**30))
def test_last(size, suffix):
    expected = Span(max(size - suffix, 0), size) if size else None
    assert parse_range(f"bytes=-{suffix}", size) == expected


def test_the_last_no_bytes():
    with pytest.raises(Unsatisfiable):
        parse_range("bytes=-0", 10)


@pytest.mark.parametrize(
    "header",
    ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "items=0-1", "bytes=0-1,3-4", "bytes=1--2",
     "bytes=-1-2", "bytes=0x1-2", "bytes=١-٢", "0-1", "bytes=+1-2", "bytes=5-4", "bytes=" + "9" * 5000 + "-"],
)  # fmt: skip
def test_what_is_to_be_ignored(header):
    assert parse_range(header, 10) is None


@given(header=st.text(max_size=30), size=sizes)
def test_any_header(header, size):
    try:
        span = parse_range(header, size)
    except Unsatisfiable:
        return
    assert span is None or 0 <= span.start < span.stop <= size


def test_tags():
    tag = entity_tag("abc")
    assert tag == '"abc"'
    assert tag_listed('"x", W/"abc"', tag)
    assert tag_listed("*", tag)
    assert not tag_listed('"x"', tag)
    assert not tag_listed("", tag)
