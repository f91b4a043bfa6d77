"""The index behind words and filters: which rows hold some texts and have some properties.

A word is found wherever it stands, inside other words and in scripts without spaces too: the index keeps
the pieces of one, two and three characters of every text (a longer word is there where all its pieces
are), and properties whole, as facets. It answers in the order of rows' numbers and stops when a page is
full. Pieces may be there without standing side by side, so whoever asks looks at the rows again.

    SQLite       a table of FTS5 without content, a column for each part of a document
    PostgreSQL   a row with all tokens in an array, under GIN

Better matches come first: all words are words of the name; or stand in it; or in it and the labels; or
anywhere. Which of these holds of a row depends on that row alone, so pages stay as they are while others
publish.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    TableClause,
    Text,
    and_,
    column,
    literal,
    not_,
    select,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Session

# How well a row fits, the best first: the part in which all words must be.
RANKS = ("words", "name", "labels", "text")

_WORD = re.compile(r"\w+")
_LONGEST_PIECE = 3  # UTF-16 code units
_AT_ONCE = 1000  # documents
_EVERY = ""  # the facet of all documents


@dataclass(frozen=True)
class Document:
    """What is kept of a row. Texts are folded.

    Attributes:
        name: Its name.
        labels: Tags and the like.
        text: Everything else.
        facets: Properties to filter by.
    """

    name: str
    labels: str
    text: str
    facets: frozenset[str]


@dataclass(frozen=True)
class Query:
    """What is asked for.

    Attributes:
        words: Folded texts that must all be there.
        facets: Properties that it must all have.
    """

    words: tuple[str, ...] = ()
    facets: tuple[str, ...] = ()

    @property
    def ranks(self) -> tuple[str, ...]:
        """The ranks that a row can have."""
        return RANKS if self.words else RANKS[-1:]


@dataclass(frozen=True)
class Index:
    """The index of one table.

    Attributes:
        name: Of the index's own table.
    """

    name: str

    def create(self, connection: Connection) -> None:
        """Make it, empty."""
        self.fill(connection, ())

    def fill(self, connection: Connection, documents: Iterable[tuple[int, Document]]) -> None:
        """Make it, or make it anew, of the documents of all rows, by number; some at a time are in memory."""
        connection.execute(text(f"DROP TABLE IF EXISTS {self.name}"))
        if _embedded(connection):
            connection.execute(
                text(
                    f"CREATE VIRTUAL TABLE {self.name} USING fts5(name, labels, text, facets, "
                    "content='', detail='column', tokenize='ascii')"
                )
            )
        else:
            # Bytes are compared sooner than the words of a language.
            tokens = 'tokens TEXT[] COLLATE "C" NOT NULL'
            connection.execute(text(f"CREATE TABLE {self.name} (id BIGINT PRIMARY KEY, {tokens})"))
        left = iter(documents)
        while some := dict(islice(left, _AT_ONCE)):
            self._add(connection, some)
        if not _embedded(connection):
            # Of what is there it is made many times sooner than row by row.
            connection.execute(
                text(f"CREATE INDEX ix_{self.name}_tokens ON {self.name} USING gin (tokens)")
            )

    def add(self, connection: Connection, number: int, document: Document) -> None:
        """Put a row's document in."""
        self._add(connection, {number: document})

    def _add(self, connection: Connection, documents: dict[int, Document]) -> None:
        if _embedded(connection):
            statement = (
                f"INSERT INTO {self.name} (rowid, name, labels, text, facets) "  # noqa: S608
                "VALUES (:id, :name, :labels, :text, :facets)"
            )
            rows = [{"id": n, **_columns(each)} for n, each in documents.items()]
        else:
            # The server takes a long text apart sooner than we write an array.
            statement = (
                f"INSERT INTO {self.name} (id, tokens) "  # noqa: S608
                "VALUES (:id, string_to_array(:tokens, ' '))"
            )
            rows = [{"id": n, "tokens": _tokens(each)} for n, each in documents.items()]
        connection.execute(text(statement), rows)

    def remove(self, connection: Connection, number: int, document: Document) -> None:
        """Take a row's document out.

        Args:
            connection: The transaction in which the row changes.
            number: Of the row.
            document: The very one that was put in.
        """
        if _embedded(connection):
            statement = (
                f"INSERT INTO {self.name} ({self.name}, rowid, name, labels, text, facets) "  # noqa: S608
                "VALUES ('delete', :id, :name, :labels, :text, :facets)"
            )
            connection.execute(text(statement), {"id": number, **_columns(document)})
            return
        statement = f"DELETE FROM {self.name} WHERE id = :id"  # noqa: S608
        connection.execute(text(statement), {"id": number})

    def hits(
        self, session: Session, query: Query, rank: str = RANKS[-1], *, alone: bool = False
    ) -> tuple[TableClause, ColumnElement[int], ColumnElement[bool]]:
        """Where the rows are that may fit.

        Args:
            session: Of the database that will be asked.
            query: What is asked for.
            rank: The part in which all words must be.
            alone: Whether rows of better ranks are left out.

        Returns:
            The index's table, its column of rows' numbers, and the condition.
        """
        better = RANKS[: RANKS.index(rank)][-1:] if alone and query.words else ()
        if _embedded(session.connection()):
            hits = table(self.name, column("rowid"), column(self.name))
            asked = _expression(query, rank, better)
            return hits, hits.c.rowid, hits.c[self.name].op("MATCH", is_comparison=True)(asked)
        hits = table(self.name, column("id"), column("tokens", ARRAY(Text)))
        held = hits.c.tokens
        wanted = [*_scoped(query.words, rank), *map(_facet, query.facets)]
        conditions = [held.contains(_array(wanted))]
        conditions += [not_(held.contains(_array(_scoped(query.words, r)))) for r in better]
        return hits, hits.c.id, and_(*conditions)

    def matching(self, session: Session, query: Query) -> Select[Any]:
        """The numbers of rows that may fit."""
        hits, number, condition = self.hits(session, query)
        return select(number).select_from(hits).where(condition)


def is_index(table: str) -> bool:
    """Whether a table belongs to an index: the database made it, or made it for one."""
    return bool(re.match(r"[a-z]+_search(?:_[a-z]+)?\Z", table))


def folded(text: str) -> str:
    """Text as searches compare it."""
    return unicodedata.normalize("NFKC", text).casefold()


def words_of(text: str) -> tuple[str, ...]:
    """The words that somebody has typed, each once."""
    return tuple(dict.fromkeys(folded(text).split()))


def _embedded(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def _array(tokens: list[str]) -> ColumnElement[list[str]]:
    return literal(tokens, ARRAY(Text))


def _hex(text: str) -> str:
    return text.encode("utf-16-be", errors="surrogatepass").hex()


def _pieces(text: str, lengths: Iterable[int] = range(1, _LONGEST_PIECE + 1)) -> set[str]:
    digits = _hex(text)
    return {
        digits[at : at + 4 * length]
        for length in lengths
        for at in range(0, len(digits) - 4 * length + 1, 4)
    }


def _asked_pieces(word: str) -> set[str]:
    """The fewest pieces that a text with this word has."""
    return _pieces(word, [min(_LONGEST_PIECE, len(_hex(word)) // 4)])


def _whole_words(text: str) -> set[str]:
    return {f"w{_hex(word)}" for word in _WORD.findall(text)}


@lru_cache(maxsize=1 << 14)  # few are different
def _facet(facet: str) -> str:
    return f"x{_hex(facet)}"


def _parts(document: Document) -> dict[str, set[str]]:
    return {
        "name": _pieces(document.name) | _whole_words(document.name),
        "labels": _pieces(document.labels),
        "text": _pieces(document.text),
        "facets": set(map(_facet, (*document.facets, _EVERY))),
    }


def _columns(document: Document) -> dict[str, str]:
    return {part: " ".join(sorted(found)) for part, found in _parts(document).items()}


def _sought(words: Iterable[str], rank: str) -> list[str]:
    """The tokens that must be in the part of a rank."""
    found = {piece for word in words for piece in _asked_pieces(word)}
    if rank == "words":
        found |= {token for word in words for token in _whole_words(word)}
    return sorted(found)


def _expression(query: Query, rank: str, better: Iterable[str]) -> str:
    """The query in the language of FTS5."""
    said = " AND ".join([*map(_facet, query.facets), *_within(query, rank)])
    said = said or _facet(_EVERY)  # for whoever asks for nothing
    return " NOT ".join([f"({said})", *(part for r in better for part in _within(query, r))])


def _within(query: Query, rank: str) -> list[str]:
    # Only texts have such tokens, so that those of any part need not be told from others.
    columns = {"words": "{name} : ", "name": "{name} : ", "labels": "{name labels} : "}
    found = " AND ".join(_sought(query.words, rank))
    return [f"{columns.get(rank, '')}({found})"] if found else []


def _tokens(document: Document) -> str:
    """All tokens, with the parts that they are in: n is the name, l also the labels."""
    parts = _parts(document)
    labels = parts["name"] | parts["labels"]
    found = parts["facets"] | labels | parts["text"]
    found.update("n" + token for token in parts["name"])
    found.update("l" + token for token in labels)
    return " ".join(sorted(found))


def _scoped(words: Iterable[str], rank: str) -> list[str]:
    scope = {"words": "n", "name": "n", "labels": "l"}.get(rank, "")
    return [f"{scope}{token}" for token in _sought(words, rank)]
