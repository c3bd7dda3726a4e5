"""The depths of many bots at once."""

from __future__ import annotations

import time

import pytest

from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue import depths
from app.queue.depths import Depth, Depths
from app.queue.mailbox import Mailbox
from tests.unit.queue.incoming import incoming


async def bury(mailbox: Mailbox, bot: str, count: int) -> None:
    for number in range(count):
        await mailbox.accept([incoming(f"dead{number}", bot=bot)])
        [work] = await mailbox.take(bot, "n1", 1)
        await mailbox.bury(work, "failed")


async def test_each_bot_has_its_own(link: RedisLink, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = Mailbox(link, keys)
    await bury(mailbox, "hr", 2)
    await mailbox.accept([incoming(f"e{number}") for number in range(3)])
    monkeypatch.setattr(depths, "_CHUNK", 2)  # more bots than one step asks for
    found = await Depths(link, keys).read(["echo", "hr", "idle"])
    assert found == {"echo": Depth(3, 0), "hr": Depth(0, 2), "idle": Depth(0, 0)}


async def test_a_bot_whose_keys_are_damaged_hides_no_others(link: RedisLink, keys: Keys) -> None:
    await Mailbox(link, keys).accept([incoming("e1")])
    await link.commands.set(keys.bot("damaged", "dead"), "not a stream")
    assert await Depths(link, keys).read(["damaged", "echo"]) == {"echo": Depth(1, 0)}


async def test_fresh_letters_are_those_that_died_since(link: RedisLink, keys: Keys) -> None:
    await bury(Mailbox(link, keys), "hr", depths.MOST_FRESH + 1)
    asked = Depths(link, keys)
    assert await asked.fresh(["echo", "hr"], time.time() - 60) == {"echo": 0, "hr": depths.MOST_FRESH}
    assert await asked.fresh(["hr"], time.time() + 60) == {"hr": 0}
