"""Redis' time on this process' clock: narrowed down by each answer, however late the answers are."""

from __future__ import annotations

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from app.channel.limiter import Limiter
from app.channel.limits import SendLimits
from app.channel.redis_clock import RedisClock
from app.channel.reserve import Held
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.model.bot import BotSpec
from tests.unit.channel.slots import API

EPOCH = 1_700_000_000_000_000


def test_a_late_answer_does_not_make_a_slot_late() -> None:
    clock = RedisClock()
    clock.heard(EPOCH, 10.0, 10.001)
    assert clock.here(EPOCH) == 10.001
    # A disk's sync: the answer takes 40 ms; Redis looked at its clock right after the asking.
    clock.heard(EPOCH + 5_000_000, 15.0, 15.04)
    assert abs(clock.here(EPOCH + 6_000_000) - 16.001) < 1e-6


def test_a_clock_that_was_set_is_believed_at_once() -> None:
    clock = RedisClock()
    clock.heard(EPOCH, 10.0, 10.001)
    for there in (EPOCH + 3_600_000_000, EPOCH - 3_600_000_000):
        clock.heard(there, 20.0, 20.002)
        assert 20.0 <= clock.here(there) <= 20.002


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 50_000), st.integers(0, 50_000)), min_size=1))
def test_what_was_heard_last_is_never_contradicted(answers: list[tuple[int, int, int]]) -> None:
    clock, now = RedisClock(), 0
    for rest, there, back in answers:
        asked, read = now + rest, now + rest + there
        now = read + back
        clock.heard(EPOCH + read, asked / 1e6, now / 1e6)
        assert asked / 1e6 - 1e-6 <= clock.here(EPOCH + read) <= now / 1e6 + 1e-6


async def test_a_reply_that_is_read_late_makes_no_slot_late(link: RedisLink, keys: Keys, spec: BotSpec) -> None:
    limiter = Limiter(link, keys, SendLimits(chat_per_second=1))
    bounds = limiter.bounds.of(spec, API, chat="oc_1")
    held: list[Held] = []
    for block in (0.0, 0.0, 0.0, 0.7):  # less than Redis may take
        one: list[Held] = []
        asking = asyncio.create_task(limiter._reserve.have(bounds, one, None))
        await asyncio.sleep(0)  # it asks
        await asyncio.sleep(0)  # the question is on its way
        asyncio.get_running_loop().call_soon(time.sleep, block)
        await asking
        held += one
    *_, second, third = held
    assert abs(third.due - second.due - (third.slot - second.slot) / 1e6) < 0.5
    await limiter.close()
