"""The graph of a network in netron, whose files come from the installed package (extra `viewer`).

Its page is sealed: scripts of this site only, and no connection to any other, so that what netron would ask
elsewhere (for updates, for a visitor's country) is never asked.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from fastapi import Query, Request
from markupsafe import escape
from starlette.responses import FileResponse, HTMLResponse, Response

from api.dependencies import Zoo
from api.pages.site import Pages, root_of
from zoo.errors import NotFound
from zoo.manifest import File, Manifest

router = Pages()
LARGEST_GRAPH = 512 << 20  # bytes of a file that a browser is asked to read
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_FILE = re.compile(r"[a-z0-9-]+\.(js|json|css|png|ico)\Z")
_TYPES = {"js": "text/javascript", "json": "application/json", "css": "text/css"}
# A version or a date in its head is what makes netron ask elsewhere whether there is a newer one.
_ABOUT = re.compile(r'<meta (?:name="(?:version|date)"|http-equiv)[^>]*>')


@lru_cache(maxsize=1)
def _folder() -> Path | None:
    """Where the package is; None where it is not installed. It is found without being run."""
    spec = find_spec("netron")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent


def graph_of(manifest: Manifest) -> File | None:
    """The file that the viewer can show: the graph of the ONNX form, if there is one and a viewer."""
    artifact = manifest.artifact("onnx")
    file = None if artifact is None else artifact.file(artifact.entry)
    if file is None or _folder() is None or (file.size or 0) > LARGEST_GRAPH:
        return None
    return file


@router.show("/viewer/")
def viewer(zoo: Zoo, request: Request, file: Annotated[str, Query(max_length=2000)]) -> Response:
    """The viewer with a file of this zoo."""
    folder = _folder()
    if folder is None or not file.startswith("/v1/models/"):
        raise NotFound("there is no such graph", fix="open it from the page of a model")
    # It counts addresses from its own.
    address = escape(f"..{quote(file)}")
    head = f'<meta name="type" content="Zoo"><meta name="file" content="{address}">'
    text = (folder / "index.html").read_text(encoding="utf-8")
    text = _ABOUT.sub("", text).replace("<title>", f"{head}<title>", 1)
    response = HTMLResponse(text, headers={"Content-Security-Policy": POLICY})
    # It asks for a consent to cookies otherwise, which it sets none of here.
    response.set_cookie(
        "consent", "none", path=f"{root_of(request, zoo.settings)}/viewer/", samesite="strict"
    )
    return response


@router.show("/viewer/{name}")
def viewer_file(name: str, request: Request) -> Response:
    """A file of the viewer."""
    folder = _folder()
    path = None if folder is None or not _FILE.match(name) else folder / name
    if path is None or not path.is_file():
        raise NotFound(f"nothing is at {request.url.path}")
    media_type = _TYPES.get(path.suffix[1:])
    # A worker is bound by the policy of its own script.
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
    return FileResponse(path, media_type=media_type, headers=headers)
