"""The chat page: one HTML document, its scripts and styles, and the control API beneath the same prefix."""

from __future__ import annotations

from functools import cache
from html import escape
from pathlib import Path
from typing import Final

from app.control.playground.control import Control
from app.control.playground.wire import Answer, Request, json_answer

_OWN: Final = Path(__file__).parent / "static"
# Colours and the icon are the dashboard's too.
_SHARED: Final = Path(__file__).parent.parent / "static"
_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}

# No inline script or style, nothing from elsewhere: pages of closed networks, and of people who look closely.
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Page:
    """Serves the page at `/`, its files at `/static/…` and the control API at `/_playground/…`, under any prefix."""

    def __init__(self, control: Control, token: str) -> None:
        self._control = control
        self._token = token

    async def handle(self, request: Request) -> Answer:
        """Answer one request; `request.path` is what follows the prefix `request.root`."""
        path = request.path
        if path.startswith("/_playground/"):
            return await self._control.handle(request, path.removeprefix("/_playground"))
        if request.method not in ("GET", "HEAD"):
            return json_answer(405, {"error": "the page is read only by GET"}, {"Allow": "GET, HEAD"})
        if path == "":
            return Answer(307, b"", headers={"Location": f"{request.root}/"})
        if path == "/":
            page = _file("page.html").decode()
            page = page.replace("%BASE%", escape(request.root)).replace("%TOKEN%", escape(self._token))
            return Answer(200, page.encode(), "text/html; charset=utf-8", dict(HEADERS))
        name = path.removeprefix("/static/")
        suffix = Path(name).suffix
        if path.startswith("/static/") and suffix in _TYPES and name in _files():
            return Answer(200, _file(name), _TYPES[suffix], dict(HEADERS))
        return json_answer(404, {"error": "there is no such page"})


@cache
def _files() -> dict[str, Path]:
    return {file.name: file for directory in (_SHARED, _OWN) for file in directory.iterdir()}


@cache
def _file(name: str) -> bytes:
    return _files()[name].read_bytes()
