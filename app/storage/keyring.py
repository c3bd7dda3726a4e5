"""Every bot's data key: made once in the cluster, kept wrapped in Redis, database and data directory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import HubError, SealBroken, StartError, StoreUnavailable
from app.core.keys import Keys
from app.core.logs import get_logger
from app.core.redis import RedisLink, guard
from app.storage.cipher import Cipher
from app.storage.data_key import DataKey, make, unwrap_good
from app.storage.key_files import KeyFiles
from app.storage.master_key import MasterKey

# Redis that failed is not asked again for this long: not each of a thousand bots waits out a time-out.
_REST: Final = 1.0
# How long a key that Redis does not have is looked for in the database before a new one is made.
_DATABASE_PATIENCE: Final = 1.0
_BACKUP_RETRY_FIRST: Final = 1.0
_BACKUP_RETRY_LONGEST: Final = 60.0
_CONCURRENT_LOADS: Final = 64
_PROOF: Final = b"feishu-hub keycheck 1"

log = get_logger(__name__)


class KeyVault(Protocol):
    """The database's copies of wrapped data keys."""

    async def keys_of(self, bot: str) -> Sequence[bytes]:
        """The wrapped keys of a bot, newest first."""
        ...

    async def any_keys(self, limit: int) -> Sequence[tuple[str, bytes]]:
        """Some bots with a wrapped key of each."""
        ...

    async def keep(self, keys: Sequence[DataKey]) -> None:
        """Store what is not yet there."""
        ...


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
        database: KeyVault | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._master = master
        self._redis = link.commands
        self._keys = keys
        self._files = KeyFiles(cache_dir)
        self._database = database
        self._clock = clock
        self._ciphers: dict[str, Cipher] = {}
        self._loading: dict[str, asyncio.Lock] = {}
        self._rest_until = 0.0
        self._unsaved: dict[DataKey, None] = {}
        self._saver: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def unsaved(self) -> int:
        """How many data keys are not yet in the database; 0 without one."""
        return len(self._unsaved)

    def cached(self, bot: str) -> Cipher | None:
        """The bot's cipher if it is in memory."""
        return self._ciphers.get(bot)

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
                cipher = self._ciphers[bot] = await self._load(bot, ())
        self._loading.pop(bot, None)
        return cipher

    async def refresh(self, bot: str) -> Cipher:
        """The cipher read anew, with every key that Redis, the database and the node have of the bot.

        For reading what is old, and for who meets a record under a key that is not in memory.
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

    async def check(self) -> None:
        """Prove that the node's master key is the cluster's, or make it so in a new cluster.

        StartError when it is another, and nothing is changed; StoreUnavailable when Redis is away and the
        node's own copies do not say otherwise.
        """
        try:
            proof = await self._get(self._keys.keycheck)
        except StoreUnavailable:
            self._check_copies(self._files.all(), str(self._files.directory))
            raise
        if proof is None:
            # A Redis that was emptied would take any key: what is kept elsewhere still knows the right one.
            self._check_copies(self._files.all(), str(self._files.directory))
            self._check_copies(await self._some_in_database(), "the database")
            proof = await self._set_once(self._keys.keycheck, self._master.wrap(_PROOF))
        try:
            if self._master.unwrap(proof) == _PROOF:
                return
        except SealBroken:
            pass
        raise self._foreign("Redis")

    async def close(self) -> None:
        """Stop the copying to the database; what is not copied is tried again at the next start."""
        self._closing = True  # a cancellation alone can be swallowed on its way (asyncio.wait_for before 3.12)
        if self._saver is not None:
            self._saver.cancel()
            await asyncio.gather(self._saver, return_exceptions=True)
            self._saver = None

    async def _load(self, bot: str, others: Sequence[DataKey]) -> Cipher:
        copies = self._files.of(bot)
        known = list({key.key_id: key for key in (*self._opened(bot, copies), *others)}.values())
        try:
            shared = await self._shared(bot, [key.wrapped for key in known])
        except StoreUnavailable as error:
            if not known and copies:
                raise self._unopened(bot, str(self._files.path(bot))) from error
            if not known:
                raise StoreUnavailable(
                    f"bot {bot}: its data key is needed, Redis cannot be asked for it and "
                    f"{self._files.path(bot)} does not exist; bring Redis back, or copy "
                    f"that file from another node ({error})"
                ) from error
            log.warning("data key taken from a copy, Redis is away", bot=bot)
            return _cipher(bot, known)
        ring = self._opened(bot, shared)
        if not ring:
            raise self._unopened(bot, f"Redis ({self._keys.bot(bot, 'key')})")
        # The shared key comes first: it seals. What only this node has still opens what was sealed under it.
        held = list({key.key_id: key for key in (*known, *ring)}.values())
        held.sort(key=lambda key: key.key_id != ring[0].key_id)
        if (wrapped := [key.wrapped for key in held]) != copies:
            await self._files.write(bot, wrapped)
        self._copy_to_database(held)
        return _cipher(bot, held)

    async def _shared(self, bot: str, known: Sequence[bytes]) -> list[bytes]:
        name = self._keys.bot(bot, "key")
        value = await self._get(name)
        if value is None:
            candidates = known or [key.wrapped for key in await self._in_database(bot)]
            if not candidates:
                log.info("new data key made", bot=bot)
            # Two nodes may come here at once: the first one's key counts, and both read which that is.
            value = await self._set_once(name, b"\n".join(candidates or [make(self._master, bot)]))
        return value.split()

    def _opened(self, bot: str, copies: Iterable[bytes]) -> list[DataKey]:
        return unwrap_good(self._master, bot, copies)

    # -- Redis

    async def _get(self, name: str) -> bytes | None:
        self._refuse_while_resting()
        try:
            with guard():
                value = await self._redis.get(name)
        except StoreUnavailable:
            self._rest_until = self._clock.monotonic() + _REST
            raise
        return value.encode() if isinstance(value, str) else value

    async def _set_once(self, name: str, value: bytes) -> bytes:
        with guard():
            await self._redis.set(name, value, nx=True)
        kept = await self._get(name)
        if kept is None:
            raise StoreUnavailable(f"Redis: {name} was written and is gone; check maxmemory-policy (noeviction)")
        return kept

    def _refuse_while_resting(self) -> None:
        if self._clock.monotonic() < self._rest_until:
            raise StoreUnavailable("Redis did not answer a moment ago", retry_after=_REST)

    # -- the database's copies

    async def _in_database(self, bot: str) -> list[DataKey]:
        if self._database is None:
            return []
        try:
            async with asyncio.timeout(_DATABASE_PATIENCE):
                kept = await self._database.keys_of(bot)
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("database not asked for data keys, it is away", bot=bot, error=str(error))
            return []
        keys = self._opened(bot, kept)
        if kept and not keys:
            raise self._unopened(bot, "the database (table data_keys)")
        return keys

    async def _some_in_database(self) -> Sequence[tuple[str, bytes]]:
        if self._database is None:
            return []
        try:
            async with asyncio.timeout(_DATABASE_PATIENCE):
                return await self._database.any_keys(10)
        except (StoreUnavailable, TimeoutError):
            return []

    def _copy_to_database(self, held: Sequence[DataKey]) -> None:
        if self._database is None:
            return
        self._unsaved.update(dict.fromkeys(held))
        if self._saver is None or self._saver.done():
            self._saver = asyncio.create_task(self._save(self._database), name="data keys to database")

    async def _save(self, database: KeyVault) -> None:
        pause = _BACKUP_RETRY_FIRST
        while self._unsaved and not self._closing:
            batch = list(self._unsaved)
            try:
                await database.keep(batch)
            except HubError as error:
                log.warning("data keys not copied to the database", keys=len(batch), error=str(error))
                await self._clock.sleep(pause)
                pause = min(pause * 2, _BACKUP_RETRY_LONGEST)
            else:
                for key in batch:
                    self._unsaved.pop(key, None)

    # -- what is wrong, in words

    def _check_copies(self, copies: Sequence[tuple[str, bytes]], place: str) -> None:
        if copies and not any(self._opened(bot, [wrapped]) for bot, wrapped in copies):
            raise self._foreign(place)

    def _foreign(self, place: str) -> StartError:
        return StartError(
            f"this node's master key (from {self._master.source}) is not the cluster's: it does not open "
            f"what {place} holds. Give this node the master key that the other nodes have (HUB_MASTER_KEY, or "
            "master.key of their data directory); nothing was changed"
        )

    def _unopened(self, bot: str, place: str) -> SealBroken:
        return SealBroken(
            f"bot {bot}: its data key in {place} does not open under this node's master key (from "
            f"{self._master.source}): check that all nodes hold the same master key, and who else writes there"
        )


def _cipher(bot: str, held: Sequence[DataKey]) -> Cipher:
    return Cipher(bot, {key.key_id: key.plain for key in held}, held[0].key_id)
