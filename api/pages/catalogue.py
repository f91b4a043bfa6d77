"""The catalogue: the first page, with filters and a page of models at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args
from urllib.parse import urlencode

from fastapi import Query, Request
from starlette.responses import Response

from api.dependencies import Who, Zoo
from api.pages.language import message
from api.pages.names import FORMS
from api.pages.site import Pages, page
from zoo.catalogue.records import ModelPage
from zoo.manifest import Precision

router = Pages()
PAGE = 30
LONGEST = 200  # characters of a filter


def _same(names: Iterable[str]) -> Mapping[str, str]:
    return {name: name for name in names}


# What is suggested beside the tasks and licences of the models that are shown.
TASKS = (
    "automatic-speech-recognition", "feature-extraction", "image-classification", "image-segmentation",
    "image-to-text", "object-detection", "text-classification", "text-generation", "text-recognition",
    "voice-activity-detection",
)  # fmt: skip
LICENCES = (
    "Apache-2.0", "MIT", "BSD-3-Clause", "MulanPSL-2.0", "CC-BY-4.0", "CC-BY-NC-4.0", "GPL-3.0-only",
)  # fmt: skip
TARGETS = {
    "cpu": "CPU", "cuda": "NVIDIA CUDA", "ascend": "Huawei Ascend", "mlu": "Cambricon MLU",
    "musa": "Moore Threads MUSA", "xpu": "Baidu Kunlun XPU",
}  # fmt: skip
EVIDENCE = {"true": message("verified"), "false": message("not verified")}
ORDERS = {"name": message("by name"), "updated": message("the newest first")}


@dataclass(frozen=True)
class Field:
    """One field of the form; what is chosen is an argument of `Registry.models` of the same name.

    Attributes:
        name: The argument, and the parameter of the address.
        label: What stands beside it.
        choices: Values and their names.
        free: Whether other values may be written, too.
        read: What the argument is, of the value.
        open: What stands for no choice.
    """

    name: str
    label: str
    choices: Mapping[str, str]
    free: bool = False
    read: Callable[[str], Any] = str
    open: str = message("any")


FIELDS = (
    Field("framework", message("Framework"), FORMS),
    Field("task", message("Task"), _same(TASKS), free=True),
    Field("licence", message("Licence"), _same(LICENCES), free=True),
    Field("target", message("Hardware"), TARGETS),
    Field("precision", message("Precision"), _same(get_args(Precision))),
    Field("verified", message("Evidence"), EVIDENCE, read=lambda value: value == "true"),
    Field("sort", message("Order"), ORDERS, open=message("by fit")),
)


@router.show("/")
def catalogue(
    zoo: Zoo,
    who: Who,
    request: Request,
    q: Annotated[str, Query(max_length=LONGEST)] = "",
    cursor: Annotated[str | None, Query(max_length=600)] = None,
) -> Response:
    """The models that fit, a page at a time."""
    given = {field.name: request.query_params.get(field.name, "").strip() for field in FIELDS}
    chosen = {
        field.name: given[field.name][:LONGEST]
        for field in FIELDS
        if given[field.name] and (field.free or given[field.name] in field.choices)
    }
    words = q.strip()
    arguments = {
        field.name: field.read(chosen[field.name]) for field in FIELDS if field.name in chosen
    }
    found = zoo.models(q=words, limit=PAGE, cursor=cursor, who=who, **arguments)
    asked = {name: value for name, value in (("q", words), *chosen.items()) if value}
    return page(
        request,
        "catalogue.html",
        who=who,
        models=found.items,
        fields=[(field, _choices(field, found), chosen.get(field.name, "")) for field in FIELDS],
        words=words,
        narrowed=bool(asked.keys() - {"sort"}),
        first=urlencode(asked) if cursor else None,
        following=urlencode({**asked, "cursor": found.next_cursor}) if found.next_cursor else None,
    )


def _choices(field: Field, found: ModelPage) -> Mapping[str, str]:
    if not field.free:
        return field.choices
    return {**_same(sorted({getattr(model, field.name) for model in found.items})), **field.choices}
