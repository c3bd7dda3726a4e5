"""Proves that a node's master key is the cluster's, before it opens or makes anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.core.errors import SealBroken, StartError, StoreUnavailable
from app.storage.key_record import KeyRecord
from app.storage.keyring import Keyring

_PROOF: Final = b"feishu-hub keycheck 1"
"""What every master key of the cluster has to open."""


async def check_master(keyring: Keyring) -> None:
    """Prove that the node's master key is the cluster's, or make it so in a new cluster.

    StartError when it is another, and nothing is changed; StoreUnavailable when Redis is away and the node's own
    copies do not say otherwise.
    """
    master, shared, files = keyring.master, keyring.shared, keyring.files
    name = shared.proof_name
    try:
        proof = await shared.get(name)
    except StoreUnavailable:
        await _check_copies(keyring, files.all(), str(files.directory))
        raise
    if proof is None:
        # A Redis that was emptied would take any key: what is kept elsewhere still knows the right one.
        await _check_copies(keyring, files.all(), str(files.directory))
        await _check_copies(keyring, await keyring.some_in_database(), "the database")
        proof = await shared.set_once(name, master.wrap(_PROOF))
    try:
        if master.unwrap(proof) == _PROOF:
            keyring.proved = True
            return
    except SealBroken:
        pass
    # After a restore a wrong master key may have come first: it has wrapped nothing yet.
    if not (await shared.await_import() and await shared.replace(name, proof, master.wrap(_PROOF))):
        raise _foreign(keyring, "Redis")
    keyring.proved = True


async def _check_copies(keyring: Keyring, copies: Sequence[tuple[str, KeyRecord]], place: str) -> None:
    wrapped = [(bot, record.wrapped) for bot, record in copies if record.wrapped]
    for bot, keys in wrapped:
        if await keyring.opened(bot, keys):
            return
    if wrapped:
        raise _foreign(keyring, place)


def _foreign(keyring: Keyring, place: str) -> StartError:
    return StartError(
        f"this node's master key (from {keyring.master.source}) is not the cluster's: it does not open "
        f"what {place} holds. Give this node the master key that the other nodes have (HUB_MASTER_KEY, or "
        "master.key of their data directory); nothing was changed"
    )
