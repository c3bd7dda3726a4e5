"""The cluster's alerts in Redis: who evaluates; alerts, silences, notices still to be sent, and the history."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import orjson

from app.control.alerts.delivery import Delivery
from app.control.alerts.notice import Notice
from app.control.alerts.past import Past
from app.control.alerts.round import Round
from app.control.alerts.silences import Silence
from app.control.alerts.states import Alert
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.keys import Keys
from app.core.lua import Script
from app.core.outage import guard
from app.core.redis import RedisLink
from app.core.though_full import though_full

_HERE: Final = Path(__file__).parent
_LEASE: Final = Script(_HERE / "lease.lua")
_COMMIT: Final = Script(_HERE / "commit.lua")
_FOLD: Final = Script(_HERE / "fold.lua")


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to evaluate, until its lease runs out; `now` is Redis' own time, in seconds since the epoch."""

    holder: str
    now: float


@dataclass(frozen=True, slots=True)
class Standing:
    """The present alerts."""

    alerts: Mapping[str, Alert]
    """By key."""
    silences: tuple[Silence, ...]
    notices: tuple[Notice, ...] = ()
    packed: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """The alerts as they are stored; a commit compares them."""


class Book:
    """Every call raises StoreUnavailable without Redis; all keys lie in one slot of a Cluster."""

    def __init__(self, link: RedisLink, keys: Keys, *, history: int = 10_000, clock: Clock = SYSTEM_CLOCK) -> None:
        """`history` is how many past alerts are kept, or a few more."""
        self._link = link
        self._history = history
        self._clock = clock
        self._lease, self._fence = keys.alerts("lease"), keys.alerts("fence")
        self._states, self._silences = keys.alerts("states"), keys.alerts("silences")
        self._notices, self._past = keys.alerts("notices"), keys.alerts("history")
        self._deliveries = keys.alerts("channels")
        self._kept: dict[str, bytes] = {}

    async def turn(self, owner: str, lease: float) -> Turn | None:
        """Take or keep the right to evaluate for `lease` seconds; None while somebody else has it."""
        reply = await _LEASE(self._link.commands, [self._lease, self._fence], [owner, int(lease * 1000)])
        fence, now = int(reply[0]), int(reply[1]) / 1000
        return Turn(f"{owner} {fence}", now) if fence else None

    async def standing(self) -> Standing:
        """The alerts, silences and notices of now."""
        pipe = self._link.commands.pipeline(transaction=False)
        for name in (self._states, self._silences, self._notices):
            pipe.hgetall(name)
        with guard():
            states, silences, notices = await pipe.execute()
        packed = {key.decode(): value for key, value in states.items()}
        return Standing(
            {key: Alert.unpacked(value) for key, value in packed.items()},
            tuple(map(Silence.unpacked, silences.values())),
            tuple(map(Notice.unpacked, notices.values())),
            packed,
        )

    async def commit(self, turn: Turn, before: Standing, found: Round, notices: Iterable[Notice]) -> bool:
        """Store what a round found; False if the turn was lost or the book has changed since `before`."""
        states: list[bytes | str] = []
        for key in before.packed.keys() | found.after.keys():
            was = before.packed.get(key, b"")
            now = found.after[key].packed() if key in found.after else b""
            if was != now:
                states += [key, was, now]
        told = [part for notice in notices for part in (notice.id, notice.packed())]
        past = [entry.packed() for entry in found.past]
        if not (states or told or past):
            return True
        keys = [self._lease, self._states, self._notices, self._past]
        counts = turn.holder, self._history, len(states) // 3
        reply = await _COMMIT(self._link.commands, keys, [*counts, *states, len(told) // 2, *told, *past])
        return bool(reply)

    async def fold(self, alerts: Iterable[Alert], past: Iterable[Past]) -> None:
        """Take over what a node found and sent by itself while Redis was away."""
        states = [part for alert in alerts for part in (alert.key, alert.packed())]
        entries = [entry.packed() for entry in past]
        if states or entries:
            args = [self._history, len(states) // 2, *states, *entries]
            await _FOLD(self._link.commands, [self._states, self._past], args)

    async def keep_notice(self, notice: Notice) -> None:
        """Note how far a notice has come; one with nowhere left to go is forgotten."""
        if notice.left:
            await though_full(self._link.commands, "HSET", self._notices, notice.id, notice.packed())
            return
        with guard():
            await _answer(self._link.commands.hdel(self._notices, notice.id))

    async def keep_deliveries(self, deliveries: Mapping[str, Delivery]) -> None:
        """Note how the channels do, if that has changed."""
        packed = {name: orjson.dumps(asdict(delivery)) for name, delivery in deliveries.items() if delivery.at}
        if changed := {name: value for name, value in packed.items() if self._kept.get(name) != value}:
            said = (part for pair in changed.items() for part in pair)
            await though_full(self._link.commands, "HSET", self._deliveries, *said)
            self._kept.update(changed)

    async def deliveries(self) -> dict[str, Delivery]:
        """How the channels used so far do."""
        with guard():
            found = await _answer(self._link.commands.hgetall(self._deliveries))
        return {name.decode(): Delivery(**orjson.loads(value)) for name, value in found.items()}

    async def silence(self, silence: Silence) -> None:
        """Add a silence; expired ones are forgotten by the way."""
        now = self._clock.now()
        standing = await self.standing()
        over = [one.key for one in standing.silences if one.until < now]
        await though_full(self._link.commands, "HSET", self._silences, silence.key, silence.packed())
        if over:
            with guard():
                await _answer(self._link.commands.hdel(self._silences, *over))

    async def lift(self, rule: str, subject: str) -> bool:
        """End a silence; False if there is none with exactly these patterns."""
        with guard():
            return bool(await _answer(self._link.commands.hdel(self._silences, f"{rule}/{subject}")))

    async def history(self, limit: int = 100, before: str | None = None) -> list[tuple[str, Past]]:
        """What fired and what ended, the newest first, each with an id to continue from."""
        newest = "+" if before is None else f"({before}"
        with guard():
            found: Any = await self._link.commands.xrevrange(self._past, max=newest, count=limit)
        return [(entry.decode(), Past.unpacked(fields[b"e"])) for entry, fields in found]


async def _answer(reply: Any) -> Any:
    # redis-py says that hash commands may answer at once, which its asyncio client never does.
    return await cast(Awaitable[Any], reply)
