"""Shows the node whose code is on a worker's loop, in shared memory that outlives the worker."""

from __future__ import annotations

import asyncio
import mmap
import struct
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

SLOTS: Final = 64
"""Worker processes that one node can have at once, including those that retire or run an event alone."""
THREADS: Final = 32
"""Threads of plain `def` handlers that a worker can show; one more runs unseen."""

# A cell: the instant (0 while nobody's code runs), then the length of the bot's id and the id, at most 64 characters.
_SINCE: Final = struct.Struct("@Q")
_NAME: Final = struct.Struct("=B64s")
_NAME_AT: Final = _SINCE.size
_CELL_SIZE: Final = 128
_TICK_AT: Final = _CELL_SIZE * (1 + THREADS)
_IMPORT_AT: Final = _TICK_AT + _CELL_SIZE
_SLOT_SIZE: Final = _IMPORT_AT + _CELL_SIZE
NANO: Final = 1_000_000_000

TICK: Final = 0.05
"""Seconds between two signs of life of a worker's loop."""
HOLD_NOTICED: Final = 0.1
"""Seconds after which a bot that holds the loop is named in log and metric."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose code runs, and since when (monotonic nanoseconds, the same clock in every process)."""

    bot: str
    since: int

    def seconds(self, now: int | None = None) -> float:
        """How long the present step has taken."""
        return ((time.monotonic_ns() if now is None else now) - self.since) / NANO


class Dials:
    """The shared memory: a slot for each worker process, with cells for the loop, each thread and the tick."""

    def __init__(self, slots: int = SLOTS) -> None:
        """Must be made before any fork, so that children see the same pages."""
        self.slots = slots
        self.memory = mmap.mmap(-1, slots * _SLOT_SIZE)

    def on_loop(self, slot: int) -> Holder | None:
        """Whose step is on the loop of the worker in `slot`, if any."""
        return self._read(slot * _SLOT_SIZE)

    def in_threads(self, slot: int) -> list[Holder]:
        """Whose plain functions are running in threads of the worker in `slot`."""
        first = slot * _SLOT_SIZE
        cells = (self._read(first + _CELL_SIZE * (1 + n)) for n in range(THREADS))
        return [holder for holder in cells if holder is not None]

    def tick(self, slot: int) -> int:
        """When the loop of the worker in `slot` last turned (monotonic nanoseconds); 0 before it runs and after."""
        (at,) = _SINCE.unpack_from(self.memory, slot * _SLOT_SIZE + _TICK_AT)
        return int(at)

    def note_import(self, slot: int, bot: str) -> None:
        """Show whose code the worker in `slot` is importing; an empty name means nobody's."""
        name = bot.encode()
        _NAME.pack_into(self.memory, slot * _SLOT_SIZE + _IMPORT_AT + _NAME_AT, len(name), name)

    def importing(self, slot: int) -> str:
        """Whose code the worker in `slot` is importing, if any."""
        length, name = _NAME.unpack_from(self.memory, slot * _SLOT_SIZE + _IMPORT_AT + _NAME_AT)
        return str(name[:length].decode(errors="replace"))

    def wipe(self, slot: int) -> None:
        """Forget what a process left behind, before another gets its slot."""
        self.memory[slot * _SLOT_SIZE : (slot + 1) * _SLOT_SIZE] = bytes(_SLOT_SIZE)

    def _read(self, at: int) -> Holder | None:
        # A writer sets the name before the instant: a name read between two equal instants belongs to them.
        (since,) = _SINCE.unpack_from(self.memory, at)
        if since == 0:
            return None
        length, name = _NAME.unpack_from(self.memory, at + _NAME_AT)
        (again,) = _SINCE.unpack_from(self.memory, at)
        if again != since:
            return None
        return Holder(name[:length].decode(errors="replace"), since)


class Dial:
    """A worker's end: set around every step of bot code, clear otherwise (under a microsecond a step)."""

    def __init__(self, dials: Dials, slot: int, on_hold: Callable[[str, int, float], None] | None = None) -> None:
        """`on_hold(bot, since, seconds)` is called on the loop after a step that took over `HOLD_NOTICED`."""
        self.bot: str | None = None
        self._memory = dials.memory
        self._loop_cell = slot * _SLOT_SIZE
        self._named: str | None = None
        self._since = 0
        self._on_hold = on_hold
        self._limit = int(HOLD_NOTICED * NANO)
        self._free = [self._loop_cell + _CELL_SIZE * (1 + n) for n in range(THREADS)]
        self._timer: asyncio.TimerHandle | None = None
        self._turned = time.monotonic_ns()
        self._stalls = 0

    def tick(self) -> None:
        """Show that the loop turns, now and every `TICK` seconds until `rest`."""
        # A thread in C code that keeps the interpreter's lock stops the loop while nobody's step is on it.
        self.stalls()
        self._turned = now = time.monotonic_ns()
        _SINCE.pack_into(self._memory, self._loop_cell + _TICK_AT, now)
        self._timer = asyncio.get_running_loop().call_later(TICK, self.tick)

    def rest(self) -> None:
        """The loop is about to end: nobody shall wait for it to turn."""
        if self._timer is not None:
            self._timer.cancel()
        _SINCE.pack_into(self._memory, self._loop_cell + _TICK_AT, 0)

    def stalls(self) -> int:
        """How often the loop has stood still so long that the node may have given its work to others.

        A stall that ends just now counts: tasks that were ready behind it run before the tick.
        """
        now = time.monotonic_ns()
        if now - self._turned > self._limit:
            self._stalls += 1
            self._turned = now
        return self._stalls

    @property
    def step(self) -> int:
        """When the step of bot code on the loop began (monotonic nanoseconds), 0 if there is none; for any thread."""
        return self._since if self.bot is not None else 0

    def enter(self, bot: str) -> None:
        """Note that a step of this bot's code begins."""
        if self._named is not bot:
            self._write_name(self._loop_cell, bot)
            self._named = bot
        self.bot = bot
        self._since = since = time.monotonic_ns()
        _SINCE.pack_into(self._memory, self._loop_cell, since)

    def leave(self) -> None:
        """Note that the step ended."""
        _SINCE.pack_into(self._memory, self._loop_cell, 0)
        bot, self.bot = self.bot, None
        held = time.monotonic_ns() - self._since
        if held > self._limit and self._on_hold is not None and bot is not None:
            self._on_hold(bot, self._since, held / NANO)

    def in_thread(self, bot: str, function: Callable[[], T]) -> T:
        """Run `function` in the present thread, shown while it runs."""
        try:
            cell = self._free.pop()
        except IndexError:
            return function()
        self._write_name(cell, bot)
        _SINCE.pack_into(self._memory, cell, time.monotonic_ns())
        try:
            return function()
        finally:
            _SINCE.pack_into(self._memory, cell, 0)
            self._free.append(cell)

    def watch(self, coroutine: Coroutine[Any, Any, T], bot: str) -> Watched[T]:
        """The same coroutine, with the dial set around each of its steps."""
        return Watched(coroutine, self, bot)

    def task_factory(self, loop: Any, coroutine: Any, **options: Any) -> Any:
        """Make a task, watched as the bot's own if bot code starts it (`loop.set_task_factory`)."""
        if self.bot is not None:
            coroutine = Watched(coroutine, self, self.bot)
        return asyncio.Task(coroutine, loop=loop, **options)

    def _write_name(self, cell: int, bot: str) -> None:
        name = bot.encode()
        _NAME.pack_into(self._memory, cell + _NAME_AT, len(name), name)


class BotExit(Exception):
    """Bot code asked the whole process to end (sys.exit), which it may not: its task fails instead."""

    @classmethod
    def of(cls, error: BaseException) -> BotExit:
        """Build it with the place of the request."""
        return cls(type(error).__name__).with_traceback(error.__traceback__)


class Watched(Coroutine[Any, Any, T], Awaitable[T]):
    """Drives a coroutine step by step and shows on the dial whose step it is."""

    __slots__ = ("_bot", "_coroutine", "_dial", "_send")

    def __init__(self, coroutine: Coroutine[Any, Any, T], dial: Dial, bot: str) -> None:
        self._coroutine = coroutine
        self._send = coroutine.send
        self._dial = dial
        self._bot = bot

    def __await__(self) -> Generator[Any, Any, T]:
        return self

    def __iter__(self) -> Watched[T]:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        """One step."""
        self._dial.enter(self._bot)
        try:
            return self._send(value)
        except (SystemExit, KeyboardInterrupt) as error:
            # From a task of the bot's own asyncio would let it out of the loop, and end every bot's work.
            raise BotExit.of(error) from None
        finally:
            self._dial.leave()

    def throw(self, *error: Any) -> Any:
        """One step that begins with an exception, such as a cancellation."""
        self._dial.enter(self._bot)
        try:
            return self._coroutine.throw(*error)
        except (SystemExit, KeyboardInterrupt) as asked:
            raise BotExit.of(asked) from None
        finally:
            self._dial.leave()

    def close(self) -> None:
        """Let it run its `finally` blocks, and end."""
        self._dial.enter(self._bot)
        try:
            self._coroutine.close()
        finally:
            self._dial.leave()
