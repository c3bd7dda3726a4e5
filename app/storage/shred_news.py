"""Tells a process which data keys were shredded, at once or when it reconnects, so that nothing of them stays here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.logs import get_logger
from app.core.pubsub import heard
from app.core.redis import RedisLink
from app.storage.data_key import unwrap_good
from app.storage.key_record import KeyRecord
from app.storage.keyring import Keyring

_REST: Final = 0.5
# Who missed something asks at the next connection: a channel that hangs may do so for a while.
_PATIENCE: Final = 30.0

Forget = Callable[[str, frozenset[bytes]], Awaitable[object]]
"""Deletes what a place on this node's disk holds of a bot under data keys of these ids."""

log = get_logger(__name__)


class ShredNews:
    """Drops the keys from memory and from the node's files, and what else the node keeps under them."""

    def __init__(self, keyring: Keyring, link: RedisLink, keys: Keys, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._keyring = keyring
        self._link = link
        self._channel = keys.shreds
        self._clock = clock
        self._places: list[Forget] = []

    def tell(self, forget: Forget) -> None:
        """Have a place on this node's disk told too."""
        self._places.append(forget)

    async def run(self) -> None:
        """Listen until cancelled; whatever was missed is asked for at every connection."""
        while True:
            try:
                async with aclosing(heard(self._link, self._channel, patience=_PATIENCE)) as news:
                    async for said in news:
                        everyone = {*self._keyring.bots, *(bot for bot, _ in self._keyring.files.all())}
                        for bot in everyone if said is None else {said.decode()}:
                            await self.take_up(bot)
            except StoreUnavailable:
                await self._clock.sleep(_REST)

    async def take_up(self, bot: str) -> None:
        """Drop here what was shredded of a bot; StoreUnavailable without Redis."""
        shared, files = self._keyring.shared, self._keyring.files
        gone = KeyRecord.parse(await shared.get(shared.name(bot))).destroyed
        if not gone:
            return
        cipher = self._keyring.cached(bot)
        if cipher is not None and cipher.key_ids & gone:
            self._keyring.drop(bot)
            log.warning("data key of a bot was shredded", bot=bot)
        own = files.of(bot)
        shredded = {key.wrapped for key in unwrap_good(self._keyring.master, bot, own.wrapped)[0] if key.key_id in gone}
        kept = tuple(wrapped for wrapped in own.wrapped if wrapped not in shredded)
        if (record := KeyRecord(kept, own.destroyed | gone)) != own:
            await files.write(bot, record)
        for forget in self._places:
            try:
                await forget(bot, gone)
            except StoreUnavailable as error:
                # What is left there opens no more; it goes the way of all that cannot be read.
                log.warning("shredded bot not forgotten here", bot=bot, error=str(error))
