"""Access tokens: made by the 30-minute rule, and known again on every call."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from app.control.playground.wire import Refusal
from app.control.playground.world import App, World

LIFETIME: Final = 7200.0
RENEWED_BELOW: Final = 1800.0  # with less than this left, a new token is given and the old one lives on

NO_TOKEN: Final = 99991661
NOT_A_TOKEN: Final = 99991671
TENANT_TOKEN_INVALID: Final = 99991663
APP_TOKEN_INVALID: Final = 99991664
USER_TOKEN_INVALID: Final = 99991668


@dataclass(eq=False, slots=True)
class Token:
    """One token given out; `expires` in seconds since the epoch."""

    value: str
    app: App
    expires: float


class TokenDesk:
    """Gives out tokens and knows whose they are."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.lifetime = LIFETIME
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

    def owner(self, value: str, kind: str) -> App | None:
        """Whose token of a kind that is, or None."""
        token = self._tokens.get(value) if value.startswith(kind) else None
        return token.app if token is not None and token.expires > self._world.clock.now() else None
