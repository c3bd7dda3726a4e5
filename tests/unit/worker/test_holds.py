"""Where a handler held its loop."""

from __future__ import annotations

import time
from typing import Any

import pytest

from app.model.bot import HANDLER_MODULES
from app.worker.dial import Dial, Dials
from app.worker.holds import Holds

CODE = """
async def handler():
    asks("something")

def asks(what):
    block(0.15)
"""


async def test_the_line_of_bot_code_that_held_the_loop_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    holds = Holds()
    dial = Dial(Dials(slots=1), 0, holds.tell)
    module: dict[str, Any] = {"__name__": f"{HANDLER_MODULES}1_slow", "block": time.sleep}
    exec(compile(CODE, "bots/slow.py", "exec"), module)
    holds.start(dial)
    printed = ""
    try:
        for _ in range(40):  # on a busy machine the thread that looks may come too late
            await dial.watch(module["handler"](), "slow")
            printed = capsys.readouterr().out
            assert "bot=slow" in printed
            if "bots/slow.py" in printed:
                break
    finally:
        holds.stop()
    assert "bots/slow.py:6 in asks" in printed
