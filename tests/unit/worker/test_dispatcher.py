"""From one event to the next, and from one conversation to another: what is taken, held and let go on the way."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue.claims import Claims
from app.queue.leases import Leases
from app.queue.mailbox import Mailbox
from app.queue.work import Work
from app.worker import dispatcher
from app.worker.dispatcher import Dispatcher
from app.worker.outcome import DONE, Outcome
from tests.unit.queue.incoming import incoming
from tests.unit.worker.kit import spec


class Desk:
    """Roster, attempts and dial in one: every event succeeds, and what is held meanwhile is noted."""

    def __init__(self, link: RedisLink, keys: Keys) -> None:
        self.mailbox = Mailbox(link, keys)
        self.claims = Claims()
        self.leases = Leases(link, keys)
        self.handled: list[str] = []
        self.held: list[list[str]] = []
        self.resident: Any = SimpleNamespace(spec=spec())
        self.place = "here"
        self.stolen = False
        self.stood_still = 0
        parts: Any = self
        unused: Any = None
        self.dispatcher = Dispatcher(
            self.mailbox, parts, parts, unused, self.claims, self.leases, dial=parts, alone=unused
        )

    def find(self, bot: str) -> Any:
        return self.resident

    def place_of(self, bot: str) -> str:
        return self.place

    def stalls(self) -> int:
        return self.stood_still

    async def make(self, work: Work, resident: Any) -> Outcome:
        self.handled.append(work.entry.event_id)
        self.held.append([one.conversation for one in self.claims.living()])
        if self.stolen:
            await self.leases.abandon(work.owner, [work.bot])
        return DONE

    async def work_through(self) -> None:
        (work,) = await self.mailbox.take("echo", "n1", 1)
        await asyncio.create_task(self.dispatcher.work_through(work, stalls=0))

    async def left(self) -> list[tuple[str, int]]:
        """What another worker takes, and how often it was started."""
        return [(work.entry.event_id, work.starts) for work in await self.mailbox.take("echo", "n2", 9)]


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("hub_events_handled_total", {"bot": "echo", "outcome": outcome}) or 0.0


@pytest.fixture
def desk(link: RedisLink, keys: Keys) -> Desk:
    return Desk(link, keys)


async def test_who_goes_on_with_another_conversation_holds_only_that(desk: Desk) -> None:
    before = counted("done")
    await desk.mailbox.accept([incoming("e1"), incoming("e2", conversation="oc_2")])
    await desk.work_through()

    assert desk.handled == ["e1", "e2"]
    # What is held is kept alive, and whoever is said to have lost it is stopped.
    assert desk.held == [["oc_1"], ["oc_2"]]
    assert len(desk.claims) == 0
    assert counted("done") == before + 2


async def test_a_conversation_that_does_not_end_goes_behind_the_others(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "_TURNS_IN_A_ROW", 2)
    await desk.mailbox.accept([*(incoming(f"e{n}") for n in range(4)), incoming("other", conversation="oc_2")])
    await desk.work_through()

    assert desk.handled == ["e0", "e1"]
    assert await desk.left() == [("other", 1), ("e2", 1)]


async def test_mail_of_a_bot_that_went_is_handed_back_as_it_was(desk: Desk) -> None:
    await desk.mailbox.accept([incoming("e1")])
    desk.resident = None
    await desk.work_through()

    assert desk.handled == []
    assert await desk.left() == [("e1", 1)]


@pytest.mark.parametrize("why", ["the worker ends", "the bot is served elsewhere"])
async def test_nothing_more_is_begun_where(desk: Desk, why: str) -> None:
    await desk.mailbox.accept([incoming("e1"), incoming("e2"), incoming("e3", conversation="oc_2")])
    if why == "the worker ends":
        desk.dispatcher.ending = True
    else:
        desk.place = "elsewhere"
    await desk.work_through()

    assert desk.handled == ["e1"]
    assert await desk.left() == [("e3", 1), ("e2", 1)]


async def test_who_lost_the_conversation_leaves_it_alone(desk: Desk) -> None:
    await desk.mailbox.accept([incoming("e1")])
    desk.stolen = True
    await desk.work_through()

    assert len(desk.claims) == 0
    assert await desk.left() == [("e1", 2)]


@pytest.mark.parametrize(("owner", "handled"), [("n1", []), ("n9", ["e1"])], ids=["lost", "still held"])
async def test_who_stood_still_asks_first_whether_it_is_still_its_own(
    desk: Desk, owner: str, handled: list[str]
) -> None:
    await desk.mailbox.accept([incoming("e1")])
    (work,) = await desk.mailbox.take("echo", "n1", 1)
    await desk.leases.abandon(owner, ["echo"])
    desk.stood_still = 1
    await asyncio.create_task(desk.dispatcher.work_through(work, stalls=0))

    assert desk.handled == handled
    assert len(desk.claims) == 0
