"""Every data key there is, from Redis, the database and this node's files together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.storage.data_key import DataKey, unwrap_good
from app.storage.key_record import KeyRecord
from app.storage.keyring import Keyring
from app.storage.vault import DatabaseVault


async def known_keys(keyring: Keyring, vault: DatabaseVault) -> Mapping[str, Sequence[DataKey]]:
    """Every bot's data keys, the one that seals first; shredded ones and those that do not open are left out.

    StoreUnavailable when Redis or the database is away: a list that misses some would be taken for the whole.
    """
    shared = keyring.shared
    records = [(bot, KeyRecord.parse(await shared.get(shared.name(bot)))) for bot in await shared.bots()]
    records += [*await vault.all(), *keyring.files.all()]
    gone: dict[str, frozenset[bytes]] = {}
    for bot, record in records:
        gone[bot] = gone.get(bot, frozenset()) | record.destroyed
    found: dict[str, dict[bytes, DataKey]] = {}
    for bot, record in records:
        keys, _ = unwrap_good(keyring.master, bot, record.wrapped)
        for key in keys:
            if key.key_id not in gone[bot]:
                found.setdefault(bot, {}).setdefault(key.key_id, key)
    return {bot: list(found[bot].values()) for bot in sorted(found)}
