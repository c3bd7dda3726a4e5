"""Access tokens: given out by the 30-minute rule, checked on every call."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.control.playground.wire import Refusal
from app.control.playground.world import TENANT, App, World

if TYPE_CHECKING:
    from app.control.playground.ask import Ask

LIFETIME: Final = 7200.0
RENEWED_BELOW: Final = 1800.0  # with less than this left, a new token is given and the old one lives on

BAD_PARAMETER: Final = 10003
WRONG_SECRET: Final = 10015
WRONG_TICKET: Final = 10012
NO_TOKEN: Final = 99991661
NOT_A_TOKEN: Final = 99991671
TENANT_TOKEN_INVALID: Final = 99991663
APP_TOKEN_INVALID: Final = 99991664
USER_TOKEN_INVALID: Final = 99991668
WRONG_TENANT: Final = 99991665


@dataclass(eq=False, slots=True)
class Token:
    """One token given out; `expires` in seconds since the epoch."""

    value: str
    app: App
    expires: float


class TokenDesk:
    """Gives out tokens and knows whose they are."""

    def __init__(self, world: World, lifetime: float = LIFETIME) -> None:
        self._world = world
        self.lifetime = lifetime
        self._tokens: dict[str, Token] = {}
        self._latest: dict[tuple[str, str], Token] = {}
        self.issued = 0

    def issue(self, app: App, kind: str) -> tuple[str, int]:
        """The app's token of a kind (`t-`, `a-`) with the whole seconds it has left."""
        now = self._world.clock.now()
        token = self._latest.get((app.app_id, kind))
        if token is None or token.value not in self._tokens or token.expires - now < RENEWED_BELOW:
            token = Token(f"{kind}g1{secrets.token_hex(16)}", app, now + self.lifetime)
            self._tokens[token.value] = self._latest[app.app_id, kind] = token
            self.issued += 1
        return token.value, int(token.expires - now)

    def check(self, authorization: str | None) -> App:
        """Whose tenant token an `Authorization` header carries; Refusal with 99991661, …71, …68, …64 or …63."""
        if not authorization:
            raise Refusal(
                NO_TOKEN, "Missing access token for authorization. Please make a request with token attached."
            )
        scheme, _, value = authorization.partition(" ")
        if scheme != "Bearer" or value[:2] not in ("t-", "u-", "a-"):
            raise Refusal(NOT_A_TOKEN, "Invalid access token: it must start with `Bearer t-` or `Bearer u-`")
        if value[0] != "t":
            code = USER_TOKEN_INVALID if value[0] == "u" else APP_TOKEN_INVALID
            raise Refusal(code, "Invalid access token for authorization: this API takes tenant access tokens")
        token = self._tokens.get(value)
        if token is None or token.expires <= self._world.clock.now():
            raise Refusal(
                TENANT_TOKEN_INVALID,
                "Invalid access token for authorization. Please make a request with token attached.",
            )
        return token.app

    def revoke(self, value: str) -> None:
        """Make one token invalid before its time."""
        self._tokens.pop(value, None)

    def revoke_all(self, app: App) -> None:
        """Make all tokens of an app invalid, as a reset of its secret does."""
        self._tokens = {value: token for value, token in self._tokens.items() if token.app is not app}

    def owner(self, value: str, kind: str) -> App | None:
        """Whose token of a kind that is, or None."""
        token = self._tokens.get(value) if value.startswith(kind) else None
        return token.app if token is not None and token.expires > self._world.clock.now() else None


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
