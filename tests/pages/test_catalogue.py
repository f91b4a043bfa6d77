from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

HOST = "http://zoo.test"


def names(page):
    found = [a["href"] for a in page.find("a") if "/models/" in a["href"]]
    return [href.removeprefix("/models/") for href in found]


def test_an_empty_zoo_says_how_to_begin(zoo, read):
    _, browser = zoo()
    page = read(browser.get("/"))
    assert names(page) == []
    assert f"zoo --endpoint {HOST} push" in page.text
    assert "This zoo waits for its first model" in page.text


def test_filters_narrow_and_are_kept_in_the_form(zoo, read, add):
    registry, browser = zoo()
    add(registry, "org/reader")
    add(registry, "org/seer", task="detection", licence={"expression": "MIT"}, tags=["eyes"])
    assert names(read(browser.get("/"))) == ["org/reader", "org/seer"]
    assert names(read(browser.get("/?q=EYES"))) == ["org/seer"]
    assert names(read(browser.get("/?licence=mit"))) == ["org/seer"]
    assert names(read(browser.get("/?framework=pytorch&task=detection&licence=&q="))) == [
        "org/seer"
    ]
    assert names(read(browser.get("/?framework=nonsense"))) == ["org/reader", "org/seer"]
    page = read(browser.get("/?task=detection&q=nothing"))
    assert "Nothing fits" in page.text
    assert page.find("input", id="q", value="nothing")
    assert page.find("input", id="task", value="detection")
    assert names(read(browser.get("/?verified=true&target=cuda"))) == []
    assert names(read(browser.get("/?verified=true&sort=updated"))) == ["org/seer", "org/reader"]
    # What there is to choose from.
    page = read(browser.get("/?verified=true"))
    assert page.find("option", value="true", selected=None)
    assert {o["value"] for o in page.find("option")} >= {"detection", "onnx", "ascend", "fp16"}
    for field in ("q", "framework", "task", "licence", "target", "precision", "verified", "sort"):
        assert page.find("label", **{"for": field})


def test_pages_are_stable_and_hold_every_model_once(zoo, read, add):
    registry, browser = zoo()
    for i in range(31):
        add(registry, f"org/m{i:02}")
    first = read(browser.get("/?sort=name"))
    assert len(names(first)) == 30
    (following,) = first.find("a", rel="next")
    # A model that comes in between disturbs nothing.
    add(registry, "org/a")
    assert parse_qs(urlsplit(following["href"]).query)["sort"] == ["name"]
    second = read(browser.get(following["href"]))
    assert names(second) == ["org/m30"]
    assert not second.find("a", rel="next")
    (begin,) = second.find("a", rel="first")
    assert names(read(browser.get(begin["href"])))[0] == "org/a"
    assert browser.get("/?cursor=%C3%A4").status_code == 422


def test_too_long_a_question_is_refused_as_a_page(zoo, read):
    _, browser = zoo()
    assert "That cannot be asked" in read(browser.get("/?q=" + "x" * 201), 422).text


@pytest.mark.parametrize("prefix", ["/hub", "/zoo"])
def test_links_have_the_path_of_the_site(zoo, read, add, prefix):
    public = "" if prefix == "/hub" else "https://models.test/zoo"
    registry, browser = zoo(public=public)
    add(registry, "org/model")
    page = read(browser.get(f"{prefix}/"))
    links = [a["href"] for a in page.find("a") if a["href"].startswith("/")]
    assert all(link.startswith(f"{prefix}/") for link in links)
    (style,) = page.find("link", rel="stylesheet")
    assert browser.get(style["href"]).headers["content-type"].startswith("text/css")
    assert browser.get(f"{prefix}/models/org/model").status_code == 200
