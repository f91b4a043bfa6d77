"""The languages of the pages: messages as data, read once, and which one a visitor gets.

English is written where it stands; `messages/LANGUAGE.po` holds the others. A message in Python is marked with
`message`, so that it is found by those who collect messages, and is translated where it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from gettext import NullTranslations
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

from babel import Locale, negotiate_locale
from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations
from starlette.requests import Request

MESSAGES = Path(__file__).with_name("messages")
COOKIE = "polyzoo_language"
PARAMETER = "lang"


def message(text: str) -> str:
    """Mark a text of a table as one that is translated where it is shown."""
    return text


@dataclass(frozen=True)
class Language:
    """A language of the pages.

    Attributes:
        code: As cookies and `?lang=` name it.
        tag: As HTML names it.
        name: As those who speak it call it.
        locale: How it writes dates.
        translations: Its messages.
    """

    code: str
    tag: str
    name: str
    locale: Locale
    translations: NullTranslations

    def __call__(self, text: str) -> str:
        """A message in this language."""
        return self.translations.gettext(text) if text else ""

    def date(self, when: datetime) -> str:
        """A day."""
        return format_date(when, "medium", self.locale)

    def time(self, when: datetime) -> str:
        """A day and a time, in UTC."""
        return format_datetime(when, "medium", locale=self.locale) + " UTC"


def translations(code: str) -> NullTranslations:
    """The messages in a language; none for English, which they are written in."""
    path = MESSAGES / f"{code}.po"
    if not path.is_file():
        return NullTranslations()
    compiled = BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=code))
    compiled.seek(0)
    return Translations(compiled)


@lru_cache(maxsize=1)
def languages() -> Mapping[str, Language]:
    """The languages, by code; the first is for those who want another."""
    table = (("en", "en", "English"), ("zh", "zh-Hans", "中文"))
    return MappingProxyType(
        {
            code: Language(code, tag, name, Locale.parse(code), translations(code))
            for code, tag, name in table
        }
    )


def asked(request: Request) -> Language | None:
    """The language that an address asks for (`?lang=`), which is then remembered."""
    return languages().get(request.query_params.get(PARAMETER, ""))


def language_of(request: Request) -> Language:
    """The language for a request: of its address, of an earlier choice, or of the browser."""
    known = languages()
    chosen = asked(request) or known.get(request.cookies.get(COOKIE, ""))
    if chosen is not None:
        return chosen
    wanted = _accepted(request.headers.get("accept-language", ""))
    found = negotiate_locale(wanted, list(known), sep="-") if wanted else None
    return known.get(found or "", next(iter(known.values())))


def _accepted(header: str) -> list[str]:
    """The tags of Accept-Language, what is wanted most first."""
    ranked = []
    for item in header[:1000].split(","):
        tag, _, parameters = item.partition(";")
        weight = parameters.strip().removeprefix("q=")
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            continue
        # Chinese as written elsewhere is better read than English by those who ask for it.
        parts = [part for part in tag.strip().split("-")[:3] if part.isalnum()]
        if parts and quality > 0:
            ranked.append((quality, parts[0].lower()))
    return [tag for _, tag in sorted(ranked, key=lambda pair: -pair[0])]
