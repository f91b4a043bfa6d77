from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from api.pages.language import languages

PAGES = Path(__file__).parents[2] / "api" / "pages"
METHODS = [("**.html", "jinja2.ext:babel_extract"), ("**.py", "python")]
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "message": None}
NAMED = re.compile(r"%\((\w+)\)s")


def collected():
    """Every message that templates and tables use."""
    for _, _, text, _, _ in extract_from_dir(str(PAGES), METHODS, keywords=KEYWORDS):
        yield text if isinstance(text, str) else text[0]


@pytest.mark.parametrize("code", [code for code in languages() if code != "en"])
def test_every_message_has_a_translation_and_no_other_is_kept(code):
    with (PAGES / "messages" / f"{code}.po").open("rb") as file:
        catalogue = read_po(file, locale=code, abort_invalid=True)
    written = {item.id: item for item in catalogue if item.id}
    used = set(collected())
    assert len(used) > 100
    assert sorted(used - written.keys()) == []
    assert sorted(written.keys() - used) == []
    for text, item in written.items():
        assert item.string.strip(), text
        assert not item.fuzzy, text
        assert sorted(NAMED.findall(text)) == sorted(NAMED.findall(item.string)), text


@pytest.mark.parametrize(
    ("accepted", "tag"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"),
        ("zh-TW", "zh-Hans"),
        ("en-GB,zh;q=0.9", "en"),
        ("zh;q=0.1,en;q=0.9", "en"),
        ("de,fr;q=0.5", "en"),
        ("de,zh;q=0.3", "zh-Hans"),
        ("zh;q=x,;;,,q=1", "en"),
        ("zh;q=0", "en"),
    ],
)
def test_the_browser_is_asked_for_its_language(zoo, read, accepted, tag):
    _, browser = zoo()
    answer = browser.get("/", headers={"Accept-Language": accepted})
    assert read(answer).find("html", lang=tag)
    assert answer.headers["content-language"] == tag
    assert {"Accept-Language", "Cookie"} <= set(answer.headers["vary"].split(", "))


def test_a_choice_is_kept_and_can_be_changed_on_every_page(zoo, read, add):
    registry, browser = zoo()
    add(registry, "org/model")
    page = read(browser.get("/?q=line"))
    (switch,) = page.find("a", hreflang="zh-Hans")
    assert switch["href"] == "?q=line&lang=zh"
    chinese = browser.get("/" + switch["href"])
    assert read(chinese).find("html", lang="zh-Hans")
    for path in ("/", "/models/org/model", "/jobs", "/login", "/models/org/none"):
        page = read(browser.get(path), 404 if path.endswith("none") else 200)
        assert page.find("html", lang="zh-Hans"), path
        assert "模型" in page.text
    assert "许可证" in read(browser.get("/models/org/model")).text
    assert read(browser.get("/?lang=en")).find("html", lang="en")
    assert read(browser.get("/?lang=xx")).find("html", lang="en")
