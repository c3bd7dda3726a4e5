"""The dashboard: the login, and one page of bots, limits, alerts and quotas, whose parts refresh themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from app.control.admin.bots import BotsView
from app.control.dashboard.sessions import COOKIE, LIFETIME, Sessions
from app.control.dashboard.show import FILTERS
from app.control.dashboard.view import AlertsView, LimitsView, TrafficView
from app.control.dashboard.words import LANGUAGE_COOKIE, Language, language_of, words
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StoreUnavailable

_HERE: Final = Path(__file__).parent
_PARTS: Final = ("bots", "limits", "alerts", "quotas")
_PAST: Final = 20
# An hour, a working day, a weekend.
_SILENCES: Final = {"1h": 3600.0, "8h": 8 * 3600.0, "3d": 72 * 3600.0}
_LONGEST_FORM: Final = 10_000

# No inline script or style, nothing from elsewhere, in nobody's frame.
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Sight:
    """What the dashboard shows."""

    bots: BotsView
    traffic: TrafficView
    limits: LimitsView
    alerts: AlertsView


class Dashboard:
    """The ASGI app beneath `/dashboard`."""

    def __init__(self, sight: Sight, token: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
        """`token` is the admin token, by which people log in."""
        self._sight = sight
        self._sessions = Sessions(token, clock=clock)
        self._clock = clock
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(FILTERS)
        known, form = self._known, self._form
        self.app = Starlette(
            routes=[
                Route("/", known(self._overview)),
                Route("/login", self._login_page),
                Route("/login", self._login, methods=["POST"]),
                Route("/logout", form(self._logout), methods=["POST"]),
                Route("/language", self._language, methods=["POST"]),
                Route("/parts/{part}", known(self._part)),
                Route("/traffic", known(self._traffic)),
                Route("/silence", form(self._silence), methods=["POST"]),
                Mount("/static", StaticFiles(directory=_HERE / "static", packages=[("app.control", "static")])),
            ],
        )

    # -- who may ------------------------------------------------------------------------------------------------

    def _known(self, handler: Handler) -> Handler:
        """Let in those who are logged in; others are led to the login page."""

        async def handle(request: Request) -> Response:
            if self._sessions.holds(request.cookies.get(COOKIE)):
                return await handler(request)
            login = f"{_root(request)}/login"
            if "HX-Request" in request.headers:
                # A part that refreshes itself takes the whole page along.
                return Response(status_code=401, headers={"HX-Redirect": login})
            return RedirectResponse(login, 303)

        return handle

    def _form(self, handler: Callable[[Request, Mapping[str, str]], Awaitable[Response]]) -> Handler:
        """Let in forms that were made in the session they come from."""

        async def handle(request: Request) -> Response:
            cookie = request.cookies.get(COOKIE)
            if cookie is None or not self._sessions.holds(cookie):
                return RedirectResponse(f"{_root(request)}/login", 303)
            fields = await _fields(request)
            if not self._sessions.is_own(cookie, fields.get("csrf", "")):
                return self._page(request, "refused.html", 403)
            return await handler(request, fields)

        return handle

    # -- login --------------------------------------------------------------------------------------------------

    async def _login_page(self, request: Request) -> Response:
        if self._sessions.holds(request.cookies.get(COOKIE)):
            return RedirectResponse(f"{_root(request)}/", 303)
        return self._page(request, "login.html", fault=None)

    async def _login(self, request: Request) -> Response:
        # Before a session there is no token to compare: a browser says from where a form comes. What ends TLS in front
        # of the hub is seen there alone.
        host = request.headers.get("host", "")
        scheme, _, origin = request.headers.get("origin", f"http://{host}").partition("://")
        if origin != host:
            return self._page(request, "refused.html", 403)
        wait = self._sessions.patience(request.client.host if request.client else "")
        if wait > 0:
            page = self._page(request, "login.html", 429, fault="too_many")
            page.headers["Retry-After"] = str(int(wait) + 1)
            return page
        fields = await _fields(request)
        cookie = self._sessions.begin(fields.get("token", ""))
        if cookie is None:
            return self._page(request, "login.html", 401, fault="wrong_token")
        answer = RedirectResponse(f"{_root(request)}/", 303)
        answer.set_cookie(
            COOKIE,
            cookie,
            max_age=LIFETIME,
            path=_root(request) or "/",
            httponly=True,
            samesite="strict",
            secure=scheme == "https",
        )
        return answer

    async def _logout(self, request: Request, _fields: Mapping[str, str]) -> Response:
        self._sessions.end(request.cookies[COOKIE])
        answer = RedirectResponse(f"{_root(request)}/login", 303)
        answer.delete_cookie(COOKIE, path=_root(request) or "/")
        return answer

    async def _language(self, request: Request) -> Response:
        """Switch the language, in a cookie: it changes only words, so it needs no session."""
        other = "en" if _spoken(request) == "zh" else "zh"
        answer = RedirectResponse(f"{_root(request)}/", 303)
        answer.set_cookie(LANGUAGE_COOKIE, other, max_age=365 * 86400, path=_root(request) or "/", samesite="lax")
        return answer

    # -- what is to be seen ---------------------------------------------------------------------------------------

    async def _overview(self, request: Request) -> Response:
        return self._page(request, "overview.html", **await self._look(_PARTS))

    async def _part(self, request: Request) -> Response:
        part = request.path_params["part"]
        if part not in _PARTS:
            return Response(status_code=404, headers=_HEADERS)
        return self._page(request, f"parts/{part}.html", **await self._look((part,)))

    async def _traffic(self, _request: Request) -> Response:
        chart = self._sight.traffic.chart()
        body = {"moments": chart.moments, "messages": chart.messages, "dead": chart.dead}
        return JSONResponse(body, headers=_HEADERS)

    async def _silence(self, request: Request, fields: Mapping[str, str]) -> Response:
        seconds = _SILENCES.get(fields.get("for", ""))
        name, subject = fields.get("name", ""), fields.get("subject", "")
        if seconds is None or not name:
            return self._page(request, "refused.html", 400)
        await self._sight.alerts.silence(name, subject, seconds)
        if "HX-Request" in request.headers:
            return self._page(request, "parts/alerts.html", **await self._look(("alerts",)))
        return RedirectResponse(f"{_root(request)}/#alerts", 303)

    async def _look(self, parts: tuple[str, ...]) -> dict[str, Any]:
        """What the parts show; without Redis, as much as is available."""
        seen: dict[str, Any] = {
            "bots": [],
            "traffic": self._sight.traffic,
            "limits": [],
            "names": {},
            "quotas": [],
            "alerts": [],
            "past": [],
            "silences": tuple(_SILENCES),
            "away": False,
        }
        try:
            if "bots" in parts:
                seen["bots"] = await self._sight.bots.bots()
            if "limits" in parts:
                seen["limits"] = await self._sight.limits.read()
                # People know an app by its bot.
                seen["names"] = {bot.get("app_id"): bot["id"] for bot in seen["bots"] or await self._sight.bots.bots()}
            if "quotas" in parts:
                seen["quotas"] = await self._sight.limits.quotas()
            if "alerts" in parts:
                seen["alerts"] = await self._sight.alerts.now()
                seen["past"] = await self._sight.alerts.past(_PAST)
        except StoreUnavailable:
            seen["away"] = True
        return seen

    def _page(self, request: Request, template: str, status: int = 200, **shown: Any) -> HTMLResponse:
        language = _spoken(request)
        cookie = request.cookies.get(COOKIE)
        known = self._sessions.holds(cookie)
        text = self._templates.get_template(template).render(
            t=words(language),
            language=language,
            root=_root(request),
            csrf=self._sessions.csrf(cookie) if known and cookie else "",
            known=known,
            now=self._clock.now(),
            **shown,
        )
        return HTMLResponse(text, status, headers=_HEADERS)


async def _fields(request: Request) -> Mapping[str, str]:
    """A form's fields; none if it is too long, so that it is refused for missing them."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_FORM:
            return {}
    return dict(parse_qsl(body.decode(errors="replace")))


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


def _spoken(request: Request) -> Language:
    return language_of(request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language"))
