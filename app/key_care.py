"""Builds what looks after the keys, for a running node and for the command `feishu-hub keys`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from app.control.cluster.membership import has_rewrapped, holds_master, nodes_of
from app.storage.key_counts import KeyStatus, Wrapping, count_sealed
from app.storage.key_upkeep import KeyUpkeep
from app.storage.known_keys import known_keys
from app.storage.rewrap import Rewrap
from app.storage.rotation import Rotation
from app.storage.shred import Shredder
from app.storage.shredded_rows import ShreddedRows
from app.storage.vault import DatabaseVault
from app.wiring import Stores


def rewrap_of(stores: Stores) -> Rewrap:
    """Renews the wrapping of data keys."""
    return Rewrap(stores.keyring, DatabaseVault(stores.database))


def shredder_of(stores: Stores) -> Shredder:
    """Destroys the data keys of a bot."""
    vault, data_dir = DatabaseVault(stores.database), stores.settings.data_dir
    return Shredder(stores.keyring, vault, stores.link, stores.keys, data_dir, stores.messages.shred)


def shredded_rows_of(stores: Stores) -> ShreddedRows:
    """Takes what is shredded out of the node's database; is told of it from now on."""
    rows = ShreddedRows(DatabaseVault(stores.database), stores.messages)
    stores.shreds.tell(rows.forget)
    return rows


def upkeep_of(stores: Stores) -> KeyUpkeep:
    """What a node runs for its keys, whatever its roles."""
    return KeyUpkeep(stores.keyring, rewrap_of(stores), partial(nodes_without, stores))


def rotation_of(stores: Stores) -> Rotation:
    """Replaces the master key."""
    return Rotation(stores.keyring, rewrap_of(stores), partial(nodes_without, stores), partial(nodes_behind, stores))


async def key_status(stores: Stores) -> KeyStatus:
    """What each master key still wraps, which nodes hold it, and what each data key still seals; StoreUnavailable."""
    master = stores.keyring.master
    wraps = await rewrap_of(stores).count()
    nodes = [node for node in await nodes_of(stores.link, stores.keys) if node["alive"]]
    wrappings = [
        Wrapping(
            key,
            wraps.redis[key],
            wraps.database[key],
            wraps.files[key],
            wraps.proof == key,
            [node["id"] for node in nodes if holds_master(node, key)],
            [node["id"] for node in nodes if has_rewrapped(node, key)],
        )
        for key in (*master.ids, "?")
        if key != "?" or any(place[key] for place in (wraps.redis, wraps.database, wraps.files))
    ]
    held = await known_keys(stores.keyring, DatabaseVault(stores.database))
    first = master.ids[0]
    retirable = (
        len(master.ids) > 1 and not wraps.other_than(first) and all(has_rewrapped(node, first) for node in nodes)
    )
    sealed = await count_sealed(stores.link, stores.keys, stores.messages, held)
    return KeyStatus(master.source, wrappings, retirable, sealed)


async def nodes_without(stores: Stores, key_id: str) -> Sequence[str]:
    """The living nodes that do not hold a master key yet."""
    nodes = await nodes_of(stores.link, stores.keys)
    return [node["id"] for node in nodes if node["alive"] and not holds_master(node, key_id)]


async def nodes_behind(stores: Stores, key_id: str) -> Sequence[str]:
    """The living nodes that keep something which this master key does not wrap yet."""
    nodes = await nodes_of(stores.link, stores.keys)
    return [node["id"] for node in nodes if node["alive"] and not has_rewrapped(node, key_id)]
