"""What all pages share: templates, the address of the site, who looks at it, and the response."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from fastapi import APIRouter
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api.dependencies import Zoo
from api.hub.requests import base_of
from api.pages import language, names
from zoo import present
from zoo.access import Identity
from zoo.errors import Forbidden, NotFound
from zoo.settings import Settings

ROOM = Path(__file__).parent
STATIC = ROOM / "static"
Route = TypeVar("Route", bound=Callable[..., Any])
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# Nothing from elsewhere, nothing written into a page by whoever wrote a model's card.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Pages(APIRouter):
    """Routes of pages; they are for eyes, so the description of the API does not have them."""

    def show(self, path: str, **options: Any) -> Callable[[Route], Route]:
        """A page at a path, and its headers alone for HEAD."""
        return self.api_route(path, methods=["GET", "HEAD"], include_in_schema=False, **options)


router = Pages()


@pass_context
def _translated(context: Context, text: str) -> str:
    found: str = context["language"](text)
    return found


@lru_cache(maxsize=1)
def templates() -> Environment:
    """The templates; what is put into them is escaped unless it was made by us."""
    environment = Environment(
        loader=FileSystemLoader(ROOM / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
        auto_reload=False,
    )
    # Which language is only known with a request, so the functions look into its context.
    environment.install_gettext_callables(  # type: ignore[attr-defined]
        _translated, _plural, newstyle=True
    )
    environment.filters |= {"size": present.size, "segment": lambda text: quote(text, safe="")}
    environment.globals |= {"static": static, "languages": language.languages, "names": names}
    return environment


@pass_context
def _plural(context: Context, one: str, many: str, count: int) -> str:
    found: str = context["language"].translations.ngettext(one, many, count)
    return found


def root_of(request: Request, settings: Settings) -> str:
    """What stands before every path of the site: nothing, or the path at which a proxy shows it."""
    if settings.public:
        return urlsplit(settings.public).path.rstrip("/")
    prefix: str = request.scope.get("hub_prefix", "")
    return prefix


def page(
    request: Request,
    template: str,
    *,
    who: Identity | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> Response:
    """A page as a response.

    Args:
        request: What it answers.
        template: File of the template.
        who: Who asks, where that is known.
        status: Of the response.
        headers: Further headers.
        values: What the template is about.
    """
    settings: Settings = request.app.state.registry.settings
    spoken = language.language_of(request)
    root = root_of(request, settings)
    text = (
        templates()
        .get_template(template)
        .render(
            language=spoken,
            root=root,
            endpoint=base_of(request, settings),
            who=who,
            path=request.url.path,
            other=lambda code: _with_language(request, code),
            **values,
        )
    )
    # What a page says depends on who asks and in which language.
    given = {
        "Cache-Control": "private, no-cache",
        "Vary": "Accept, Accept-Language, Cookie, Authorization",
        "Content-Language": spoken.tag,
        "Content-Security-Policy": POLICY,
        **(headers or {}),
    }
    response = HTMLResponse(text, status, given)
    if language.asked(request) is not None:
        response.set_cookie(
            language.COOKIE, spoken.code, max_age=365 * 24 * 3600, path=root or "/", samesite="lax"
        )
    return response


def _with_language(request: Request, code: str) -> str:
    query = [
        (key, value)
        for key, value in parse_qsl(request.url.query, keep_blank_values=True)
        if key != language.PARAMETER
    ]
    return "?" + urlencode([*query, (language.PARAMETER, code)])


def require_same_origin(request: Request) -> None:
    """Refuse what another site's page sends in a visitor's name.

    Raises:
        Forbidden: It comes from elsewhere.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    public: str = request.app.state.registry.settings.public
    own = {request.headers.get("host"), urlsplit(public).netloc} - {"", None}
    if site == "same-origin" or (site is None and origin is None):
        return
    if site is None and origin is not None and urlsplit(origin).netloc in own:
        return
    raise Forbidden("the form was sent by another site", fix="use the form on the page itself")


@lru_cache(maxsize=64)
def _read(name: str) -> tuple[bytes, str]:
    content = (STATIC / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]


def static(name: str) -> str:
    """The address of a file of ours, which changes with its content."""
    return f"/static/{name}?{_read(name)[1]}"


@router.show("/static/{name}")
def static_file(zoo: Zoo, name: str, request: Request) -> Response:
    """A style sheet, a script, a picture of ours."""
    if name not in {path.name for path in STATIC.iterdir()}:
        raise NotFound(f"nothing is at {request.url.path}")
    content, tag = _read(name)
    known = request.url.query == tag
    kept = "public, max-age=31536000, immutable" if known else "no-cache"
    media_type = TYPES[Path(name).suffix]
    return Response(content, 200, {"Cache-Control": kept}, media_type)
