"""Every bot's data key: made once in the cluster, kept wrapped in Redis, database and data directory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.ending import within
from app.core.errors import HubError, SealBroken, StartError, StoreUnavailable
from app.core.keys import Keys
from app.core.logs import get_logger
from app.core.redis import RedisLink
from app.storage.cipher import Cipher
from app.storage.data_key import DataKey, distinct, make, unwrap_good
from app.storage.key_files import KeyFiles
from app.storage.key_record import KeyRecord
from app.storage.master_key import MasterKey
from app.storage.shared_keys import SharedKeys
from app.storage.vault_copies import VaultCopies

if TYPE_CHECKING:
    # Workers have no database, and none of the memory that SQLAlchemy takes.
    from app.storage.vault import DatabaseVault

# How long a key that Redis does not have is looked for in the database before a new one is made.
_DATABASE_PATIENCE: Final = 1.0
_CONCURRENT_LOADS: Final = 64

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Found:
    """Keys of one bot that opened, and the ids of those that were shredded."""

    keys: tuple[DataKey, ...] = ()
    destroyed: frozenset[bytes] = frozenset()


_NOTHING: Final = _Found()


class Keyring:
    """Hands out each bot's cipher: from memory, else Redis, else the node's own copy, else a new key.

    `cache_dir` holds a wrapped copy a bot, so that a node that starts while Redis is away can seal and open.
    """

    def __init__(
        self,
        master: MasterKey,
        link: RedisLink,
        keys: Keys,
        cache_dir: Path,
        database: DatabaseVault | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.master = master
        self.shared = SharedKeys(link, keys, clock=clock)
        self.files = KeyFiles(cache_dir)
        self._database = database
        self._copies = VaultCopies(database, master.opener, clock=clock) if database is not None else None
        self._ciphers: dict[str, Cipher] = {}
        self._loading: dict[str, asyncio.Lock] = {}
        self._proving = asyncio.Lock()
        self.proved = False
        """Whether Redis has said that the master key is the cluster's."""

    @property
    def unsaved(self) -> int:
        """How many data keys are not yet in the database; 0 without one."""
        return len(self._copies) if self._copies is not None else 0

    def cached(self, bot: str) -> Cipher | None:
        """The bot's cipher if it is in memory."""
        return self._ciphers.get(bot)

    @property
    def bots(self) -> Iterable[str]:
        """The bots whose ciphers are in memory."""
        return tuple(self._ciphers)

    def drop(self, bot: str) -> None:
        """Forget a bot's keys; they are read again when asked for."""
        self._ciphers.pop(bot, None)
        if self._copies is not None:
            self._copies.forget(bot)

    async def cipher(self, bot: str) -> Cipher:
        """The bot's cipher, its key made where there is none.

        StoreUnavailable while Redis is away and the node has no copy; SealBroken when the key does not open.
        """
        cipher = self._ciphers.get(bot)
        if cipher is not None:
            return cipher
        async with self._loading.setdefault(bot, asyncio.Lock()):
            cipher = self._ciphers.get(bot)
            if cipher is None:
                cipher = self._ciphers[bot] = await self._load(bot, _NOTHING)
        self._loading.pop(bot, None)
        return cipher

    async def seal(self, bot: str, plain: bytes, identity: bytes) -> bytes:
        """Seal for a record of the bot's; raises as `cipher` does."""
        return (await self.cipher(bot)).seal(plain, identity)

    async def open(self, bot: str, sealed: bytes, identity: bytes) -> bytes:
        """What was sealed for it; raises as `cipher` does, and SealBroken."""
        return (await self.cipher(bot)).open(sealed, identity)

    async def refresh(self, bot: str) -> Cipher:
        """The cipher, read again with every key of the bot that Redis, the database and the node hold.

        For reading old records, and records under a key that is not in memory.
        """
        async with self._loading.setdefault(bot, asyncio.Lock()):
            cipher = self._ciphers[bot] = await self._load(bot, await self._in_database(bot))
        self._loading.pop(bot, None)
        return cipher

    async def preload(self, bots: Iterable[str]) -> None:
        """Load the ciphers of `bots` at once; a bot whose key cannot be had is logged and left out."""
        slots = asyncio.Semaphore(_CONCURRENT_LOADS)

        async def load(bot: str) -> None:
            async with slots:
                try:
                    await self.cipher(bot)
                except HubError as error:
                    log.error("data key not loaded", bot=bot, error=str(error))

        await asyncio.gather(*(load(bot) for bot in bots))

    async def opened(self, bot: str, copies: Sequence[bytes]) -> list[DataKey]:
        """The keys among `copies` that the master key opens, as its source has it now; others are logged."""
        ids = self.master.ids
        good, bad = unwrap_good(self.master, bot, copies)
        if bad:
            await self._read_master_again()
        if ids != self.master.ids:
            good, bad = unwrap_good(self.master, bot, copies)
        if bad:
            log.warning("copies of a data key do not open", bot=bot, copies=bad)
        return good

    async def some_in_database(self) -> Sequence[tuple[str, KeyRecord]]:
        """A few bots' keys in the database; none while it is away."""
        if self._database is None:
            return []
        try:
            return await within(_DATABASE_PATIENCE, self._database.some(10))
        except (StoreUnavailable, TimeoutError):
            return []

    async def close(self) -> None:
        """Stop the copying to the database; what is not copied is tried again at the next start."""
        if self._copies is not None:
            await self._copies.close()

    async def _load(self, bot: str, others: _Found) -> Cipher:
        own = self.files.of(bot)
        known = await self.opened(bot, own.wrapped)
        gone = own.destroyed | others.destroyed
        known = [key for key in distinct([*known, *others.keys]) if key.key_id not in gone]
        try:
            shared = await self._agreed(bot, known, gone)
        except StoreUnavailable as error:
            if known:
                log.warning("data key taken from a copy, Redis is away", bot=bot)
                return _cipher(bot, known)
            if own.wrapped:
                raise self._unopened(bot, str(self.files.path(bot))) from error
            raise StoreUnavailable(
                f"bot {bot}: its data key is needed, Redis cannot be asked for it and {self.files.path(bot)} does not "
                f"exist; bring Redis back, or copy that file from another node ({error})"
            ) from error
        gone |= shared.destroyed
        # The shared key comes first: it seals. What only this node has still opens what was sealed under it.
        held = [key for key in distinct([*known, *shared.keys]) if key.key_id not in gone]
        held.sort(key=lambda key: key.key_id != shared.keys[0].key_id)
        kept = KeyRecord(tuple(key.wrapped for key in held), gone)
        if kept != own:
            await self.files.write(bot, kept)
        if self._copies is not None:
            self._copies.add(held)
        return _cipher(bot, held)

    async def _agreed(self, bot: str, known: Sequence[DataKey], gone: frozenset[bytes]) -> _Found:
        """What Redis holds of the bot; put there from a copy, or made, where it holds no key."""
        await self._prove()
        name = self.shared.name(bot)
        while True:
            value = await self.shared.get(name)
            record = KeyRecord.parse(value)
            opened = await self.opened(bot, record.wrapped)
            if record.wrapped and not opened:
                raise self._unopened(bot, f"Redis ({name})")
            gone |= record.destroyed
            if ring := tuple(key for key in opened if key.key_id not in gone):
                return _Found(ring, gone)
            candidates = [key.wrapped for key in known if key.key_id not in gone]
            if not candidates:
                found = await self._in_database(bot, last=True)
                gone |= found.destroyed
                candidates = [key.wrapped for key in found.keys if key.key_id not in gone]
            if not candidates and record.absent:
                raise SealBroken(
                    f"bot {bot}: it was restored from a backup without its data key: `feishu-hub keys import FILE` "
                    f"brings it from an export; `feishu-hub keys shred {bot}` begins anew without what it had kept"
                )
            if not candidates:
                # One who holds an old master key must not wrap under it while it is being replaced.
                await self._read_master_again()
                log.info("new data key made", bot=bot)
                candidates = [make(self.master, bot)]
            wanted = KeyRecord(tuple(candidates), gone).packed()
            # Two nodes may come here at once: the first one's key counts, and both read which that is.
            if value is None:
                await self.shared.set_once(name, wanted)
            else:
                await self.shared.replace(name, value, wanted)

    async def _prove(self) -> None:
        """Before the first key, where Redis was away at the start: one made wrongly shuts all others out."""
        from app.storage.key_check import check_master  # which asks the keyring in its turn

        if self.proved:
            return
        try:
            async with self._proving:
                if not self.proved:
                    await check_master(self)
        except StartError as error:
            # The node is about to end; what it has in hand is put back, and not at fault.
            raise StoreUnavailable(str(error)) from error

    async def _read_master_again(self) -> None:
        await asyncio.to_thread(self.master.read_again)

    async def _in_database(self, bot: str, *, last: bool = False) -> _Found:
        """What the database has; SealBroken when none of its copies opens and it is the `last` place to look at."""
        if self._database is None:
            return _NOTHING
        try:
            kept = await within(_DATABASE_PATIENCE, self._database.of(bot))
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("database not asked for data keys, it is away", bot=bot, error=str(error))
            return _NOTHING
        keys = await self.opened(bot, kept.wrapped)
        if last and kept.wrapped and not keys:
            raise self._unopened(bot, "the database (table data_keys)")
        return _Found(tuple(keys), kept.destroyed)

    def _unopened(self, bot: str, place: str) -> SealBroken:
        return SealBroken(
            f"bot {bot}: its data key in {place} does not open under this node's master key (from "
            f"{self.master.source}): check that all nodes hold the same master key, and who else writes there"
        )


def _cipher(bot: str, held: Sequence[DataKey]) -> Cipher:
    return Cipher(bot, {key.key_id: key.plain for key in held}, held[0].key_id)
