"""The dial shows whose code is on the loop, step by step, and in threads."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace

import pytest

from app.worker.dial import NANO, THREADS, Dial, Dials
from tests.hand_clock import HandClock
from tests.waiting import PATIENCE, until


@pytest.fixture
def dials() -> Dials:
    return Dials(slots=3)


async def test_a_step_is_shown_while_it_runs_and_not_while_it_waits(dials: Dials) -> None:
    dial = Dial(dials, 1)
    seen: list[str | None] = []
    gate = asyncio.Event()

    def look() -> str | None:
        holder = dials.on_loop(1)
        return holder.bot if holder else None

    async def handler() -> str:
        seen.append(look())
        await gate.wait()
        seen.append(look())
        return "said"

    task = asyncio.create_task(_drive(dial, handler(), "echo"))
    while not seen:
        await asyncio.sleep(0)
    assert look() is None
    gate.set()
    assert await task == "said"
    assert seen == ["echo", "echo"]
    assert look() is None


async def test_slots_are_apart_and_names_of_any_length_are_read_whole(dials: Dials) -> None:
    first, second = Dial(dials, 0), Dial(dials, 2)
    first.enter("a" * 64)
    second.enter("b")
    first.leave()
    first.enter("short")
    assert [holder.bot if (holder := dials.on_loop(slot)) else None for slot in range(3)] == [
        "short",
        None,
        "b",
    ]


async def test_errors_and_cancellations_pass_and_clear_it(dials: Dials) -> None:
    dial = Dial(dials, 0)

    async def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await dial.watch(fails(), "echo")
    assert dials.on_loop(0) is None

    cleaned = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(dials.on_loop(0))

    task = asyncio.create_task(_drive(dial, waits(), "echo"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned[0] is not None
    assert cleaned[0].bot == "echo"


async def test_tasks_that_a_handler_starts_are_its_own(dials: Dials) -> None:
    dial = Dial(dials, 0)
    loop = asyncio.get_running_loop()
    loop.set_task_factory(dial.task_factory)
    seen = []

    async def part() -> None:
        await asyncio.sleep(0)
        holder = dials.on_loop(0)
        seen.append(holder.bot if holder else None)

    async def handler() -> None:
        await asyncio.gather(part(), part())

    await dial.watch(handler(), "echo")
    await asyncio.create_task(part())  # the hub's own
    assert seen == ["echo", "echo", None]


async def test_a_long_step_is_reported_with_its_bot(dials: Dials, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, held = HandClock(), list[tuple[str, float]]()
    monkeypatch.setattr("app.worker.dial.time", SimpleNamespace(monotonic_ns=lambda: round(clock.time * NANO)))
    dial = Dial(dials, 0, lambda bot, since, seconds: held.append((bot, seconds)))

    def pass_time() -> None:
        clock.time += 0.11

    async def blocks() -> None:
        pass_time()

    async def waits() -> None:
        asyncio.get_running_loop().call_soon(pass_time)
        await asyncio.sleep(0)

    await dial.watch(blocks(), "slow")
    await dial.watch(waits(), "patient")  # as long, but it holds up nobody
    [(bot, seconds)] = held
    assert bot == "slow"
    assert seconds == pytest.approx(0.11)


def test_threads_are_shown_while_they_run(dials: Dials) -> None:
    dial = Dial(dials, 0)
    inside, leave = threading.Event(), threading.Event()

    def function() -> int:
        inside.set()
        assert leave.wait(PATIENCE)
        return 7

    result: list[int] = []
    thread = threading.Thread(target=lambda: result.append(dial.in_thread("plain", function)))
    thread.start()
    assert inside.wait(PATIENCE)
    assert [holder.bot for holder in dials.in_threads(0)] == ["plain"]
    leave.set()
    thread.join()
    assert result == [7]
    assert dials.in_threads(0) == []


def test_more_threads_than_cells_still_run(dials: Dials) -> None:
    dial = Dial(dials, 0)

    def nested(depth: int) -> int:
        return depth if depth == THREADS + 2 else dial.in_thread("plain", lambda: nested(depth + 1))

    assert nested(0) == THREADS + 2
    assert dials.in_threads(0) == []


def test_wiping_forgets_one_slot_only(dials: Dials) -> None:
    first, second = Dial(dials, 0), Dial(dials, 1)
    first.enter("one")
    second.enter("two")
    dials.wipe(0)
    assert dials.on_loop(0) is None
    assert dials.on_loop(1) is not None


async def _drive(dial: Dial, coroutine: object, bot: str) -> object:
    return await dial.watch(coroutine, bot)  # type: ignore[arg-type]


async def test_the_tick_shows_that_the_loop_turns_until_it_rests(dials: Dials) -> None:
    dial = Dial(dials, 1)
    assert dials.tick(1) == 0
    dial.tick()
    first = dials.tick(1)
    assert 0 < first <= time.monotonic_ns()
    await until(lambda: dials.tick(1) > first)
    assert (dials.tick(0), dials.on_loop(1), dials.in_threads(1)) == (0, None, [])
    dial.rest()
    assert dials.tick(1) == 0
    dial.tick()
    dial.rest()
    dials.wipe(1)
    assert dials.tick(1) == 0
