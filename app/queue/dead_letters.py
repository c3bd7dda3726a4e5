"""Dead letters: what could not be handled, why, and how an operator sends it on or lets it go."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.core.errors import HubError
from app.core.keys import Keys
from app.core.lua import Script
from app.core.outage import guard
from app.core.redis import RedisLink
from app.queue.envelope import Entry

_REPLAY = Script(Path(__file__).parent / "replay.lua")
_WITHDRAW = Script(Path(__file__).parent / "withdraw.lua")
_WAKE = Script(Path(__file__).parent / "wake.lua")
# In an entry as it is packed, counted from one, behind its format.
_TYPE: Final = Entry._fields.index("type") + 2
_MESSAGE: Final = Entry._fields.index("message_id") + 2
# A script holds up everything else in Redis: so many letters take about a millisecond. Read, they take memory.
_LOOKED_AT_ONCE: Final = 100
_NO_ENTRY: Final = Entry("event", "", "", "", "", "", "", "", 0.0, 0, b"")
# What `finish.lua` writes beside the entry and its payload; `replay.lua` needs the last.
_FIELDS: Final = (b"reason", b"detail", b"starts", b"c")
_ID: Final = re.compile(r"\d{1,19}(-\d{1,19})?", re.ASCII)
UNREADABLE: Final = "unreadable"
"""The reason in place of one, of a letter that no hub of this version can read."""


class Unreadable(HubError):
    """A letter was damaged by hand, or written by a newer hub: it can only be dropped, or kept."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One event that was given up, with its own copy of the payload (sealed)."""

    bot: str
    id: str
    reason: str
    detail: str
    starts: int
    died: float
    """When it was given up, in seconds since the epoch."""
    entry: Entry


class DeadLetters:
    """The dead letters of all bots; every call raises StoreUnavailable without Redis.

    One that cannot be read is listed with the reason UNREADABLE and an empty entry; to show or replay it is Unreadable.
    """

    def __init__(self, link: RedisLink, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    async def list(self, bot: str, *, limit: int = 100, before: str | None = None) -> list[DeadLetter]:
        """The newest first; `before` is the last id of the page before."""
        if before is not None and not _is_id(before):
            return []
        newest = "+" if before is None else f"({before}"
        with guard():
            found: Any = await self._link.commands.xrevrange(self._keys.bot(bot, "dead"), max=newest, count=limit)
        return [_listed(bot, letter_id.decode(), fields) for letter_id, fields in found]

    async def show(self, bot: str, letter_id: str) -> DeadLetter | None:
        """One letter, or None where there is none of that id."""
        if not _is_id(letter_id):
            return None
        with guard():
            found: Any = await self._link.commands.xrange(self._keys.bot(bot, "dead"), letter_id, letter_id)
        return _letter(bot, letter_id, found[0][1]) if found else None

    async def replay(self, bot: str, letter_id: str) -> bool:
        """Put the event at the end of its conversation, to be handled and answered again; False: no such letter."""
        letter = await self.show(bot, letter_id)
        if letter is None:
            return False
        again = letter.entry._replace(replay=letter.entry.replay + 1)
        wake = "" if self._link.cluster else self._keys.wake
        reply = await _REPLAY(self._link.commands, [self._keys.root(bot)], [wake, bot, letter_id, again.packed()])
        if reply[:1] == b"!":
            await _WAKE(self._link.commands, [self._keys.wake], [bot])
        return bool(reply)

    async def drop(self, bot: str, letter_id: str) -> bool:
        """Let a letter go for good; False: no such letter."""
        if not _is_id(letter_id):
            return False
        with guard():
            return bool(await self._link.commands.xdel(self._keys.bot(bot, "dead"), letter_id))

    async def clear(self, bot: str) -> int:
        """Let all of a bot's letters go; how many."""
        with guard():
            return int(await self._link.commands.xtrim(self._keys.bot(bot, "dead"), maxlen=0, approximate=False))

    async def withdraw(self, bot: str, message_ids: Sequence[str], *, but: Sequence[str] = ()) -> int:
        """Delete what is about these messages, except events of the types `but`; how many letters."""
        gone, last = 0, "-"
        while last:
            args: list[str | int] = [last, _LOOKED_AT_ONCE, f" {' '.join(but)} ", _TYPE, _MESSAGE, *message_ids]
            found, seen = await _WITHDRAW(self._link.commands, [self._keys.root(bot)], args)
            gone += int(found)
            last = f"({seen.decode()}" if seen else ""
        return gone

    async def expire(self, bot: str, before: float) -> int:
        """Delete what came in before a time (seconds since the epoch), whenever it was given up; how many letters."""
        name, gone, after = self._keys.bot(bot, "dead"), 0, "-"
        while True:
            with guard():
                page: Any = await self._link.commands.xrange(name, min=after, count=_LOOKED_AT_ONCE)
                if old := [letter_id for letter_id, fields in page if _came(letter_id, fields) < before]:
                    gone += int(await self._link.commands.xdel(name, *old))
            if len(page) < _LOOKED_AT_ONCE:
                return gone
            after = f"({page[-1][0].decode()}"


def _is_id(text: str) -> bool:
    """Whether it can name a letter; Redis refuses other words for one, or takes them for a range."""
    return _ID.fullmatch(text) is not None


def _came(letter_id: bytes, fields: dict[bytes, bytes]) -> float:
    try:
        return _entry(fields).received
    except (HubError, KeyError, ValueError):
        # No later than it was given up.
        return _died(letter_id.decode())


def _died(letter_id: str) -> float:
    return int(letter_id.split("-")[0]) / 1000


def _entry(fields: dict[bytes, bytes]) -> Entry:
    """The letter's entry; HubError, KeyError or ValueError where there is none that can be worked with."""
    entry = Entry.unpacked(fields[b"e"], fields[b"s"])
    *texts, received, replay, _ = map(type, entry)
    if {*texts} != {str} or received not in (float, int) or replay is not int:
        raise HubError("a log entry has fields of another type than its format says: it is damaged")
    return entry


def _letter(bot: str, letter_id: str, fields: dict[bytes, bytes]) -> DeadLetter:
    try:
        reason, detail, starts, _ = (fields[name].decode() for name in _FIELDS)
        return DeadLetter(bot, letter_id, reason, detail, int(starts), _died(letter_id), _entry(fields))
    except KeyError as error:
        wrong = f"it has no field {error.args[0].decode()}"
    except ValueError:
        wrong = "a field of it is damaged"
    except HubError as error:
        wrong = str(error)
    raise Unreadable(f"dead letter {letter_id} of bot {bot} cannot be read: {wrong}; `feishu-hub dead drop` lets it go")


def _listed(bot: str, letter_id: str, fields: dict[bytes, bytes]) -> DeadLetter:
    try:
        return _letter(bot, letter_id, fields)
    except Unreadable as error:
        died = _died(letter_id)
        return DeadLetter(bot, letter_id, UNREADABLE, str(error), 0, died, _NO_ENTRY._replace(received=died))
