"""Who asks: the admin, who may do everything, or a program whose token only lets it send as some bots."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import Header, HTTPException, Request

ADMIN: Final = "admin"
# The OpenAPI document names it as the security scheme, not as a parameter.
Authorization = Annotated[str | None, Header(include_in_schema=False)]


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a token; `bots` is None for the admin."""

    name: str
    token: str = field(repr=False)
    bots: frozenset[str] | None = None

    def may_send_as(self, bot: str) -> bool:
        """Whether this caller may send that bot's messages and see them."""
        return self.bots is None or bot in self.bots or "*" in self.bots


def asked_by(request: Request) -> str:
    """How the audit names an asker with an admin token, which bears no name."""
    return f"admin token from {request.client.host if request.client else 'unknown'}"


class Access:
    """The valid tokens, and the checks that routes depend on."""

    def __init__(self, admin_token: str, callers: Sequence[Caller] = ()) -> None:
        self._admin = Caller(ADMIN, admin_token)
        self._callers = (self._admin, *callers)

    def let_in(self, callers: Sequence[Caller]) -> None:
        """Let in these callers, beside the admin, and no others from now on."""
        self._callers = (self._admin, *callers)

    def caller(self, authorization: str | None) -> Caller | None:
        """Whose token an Authorization header carries; compares in constant time."""
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = given.strip().encode()
        # Compares all, so that the time taken does not tell which was close.
        found = [caller for caller in self._callers if hmac.compare_digest(token, caller.token.encode())]
        return found[0] if found else None

    async def admins(self, authorization: Authorization = None) -> None:
        """Lets the admin pass: 401 without a good token, 403 with one that is limited to some bots."""
        if self._known(authorization).bots is not None:
            raise HTTPException(403, "this token may only send messages: use the admin token")

    async def senders(self, bot: str, request: Request, authorization: Authorization = None) -> None:
        """Lets those pass who may send as the bot in the path; who it is stands in `request.state.caller`."""
        caller = self._known(authorization)
        if not caller.may_send_as(bot):
            raise HTTPException(403, f"this token may not send as bot {bot}: see api_tokens in hub.yaml")
        request.state.caller = caller

    def _known(self, authorization: str | None) -> Caller:
        caller = self.caller(authorization)
        if caller is None:
            raise HTTPException(401, "send a token as `Authorization: Bearer …` (data_dir/admin_token)")
        return caller
