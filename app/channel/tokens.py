"""Access tokens: fetched once at a time for each app, shared through Redis, renewed before they expire."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import (
    AppRefused,
    FeishuError,
    FeishuRefused,
    FeishuUnavailable,
    HubError,
    SealBroken,
    StoreUnavailable,
)
from app.core.keys import Keys
from app.core.logs import get_logger
from app.core.lua import Script
from app.core.metrics import TOKEN_FETCHES
from app.core.outage import guard
from app.core.redis import RedisLink
from app.feishu.client import FeishuApi
from app.feishu.codes import error_for
from app.model.bot import BotSpec
from app.storage.cipher import Seal

_DROP: Final = Script(Path(__file__).parent / "drop_token.lua")

# Feishu docs: tenant_access_token: with less than half an hour left Feishu gives a new one, and the old stays good.
RENEW_BELOW: Final = 1800.0
# A call takes seconds: a token with less left may expire on its way.
_TOO_OLD: Final = 30.0
# Pause after a renewal that failed or that another node is doing.
_RENEW_AGAIN: Final = 30.0
_REFUSED_FOR: Final = 60.0
"""Seconds for which wrong credentials are remembered: asking again would not make them right."""
_FETCH_TIMEOUT: Final = 10.0
# One node fetches, the others look for its token; longer than a fetch takes, shorter than any caller waits.
_LOCK_MS: Final = 3000
_LOOKS: Final = 20
_LOOK_EVERY: Final = 0.05

TokenKind = Literal["tenant", "app"]
_PATHS: Final[Mapping[TokenKind, str]] = {
    "tenant": "/open-apis/auth/v3/tenant_access_token/internal",
    "app": "/open-apis/auth/v3/app_access_token/internal",
}

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    expires: float
    """Seconds since the epoch."""
    renew_at: float


@dataclass(frozen=True, slots=True)
class _Place:
    """What a token belongs to; the same app with another domain or secret is another place."""

    base_url: str
    app_id: str
    kind: TokenKind
    secret: bytes = field(repr=False)

    @property
    def shared(self) -> str:
        """The domain as the Redis key has it."""
        return self.base_url if self.kind == "tenant" else f"{self.base_url}#{self.kind}"

    @property
    def identity(self) -> bytes:
        """The record identity that seals the shared token; covers the secret: a changed one has to prove itself."""
        return f"token\n{self.app_id}\n{self.shared}\n".encode() + self.secret


class Tokens:
    """Gives access tokens, usually by a dictionary look-up."""

    def __init__(self, api: FeishuApi, link: RedisLink, keys: Keys, seal: Seal, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._api = api
        self._link = link
        self._keys = keys
        self._seal = seal
        self._clock = clock
        self._held: dict[_Place, _Token] = {}
        self._refused: dict[_Place, tuple[float, AppRefused]] = {}
        self._flights: dict[_Place, asyncio.Task[_Token]] = {}

    async def token(self, spec: BotSpec, kind: TokenKind = "tenant") -> str:
        """A token that is good for at least half a minute; raises FeishuError."""
        place = _place(spec, kind)
        held = self._held.get(place)
        now = self._clock.now()
        if held is not None and held.expires - now > _TOO_OLD:
            if now >= held.renew_at and place not in self._flights:
                self._fly(place, spec, held)
            return held.value
        refused = self._refused.get(place)
        if refused is not None:
            until, error = refused
            if now < until:
                raise _no_token(error, until - now)
            del self._refused[place]
        flight = self._flights.get(place) or self._fly(place, spec, None)
        # Shielded: the first caller may be cancelled while others still wait.
        return (await asyncio.shield(flight)).value

    async def drop(self, spec: BotSpec, token: str, kind: TokenKind = "tenant") -> None:
        """Forget a token that Feishu rejected, here and in Redis, unless it was replaced meanwhile."""
        place = _place(spec, kind)
        held = self._held.get(place)
        if held is not None and held.value == token:
            del self._held[place]
        try:
            sealed, shared = await self._read(place, spec)
            if sealed is not None and (shared is None or shared.value == token):
                await _DROP(self._link.commands, [self._keys.token(place.app_id, place.shared)], [sealed])
        except StoreUnavailable:
            pass  # the other nodes find out by themselves

    async def close(self) -> None:
        """Stop fetching."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _fly(self, place: _Place, spec: BotSpec, old: _Token | None) -> asyncio.Task[_Token]:
        task = asyncio.create_task(self._renew(place, spec, old) if old else self._find(place, spec))
        self._flights[place] = task

        def landed(task: asyncio.Task[_Token]) -> None:
            del self._flights[place]
            if not task.cancelled():
                task.exception()  # retrieved, since everyone who waited may be gone

        task.add_done_callback(landed)
        return task

    async def _renew(self, place: _Place, spec: BotSpec, old: _Token) -> _Token:
        """Renew in the background, while the old token serves: take another node's new one, or fetch."""
        later = _Token(old.value, old.expires, self._clock.now() + _RENEW_AGAIN)
        self._held[place] = later
        try:
            shared = (await self._read(place, spec))[1]
            if shared is not None and shared.expires > old.expires and shared.value != old.value:
                self._held[place] = shared
                return shared
            if not await self._lock(place):
                return later
        except StoreUnavailable:
            pass  # without Redis every node fetches its own: Feishu lets both live
        try:
            return await self._fetch(place, spec)
        except FeishuError as error:
            log.warning("token could not be renewed yet", bot=spec.id, code=error.code, reason=str(error))
            return later

    async def _find(self, place: _Place, spec: BotSpec) -> _Token:
        """A token if this process has none: the shared one, or a fetched one."""
        try:
            shared = (await self._read(place, spec))[1]
            if shared is None and not await self._lock(place):
                for _ in range(_LOOKS):
                    await self._clock.sleep(_LOOK_EVERY)
                    shared = (await self._read(place, spec))[1]
                    if shared is not None:
                        break
            if shared is not None:
                self._held[place] = shared
                return shared
        except StoreUnavailable:
            pass
        return await self._fetch(place, spec)

    async def _fetch(self, place: _Place, spec: BotSpec) -> _Token:
        try:
            token = await self._ask(place, spec)
        except FeishuError:
            TOKEN_FETCHES.labels(spec.id, "failed").inc()
            raise
        TOKEN_FETCHES.labels(spec.id, "fetched").inc()
        self._held[place] = token
        await self._share(place, spec, token)
        return token

    async def _ask(self, place: _Place, spec: BotSpec) -> _Token:
        label = f"the token of bot {spec.id} (app {place.app_id})"
        asked = self._clock.now()
        answer = await self._api.request(
            place.base_url,
            "POST",
            _PATHS[place.kind],
            json={"app_id": place.app_id, "app_secret": spec.credentials.app_secret.get_secret_value()},
            timeout=_FETCH_TIMEOUT,
            label=label,
        )
        if answer.code != 0:
            error = error_for(answer, label)
            if isinstance(error, FeishuRefused):
                error = _no_token(error, _REFUSED_FOR)
                self._refused[place] = (self._clock.now() + _REFUSED_FOR, error)
            raise error
        value, life = answer.document.get(f"{place.kind}_access_token"), answer.document.get("expire")
        if not isinstance(value, str) or not value or isinstance(life, bool) or not isinstance(life, int | float):
            raise FeishuUnavailable(f"Feishu's answer holds no token: {label}", status=answer.status)
        return self._token(value, asked + life)

    def _token(self, value: str, expires: float) -> _Token:
        left = expires - self._clock.now()
        # Tokens that live shorter than the bound for renewal are renewed at half their life.
        return _Token(value, expires, expires - (RENEW_BELOW if left > RENEW_BELOW else left / 2))

    async def _share(self, place: _Place, spec: BotSpec, token: _Token) -> None:
        left = int((token.expires - self._clock.now()) * 1000)
        try:
            if left > 0:
                plain = orjson.dumps({"token": token.value, "expires": token.expires})
                sealed = await self._seal.seal(spec.id, plain, place.identity)
                with guard():
                    await self._link.commands.set(self._keys.token(place.app_id, place.shared), sealed, px=left)
            with guard():
                await self._link.commands.delete(self._keys.token_lock(place.app_id, place.shared))
        except HubError as error:
            log.warning("token could not be shared with other nodes", bot=spec.id, reason=str(error))

    async def _read(self, place: _Place, spec: BotSpec) -> tuple[bytes | None, _Token | None]:
        """The shared token, sealed and open; the second is None if it is absent, old, or not ours to open."""
        with guard():
            sealed: Any = await self._link.commands.get(self._keys.token(place.app_id, place.shared))
        if sealed is None:
            return None, None
        try:
            plain: Any = orjson.loads(await self._seal.open(spec.id, sealed, place.identity))
            token = self._token(str(plain["token"]), float(plain["expires"]))
        except (SealBroken, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return sealed, None  # from another bot with the same app, or another version
        return sealed, token if token.expires - self._clock.now() > _TOO_OLD else None

    async def _lock(self, place: _Place) -> bool:
        with guard():
            won = await self._link.commands.set(
                self._keys.token_lock(place.app_id, place.shared), b"1", nx=True, px=_LOCK_MS
            )
        return bool(won)


def _no_token(error: FeishuRefused, seconds: float) -> AppRefused:
    """Whatever the code says, Feishu takes nothing from an app without a token; ask again after `seconds`."""
    return AppRefused(str(error), code=error.code, status=error.status, log_id=error.log_id, retry_after=seconds)


def _place(spec: BotSpec, kind: TokenKind) -> _Place:
    credentials = spec.credentials
    secret = hashlib.sha256(credentials.app_secret.get_secret_value().encode()).digest()
    return _Place(credentials.base_url, credentials.app_id, kind, secret)
