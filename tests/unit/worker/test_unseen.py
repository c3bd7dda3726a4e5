"""What fails where nobody waits is told by type and place, never in the error's own words."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_SCRIPT = """
import asyncio, threading
from app.core.logs import configure_logs
from app.worker.unseen import tell_of_unseen

def fail(text):
    raise ValueError(text)

async def fail_later(text):
    fail(text)

class Failing:
    def __del__(self):
        fail("zanzibar")

async def main():
    loop = asyncio.get_running_loop()
    tell_of_unseen(loop)
    {how}
    await asyncio.sleep(0)

configure_logs()
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("how", "where"),
    [
        pytest.param("asyncio.create_task(fail_later('zanzibar'))", "task", id="task"),
        pytest.param("loop.call_soon(fail, 'zanzibar')", "task", id="callback"),
        pytest.param(
            "threading.Thread(target=fail, args=['zanzibar'], name='zanzibar').start()", "thread", id="thread"
        ),
        pytest.param("Failing()", "destructor", id="destructor"),
    ],
)
def test_it_is_told_by_type_and_place(how: str, where: str) -> None:
    said = _run(how)
    line = json.loads(said)
    assert (line["event"], line["where"]) == ("nobody waited for what failed", where)
    assert line["detail"].startswith("ValueError at ")
    assert line["detail"].endswith(" in fail")
    assert "zanzibar" not in said


def test_what_is_no_error_keeps_asyncios_sentence() -> None:
    line = json.loads(_run("loop.call_exception_handler({'message': 'Task was destroyed but it is pending!'})"))
    assert (line["level"], line["reason"]) == ("warning", "Task was destroyed but it is pending!")


def test_a_thread_may_leave() -> None:
    assert _run("threading.Thread(target=exit).start()") == ""


def _run(how: str) -> str:
    code = _SCRIPT.replace("{how}", how)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.strip()
