"""Messages of a bot that was removed go by the default; of one that only cannot be read, never."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from app.control.registry.retains import Retains
from app.control.registry.snapshot import Registry
from tests.unit.control.registry.conftest import WriteBot

DAY = 86_400.0


@pytest.fixture
def registry(root: Path, write_bot: WriteBot) -> Registry:
    write_bot("kept", "handler: echo\nretain: 90d\n")
    write_bot("plain")
    registry = Registry(root, {})
    registry.load()
    return registry


def test_each_says_itself_also_while_it_is_disabled_or_lacks_credentials(
    registry: Registry, write_bot: WriteBot
) -> None:
    write_bot("off", "handler: echo\nenabled: false\nretain: 2d\n")
    write_bot("unfilled", "handler: echo\nretain: 3d\n", None)
    registry.load()
    named = Retains(registry).named()
    assert named == {"kept": 90 * DAY, "plain": 30 * DAY, "off": 2 * DAY, "unfilled": 3 * DAY}


def test_one_that_cannot_be_read_loses_nothing(registry: Registry, write_bot: WriteBot) -> None:
    write_bot("new", "handler: [\n")
    write_bot("kept", "handler: [\n")
    registry.load()
    named = Retains(registry).named()
    assert (named["new"], named["kept"]) == (float("inf"), 90 * DAY)


def test_those_without_a_directory_have_the_default(registry: Registry) -> None:
    assert Retains(registry).removed() == 30 * DAY


@pytest.mark.parametrize("gone", ["root", "all"])
def test_a_configuration_that_is_not_there_removes_nobody(registry: Registry, root: Path, gone: str) -> None:
    if gone == "root":
        shutil.rmtree(root)
    else:
        for bot in ("kept", "plain"):
            shutil.rmtree(root / bot)
    registry.load()
    assert Retains(registry).removed() is None


def test_a_process_of_one_bot_knows_nothing_of_the_others(registry: Registry, root: Path) -> None:
    one = Registry(root / "plain", {})
    one.load()
    assert Retains(one).removed() is None
