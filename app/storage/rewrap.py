"""Renews the wrapping of every data key under the first master key, wherever a copy of it lies."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from app.core.errors import SealBroken
from app.core.failpoint import failpoint
from app.core.logs import get_logger
from app.storage.key_record import KeyRecord
from app.storage.keyring import Keyring
from app.storage.vault import DatabaseVault

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Wraps:
    """How many wrapped data keys lie in each place, by the id of their master key; `?` where none of them opens it."""

    redis: Counter[str] = field(default_factory=Counter)
    database: Counter[str] = field(default_factory=Counter)
    files: Counter[str] = field(default_factory=Counter)
    proof: str = "?"
    """The master key that the cluster's proof is wrapped under."""

    def other_than(self, key_id: str) -> int:
        """How many are wrapped under another key of these, the proof among them.

        What none of them opens does not need them either.
        """
        places = (self.redis, self.database, self.files)
        other = sum(place.total() - place[key_id] - place["?"] for place in places)
        return other + (self.proof not in (key_id, "?"))


class Rewrap:
    """One pass over Redis, the database and this node's files; each step leaves everything readable.

    Every call raises StoreUnavailable when Redis or the database is away: what was done until then is done.
    """

    def __init__(self, keyring: Keyring, vault: DatabaseVault) -> None:
        self._keyring = keyring
        self._vault = vault

    async def count(self) -> Wraps:
        """What each master key still wraps."""
        keyring, opener = self._keyring, self._keyring.master.opener
        redis: Counter[str] = Counter()
        for bot in await keyring.shared.bots():
            record = KeyRecord.parse(await keyring.shared.get(keyring.shared.name(bot)))
            redis.update(opener(wrapped) or "?" for wrapped in record.wrapped)
        database = Counter(opener(one) or "?" for _, record in await self._vault.all() for one in record.wrapped)
        files = Counter(opener(one) or "?" for _, record in keyring.files.all() for one in record.wrapped)
        proof = await keyring.shared.get(keyring.shared.proof_name)
        return Wraps(redis, database, files, (opener(proof) if proof else None) or "?")

    async def run(self) -> int:
        """Renew what lies under another key than the first; how many copies that were."""
        done = await self._in_redis()
        failpoint("rewrapped_redis")
        done += await self._in_database()
        failpoint("rewrapped_database")
        done += await self._in_files()
        failpoint("rewrapped_files")
        return done

    async def _in_redis(self) -> int:
        shared = self._keyring.shared
        done = 0
        # The proof first: a node that starts with the old key alone is told so, instead of failing at some bot later.
        proof = await shared.get(shared.proof_name)
        if proof is not None and (renewed := self._keyring.master.renewed(proof)) != proof:
            done += await shared.replace(shared.proof_name, proof, renewed)
        failpoint("rewrapped_proof")
        for bot in await shared.bots():
            value = await shared.get(shared.name(bot))
            record = KeyRecord.parse(value)
            if value is not None and (renewed_record := self._renewed(bot, record)) != record:
                done += await shared.replace(shared.name(bot), value, renewed_record.packed())
        return done

    async def _in_database(self) -> int:
        done = 0
        for bot, record in await self._vault.all():
            for old, new in zip(record.wrapped, self._renewed(bot, record).wrapped, strict=True):
                done += old != new and await self._vault.replace(bot, old, new)
        return done

    async def _in_files(self) -> int:
        done = 0
        for bot, record in self._keyring.files.all():
            if (renewed := self._renewed(bot, record)) != record:
                await self._keyring.files.write(bot, renewed)
                done += 1
        return done

    def _renewed(self, bot: str, record: KeyRecord) -> KeyRecord:
        return replace(record, wrapped=tuple(self._renewed_copy(bot, wrapped) for wrapped in record.wrapped))

    def _renewed_copy(self, bot: str, wrapped: bytes) -> bytes:
        try:
            return self._keyring.master.renewed(wrapped)
        except SealBroken:
            log.warning("a copy of a data key opens under no master key and stays as it is", bot=bot)
            return wrapped
