"""The APIs that give out access tokens, for a secret or a ticket."""

from __future__ import annotations

import hmac
from typing import Any, Final

from app.control.playground.ask import Ask
from app.control.playground.token_desk import APP_TOKEN_INVALID
from app.control.playground.wire import Refusal
from app.control.playground.world import TENANT, App

BAD_PARAMETER: Final = 10003
WRONG_SECRET: Final = 10015
WRONG_TICKET: Final = 10012
WRONG_TENANT: Final = 99991665


def self_tenant(ask: Ask) -> dict[str, Any]:
    """POST auth/v3/tenant_access_token/internal: fields at top level, errors with HTTP 200."""
    app = _authentic(ask, ask.json())
    token, expire = ask.desk.tokens.issue(app, "t-")
    return {"tenant_access_token": token, "expire": expire}


def self_app(ask: Ask) -> dict[str, Any]:
    """POST auth/v3/app_access_token/internal: both names carry the same `t-` token."""
    answer = self_tenant(ask)
    return {"app_access_token": answer["tenant_access_token"], **answer}


def store_app(ask: Ask) -> dict[str, Any]:
    """POST auth/v3/app_access_token: a store app's token, for its current ticket."""
    document = ask.json()
    app = _authentic(ask, document)
    if document.get("app_ticket") != app.ticket:
        raise Refusal(WRONG_TICKET, "app_ticket invalid", status=200)
    token, expire = ask.desk.tokens.issue(app, "a-")
    return {"app_access_token": token, "expire": expire}


def store_tenant(ask: Ask) -> dict[str, Any]:
    """POST auth/v3/tenant_access_token: a store app's token for one tenant."""
    document = ask.json()
    app = ask.desk.tokens.owner(str(document.get("app_access_token", "")), "a-")
    if app is None:
        raise Refusal(APP_TOKEN_INVALID, "app access token invalid", status=200)
    if document.get("tenant_key") != TENANT:
        raise Refusal(WRONG_TENANT, "invalid tenant code", status=200)
    ask.call.app_id = app.app_id
    token, expire = ask.desk.tokens.issue(app, "t-")
    return {"tenant_access_token": token, "expire": expire}


def resend_ticket(ask: Ask) -> dict[str, Any]:
    """POST auth/v3/app_ticket/resend: pushes a new ticket by a v1 event."""
    app = _authentic(ask, ask.json())
    app.ticket = ask.desk.world.new_id("ticket-")
    ask.desk.notify(app, "app_ticket", {"app_id": app.app_id, "app_ticket": app.ticket}, "1.0")
    return {}


def _authentic(ask: Ask, document: dict[str, Any]) -> App:
    app_id, secret = document.get("app_id"), document.get("app_secret")
    app = ask.desk.world.apps.get(app_id) if isinstance(app_id, str) else None
    if app is None or not isinstance(secret, str):
        raise Refusal(BAD_PARAMETER, "invalid param", status=200)
    ask.call.app_id = app.app_id
    if not hmac.compare_digest(secret.encode(), app.app_secret.encode()):
        raise Refusal(WRONG_SECRET, "app secret invalid", status=200)
    return app
