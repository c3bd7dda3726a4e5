"""Bots whose keys in Redis are damaged, by hand or by a partly restored file: scripts skip them, the log names them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from cachetools import TTLCache

from app.core.logs import get_logger

SPARE: Final = Path(__file__).parent / "spare.lua"
"""Goes in front of a script that visits bot after bot."""

# Scripts meet the same ones twice a second.
_SAID_EVERY: Final = 60.0
_said: Final[TTLCache[str, bool]] = TTLCache(10_000, _SAID_EVERY)

log = get_logger(__name__)


def beside_damage(reply: Sequence[Any]) -> Sequence[Any]:
    """A script's reply without its last part, the bots that it left out."""
    left_out(reply[-1])
    return reply[:-1]


def left_out(damaged: Iterable[bytes]) -> list[str]:
    """The bots that a script left out, each with what Redis says of its keys behind it; logged once a minute a bot."""
    bots = []
    for one in damaged:
        bot, _, reason = one.decode().partition(" ")
        bots.append(bot)
        if bot not in _said:
            _said[bot] = True
            log.error("a bot's keys in Redis are damaged, its work waits", bot=bot, reason=reason)
    return bots
