"""The limiter's law: never too dense, never later than it has to be, and the same in Lua as in Python."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.channel.reserve import _RESERVE
from app.channel.windows import LocalWindows, Window, earliest
from app.core.keys import Keys
from app.core.redis import RedisLink


class One:
    """The law of one key."""

    def __init__(self, key: str, *windows: Window, apart: int = 0) -> None:
        self.key = key
        self.pause = f"{key}:pause"
        self.windows = windows
        self.apart = apart


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
    laws = [One("k", Window(1, 100))]
    assert windows.reserve(laws, 0, wait=0) == (0, None)
    assert windows.reserve(laws, 0, wait=0) == (100, None)
    assert windows.reserve(laws, 105, wait=0, held=100, grace=5) == (100, None)
    assert windows.reserve(laws, 106, wait=0, held=100, grace=5) == (106, None)


def test_what_is_too_late_is_not_reserved() -> None:
    windows = LocalWindows(1000)
    laws = [One("k", Window(1, 100))]
    windows.reserve(laws, 0, wait=0)
    assert windows.reserve(laws, 0, wait=0, latest=99) == (100, 0)
    assert windows.reserve(laws, 0, wait=0, latest=100) == (100, None)


def test_the_slot_is_the_same_under_all_laws_and_the_one_that_delays_it_most_is_to_blame() -> None:
    windows = LocalWindows(1000)
    chat, app = One("chat", Window(1, 100)), One("app", Window(1, 30))
    assert windows.reserve([chat, app], 0, wait=0) == (0, None)
    assert windows.reserve([app], 0, wait=0) == (30, None)
    assert windows.reserve([app], 0, wait=80) == (80, None)
    # The chat's first is 100, the app's is 110 then.
    assert windows.reserve([chat, app], 0, wait=0, latest=50) == (110, 0)
    assert windows.reserve([app, One("free")], 0, wait=80, latest=0) == (110, 0)
    windows.pause("free:pause", 500, 0)
    assert windows.reserve([app, One("free")], 0, wait=0, latest=50) == (500, 1)
    assert windows.reserve([chat, app], 0, wait=0) == (110, None)


def test_slots_that_are_waited_for_are_spread() -> None:
    windows = LocalWindows(1_000_000)
    laws = [One("k", Window(4, 100_000), apart=15_000)]
    slots = [windows.reserve(laws, 0, wait=0)[0] for _ in range(12)]
    # The first ones need not wait; later ones keep the window and their distance.
    assert slots[:4] == [0, 1, 2, 3]
    assert slots[4:] == [100_000, 115_000, 130_000, 145_000, 200_000, 215_000, 230_000, 245_000]


def test_keys_that_say_nothing_any_more_are_dropped() -> None:
    windows = LocalWindows(1000, max_keys=10)
    for n in range(50):
        windows.reserve([One(f"k{n}", Window(1, 100))], n * 500, wait=0)
        windows.pause(f"k{n}", n * 500 + 600, n * 500)
    assert len(windows._logs) <= 10
    assert len(windows._pauses) <= 10
    assert windows.paused("k49") == 49 * 500 + 600


# Real time passes between the calls: spans are long enough that none of it matters.
_LONG = 10_000_000


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    wishes=st.lists(st.tuples(st.integers(0, 8), st.booleans(), st.integers(1, 3)), min_size=1, max_size=12),
    laws=st.lists(
        st.lists(st.builds(Window, st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=2),
        min_size=2,
        max_size=2,
    ),
    latest=st.integers(0, 12),
)
async def test_redis_grants_what_memory_would(
    link: RedisLink, keys: Keys, wishes: list[tuple[int, bool, int]], laws: list[list[Window]], latest: int
) -> None:
    names = [keys.limit_chat("oc_1"), keys.limit_app("cli_a", "x")]
    await link.commands.delete(*names)
    both = [
        One(name, *(Window(window.count, window.span * _LONG) for window in windows), apart=_LONG // 3)
        for name, windows in zip(names, laws, strict=True)
    ]
    local = LocalWindows(10**12)
    held: dict[int, int] = {}
    for wish, exchange, which in wishes:
        asked = [law for place, law in enumerate(both) if which >> place & 1]
        mine = held.pop(which, 0) if exchange else 0
        args = [wish * _LONG, latest * _LONG, mine, 0, 10**12]
        slot, now, blamed, *_ = await _reserve(link, keys, asked, args)
        at, local_blamed = local.reserve(asked, now, wait=wish * _LONG, latest=latest * _LONG, held=mine)
        assert (slot, blamed) == (at, 0 if local_blamed is None else local_blamed + 1)
        if not blamed:
            held[which] = slot
    for name in names:
        grants = await _grants(link, name)
        for before, after in pairwise(grants):
            assert after > before


@pytest.mark.parametrize("count", [3, 12, 40])
async def test_redis_finds_room_among_many_grants_as_memory_does(link: RedisLink, keys: Keys, count: int) -> None:
    """A burst, what is spread behind it, and who comes in between, as a reply does; few are looked at first."""
    chance = random.Random(count)
    laws = [
        One(keys.limit_chat("oc_1"), Window(count, 4 * _LONG), Window(2 * count, 30 * _LONG)),
        One(keys.limit_app("cli_a", "x"), Window(count + 2, 3 * _LONG), apart=_LONG // count),
    ]
    local = LocalWindows(10**12)
    burst = [0] * count
    spread = [(4 * _LONG + number * _LONG // 8) for number in range(count)]
    between = [chance.randrange(8 * _LONG) for _ in range(40)]
    for wish in (*burst, *spread, *between):
        asked = laws if wish in burst else chance.choice([laws, laws[:1], laws[1:]])
        slot, now, *_ = await _reserve(link, keys, asked, [wish, -1, 0, 0, 10**12])
        assert (slot, None) == local.reserve(asked, now, wait=wish)


async def test_redis_keeps_hundreds_of_slots_exactly(link: RedisLink, keys: Keys) -> None:
    law = One(keys.limit_app("cli_a", "x"), Window(50, 1_111_111), Window(1000, 66_666_666))
    for _ in range(1300):
        await _reserve(link, keys, [law], [0, -1, 0, 0, 70_000_000])
    grants = await _grants(link, law.key)
    assert len(grants) == 1300
    for bound in law.windows:
        spans = [later - earlier for earlier, later in zip(grants, grants[bound.count :], strict=False)]
        assert min(spans) >= bound.span
    # Nothing is wasted: the 1001st waits for the first and no longer.
    assert grants[1000] - grants[0] == 66_666_666


async def test_redis_blames_whom_memory_would(link: RedisLink, keys: Keys) -> None:
    chat = One(keys.limit_chat("oc_1"), Window(1, 10 * _LONG))
    app = One(keys.limit_app("cli_a", "x"), Window(1, _LONG))
    await _reserve(link, keys, [chat, app], [0, -1, 0, 0, 10**12])
    for asked, blame in (([chat, app], 1), ([app, chat], 2), ([app], 1)):
        slot, now, blamed, *_ = await _reserve(link, keys, asked, [0, _LONG // 2, 0, 0, 10**12])
        assert blamed == blame
    await link.commands.set(keys.limit_pause(app.key), f"{now + 20 * _LONG} 1 {now}", px=10_000)
    slot, now, blamed, *pauses = await _reserve(link, keys, [chat, app], [0, 0, 0, 0, 10**12])
    assert (blamed, pauses) == (2, [0, slot])
    assert [len(await _grants(link, law.key)) for law in (chat, app)] == [1, 1]


async def _reserve(link: RedisLink, keys: Keys, laws: list[One], args: list[int]) -> Any:
    names = [name for law in laws for name in (law.key, keys.limit_pause(law.key))]
    for law in laws:
        args = [*args, law.apart, len(law.windows)]
        args += [number for window in law.windows for number in (window.count, window.span)]
    return await _RESERVE(link.commands, names, args)


async def _grants(link: RedisLink, key: str) -> list[int]:
    members: Any = await link.commands.zrange(key, 0, -1)
    return [int(member) for member in members]
