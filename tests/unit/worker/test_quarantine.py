"""Who is kept apart, and until when."""

from __future__ import annotations

import pytest

from app.worker.quarantine import Quarantine


class StillClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def quarantine(clock: StillClock) -> Quarantine:
    return Quarantine(term=600, clock=clock)


def test_an_offender_is_apart_until_its_term_is_over(quarantine: Quarantine, clock: StillClock) -> None:
    assert quarantine.offend("bad", "r1")
    assert quarantine.bots == ("bad",)
    clock.at += 599
    assert quarantine.release_due() == []
    clock.at += 1
    assert quarantine.release_due() == ["bad"]
    assert "bad" not in quarantine


def test_another_offence_begins_the_term_anew(quarantine: Quarantine, clock: StillClock) -> None:
    quarantine.offend("bad", "r1")
    clock.at += 599
    assert not quarantine.offend("bad", "r1")
    clock.at += 599
    assert quarantine.release_due() == []


def test_a_changed_directory_is_a_new_chance_and_an_unchanged_one_is_not(quarantine: Quarantine) -> None:
    quarantine.offend("bad", "r1")
    assert not quarantine.pardon("bad", "r1")
    assert quarantine.pardon("bad", "r2")
    quarantine.offend("bad", "r2")
    assert quarantine.pardon("bad", "r3")
    assert not quarantine.pardon("good", "r2")


def test_the_third_warning_within_a_minute_is_an_offence(quarantine: Quarantine, clock: StillClock) -> None:
    assert not quarantine.warn("slow", "r1")
    clock.at += 61
    assert not quarantine.warn("slow", "r1")
    assert not quarantine.warn("slow", "r1")
    assert quarantine.warn("slow", "r1")
    assert quarantine.bots == ("slow",)
    quarantine.pardon("slow", "r2")
    assert not quarantine.warn("slow", "r1"), "what it was apart for is forgiven"
