"""Which bots are kept apart from the others, since when, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.core.clock import SYSTEM_CLOCK, Clock

TERM: Final = 600.0
"""Seconds without an offence after which a bot goes back among the others."""
_WARNINGS: Final = 3
"""This many lesser holds within `_WARNING_SPAN` are an offence: each cost the others a hand-over."""
_WARNING_SPAN: Final = 60.0


@dataclass(slots=True)
class _Record:
    offended: float
    revision: str


class Quarantine:
    """A pure tracker: it says who is apart; the caller acts on it."""

    def __init__(self, *, term: float = TERM, clock: Clock = SYSTEM_CLOCK) -> None:
        self._term = term
        self._clock = clock
        self._records: dict[str, _Record] = {}
        self._warnings: dict[str, list[float]] = {}

    def __contains__(self, bot: str) -> bool:
        return bot in self._records

    @property
    def bots(self) -> tuple[str, ...]:
        """The bots that are apart now."""
        return tuple(sorted(self._records))

    def offend(self, bot: str, revision: str) -> bool:
        """Note an offence; True if the bot was not apart before."""
        new = bot not in self._records
        self._records[bot] = _Record(self._clock.monotonic(), revision)
        self._warnings.pop(bot, None)
        return new

    def warn(self, bot: str, revision: str) -> bool:
        """Note a lesser hold; True if it was one too many and the bot is apart from now on."""
        now = self._clock.monotonic()
        recent = [at for at in self._warnings.get(bot, ()) if now - at < _WARNING_SPAN]
        self._warnings[bot] = [*recent, now]
        return len(recent) + 1 >= _WARNINGS and self.offend(bot, revision)

    def pardon(self, bot: str, revision: str) -> bool:
        """Let a bot back at once if its directory has changed; True if it was apart."""
        record = self._records.get(bot)
        if record is None or record.revision == revision:
            return False
        del self._records[bot]
        return True

    def release_due(self) -> list[str]:
        """Let back the bots whose term is over; their names."""
        now = self._clock.monotonic()
        due = [bot for bot, record in self._records.items() if now - record.offended >= self._term]
        for bot in due:
            del self._records[bot]
        return due
