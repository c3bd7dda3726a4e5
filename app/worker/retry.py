"""Decides what follows an attempt: the event is done, tried again, put off, or buried."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from app.model.bot import BotMessage
from app.worker.outcome import Outcome

_LONGEST_BACKOFF: Final = 3600.0
# A quarter either way keeps events that failed together from coming back together.
_JITTER: Final = 0.25


@dataclass(frozen=True, slots=True)
class Step:
    """What to do with the event; `delay` in seconds, `reason` and `detail` for a dead letter.

    `let_go` hands the conversation back with nothing counted; `stop` leaves it to its new holder.
    """

    do: Literal["finish", "retry", "later", "bury", "let_go", "stop"]
    delay: float = 0.0
    reason: str = ""
    detail: str = ""


FINISH = Step("finish")
LET_GO = Step("let_go")
STOP = Step("stop")


def next_step(
    outcome: Outcome,
    policy: BotMessage,
    *,
    failures: int,
    held: float,
    chance: Callable[[], float] = random.random,
) -> Step:
    """Decide by the bot's policy; `failures` and `held` (seconds) are those of earlier attempts."""
    match outcome.ending:
        case "done" | "unhandled" | "drop":
            return FINISH
        case "fenced":
            return STOP
        case "store_away" | "put_back":
            return LET_GO
    if outcome.final:
        return Step("bury", reason="cannot succeed", detail=outcome.reason)
    if failures + 1 >= policy.retry_policy.max_attempts:
        return Step("bury", reason=_REASONS[outcome.ending], detail=outcome.reason)
    delay = outcome.after
    if delay is None or outcome.ending != "retry":
        delay = max(delay or 0.0, backoff(policy.retry_policy.backoff, failures, chance()))
    return Step("retry" if held + delay <= policy.max_hold else "later", delay)


def backoff(first: float, failures: int, chance: float) -> float:
    """The wait before the attempt after `failures` earlier ones: doubling, with jitter; `chance` is in 0…1."""
    doubled = min(_LONGEST_BACKOFF, first * 2.0 ** min(failures, 30))
    return doubled * (1.0 - _JITTER + 2.0 * _JITTER * chance)


_REASONS: Final = {
    "retry": "attempts used up: the handler asked for another",
    "failed": "attempts used up: the handler failed",
    "timed_out": "attempts used up: the handler took too long",
}
