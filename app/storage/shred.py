"""Destroys a bot's data keys everywhere, so that nothing that was sealed under them can be read again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import HubError
from app.core.failpoint import failpoint
from app.core.keys import Keys
from app.core.logs import get_logger
from app.core.outage import guard
from app.core.redis import RedisLink
from app.core.redis_files import rewrite_files
from app.core.redis_nodes import literally, scan
from app.storage.backup_scratch import clear_after_backups
from app.storage.data_key import unwrap_good
from app.storage.key_record import KeyRecord
from app.storage.keyring import Keyring
from app.storage.vault import DatabaseVault

# What stays of a bot in Redis: that its keys are gone, and numbers that must never go back.
_KEPT: Final = frozenset({"key", "fence", "out:fence"})
# Seconds until every process has heard of it and no longer seals under the old key.
_HEARD_WITHIN: Final = 1.0

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Shredded:
    """What was done."""

    keys: tuple[str, ...]
    """Ids of the data keys that are gone."""
    deleted: int
    """Redis keys of the bot."""
    messages: int
    """Messages whose content was deleted; their rows stay, and say why."""
    notes: tuple[str, ...]
    """What is left to the operator, a sentence each."""


class Shredder:
    """Shreds one bot at a time; run again, it finishes what an earlier, killed run left undone."""

    def __init__(
        self,
        keyring: Keyring,
        vault: DatabaseVault,
        link: RedisLink,
        keys: Keys,
        data_dir: Path,
        delete_messages: Callable[[str], Awaitable[int]],
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """In `data_dir` a backup that was killed may have left copies; the messages of a bot are deleted too."""
        self._keyring = keyring
        self._vault = vault
        self._link = link
        self._keys = keys
        self._data_dir = data_dir
        self._delete_messages = delete_messages
        self._clock = clock

    async def shred(self, bot: str) -> Shredded:
        """Destroy every data key that the bot has now; a bot that goes on gets a new one, and starts over.

        StoreUnavailable, and nothing changed, while Redis or the database is away; HubError for a bot without any key.
        """
        ids = await self._ids(bot)
        if not ids:
            raise HubError(f"bot {bot} has no data key: there is nothing to shred; `feishu-hub keys status` lists them")
        await self._destroy_in_redis(bot, ids)
        failpoint("shredded_redis")
        await self._vault.destroy(bot, ids)
        failpoint("shredded_database")
        self._keyring.drop(bot)
        await self._keyring.files.write(bot, KeyRecord(destroyed=ids))
        with guard():
            await self._link.commands.publish(self._keys.shreds, bot.encode())
        await self._clock.sleep(_HEARD_WITHIN)
        deleted = await self._delete(bot)
        messages = await self._delete_messages(bot)
        self._keyring.files.clear_drafts(bot)
        notes = await rewrite_files(self._link, clock=self._clock)
        if not clear_after_backups(self._data_dir):
            notes.append("a backup is being made, whose working copies hold the keys until it ends: see that it does")
        # The last step: a reader of an older state may be in its way for long.
        await self._vault.scrub()
        names = tuple(key_id.hex() for key_id in sorted(ids))
        log.warning("data keys of a bot shredded", bot=bot, keys=names)
        return Shredded(names, deleted, messages, tuple(notes))

    async def _ids(self, bot: str) -> frozenset[bytes]:
        shared = self._keyring.shared
        record = KeyRecord.parse(await shared.get(shared.name(bot)))
        own = self._keyring.files.of(bot)
        shared_keys, bad = unwrap_good(self._keyring.master, bot, record.wrapped)
        own_keys, old = unwrap_good(self._keyring.master, bot, own.wrapped)
        # The database names its keys, and a file of before a rotation holds what Redis does.
        if bad or (old and not shared_keys):
            raise HubError(
                f"bot {bot}: {bad + old} copies of its data keys open under no master key of "
                f"{self._keyring.master.source}: which keys they are cannot be said; give "
                "this command every master key (`feishu-hub keys status`)"
            )
        known = frozenset(key.key_id for key in (*shared_keys, *own_keys))
        return known | await self._vault.ids(bot) | record.destroyed | record.absent | own.destroyed

    async def _destroy_in_redis(self, bot: str, ids: frozenset[bytes]) -> None:
        shared = self._keyring.shared
        name, gone = shared.name(bot), KeyRecord(destroyed=ids).packed()
        while True:
            value = await shared.get(name)
            if value is None:
                value = await shared.set_once(name, gone)
            if value == gone or await shared.replace(name, value, gone):
                return

    async def _delete(self, bot: str) -> int:
        root = self._keys.root(bot)
        deleted = 0
        batch: list[bytes] = []
        with guard():
            async for name in scan(self._link, literally(root) + "*"):
                if name.decode(errors="replace").removeprefix(root) not in _KEPT:
                    batch.append(name)
                if len(batch) >= 500:
                    deleted += int(await self._link.commands.unlink(*batch))
                    batch.clear()
            if batch:
                deleted += int(await self._link.commands.unlink(*batch))
        return deleted
