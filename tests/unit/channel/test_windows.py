"""The limiter's law: never too dense, never later than it has to be, and the same in Lua as in Python."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.channel.reserve import _RESERVE
from app.channel.windows import LocalWindows, Window, earliest
from app.core.keys import Keys
from app.core.redis import RedisLink

SPANS = st.builds(Window, st.integers(1, 5), st.integers(1, 60))
WINDOWS = st.lists(SPANS, min_size=1, max_size=2)


def kept(grants: list[int], windows: list[Window]) -> bool:
    """Whether no window holds one more than it may, wherever it begins."""
    return all(
        sum(start <= grant < start + window.span for grant in grants) <= window.count
        for window in windows
        for start in grants
    )


def fill(wishes: list[int], windows: list[Window]) -> list[int]:
    grants: list[int] = []
    for wish in wishes:
        grants = sorted([*grants, earliest(grants, wish, windows)])
    return grants


@given(wishes=st.lists(st.integers(0, 100), max_size=15), windows=WINDOWS)
def test_no_window_is_ever_too_full(wishes: list[int], windows: list[Window]) -> None:
    assert kept(fill(wishes, windows), windows)


@given(wishes=st.lists(st.integers(0, 60), max_size=10), wanted=st.integers(0, 60), windows=WINDOWS)
def test_the_slot_is_the_first_that_fits(wishes: list[int], wanted: int, windows: list[Window]) -> None:
    grants = fill(wishes, windows)
    slot = earliest(grants, wanted, windows)
    fits = (time for time in range(wanted, slot + 1) if time not in grants and kept(sorted([*grants, time]), windows))
    assert slot == next(fits)


def test_a_full_window_opens_when_its_oldest_grant_leaves_it() -> None:
    assert earliest([0, 10, 20], 30, [Window(3, 100)]) == 100
    assert earliest([0, 10, 20, 100], 30, [Window(3, 100)]) == 110


def test_a_gap_before_later_slots_is_used() -> None:
    assert earliest([1000, 1001, 1002], 0, [Window(3, 100)]) == 0
    assert earliest([1000, 1001, 1002], 950, [Window(3, 100)]) == 1100


def test_a_held_slot_is_kept_while_it_is_good() -> None:
    windows = LocalWindows(1000)
    bound = [Window(1, 100)]
    assert windows.reserve("k", 0, wait=0, windows=bound) == (0, True)
    assert windows.reserve("k", 0, wait=0, windows=bound) == (100, True)
    assert windows.reserve("k", 105, wait=0, windows=bound, held=100, grace=5) == (100, True)
    assert windows.reserve("k", 106, wait=0, windows=bound, held=100, grace=5) == (106, True)


def test_what_is_too_late_is_not_reserved() -> None:
    windows = LocalWindows(1000)
    bound = [Window(1, 100)]
    windows.reserve("k", 0, wait=0, windows=bound)
    assert windows.reserve("k", 0, wait=0, windows=bound, latest=99) == (100, False)
    assert windows.reserve("k", 0, wait=0, windows=bound, latest=100) == (100, True)


def test_slots_that_are_waited_for_are_spread() -> None:
    windows = LocalWindows(1_000_000)
    bound = [Window(4, 100_000)]
    slots = [windows.reserve("k", 0, wait=0, windows=bound, apart=15_000)[0] for _ in range(12)]
    # The first ones need not wait; later ones keep the window and their distance.
    assert slots[:4] == [0, 1, 2, 3]
    assert slots[4:] == [100_000, 115_000, 130_000, 145_000, 200_000, 215_000, 230_000, 245_000]


def test_keys_that_say_nothing_any_more_are_dropped() -> None:
    windows = LocalWindows(1000, max_keys=10)
    for n in range(50):
        windows.reserve(f"k{n}", n * 500, wait=0, windows=[Window(1, 100)])
    assert len(windows._logs) <= 10


# Real time passes between the calls: spans are long enough that none of it matters.
_LONG = 10_000_000


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    wishes=st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=12),
    windows=st.lists(st.builds(Window, st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=2),
)
async def test_redis_grants_what_memory_would(
    link: RedisLink, keys: Keys, wishes: list[tuple[int, bool]], windows: list[Window]
) -> None:
    key = keys.limit_chat("oc_1")
    await link.commands.delete(key)
    bounds = [Window(window.count, window.span * _LONG) for window in windows]
    local = LocalWindows(10**12)
    slot = mine = 0
    for wish, exchange in wishes:
        args = [wish * _LONG, -1, slot if exchange else 0, 0, 10**12, _LONG // 3]
        args += [number for bound in bounds for number in (bound.count, bound.span)]
        slot, now, granted, _ = await _RESERVE(link.commands, [key, keys.limit_pause(key)], args)
        held = mine if exchange else 0
        mine, local_granted = local.reserve(key, now, wait=wish * _LONG, windows=bounds, held=held, apart=_LONG // 3)
        assert granted == local_granted == 1
        assert abs(slot - mine) <= 2 * len(wishes)
    members: Any = await link.commands.zrange(key, 0, -1)
    grants = [int(member) for member in members]
    for before, after in pairwise(grants):
        assert after > before


async def test_redis_keeps_hundreds_of_slots_exactly(link: RedisLink, keys: Keys) -> None:
    key = keys.limit_app("cli_a", "x")
    bounds = [Window(50, 1_111_111), Window(1000, 66_666_666)]
    args = [0, -1, 0, 0, 70_000_000, 0, *(number for bound in bounds for number in (bound.count, bound.span))]
    for _ in range(1300):
        await _RESERVE(link.commands, [key, keys.limit_pause(key)], args)
    members: Any = await link.commands.zrange(key, 0, -1)
    grants = [int(member) for member in members]
    assert len(grants) == 1300
    for bound in bounds:
        spans = [later - earlier for earlier, later in zip(grants, grants[bound.count :], strict=False)]
        assert min(spans) >= bound.span
    # Nothing is wasted: the 1001st waits for the first and no longer.
    assert grants[1000] - grants[0] == 66_666_666
