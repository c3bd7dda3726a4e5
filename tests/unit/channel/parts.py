"""Bots, clocks, seals and ledgers for the channel's tests."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any, cast

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import Fenced, SealBroken, StoreUnavailable
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.model.bot import BotConfig, BotSpec, Credentials
from app.model.outbound import Begun, Opened, Outbound, SendName, Target
from app.storage.cache import CacheTiers
from app.storage.cipher import Cipher
from app.storage.keyring import Keyring

START = 1_700_000_000.0


def bot(domain: str, bot_id: str = "support", app: str = "a", secret: str = "", **limits: Any) -> BotSpec:
    """A bot of app `cli_<app>` whose Open API is at `domain`."""
    credentials: dict[str, Any] = {
        "app_id": f"cli_{app}",
        "app_secret": secret or f"secret-{app}",
        "verification_token": "v",
        "domain": domain,
    }
    return BotSpec(
        id=bot_id,
        config=BotConfig.model_validate({"handler": "echo", "limits": limits}),
        credentials=Credentials.model_validate(credentials),
        revision="1",
        directory="",
        keys=(),
        tokens=(),
        encrypt_keys=(),
    )


def text(chat: str = "oc_1", words: str = "hi") -> Outbound:
    """A text to a chat."""
    return Outbound(Target("chat_id", chat, chat), "text", f'{{"text":"{words}"}}')


def name(n: int = 1, event: str = "om_event") -> SendName:
    """The n-th send of an event."""
    return SendName("support", event, 0, "im.message.create", "oc_1", n)


class FastClock:
    """Real time, in which sleeping takes none: `now` and `monotonic` jump by what was slept."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.jumped = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        return START + self.monotonic()

    def monotonic(self) -> float:
        return time.monotonic() - self._started + self.jumped

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.jumped += max(0.0, seconds)
        await asyncio.sleep(0)


class OneKey:
    """A keyring that gives every bot the same key."""

    def cached(self, bot: str) -> Cipher:
        return Cipher(bot, {b"key1": bytes(32)}, b"key1")

    async def cipher(self, bot: str) -> Cipher:
        return self.cached(bot)

    async def refresh(self, bot: str) -> Cipher:
        return self.cached(bot)


def cache_of(link: RedisLink, keys: Keys, clock: Clock = SYSTEM_CLOCK) -> CacheTiers:
    """A process' cache, which need not run: no other one changes anything."""
    return CacheTiers(link, keys, cast(Keyring, OneKey()), clock=clock)


class PlainSeal:
    """Seals by writing bot and identity in front; opens only in its own place."""

    async def seal(self, bot: str, plain: bytes, identity: bytes) -> bytes:
        return b"|".join((bot.encode(), identity, plain[::-1]))

    async def open(self, bot: str, sealed: bytes, identity: bytes) -> bytes:
        start = b"|".join((bot.encode(), identity, b""))
        if not sealed.startswith(start):
            raise SealBroken("not sealed here")
        return sealed[len(start) :][::-1]


class MemoryLedger:
    """The sent record of one event, in memory."""

    def __init__(self) -> None:
        self.begun: dict[str, float] = {}
        self.sent: dict[str, str] = {}
        self.forgotten: list[str] = []
        self.turns: Counter[str] = Counter()
        self.now = START
        self.lost = False
        self.away = False

    async def begin(self, name: SendName) -> Begun:
        if name.field in self.sent:
            return Begun(message_id=self.sent[name.field])
        if name.field in self.begun:
            return Begun(since=self.begun[name.field])
        self.begun[name.field] = self.now
        return Begun()

    async def record(self, name: SendName, message_id: str) -> None:
        if self.lost:
            raise Fenced("lost")
        if self.away:
            raise StoreUnavailable("away")
        self.sent[name.field] = message_id

    async def open(self, name: SendName) -> Opened:
        self.turns[name.field] += 1
        return Opened(self.turns[name.field], self.sent.get(name.field))

    async def forget(self, name: SendName) -> None:
        self.forgotten.append(name.field)
        self.begun.pop(name.field, None)
