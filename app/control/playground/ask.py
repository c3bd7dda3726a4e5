"""One API call under way: the request, who asks, and its line in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from app.control.playground.card_tokens import CardTokens
from app.control.playground.entities import Entities
from app.control.playground.feed import Feed
from app.control.playground.ledger import Call, Ledger
from app.control.playground.limits import RateLimits
from app.control.playground.token_desk import TokenDesk
from app.control.playground.uuids import Uuids
from app.control.playground.wire import Refusal, Request, parse_object
from app.control.playground.world import App, Message, World

BAD_REQUEST: Final = 9499


@dataclass(eq=False, slots=True)
class Desk:
    """What the API's handlers share."""

    world: World
    limits: RateLimits
    ledger: Ledger
    tokens: TokenDesk
    uuids: Uuids
    entities: Entities
    card_tokens: CardTokens
    feed: Feed
    notify: Callable[[App, str, dict[str, Any], str], object]
    """Sends an app an event: app, type, body, schema (`1.0` or `2.0`)."""
    bot_spoke: Callable[[Message], object]
    """Tells the other bots of a group that one of them spoke."""


@dataclass(eq=False, slots=True)
class Ask:
    """A call as a handler sees it; `params` are the variable parts of the path, in order."""

    desk: Desk
    request: Request
    params: tuple[str, ...]
    app: App
    call: Call
    afterwards: list[Callable[[], None]] = field(default_factory=list)
    """Run when the answer was written (or lost)."""

    def json(self) -> dict[str, Any]:
        """The body's JSON object; refused with 9499 where it is none."""
        document = parse_object(self.request.body)
        if document is None:
            raise Refusal(BAD_REQUEST, "Bad Request: the body is not a JSON object")
        return document


def text_field(document: dict[str, Any], name: str, code: int, *, required: bool = True) -> str:
    """A string of the body; refused with `code` where it is missing or something else."""
    value = document.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value):
        raise Refusal(code, f"Invalid parameter value: {name} must be a {'non-empty ' if required else ''}string")
    return value


def whole_field(document: dict[str, Any], name: str, code: int) -> int:
    """An integer of the body that fits 32 bits; refused with `code` otherwise."""
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise Refusal(code, f"Invalid parameter value: {name} must be an int32 of 0 or more")
    return value
