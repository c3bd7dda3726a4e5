"""Messages of a bot that was removed go by the default; of one that only cannot be read, never."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from app.control.registry.retains import Retains
from app.control.registry.snapshot import Registry
from app.core.clock import SystemClock
from tests.unit.control.registry.conftest import WriteBot

DAY = 86_400.0


class HandClock(SystemClock):
    def __init__(self) -> None:
        self.time = 0.0

    def monotonic(self) -> float:
        return self.time


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def registry(root: Path, write_bot: WriteBot) -> Registry:
    write_bot("kept", "handler: echo\nretain: 90d\n")
    write_bot("plain")
    registry = Registry(root, {})
    registry.load()
    return registry


def test_each_says_itself_also_while_it_is_disabled_or_lacks_credentials(
    registry: Registry, write_bot: WriteBot, clock: HandClock
) -> None:
    write_bot("off", "handler: echo\nenabled: false\nretain: 2d\n")
    write_bot("unfilled", "handler: echo\nretain: 3d\n", None)
    registry.load()
    named = Retains(registry, clock=clock).named()
    assert named == {"kept": 90 * DAY, "plain": 30 * DAY, "off": 2 * DAY, "unfilled": 3 * DAY}


def test_one_that_cannot_be_read_loses_nothing(registry: Registry, write_bot: WriteBot, clock: HandClock) -> None:
    write_bot("new", "handler: [\n")
    write_bot("kept", "handler: [\n")
    registry.load()
    named = Retains(registry, clock=clock).named()
    assert (named["new"], named["kept"]) == (float("inf"), 90 * DAY)


def test_those_without_a_directory_have_the_default_after_a_day(
    registry: Registry, write_bot: WriteBot, clock: HandClock, root: Path
) -> None:
    retains = Retains(registry, clock=clock)
    assert retains.removed() is None, "the node may have begun without its configuration"
    clock.time = DAY
    assert retains.removed() == 30 * DAY
    shutil.rmtree(root / "plain")
    registry.load()
    assert retains.removed() is None
    clock.time += DAY - 1
    assert retains.removed() is None
    clock.time += 1
    assert retains.removed() == 30 * DAY


@pytest.mark.parametrize("gone", ["root", "all"])
def test_a_configuration_that_is_not_there_removes_nobody(
    registry: Registry, clock: HandClock, root: Path, gone: str
) -> None:
    retains = Retains(registry, clock=clock)
    clock.time = DAY
    assert retains.removed() is not None
    if gone == "root":
        shutil.rmtree(root)
    else:
        for bot in ("kept", "plain"):
            shutil.rmtree(root / bot)
    registry.load()
    retains.removed()
    clock.time = 9 * DAY
    assert retains.removed() is None


def test_a_process_of_one_bot_knows_nothing_of_the_others(registry: Registry, root: Path, clock: HandClock) -> None:
    one = Registry(root / "plain", {})
    one.load()
    retains = Retains(one, clock=clock)
    clock.time = 9 * DAY
    assert retains.removed() is None
