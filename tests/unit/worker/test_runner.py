"""How one handler runs: its time, its thread, what is told of its errors."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import pytest

from app.core.clock import SYSTEM_CLOCK
from app.core.errors import FeishuRefused, FeishuUnavailable, Fenced, HandlerTimeout, StoreUnavailable
from app.core.logs import get_logger
from app.sdk.answer import Call, Done
from app.sdk.bot import NoSettings
from app.sdk.context import Context
from app.sdk.memory import Memory
from app.sdk.outcomes import Drop, Retry
from app.worker.dial import Dial, Dials
from app.worker.outcome import DONE, FENCED, Outcome
from app.worker.runner import Allowance, Runner
from tests.hand_clock import HandClock
from tests.waiting import PATIENCE, until

Body = Callable[[Context[Any], Call], Coroutine[Any, Any, Any]]


class Kit:
    """A runner, and the context of the attempt that it makes."""

    def __init__(self) -> None:
        self.dials = Dials(slots=1)
        self.runner = Runner(Dial(self.dials, 0), asyncio.Event(), 0.0)
        self.ctx: Context[Any] = Context(
            Memory(SYSTEM_CLOCK, None).verbs(None),
            NoSettings(),
            get_logger("test"),
            bot_id="echo",
            event=None,
        )

    async def run(self, body: Body, *, timeout: float = 5.0, allowance: Allowance | None = None) -> Outcome:
        async def perform(call: Call) -> Any:
            return await body(self.ctx, call) or Done()

        return await self.runner.run("echo", perform, self.ctx, allowance or Allowance(timeout), orjson.dumps)


@pytest.fixture
def kit() -> Kit:
    return Kit()


async def test_a_handler_that_returns_is_done(kit: Kit) -> None:
    async def body(ctx: Context[Any], call: Call) -> None:
        await asyncio.sleep(0)

    assert await kit.run(body) is DONE


async def test_a_callbacks_answer_comes_as_bytes(kit: Kit) -> None:
    async def body(ctx: Context[Any], call: Call) -> Done:
        return Done({"toast": {"type": "info"}})

    assert (await kit.run(body)).answer == b'{"toast":{"type":"info"}}'


async def test_retry_and_drop_keep_the_authors_words(kit: Kit) -> None:
    async def retries(ctx: Context[Any], call: Call) -> Retry:
        return Retry("30s", reason="the printer is out")

    async def drops(ctx: Context[Any], call: Call) -> Drop:
        return Drop("not ours")

    assert await kit.run(retries) == Outcome("retry", "the printer is out", 30.0)
    assert await kit.run(drops) == Outcome("drop", "not ours")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Fenced("lost"), FENCED),
        (StoreUnavailable("away"), Outcome("store_away")),
    ],
)
async def test_what_is_not_the_bots_fault_is_told_apart(kit: Kit, error: Exception, expected: Outcome) -> None:
    async def body(ctx: Context[Any], call: Call) -> None:
        raise error

    assert await kit.run(body) == expected


async def test_hub_errors_say_whether_another_attempt_can_help(kit: Kit) -> None:
    async def refused(ctx: Context[Any], call: Call) -> None:
        raise FeishuRefused("card malformed")

    async def away(ctx: Context[Any], call: Call) -> None:
        raise FeishuUnavailable("no answer", retry_after=2.0)

    first, second = await kit.run(refused), await kit.run(away)
    assert (first.ending, first.final) == ("failed", True)
    assert (second.ending, second.final, second.after) == ("failed", False, 2.0)


async def test_an_error_is_told_by_type_and_place_without_its_text(kit: Kit) -> None:
    async def body(ctx: Context[Any], call: Call) -> None:
        raise KeyError("what somebody wrote")

    outcome = await kit.run(body)
    assert outcome.ending == "failed"
    assert outcome.reason.startswith("KeyError at tests.unit.worker.test_runner:")
    assert "somebody" not in repr(outcome)


async def test_an_address_that_cannot_be_reached_is_told_in_the_hubs_words(kit: Kit) -> None:
    async def body(ctx: Context[Any], call: Call) -> None:
        error = FeishuUnavailable("https://open.feishu.cn cannot be reached: check DNS")
        error.sent = False
        raise error

    assert (await kit.run(body)).reason == "FeishuUnavailable (https://open.feishu.cn cannot be reached: check DNS)"


async def test_sys_exit_ends_one_attempt_only(kit: Kit) -> None:
    async def body(ctx: Context[Any], call: Call) -> None:
        sys.exit(3)

    assert (await kit.run(body)).reason.startswith("BotExit")


async def test_a_handler_out_of_time_is_stopped_and_its_context_refuses(kit: Kit) -> None:
    async def body(ctx: Context[Any], call: Call) -> None:
        await asyncio.Event().wait()

    assert (await kit.run(body, timeout=0.02)).ending == "timed_out"
    with pytest.raises(HandlerTimeout):
        await kit.ctx.send("oc_1", "too late")


async def test_the_handlers_own_time_out_is_a_failure(kit: Kit) -> None:
    async def body(ctx: Context[Any], call: Call) -> None:
        raise TimeoutError

    assert (await kit.run(body)).ending == "failed"


async def test_waiting_for_a_send_slot_does_not_count(kit: Kit) -> None:
    allowance = Allowance(0.05, clock=HandClock())

    async def body(ctx: Context[Any], call: Call) -> None:
        before = allowance.left
        allowance.extend(5.0)
        assert allowance.left == before + 5.0
        await asyncio.sleep(0.1)  # what is tested: longer than it had at first

    assert await kit.run(body, allowance=allowance) is DONE


async def test_a_plain_function_keeps_the_slot_until_its_thread_ends(kit: Kit) -> None:
    inside, leave = threading.Event(), threading.Event()

    def function() -> None:
        inside.set()
        leave.wait(PATIENCE)

    async def body(ctx: Context[Any], call: Call) -> None:
        await call(function)

    task = asyncio.create_task(kit.run(body, timeout=0.02))
    await until(inside.is_set)
    assert [one.bot for one in kit.dials.in_threads(0)] == ["echo"]
    await until(lambda: _refuses(kit.ctx))
    assert not task.done()
    leave.set()
    assert (await task).ending == "timed_out"


async def test_a_cancellation_passes_and_the_context_refuses(kit: Kit) -> None:
    began = asyncio.Event()

    async def body(ctx: Context[Any], call: Call) -> None:
        began.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(kit.run(body))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _refuses(kit.ctx)


def _refuses(ctx: Context[Any]) -> bool:
    try:
        ctx.send("oc_1", "x").close()
    except (HandlerTimeout, Fenced):
        return True
    return False
