"""One bot blocks, dies, is broken or drowns: the others are answered meanwhile, and no accept waits."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.hub_process import HubProcess
from tests.system.world import Site
from tests.waiting import until

pytestmark = pytest.mark.faults

PLACES = '''
"""A neighbour from hell; what it does is told by what is said to it."""
import os
import select
import sys
from pathlib import Path

from app.sdk import Bot, Context, Message

bot = Bot()
ROOT = Path({root!r})


def note(what: str) -> None:
    with (ROOT / "notes").open("a") as notes:
        notes.write(what + "\\n")


@bot.message()
async def answer(message: Message, ctx: Context) -> str:
    note(f"begun {{message.text}}")
    if message.text == "block":
        with (ROOT / "gate").open("rb") as gate:
            select.select([gate], [], [])
    elif message.text == "exit":
        os._exit(3)
    elif message.text == "leave":
        sys.exit(0)
    elif message.text == "eat":
        raise MemoryError
    note(f"ended {{message.text}}")
    return f"echo {{message.text}}"
'''
FLOOD = 50
"""So many times what the other bot gets."""


class Gate:
    """What the bad bot waits for while it holds its loop: nothing ends that but `open`."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._end = os.open(path, os.O_RDWR)

    def open(self) -> None:
        """Let everybody through; a byte that nobody reads is there for all who come."""
        os.write(self._end, b".")

    def close(self) -> None:
        os.close(self._end)


@pytest.fixture
def gate(site: Site) -> Iterator[Gate]:
    """Shut."""
    gate = Gate(site.root / "gate")
    yield gate
    gate.close()


@pytest.fixture
async def hub(site: Site) -> HubProcess:
    """A hub with a bad bot and a good one."""
    site.handler("bad", PLACES.format(root=str(site.root)))
    site.bot("bad", handler="bad", timeout="30s")
    site.bot("good")
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    assert await site.asks("good", "before") == "echo before"
    return hub


def notes(site: Site) -> list[str]:
    path = site.root / "notes"
    return path.read_text().splitlines() if path.exists() else []


def no_accept_waited(site: Site, *, at_least: int) -> None:
    """All that was ever sent was answered 200 at first, but for a few that came while the machine stood still."""
    sent = site.playground.deliveries.log
    assert len(sent) >= at_least
    first = Counter(delivery.attempts[0].status for delivery in sent)
    assert first.keys() <= {200, 0}, first
    assert first[200] > 0.9 * len(sent), first


async def test_bot_that_blocks_its_loop(site: Site, hub: HubProcess, gate: Gate) -> None:
    blocked = await site.says("bad", "block")
    await until(lambda: "begun block" in notes(site))
    behind = await site.says("bad", "behind")
    for number in range(20):
        assert await site.asks("good", str(number), person=f"person {number}") == f"echo {number}"
    # An order, not a time: all of that, its own next event too, was taken before the block ended.
    no_accept_waited(site, at_least=23)
    assert notes(site) == ["begun block"]
    gate.open()
    await until(lambda: site.replies(behind))
    assert site.replies(blocked) == ["echo block"]
    assert notes(site).index("ended block") < notes(site).index("begun behind"), "its own conversation stayed in order"
    assert notes(site).count("begun block") == 1, "it was handled once, by who had begun"


async def test_bot_that_blocks_in_every_conversation(site: Site, hub: HubProcess, gate: Gate) -> None:
    for number in range(5):
        await site.says("bad", "block", person=f"person {number}")
    await until(lambda: "begun block" in notes(site))
    for number in range(20):
        assert await site.asks("good", str(number), person=f"person {number}") == f"echo {number}"
    no_accept_waited(site, at_least=26)
    assert "ended block" not in notes(site)
    gate.open()
    await until(lambda: len(site.playground.ledger.messages(app=site.apps["bad"].app_id)) == 5)


@pytest.mark.parametrize("how", ["exit", "leave", "eat"])
async def test_bot_that_ends_its_process(site: Site, hub: HubProcess, how: str) -> None:
    dying = await site.says("bad", how)
    for number in range(20):
        assert await site.asks("good", str(number), person=f"person {number}") == f"echo {number}"

    async def buried() -> bool:
        return len(await hub.api("GET", "/bots/bad/dead")) == 1

    # Through every death: the first with the others, the last alone.
    number = 20
    while not await buried():
        assert await site.asks("good", str(number)) == f"echo {number}"
        number += 1
    no_accept_waited(site, at_least=number + 2)
    assert site.replies(dying) == []
    assert await site.asks("bad", "and now") == "echo and now"
    assert await site.asks("good", "after") == "echo after"


async def test_bot_whose_import_ends_the_process(site: Site, hub: HubProcess) -> None:
    site.handler("deadly", "import os\nos._exit(3)\n")
    site.bot("worse", handler="deadly")

    async def apart() -> bool:
        return "worse" in (await hub.health())["quarantined"]

    number = 0
    while number < 20 or not await apart():
        assert await site.asks("good", str(number), person=f"person {number}") == f"echo {number}"
        number += 1
    await hub.kill()
    await hub.start()
    assert await site.asks("good", "after a restart") == "echo after a restart"
    no_accept_waited(site, at_least=number + 2)


async def test_bot_whose_configuration_breaks(site: Site, hub: HubProcess) -> None:
    (site.config / "bad" / "config.yaml").write_text("handler: [\n")
    (site.config / "bad" / "credentials.yaml").write_bytes(b"\xff\xfe")

    async def faulty() -> bool:
        return any(bot["id"] == "bad" and bot["faults"] for bot in await hub.api("GET", "/bots"))

    number = 0
    while not await faulty():
        assert await site.asks("good", str(number)) == f"echo {number}"
        number += 1
    assert await site.asks("good", "after") == "echo after"
    assert await site.asks("bad", "still") == "echo still", "its last good version stays"
    no_accept_waited(site, at_least=number + 3)
    await hub.kill()
    await hub.start()
    assert await site.asks("good", "and after a restart") == "echo and after a restart"


async def test_bot_that_is_flooded(site: Site, hub: HubProcess) -> None:
    site.playground.limits.enabled = False
    flood = [site.chat("bad", f"person {number}") for number in range(FLOOD)]
    taken = 0

    async def pour(number: int) -> None:
        nonlocal taken
        for turn in range(10):
            said = await site.playground.user_says(flood[number].users[0], flood[number], str(turn))
            await said.settled()
            taken += 1

    def all_answered() -> bool:
        return len(site.playground.ledger.messages(app=site.apps["bad"].app_id)) == 10 * FLOOD

    async with asyncio.TaskGroup() as group:
        for number in range(FLOOD):
            group.create_task(pour(number))
        for number in range(10):
            before = taken
            said = await site.says("good", str(number))
            # Of each of the others one may stand before it, and one more may share its step.
            assert taken - before <= 2 * FLOOD, "it waited for events that came after it"
            await until(lambda: site.replies(said))  # noqa: B023 - waited for here
        assert not all_answered(), "the flood was over before"
    await until(all_answered)
    no_accept_waited(site, at_least=10 * FLOOD + 11)
