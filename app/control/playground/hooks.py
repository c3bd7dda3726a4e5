"""Custom bots: group webhooks without an app behind them."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from app.control.playground.limits import HOOK, HOOK_FREQUENCY, RateLimits
from app.control.playground.wire import Refusal, Request, parse_object
from app.control.playground.world import App, Chat, Message, World
from app.feishu.signature import hook_sign

BAD_TOKEN: Final = 19001
BAD_SIGN: Final = 19021
NO_KEYWORD: Final = 19024
BAD_REQUEST: Final = 9499
MOST_BYTES: Final = 20 * 1024
SIGNED_WITHIN: Final = 3600.0
TYPES: Final = frozenset({"text", "post", "image", "share_chat", "interactive"})


@dataclass(eq=False, slots=True)
class Hook:
    """One custom bot in one group; with a `secret` its calls must be signed."""

    token: str
    chat: Chat
    sender: App
    secret: str | None = field(default=None, repr=False)
    keyword: str = ""


class Hooks:
    """All custom bots by token."""

    def __init__(self, world: World, limits: RateLimits) -> None:
        self._world = world
        self._limits = limits
        self._hooks: dict[str, Hook] = {}

    def add(self, chat: Chat, secret: str | None, keyword: str) -> Hook:
        """A new custom bot in a group."""
        token = self._world.new_id("hook-")
        sender = App(token, "", "webhook", None, "", "", None, "")
        hook = self._hooks[token] = Hook(token, chat, sender, secret, keyword)
        return hook

    def post(self, token: str, request: Request) -> tuple[Hook, Message]:
        """Send what a caller posted; Refusal with HTTP 200 as custom bots answer."""
        hook = self._hooks.get(token)
        if hook is None:
            raise Refusal(BAD_TOKEN, "param invalid: incoming webhook access token invalid", status=200)
        document = parse_object(request.body)
        if document is None or len(request.body) > MOST_BYTES:
            raise Refusal(BAD_REQUEST, "Bad Request", status=200)
        if hook.secret is not None:
            self._check_sign(hook.secret, document)
        msg_type = document.get("msg_type")
        content = document.get("card" if msg_type == "interactive" else "content")
        if msg_type not in TYPES or not isinstance(content, dict):
            raise Refusal(BAD_REQUEST, "Bad Request: msg_type or content is wrong", status=200)
        if hook.keyword and hook.keyword not in orjson.dumps(content).decode():
            raise Refusal(NO_KEYWORD, "Key Words Not Found", status=200)
        self._count(token)
        if msg_type == "post" and isinstance(content.get("post"), dict):
            content = content["post"]
        return hook, self._world.add_message(hook.chat, hook.sender, msg_type, orjson.dumps(content).decode())

    def _check_sign(self, secret: str, document: dict[str, Any]) -> None:
        stamp, sign = str(document.get("timestamp", "")), str(document.get("sign", ""))
        fresh = stamp.isdigit() and abs(self._world.clock.now() - int(stamp)) <= SIGNED_WITHIN
        if not fresh or not hmac.compare_digest(sign.encode(), hook_sign(stamp, secret).encode()):
            raise Refusal(BAD_SIGN, "sign match fail or timestamp is not within one hour from current time", status=200)

    def _count(self, token: str) -> None:
        try:
            self._limits.gateway(token, "bot.v2.hook", HOOK)
        except Refusal as refusal:
            raise Refusal(HOOK_FREQUENCY, "too many request", status=200, violation=refusal.violation) from None
