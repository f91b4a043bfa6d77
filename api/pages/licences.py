"""Licences in plain words: what common ones permit, ask for and do not give.

A summary to decide whether to read on, not advice; the text of the licence counts.
Source: the texts themselves, and the rules that choosealicense.com takes from them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from api.pages.language import message
from zoo.manifest import Licence

MAY = message("You may")
MUST = message("You must")
MUST_NOT = message("You may not")

COMMERCIAL = (MAY, message("use it for any purpose, commercial ones included"))
CHANGE = (MAY, message("change it and pass it on"))
PATENTS = (MAY, message("use the contributors' patents that it needs"))
NOTICE = (MUST, message("keep the copyright notice and the licence text with every copy"))
CREDIT = (MUST, message("name the authors, link to the licence and say what you changed"))
CHANGES = (MUST, message("say which files you changed"))
SOURCE = (MUST, message("offer the source of what you pass on, under the same licence"))
FILES = (
    MUST,
    message("offer the source of the licensed files that you changed, under the same licence"),
)
LIBRARY = (MUST, message("let users replace the licensed library in what you pass on"))
NETWORK = (MUST, message("offer the source to those who use it over a network, too"))
ALIKE = (MUST, message("pass on what you make of it under the same licence"))
NAMES = (MUST_NOT, message("advertise with the authors' names"))
MARKS = (MUST_NOT, message("use the authors' trademarks"))
NO_COMMERCE = (MUST_NOT, message("use it for commercial purposes"))
NO_CHANGE = (MUST_NOT, message("pass on changed versions"))
USES = (MUST_NOT, message("use it for what the licence's annex forbids, such as harming people"))
SHARE_ONLY = (MAY, message("copy it and pass it on unchanged"))
NON_COMMERCIAL_CHANGE = (MAY, message("change it and pass it on, not commercially"))

_PERMISSIVE = (COMMERCIAL, CHANGE)
# By the first words of the identifier: later versions and `-only`, `-or-later` say the same.
_TERMS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (r"(MIT-0|0BSD|Unlicense|CC0-1\.0|WTFPL)", _PERMISSIVE),
    (r"(MIT|ISC|BSD-2-Clause|Zlib|BSL-1\.0|X11)", (*_PERMISSIVE, NOTICE)),
    (r"BSD-3-Clause", (*_PERMISSIVE, NOTICE, NAMES)),
    (r"Apache-2\.0", (*_PERMISSIVE, PATENTS, NOTICE, CHANGES, MARKS)),
    (r"MulanPSL-2\.0", (*_PERMISSIVE, PATENTS, NOTICE, MARKS)),
    (r"(MPL-2\.0|EPL-2\.0)", (*_PERMISSIVE, PATENTS, NOTICE, FILES)),
    (r"LGPL-[23]\.[01](-only|-or-later)?", (*_PERMISSIVE, NOTICE, CHANGES, SOURCE, LIBRARY)),
    (r"AGPL-3\.0(-only|-or-later)?", (*_PERMISSIVE, PATENTS, NOTICE, CHANGES, SOURCE, NETWORK)),
    (r"GPL-[23]\.0(-only|-or-later)?", (*_PERMISSIVE, NOTICE, CHANGES, SOURCE)),
    (r"CC-BY-[1-4]\.[05]", (*_PERMISSIVE, CREDIT)),
    (r"CC-BY-SA-[1-4]\.[05]", (*_PERMISSIVE, CREDIT, ALIKE)),
    (r"CC-BY-ND-[1-4]\.[05]", (COMMERCIAL, SHARE_ONLY, CREDIT, NO_CHANGE)),
    (r"CC-BY-NC-[1-4]\.[05]", (NON_COMMERCIAL_CHANGE, CREDIT, NO_COMMERCE)),
    (r"CC-BY-NC-SA-[1-4]\.[05]", (NON_COMMERCIAL_CHANGE, CREDIT, ALIKE, NO_COMMERCE)),
    (r"CC-BY-NC-ND-[1-4]\.[05]", (SHARE_ONLY, CREDIT, NO_COMMERCE, NO_CHANGE)),
)  # fmt: skip

_WORD = re.compile(r"[A-Za-z0-9.+:-]+")
_OPERATORS = frozenset({"AND", "OR", "WITH"})


@dataclass(frozen=True)
class Summary:
    """One licence of an expression.

    Attributes:
        name: Its SPDX identifier.
        listed: Whether SPDX's list has its text.
        terms: What it says, by MAY, MUST and MUST_NOT; empty where no summary is known.
    """

    name: str
    listed: bool
    terms: Mapping[str, tuple[str, ...]]


def summaries(licence: Licence) -> tuple[Summary, ...]:
    """The licences of an expression, each with what is known of it, in the order of the expression."""
    words = _WORD.findall(licence.expression)
    after_with = {words[i + 1] for i, word in enumerate(words[:-1]) if word == "WITH"}
    names = [word for word in words if word not in _OPERATORS and word not in after_with]
    return tuple(map(_summary, dict.fromkeys(names)))


def _summary(name: str) -> Summary:
    terms = next((found for rule, found in _TERMS if re.fullmatch(rule, name)), ())
    grouped = {
        kind: tuple(text for k, text in terms if k == kind) for kind in (MAY, MUST, MUST_NOT)
    }
    held = MappingProxyType({kind: texts for kind, texts in grouped.items() if texts})
    return Summary(name, "LicenseRef-" not in name, held)
