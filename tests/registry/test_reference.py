from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import InvalidReference
from zoo.reference import (
    FileSource,
    HubSource,
    PypiSource,
    Reference,
    UrlSource,
    is_file_path,
    latest_version,
    parse_digest,
    parse_reference,
    parse_source,
    print_digest,
    version_order,
)

DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize("text", ["a/b", "BAAI/bge-m3@1.0", "org/model.v2@latest", "a/b@1.0+cpu"])
def test_references_round_trip(text):
    assert str(parse_reference(text)) == text


def test_parts_of_a_reference():
    assert parse_reference("org/model@1.0") == Reference("org", "model", "1.0")
    assert parse_reference("org/model").at("2").name == "org/model"


@pytest.mark.parametrize(
    "text",
    ["", "a", "a/", "/b", "a/b/c", "a/b@", "a/b@main", "a/b@1/2", "a/..", "a/b@..", "a b/c", "nul/b",
     "a/b\n", "a/é", "a/b@1@2", "a/" + "b" * 97],
)  # fmt: skip
def test_refuses_what_is_not_a_reference(text):
    with pytest.raises(InvalidReference) as caught:
        parse_reference(text)
    assert caught.value.fix


@given(st.text(max_size=30))
def test_what_is_accepted_is_safe_as_a_path(text):
    try:
        reference = parse_reference(text)
    except InvalidReference:
        return
    assert is_file_path(f"{reference.org}/{reference.model}")


def test_digests():
    assert parse_digest(print_digest(DIGEST)) == parse_digest(DIGEST) == DIGEST
    for text in ("", "sha256:", DIGEST.upper(), DIGEST + "0", f"md5:{DIGEST}", f"{DIGEST}\n"):
        with pytest.raises(InvalidReference):
            parse_digest(text)


@pytest.mark.parametrize(
    ("versions", "latest"),
    [
        (["1.9", "1.10"], "1.10"),
        (["2.0rc1", "1.0"], "1.0"),
        (["2.0rc1", "2.0rc2"], "2.0rc2"),
        (["zeta", "1.0"], "1.0"),
        (["alpha", "zeta"], "zeta"),
        ([], None),
    ],
)
def test_latest(versions, latest):
    assert latest_version(versions) == latest
    assert latest_version(versions[::-1]) == latest


def test_order_is_total():
    assert sorted(["b", "1.10", "1.9", "a"], key=version_order) == ["a", "b", "1.9", "1.10"]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("pypi:my-dist==1.0!pkg/x.onnx", PypiSource("my-dist", "1.0", "pkg/x.onnx")),
        ("https://host/x?y=1", UrlSource("https://host/x?y=1")),
        ("http://[::1]:80/x", UrlSource("http://[::1]:80/x")),
        ("file:x/y", FileSource("x/y")),
        ("hf:org/model/x", HubSource("hf", "org/model/x")),
    ],
)
def test_sources(text, source):
    assert parse_source(text) == source


@pytest.mark.parametrize(
    "text",
    ["", "x", "pypi:", "pypi:d!x", "pypi:d==1", "pypi:-d==1!x", "pypi:d==x y!z", "pypi:d==1!/x",
     "https:host", "https://", "https://host:99999/", "https://a:b@host/", "https://h/a b", "hf:../x",
     "file:", "file:a\nb", "ftp://h/x"],
)  # fmt: skip
def test_refuses_what_is_not_a_source(text):
    with pytest.raises(InvalidReference):
        parse_source(text)
