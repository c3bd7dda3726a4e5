"""What a dead or blocked worker held is given free, through a short outage and no longer than that helps."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from app.core.errors import StoreUnavailable
from app.worker.abandon import give_free
from tests.hand_clock import HandClock


class Leases:
    """Redis is away for the first calls."""

    def __init__(self, away: int) -> None:
        self.away = away
        self.asked: list[tuple[str, Sequence[str], bool]] = []

    async def abandon(self, owner: str, bots: Sequence[str], *, alive: bool = False) -> int:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        self.asked.append((owner, bots, alive))
        return 1


@pytest.mark.parametrize("away", [0, 3])
async def test_it_is_done_twice_since_a_read_may_have_been_open(away: int) -> None:
    leases = Leases(away)
    await give_free(leases, HandClock(), "n1:b:1", ["echo"], alive=True)
    assert leases.asked == [("n1:b:1", ["echo"], True)] * 2


async def test_once_leases_have_run_out_nobody_asks_any_more() -> None:
    leases, clock = Leases(1000), HandClock()
    began = clock.monotonic()
    await give_free(leases, clock, "n1:b:1", ["echo"])
    assert leases.asked == []
    assert 10 <= clock.monotonic() - began < 11
