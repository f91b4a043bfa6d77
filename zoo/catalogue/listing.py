"""Lists of models: filters and orders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import groupby, product
from operator import attrgetter
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, Row, exists, func, select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from zoo.access import LOCAL, Identity, visible
from zoo.catalogue.engine import reading
from zoo.catalogue.paging import Listed, Order, ordered, ranked, read_cursor, write_cursor
from zoo.catalogue.records import ModelPage, ModelSummary
from zoo.catalogue.search import Document, Index, Query, words_of
from zoo.catalogue.tables import Form, Model, Version

Sort = Literal["name", "updated", "relevance"]

INDEX = Index("model_search")
LISTED = Listed(Model, col(Model.id), INDEX)
LARGEST_PAGE = 1000
# What may be asked of a form: framework, precision, target.
Asked = tuple[str | None, str | None, str | None]
_ANY_FORM: Asked = (None, None, None)
_VERIFIED = {None: None, True: "verified", False: "unverified"}
# What says a place in an order.
PLACES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "updated": (int, int),
    "relevance": (int, int),
}


@dataclass(frozen=True)
class Filter:
    """Which models are wanted; None is any.

    Attributes:
        q: Words that must all be in the name, summary, task or tags; case does not matter.
        org: Who publishes them.
        framework: The latest version has a form for it.
        task: The task.
        licence: An SPDX expression, or one licence of it.
        precision: The form has it.
        target: The form is for such hardware.
        verified: Whether there is such a form with evidence that it computes what its source does.
    """

    q: str = ""
    org: str | None = None
    framework: str | None = None
    task: str | None = None
    licence: str | None = None
    precision: str | None = None
    target: str | None = None
    verified: bool | None = None

    @property
    def query(self) -> Query:
        """What the index is asked."""
        facets = [f"task:{self.task}"] if self.task is not None else []
        if self.org is not None:
            facets.append(f"org:{self.org.lower()}")
        facets += [f"licence:{word}" for word in _licence_words(self.licence or "")]
        form = (self.framework, self.precision, self.target)
        if any(form) or self.verified is not None:
            facets.append(_form_facet(*form, self.verified))
        return Query(words_of(self.q), tuple(facets))

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        """What must hold of a model's row."""
        found = [col(Model.words).contains(word, autoescape=True) for word in words_of(self.q)]
        if self.org is not None:
            found.append(func.lower(Model.name).startswith(f"{self.org.lower()}/", autoescape=True))
        if self.task is not None:
            found.append(col(Model.task) == self.task)
        if self.licence is not None:
            found.append(_licensed(self.licence))
        if (self.framework, self.precision, self.target) != (None, None, None) or self.verified:
            found.append(self._form(self.verified or False))
        if self.verified is False:
            found.append(~self._form(True))
        return found

    def _form(self, verified: bool) -> ColumnElement[bool]:
        """Whether one form has all that is asked of forms."""
        query = select(col(Form.framework)).where(col(Form.model_id) == Model.id)
        if self.framework is not None:
            query = query.where(col(Form.framework) == self.framework)
        if self.precision is not None:
            query = query.where(col(Form.precision) == self.precision)
        if self.target is not None:
            line = f"\n{self.target}\n"
            query = query.where(col(Form.targets).contains(line, autoescape=True))
        if verified:
            query = query.where(col(Form.verified).is_(True))
        return exists(query)


def models(
    engine: Engine,
    wanted: Filter,
    *,
    sort: Sort | None = None,
    limit: int = 50,
    cursor: str | None = None,
    who: Identity = LOCAL,
) -> ModelPage:
    """A page of the models that fit.

    Args:
        engine: The catalogue.
        wanted: Which.
        sort: By name, what was published last first, or the best match of the words first; by default
            the last if there are words, else the first.
        limit: At most so many.
        cursor: `next_cursor` of the page before, which was asked for in the same words.
        who: Who asks; private models of others are left out.

    Raises:
        InvalidReference: The cursor is not one that was given out for this.
    """
    count = min(max(limit, 1), LARGEST_PAGE)
    query, conditions = wanted.query, wanted.conditions
    permitted = visible(col(Model.name), who)
    if permitted is not None:
        conditions.append(permitted)
    by = sort or "relevance"
    if by == "relevance" and not query.words:
        by = "name"
    place = read_cursor(cursor, by, PLACES[by])
    with reading(engine) as session:
        if by == "relevance":
            found = ranked(session, LISTED, query, conditions, place, count + 1)
        else:
            order = _by_name(place) if by == "name" else _by_publication(session, place)
            found = ordered(session, order, query, conditions, count + 1)
        items = tuple(summary(row) for row, _ in found[:count])
    last = write_cursor(by, found[count - 1][1]) if len(found) > count else None
    return ModelPage(items=items, next_cursor=last)


def _by_name(place: list[Any] | None) -> Order:
    key = col(Model.name)
    return Order(LISTED, select(Model, key), select(key), key, after=place and place[0])


def _by_publication(session: Session, place: list[Any] | None) -> Order:
    """What was published last first, as it was when the first page was asked for."""
    newest = select(func.max(Version.id))
    until = place[1] if place is not None else session.scalar(newest) or 0
    key, later = col(Version.id), aliased(Version)
    superseded = exists().where(
        col(later.model_id) == Version.model_id, col(later.id) > key, col(later.id) <= until
    )
    rows = (
        select(Model, key)
        .join(Version, col(Version.model_id) == Model.id)
        .where(key <= until, ~superseded)
    )
    keys = select(key).where(key <= until)
    return Order(LISTED, rows, keys, key, True, place and place[0], (until,))


def documents(connection: Connection) -> Iterator[tuple[int, Document]]:
    """What the index keeps of every model, by its number."""
    fields = (Model.id, Model.name, Model.task, Model.licence, Model.words,
              Form.framework, Form.precision, Form.targets, Form.verified)  # fmt: skip
    query = (
        select(*map(col, fields))
        .outerjoin_from(Model, Form, col(Form.model_id) == Model.id)
        .order_by(col(Model.id))
    )
    found: Iterable[Row[Any]] = connection.execute(query, execution_options={"yield_per": 1000})
    for number, group in groupby(found, attrgetter("id")):
        rows = list(group)
        yield number, document(rows[0], [row for row in rows if row.framework is not None])


def document(row: Model | Row[Any], forms: Sequence[Form | Row[Any]]) -> Document:
    """What the index keeps of a model; the same for as long as its rows are."""
    name, task, text, tags = row.words.split("\n", 3)
    facets = {f"task:{row.task}", f"org:{row.name.partition('/')[0].lower()}"}
    facets |= {f"licence:{word}" for word in _licence_words(row.licence)}
    held = {_ANY_FORM}.union(*map(_asked_of, forms))
    verified = set[Asked]().union(*(_asked_of(form) for form in forms if form.verified))
    facets |= {_form_facet(*asked, None) for asked in held}
    facets |= {_form_facet(*asked, asked in verified) for asked in held}
    return Document(name, f"{task}\n{tags}", text, frozenset(facets))


def _asked_of(form: Form | Row[Any]) -> set[Asked]:
    """Everything for which this form is an answer."""
    targets = (None, *form.targets.split())
    return set(product((None, form.framework), (None, form.precision), targets))


def _form_facet(
    framework: str | None, precision: str | None, target: str | None, verified: bool | None
) -> str:
    """The property that some form has all of these, and that one of those is verified, or none."""
    parts = (framework, precision, target, _VERIFIED[verified])
    return "form:" + ",".join(part or "" for part in parts)


def _licence_words(licence: str) -> list[str]:
    return licence.lower().replace("(", " ").replace(")", " ").split()


def _licensed(licence: str) -> ColumnElement[bool]:
    expression = func.replace(func.replace(Model.licence, "(", " "), ")", " ")
    words = " " + func.lower(expression) + " "
    whole: ColumnElement[bool] = func.lower(Model.licence) == licence.lower()
    return whole | words.contains(f" {licence.lower()} ", autoescape=True)


def summary(row: Model) -> ModelSummary:
    """A model as lists show it."""
    return ModelSummary(
        name=row.name,
        summary=row.summary,
        task=row.task,
        tags=tuple(row.tags.splitlines()),
        licence=row.licence,
        frameworks=tuple(row.frameworks.splitlines()),
        latest=row.latest,
        updated_at=_utc(row.updated_at),
    )


def _utc(when: datetime) -> datetime:
    return when.replace(tzinfo=timezone.utc)
