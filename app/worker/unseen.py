"""Logs what fails in bot code where nobody waits for it: in a task of its own, a thread, a destructor."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any, Final

from app.core.logs import get_logger
from app.worker.outcome import place_of

_SENTENCE: Final = "nobody waited for what failed"

log = get_logger(__name__)


def tell_of_unseen(loop: asyncio.AbstractEventLoop) -> None:
    """Have this process log it by type and place: Python's own words quote the error's, which may quote people."""
    loop.set_exception_handler(_in_loop)
    threading.excepthook = _in_thread
    sys.unraisablehook = _in_destructor


def _in_loop(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if error is None:
        # Only asyncio's own sentence: beside an error it may show a call with its arguments.
        log.warning("the event loop warns", reason=context["message"])
    else:
        log.error(_SENTENCE, where="task", detail=place_of(error))


def _in_thread(failed: threading.ExceptHookArgs) -> None:
    if not issubclass(failed.exc_type, SystemExit):
        _tell("thread", failed.exc_type, failed.exc_value)


def _in_destructor(failed: sys.UnraisableHookArgs) -> None:
    _tell("destructor", failed.exc_type, failed.exc_value)


def _tell(where: str, kind: type[BaseException], error: BaseException | None) -> None:
    log.error(_SENTENCE, where=where, detail=kind.__name__ if error is None else place_of(error))
