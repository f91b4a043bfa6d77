"""Text of strangers as HTML: model cards, cleaned of everything that acts, and source in colours."""

from __future__ import annotations

import re
from functools import lru_cache

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers.python import PythonLexer

LARGEST_CARD = 256 << 10  # bytes that are shown of a card
LARGEST_SOURCE = 256 << 10  # bytes of a source file that is shown
LARGEST_COLOURED = 32 << 10  # characters; colouring takes 2 ms for a thousand

_HEAD = re.compile(r"\A---\r?\n.*?\r?\n---[ \t]*(\r?\n|\Z)", re.DOTALL)
_TAGS = {
    "a", "abbr", "b", "blockquote", "br", "code", "dd", "del", "details", "div", "dl", "dt", "em",
    "h2", "h3", "h4", "h5", "h6", "hr", "i", "kbd", "li", "ol", "p", "pre", "s", "span", "strong",
    "sub", "summary", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_ATTRIBUTES = {"a": {"href", "title"}, "abbr": {"title"}, "ol": {"start"}, "th": {"scope"}}


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": True, "maxNesting": 20}).enable(
        ["table", "strikethrough"]
    )


@lru_cache(maxsize=32)
def _card(text: str) -> Markup:
    body = _HEAD.sub("", text, count=1)
    tokens = _markdown().parse(body)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            # The page has the first heading, and the section of the card the second.
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
        for child in token.children or ():
            if child.type == "image":
                # Pictures are elsewhere, and looking at a page tells nobody else.
                child.type, child.tag, child.nesting = "text", "", 0
                child.children = None
    made = _markdown().renderer.render(tokens, _markdown().options, {})
    clean = nh3.clean(
        made,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",
        link_rel="noopener noreferrer nofollow",
    )
    return Markup(clean)  # noqa: S704 - nh3 has just cleaned it


def card(data: bytes) -> Markup:
    """A model card as HTML that does nothing: no scripts, styles, pictures, forms or ids.

    Args:
        data: README.md, as it was uploaded.
    """
    return _card(data[:LARGEST_CARD].decode(errors="replace").removeprefix("\ufeff"))


@lru_cache(maxsize=64)
def _coloured(text: str) -> Markup:
    if len(text) > LARGEST_COLOURED:
        return Markup.escape(text)
    # The formatter escapes the source itself.
    made = highlight(text, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True))
    return Markup(made)  # noqa: S704


def source(data: bytes) -> Markup | None:
    """Python source with its words marked by kind; None where it is too long to be shown."""
    return None if len(data) > LARGEST_SOURCE else _coloured(data.decode(errors="replace"))
