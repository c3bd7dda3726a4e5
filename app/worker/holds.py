"""Names the line of bot code that holds a worker's loop: a thread looks at the loop's stack while a step is long."""

from __future__ import annotations

import sys
import threading
import time
from types import FrameType
from typing import Final

from app.core.logs import get_logger
from app.core.metrics import LOOP_HELD
from app.model.bot import HANDLER_MODULES
from app.worker.dial import HOLD_NOTICED, NANO, Dial

# A step that is reported was looked at at least once in its second half, whenever it began.
_LOOK_EVERY: Final = HOLD_NOTICED / 2

log = get_logger(__name__)


class Holds:
    """Looks from `start` until `stop`; at nothing while steps are short."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._seen: tuple[int, str | None] = 0, None

    def start(self, dial: Dial) -> None:
        """Begin; call it in the loop's own thread."""
        watch = threading.Thread(target=self._watch, args=(dial, threading.get_ident()), name="holds", daemon=True)
        watch.start()

    def stop(self) -> None:
        """End with the next look."""
        self._ended.set()

    def tell(self, bot: str, since: int, seconds: float) -> None:
        """Count and log a step that was too long, with its last place; called on the loop (`Dial`)."""
        LOOP_HELD.labels(bot).inc()
        # Code in C that keeps the interpreter to itself lets no thread look.
        place = self._seen[1] if self._seen[0] == since else None
        log.warning(
            "a handler held its loop: move blocking work to a thread", bot=bot, seconds=round(seconds, 3), place=place
        )

    def _watch(self, dial: Dial, loop: int) -> None:
        while not self._ended.wait(_LOOK_EVERY):
            since = dial.step
            if since and time.monotonic_ns() - since > _LOOK_EVERY * NANO:
                place = _line_of_bot(sys._current_frames().get(loop))
                if dial.step == since:
                    self._seen = since, place


def _line_of_bot(frame: FrameType | None) -> str | None:
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(HANDLER_MODULES):
            return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back
    return None
