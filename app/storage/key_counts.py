"""What each key still wraps or seals, counted where counting is cheap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.core.keys import Keys
from app.core.outage import guard
from app.core.redis import RedisLink
from app.storage.cipher import key_id_of
from app.storage.data_key import DataKey
from app.storage.messages import Messages

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Wrapping:
    """How many copies of data keys one master key wraps; `?` for those that no master key opens."""

    master_key: str
    redis: int
    database: int
    files: int
    """On this node."""
    proof: bool
    """Whether the cluster's proof is under it."""
    nodes: list[str]
    """The living nodes that hold it."""
    rewrapped: list[str]
    """The living nodes whose own copies are all under it."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one data key of a bot seals."""

    bot: str
    data_key: str
    seals: bool
    """Whether new records are sealed under it: one of a bot's keys seals, mostly its only one."""
    stored: int
    waiting: int
    dead: int


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """Every key there is."""

    source: str
    """Where this node has its master keys from."""
    master_keys: list[Wrapping]
    retirable: bool
    """Whether nothing is wrapped under an old master key any more, here or on a living node."""
    data_keys: list[Sealed]


async def count_sealed(
    link: RedisLink, keys: Keys, messages: Messages, held: Mapping[str, Sequence[DataKey]]
) -> list[Sealed]:
    """For each data key of `held`; StoreUnavailable when Redis or the database is away."""
    found = []
    for bot, data_keys in held.items():
        ids = [key.key_id for key in data_keys]
        log, dead = keys.bot(bot, "log"), keys.bot(bot, "dead")
        if len(ids) == 1:
            with guard():
                waits, died = [int(await link.commands.xlen(name)) for name in (log, dead)]
            found.append(Sealed(bot, ids[0].hex(), True, await messages.count(bot), waits, died))
            continue
        # Of several each is asked for by what it sealed, which has its id in front.
        stored, by_log, by_dead = await messages.count_by_key(bot), await _by_key(link, log), await _by_key(link, dead)
        found += [Sealed(bot, one.hex(), one == ids[0], stored[one], by_log[one], by_dead[one]) for one in ids]
    return found


async def _by_key(link: RedisLink, stream: str) -> Counter[bytes]:
    """How many entries of a stream each data key seals."""
    found: Counter[bytes] = Counter()
    after = "-"
    while True:
        with guard():
            page: Any = await link.commands.xrange(stream, min=after, count=_PAGE)
        found.update(key_id_of(fields.get(b"s", b"")) for _, fields in page)
        if len(page) < _PAGE:
            return found
        after = f"({page[-1][0].decode()}"
