"""The admin REST API: bots, dead letters, nodes; a bearer token, JSON, one form of error."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from app.control.admin.auth import is_admin
from app.control.admin.reference import REFERENCE_PAGE
from app.control.admin.shapes import Bot, DeadLetterDetail, DeadLetterSummary, Done, Node
from app.control.health.status import Health
from app.core.errors import HubError, StoreUnavailable
from app.queue.dead_letters import DeadLetter, DeadLetters


class BotsView(Protocol):
    """What the API shows of bots."""

    async def bots(self) -> Sequence[Mapping[str, Any]]: ...


Reload = Callable[[str | None], Awaitable[None]]
Nodes = Callable[[], Awaitable[Sequence[Mapping[str, Any]]]]
Metrics = Callable[[], Awaitable[tuple[bytes, str]]]
Open = Callable[[DeadLetter], Awaitable[Any]]


def admin_app(
    *,
    token: str,
    bots: BotsView,
    reload: Reload,
    letters: DeadLetters,
    open_letter: Open,
    nodes: Nodes,
    metrics: Metrics,
    health: Health,
    metrics_path: str = "/metrics",
    health_path: str = "/healthz",
) -> FastAPI:
    """The admin listener's app; `open_letter` reveals a dead letter's payload."""
    app = FastAPI(title="Feishu Hub", docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json")

    async def allowed(authorization: Annotated[str | None, Header()] = None) -> None:
        if not is_admin(authorization, token):
            raise HTTPException(401, "send the admin token as `Authorization: Bearer …` (data_dir/admin_token)")

    api = APIRouter(prefix="/api/v1", dependencies=[Depends(allowed)])

    @api.get("/bots", response_model=list[Bot])
    async def list_bots() -> Sequence[Mapping[str, Any]]:
        """Every bot of the configuration with its state, its faults and what waits for it."""
        return await bots.bots()

    @api.post("/bots/reload", response_model=Done)
    async def reload_all() -> Done:
        """Read every directory and handler again, on every node."""
        await reload(None)
        return Done()

    @api.post("/bots/{bot}/reload", response_model=Done)
    async def reload_bot(bot: str) -> Done:
        """Read one directory and its handler again, on every node."""
        if all(known["id"] != bot for known in await bots.bots()):
            raise HTTPException(404, f"there is no bot {bot}")
        await reload(bot)
        return Done()

    @api.get("/bots/{bot}/dead", response_model=list[DeadLetterSummary])
    async def list_dead(
        bot: str, limit: Annotated[int, Query(ge=1, le=1000)] = 100, before: str | None = None
    ) -> list[DeadLetterSummary]:
        """A bot's dead letters, the newest first; page on with `before`."""
        return [DeadLetterSummary.of(letter) for letter in await letters.list(bot, limit=limit, before=before)]

    @api.get("/bots/{bot}/dead/{letter_id}", response_model=DeadLetterDetail)
    async def show_dead(bot: str, letter_id: str) -> DeadLetterDetail:
        """One dead letter with its event, opened."""
        letter = _found(await letters.show(bot, letter_id), bot, letter_id)
        return DeadLetterDetail(**DeadLetterSummary.of(letter).model_dump(), event=await open_letter(letter))

    @api.post("/bots/{bot}/dead/{letter_id}/replay", response_model=Done)
    async def replay_dead(bot: str, letter_id: str) -> Done:
        """Handle it again, as a new intention: it is answered anew."""
        _found(await letters.replay(bot, letter_id), bot, letter_id)
        return Done()

    @api.delete("/bots/{bot}/dead/{letter_id}", response_model=Done)
    async def drop_dead(bot: str, letter_id: str) -> Done:
        """Let it go for good."""
        _found(await letters.drop(bot, letter_id), bot, letter_id)
        return Done()

    @api.get("/nodes", response_model=list[Node])
    async def list_nodes() -> Sequence[Mapping[str, Any]]:
        """Every node ever seen."""
        return await nodes()

    app.include_router(api)
    _operations(app, metrics, health, metrics_path, health_path)
    _errors(app)
    return app


def _operations(app: FastAPI, metrics: Metrics, health: Health, metrics_path: str, health_path: str) -> None:
    async def show_metrics() -> Response:
        body, content_type = await metrics()
        return Response(body, media_type=content_type)

    if metrics_path:
        app.add_api_route(metrics_path, show_metrics, methods=["GET"], include_in_schema=False)

    pages = {"/healthz": health.alive, health_path: health.alive, "/readyz": health.ready, "/health": health.details}
    for path, ask in pages.items():
        app.add_api_route(path, _answering(ask), methods=["GET"], include_in_schema=False)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(REFERENCE_PAGE, headers={"Content-Security-Policy": "default-src 'self' 'unsafe-inline'"})


def _answering(ask: Callable[[], tuple[int, Mapping[str, Any]]]) -> Callable[[], Awaitable[JSONResponse]]:
    async def answer() -> JSONResponse:
        status, body = ask()
        return JSONResponse(dict(body), status)

    return answer


def _found(result: Any, bot: str, letter_id: str) -> Any:
    if not result:
        raise HTTPException(404, f"bot {bot} has no dead letter {letter_id}")
    return result


def _errors(app: FastAPI) -> None:
    """Every error in the one form that the public listener has too."""

    def answer(status: int, code: str, message: str) -> JSONResponse:
        body = {"error": {"code": code, "message": message, "request_id": secrets.token_hex(8)}}
        return JSONResponse(body, status, headers={"WWW-Authenticate": "Bearer"} if status == 401 else None)

    codes = {401: "not_allowed", 404: "not_found", 405: "method_not_allowed"}

    @app.exception_handler(StarletteHTTPException)
    async def refused(_request: Request, error: StarletteHTTPException) -> JSONResponse:
        return answer(error.status_code, codes.get(error.status_code, "bad_request"), str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        faults = "; ".join(f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors())
        return answer(422, "bad_request", faults)

    @app.exception_handler(HubError)
    async def failed(_request: Request, error: HubError) -> JSONResponse:
        status = 503 if isinstance(error, StoreUnavailable) else 400
        return answer(status, "unavailable" if status == 503 else "bad_request", str(error))

    @app.exception_handler(Exception)
    async def broken(_request: Request, _error: Exception) -> JSONResponse:
        return answer(500, "internal", "the hub failed; see its log")
