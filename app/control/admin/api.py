"""The admin REST API, a router file for each noun: bearer tokens, JSON, one form of error."""

from __future__ import annotations

import math
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp

from app.control.admin.access import Access
from app.control.admin.known import KnownBots
from app.control.admin.reference import REFERENCE_PAGE
from app.control.admin.wrong import said_of
from app.control.health.status import Health
from app.core.errors import FeishuLimited, HubError, StoreUnavailable

Metrics = Callable[[], Awaitable[tuple[bytes, str]]]


def admin_app(
    *,
    access: Access,
    known: KnownBots,
    routers: Sequence[APIRouter],
    sending: Sequence[APIRouter] = (),
    dashboard: ASGIApp | None = None,
    metrics: Metrics,
    health: Health,
    metrics_path: str = "/metrics",
    health_path: str = "/healthz",
) -> FastAPI:
    """The admin listener's app: `routers` for the admin, those of `sending` (`/bots/{bot}/…`) for senders too.

    `dashboard` sees to its own log-in.
    """
    app = FastAPI(title="Feishu Hub", docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json")
    # Says in the OpenAPI document what Access requires.
    token = Depends(HTTPBearer(auto_error=False, description="The admin token, or one of api_tokens in hub.yaml."))
    for router in routers:
        app.include_router(router, prefix="/api/v1", dependencies=[token, Depends(access.admins), Depends(known.named)])
    for router in sending:
        app.include_router(
            router, prefix="/api/v1", dependencies=[token, Depends(access.senders), Depends(known.named)]
        )
    if dashboard is not None:
        app.mount("/dashboard", dashboard)
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
        app.add_api_route(path, _answering(ask), methods=["GET", "HEAD"], include_in_schema=False)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(REFERENCE_PAGE, headers={"Content-Security-Policy": "default-src 'self' 'unsafe-inline'"})


def _answering(ask: Callable[[], tuple[int, Mapping[str, Any]]]) -> Callable[[], Awaitable[JSONResponse]]:
    async def answer() -> JSONResponse:
        status, body = ask()
        return JSONResponse(dict(body), status)

    return answer


def _errors(app: FastAPI) -> None:
    """Give every error the one form, which the public listener has too."""

    def answer(status: int, code: str, message: str) -> JSONResponse:
        body = {"error": {"code": code, "message": message, "request_id": secrets.token_hex(8)}}
        return JSONResponse(body, status, headers={"WWW-Authenticate": "Bearer"} if status == 401 else None)

    codes = {401: "not_allowed", 403: "forbidden", 404: "not_found", 405: "method_not_allowed"}

    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: StarletteHTTPException) -> JSONResponse:
        said = answer(error.status_code, codes.get(error.status_code, "bad_request"), _words(request, error))
        said.headers.update(error.headers or {})
        return said

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        body = getattr(request.scope.get("route"), "body_field", None)
        return answer(422, "bad_request", said_of(error.errors(), body.field_info.annotation if body else None))

    @app.exception_handler(HubError)
    async def failed(_request: Request, error: HubError) -> JSONResponse:
        # Redis or Feishu is away, or a limit is reached: the caller did nothing wrong, and may try again.
        later = isinstance(error, StoreUnavailable | FeishuLimited) or error.retryable
        said = answer(503 if later else 400, "unavailable" if later else "bad_request", str(error))
        if later and error.retry_after:
            said.headers["Retry-After"] = str(math.ceil(error.retry_after))
        return said

    @app.exception_handler(Exception)
    async def broken(_request: Request, _error: Exception) -> JSONResponse:
        return answer(500, "internal", "the hub failed; see its log")


def _words(request: Request, error: StarletteHTTPException) -> str:
    """The hub's own words, or something more telling than the framework's "Not Found"."""
    path = request.url.path
    if error.detail == "Not Found":
        return f"there is nothing at {path}: GET /docs shows what there is"
    if error.detail == "Method Not Allowed":
        allowed = (error.headers or {}).get("Allow", "other methods")
        return f"{request.method} is not possible at {path}: use {allowed}"
    return str(error.detail)
