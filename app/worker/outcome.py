"""How one attempt at an event ended."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from app.core.errors import FeishuError, FeishuUnavailable, Misused
from app.model.bot import HANDLER_MODULES

Ending = Literal["done", "unhandled", "retry", "drop", "failed", "timed_out", "fenced", "store_away", "put_back"]

# Above a library's frames, which stand above the hub's own.
_OF_BOT: Final = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended; never holds message text, so that it can be logged and kept with a dead letter."""

    ending: Ending
    reason: str = ""
    """For retry and drop the author's own words; for a failure the exception's type and where it was raised."""
    after: float | None = None
    """The wait that the author, Feishu or the limiter asked for, in seconds."""
    final: bool = False
    """Whether no other attempt could succeed."""
    answer: bytes | None = field(default=None, repr=False)
    """For a callback: the JSON document for Feishu."""

    def message(self) -> dict[str, Any]:
        """For a line between processes."""
        return {
            "ending": self.ending,
            "reason": self.reason,
            "after": self.after,
            "final": self.final,
            "answer": None if self.answer is None else base64.b64encode(self.answer).decode(),
        }

    @classmethod
    def of_message(cls, message: dict[str, Any]) -> Outcome:
        """The reverse."""
        answer = message["answer"]
        return cls(**{**message, "answer": None if answer is None else base64.b64decode(answer)})


DONE = Outcome("done")
UNHANDLED = Outcome("unhandled")
FENCED = Outcome("fenced")
PUT_BACK = Outcome("put_back")


def place_of(error: BaseException) -> str:
    """An exception as its type and the innermost line of bot code, without its message, which may quote people.

    For what Feishu answered it has the code and log id too: they say why, and Feishu's support asks for them. Where
    Feishu was not reached it has the hub's own words instead of a line. If no line is a bot's, it is the innermost one
    outside the hub, such as a library's.
    """
    trace = error.__traceback__
    where, best = "", -1
    while trace is not None:
        code = trace.tb_frame.f_code
        module = trace.tb_frame.f_globals.get("__name__", "?")
        rank = _OF_BOT if module.startswith(HANDLER_MODULES) else 0 if module.startswith("app.") else 1
        if rank >= max(best, 1) or not where:
            file = code.co_filename if rank == _OF_BOT else module
            where, best = f"{file}:{trace.tb_lineno} in {code.co_name}", rank
        trace = trace.tb_next
    what = type(error).__name__
    if isinstance(error, Misused):
        # It names the handler itself; a line of the hub would only mislead.
        what, where = f"{what} ({error})", where if best == _OF_BOT else ""
    if isinstance(error, FeishuError):
        what += f" {error.code}" * (error.code != 0) + f" (log id {error.log_id})" * bool(error.log_id)
    if isinstance(error, FeishuUnavailable) and not error.sent:
        # Nobody answered, so that all its words are the hub's: which address, and what to look at.
        return f"{what} ({error})"
    return f"{what} at {where}" if where else what
