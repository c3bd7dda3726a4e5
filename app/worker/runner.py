"""Runs one handler to its outcome: in its time, in a thread if need be, reporting errors without their texts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import Fenced, HandlerTimeout, HubError, StoreUnavailable
from app.sdk.answer import Call
from app.sdk.answer import Outcome as HandlerOutcome
from app.sdk.context import Context
from app.sdk.outcomes import Drop, Retry
from app.worker.dial import Dial
from app.worker.outcome import DONE, FENCED, Outcome, place_of

# Threads are bounded by each bot's slots; this only keeps a mistake from eating the machine.
_MOST_THREADS: Final = 1000

Perform = Callable[[Call], Coroutine[Any, Any, HandlerOutcome]]
"""Makes the handler's coroutine, given what runs a plain function in a thread."""
Encode = Callable[[dict[str, Any]], bytes]


class Allowance:
    """What is left of an attempt's time; waits for send slots are added to it, so that they do not count."""

    def __init__(self, seconds: float, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._until = clock.monotonic() + seconds
        self._timer: asyncio.Timeout | None = None

    @property
    def left(self) -> float:
        """Seconds that remain."""
        return self._until - self._clock.monotonic()

    def deadline(self) -> float:
        """When it will have run out, in seconds since the epoch."""
        return self._clock.now() + self.left

    def extend(self, seconds: float) -> None:
        """Add the time of a wait for a send slot that begins now."""
        self._until += seconds
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(asyncio.get_running_loop().time() + max(0.0, self.left))

    def arm(self, timer: asyncio.Timeout | None) -> None:
        """Have `timer` moved along; None once the attempt is over."""
        self._timer = timer


class Threads(ThreadPoolExecutor):
    """Threads of bot code, which nobody waits for at the end: otherwise one that hangs would hold up the loop's end."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing new."""
        super().shutdown(wait=False, cancel_futures=True)


class Runner:
    """Runs the handlers of a worker's bots; shows steps and threads of bot code on the dial."""

    def __init__(self, dial: Dial, leaving: asyncio.Event, patience: float) -> None:
        """Once `leaving` is set, threads whose attempts are over get only `patience` more seconds."""
        self._dial = dial
        self._leaving = leaving
        self._patience = patience
        self._threads = Threads(_MOST_THREADS, thread_name_prefix="handler")

    async def run(
        self, bot_id: str, perform: Perform, ctx: Context[Any], allowance: Allowance, encode: Encode
    ) -> Outcome:
        """Run it; `encode` turns a callback's answer into bytes. A cancellation passes through.

        A plain function that overruns its time keeps its caller waiting until its thread ends, or is about to end with
        its process.
        """
        threads: set[asyncio.Future[Any]] = set()
        try:
            async with asyncio.timeout(allowance.left) as timer:
                allowance.arm(timer)
                call = partial(self._call, bot_id, threads)
                ended = await self._dial.watch(perform(call), bot_id)
        except asyncio.CancelledError:
            ctx.refuse(Fenced("this attempt was stopped: its conversation was handed to another worker"))
            raise
        except BaseException as error:  # even sys.exit() in bot code may end only one attempt
            if isinstance(error, GeneratorExit):
                raise
            return _failed(error, timed_out=isinstance(error, TimeoutError) and timer.expired())
        finally:
            allowance.arm(None)
            ctx.refuse(HandlerTimeout("this attempt is over: verbs can be used only until the handler returned"))
            if threads:
                await self._ended(threads)
        match ended:
            case Retry():
                return Outcome("retry", ended.reason, ended.after)
            case Drop():
                return Outcome("drop", ended.reason)
        return Outcome("done", answer=encode(ended.answer)) if ended.answer else DONE

    async def _call(self, bot_id: str, threads: set[asyncio.Future[Any]], function: Callable[[], Any]) -> Any:
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._threads, self._dial.in_thread, bot_id, function)
        threads.add(future)
        # Shielded: a time-out cannot stop a thread, so waiting for its end must not be cancelled either.
        return await asyncio.shield(future)

    async def _ended(self, threads: set[asyncio.Future[Any]]) -> None:
        if running := {future for future in threads if not future.done()}:
            leaving = asyncio.create_task(self._leaving.wait())
            try:
                await asyncio.wait({*running, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                leaving.cancel()
            # Otherwise a thread that never ends would keep a replaced process alive.
            await asyncio.wait(running, timeout=self._patience)
        for future in threads:
            if future.done() and not future.cancelled():
                future.exception()  # retrieved, so that asyncio does not warn of it


def _failed(error: BaseException, *, timed_out: bool) -> Outcome:
    if timed_out:
        return Outcome("timed_out", "the handler took longer than its `timeout`")
    if isinstance(error, Fenced):
        return FENCED
    if isinstance(error, StoreUnavailable):
        return Outcome("store_away")
    if isinstance(error, HubError):
        return Outcome("failed", place_of(error), error.retry_after, final=not error.retryable)
    return Outcome("failed", place_of(error))
