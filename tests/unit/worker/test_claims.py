"""What a worker holds: handed back, lost, given to a process of its own, left to wait."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.core.redis import connect
from app.queue.leases import Leases
from app.queue.mailbox import Mailbox
from app.queue.work import Incoming, Work
from app.sdk.bot import Bot
from app.sdk.context import Context
from app.sdk.message import Message
from app.worker import consumer
from app.worker.solo import packed
from tests.unit.worker.conftest import Site
from tests.unit.worker.kit import echo, message, spec
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


async def test_a_spare_takes_nothing_until_it_is_told_to_serve(site: Site) -> None:
    bot, gate, begun = Bot(), asyncio.Event(), []

    @bot.message()
    async def hold(message: Message, ctx: Context) -> None:
        begun.append(message.text)
        await gate.wait()

    site.add(bot)
    await site.worker(serve=False)
    await until(lambda: [one["say"] for one in site.told] == ["ready"])
    await site.worker()
    await until(lambda: [one["say"] for one in site.told] == ["ready", "ready"])
    for number in range(4):
        await site.accept(message(number, f"{number}", site.cipher, chat=f"oc_{number}"))
        await until(lambda: len(begun) == number + 1)  # noqa: B023 - waited for here
    assert await owners(site) == {"test:2"}
    site.tell({"do": "retire"}, worker=1)
    gate.set()
    assert await asyncio.wait_for(site.workers[1], PATIENCE) == 0
    gate.clear()
    await site.accept(message(9, "9", site.cipher))
    site.tell({"do": "serve"})
    await until(lambda: len(begun) == 5)
    assert await owners(site) == {"test:1"}
    gate.set()


async def owners(site: Site) -> set[str]:
    """Who holds conversations."""
    claims: Any = site.link.commands.hvals(site.keys.bot("echo", "claim"))
    return {claim.decode().partition(" ")[0] for claim in await claims}


async def test_draining_waits_for_handlers_and_hands_the_rest_back_unstarted(site: Site) -> None:
    bot, gate, began = Bot(), asyncio.Event(), []
    stopped = []

    @bot.message()
    async def hold(message: Message, ctx: Context) -> str:
        began.append(message.text)
        if message.text == "short":
            await gate.wait()
        else:
            await asyncio.Event().wait()
        return message.text

    @bot.on_stop
    async def stop(ctx: Context) -> None:
        stopped.append(ctx.bot_id)

    site.add(bot)
    await site.accept(
        message(1, "short", site.cipher),
        message(2, "behind it", site.cipher),
        message(3, "endless", site.cipher, chat="oc_2"),
    )
    await site.worker(drain_timeout=0.3)
    await until(lambda: sorted(began) == ["endless", "short"])
    site.tell({"do": "drain"})
    gate.set()
    assert await asyncio.wait_for(site.workers[0], PATIENCE) == 0
    assert [text for _, _, text in site.mouth.said] == ["short"]
    assert "behind it" not in began
    assert stopped == ["echo"]
    works = await site.mailbox.take("echo", "next:1", 10)
    assert sorted((work.entry.event_id, work.starts, work.deaths) for work in works) == [
        ("e2", 1, 0),
        ("e3", 1, 0),
    ]


async def test_a_thread_out_of_time_keeps_its_conversation_until_it_ends(site: Site) -> None:
    bot, leave, order = Bot(), threading.Event(), []

    @bot.message()
    def block(message: Message, ctx: Context) -> None:
        order.append(message.text)
        if message.text == "slow":
            leave.wait(PATIENCE)

    site.add(bot, timeout=0.05, message={"retry_policy": {"max_attempts": 1}})
    await site.accept(message(1, "slow", site.cipher), message(2, "next", site.cipher))
    await site.worker()
    await until(lambda: order == ["slow"])
    with pytest.raises(TimeoutError):
        await until(lambda: len(order) > 1, timeout=0.2)
    leave.set()
    await until(site.done)
    assert order == ["slow", "next"]
    # The next one too may be late where its time is so short.
    assert "e1" in [letter.entry.event_id for letter in await site.letters()]


async def test_a_lost_claim_stops_the_handler_and_another_answers_once(site: Site) -> None:
    bot, gate, began = Bot(), asyncio.Event(), []

    @bot.message()
    async def hold(message: Message, ctx: Context) -> str:
        began.append(ctx.attempt)
        if len(began) == 1:
            await gate.wait()
        return "said"

    site.add(bot)
    await site.accept(message(1, "x", site.cipher))
    await site.worker()
    await until(lambda: began)
    # Another node takes it for dead, as after a long sleep of this one.
    await site.leases.abandon("test:1", ["echo"])
    await until(site.done)  # the same worker takes it anew, under another fence
    gate.set()
    assert site.mouth.said == [("echo", "om_in_1", "said")]
    await until(lambda: len(began) == 2)


async def test_a_shared_worker_hands_the_token_of_a_bot_kept_apart_to_the_node(site: Site) -> None:
    site.add(echo())
    await site.worker(bots=("echo",))
    await site.accept(message(1, "x", site.cipher))
    await until(lambda: {"say": "elsewhere", "bot": "echo"} in site.told)
    await site.worker(kind="quarantine", bots=("echo",))
    site.tell({"do": "take", "bot": "echo"}, worker=1)
    await until(site.done)
    assert len(site.mouth.said) == 1


async def test_mail_of_a_bot_that_is_not_here_yet_waits_for_it_with_no_start_counted(site: Site) -> None:
    bot, starts = Bot(), []

    @bot.message()
    async def say(message: Message, ctx: Context) -> str:
        starts.append(await site.link.commands.hvals(site.keys.bot("echo", "tries")))
        return message.text

    site.add(echo(), spec("support"))
    await site.worker()
    await site.accept(message(1, "early", site.cipher), message(2, "x", site.cipher, bot="support"))
    await until(lambda: site.done("support"))
    await until(lambda: site.link.commands.lrange(site.keys.bot("echo", "ready"), 0, -1))
    site.add(bot)
    await until(site.done)
    assert [text for bot, _, text in site.mouth.said if bot == "echo"] == ["early"]
    assert starts == [[b"1"]]


async def test_what_was_given_to_others_while_the_loop_was_held_is_not_begun(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        consumer, "_BLOCK", 15.0
    )  # the read is still open when the event comes, however busy it is here
    begun: list[str] = []
    site.add(notes(begun))
    await site.worker()
    await until(lambda: waits(site))
    with ThreadPoolExecutor() as threads:
        threads.submit(asyncio.run, taken_elsewhere(site, message(1, "x", site.cipher))).result()  # holds the loop
    monkeypatch.undo()
    await until(lambda: waits(site))
    assert begun == []
    assert str(await site.link.commands.hget(site.keys.bot("echo", "claim"), "oc_1")).startswith("b'other:1 ")


async def test_what_was_ready_behind_the_step_that_held_the_loop_is_not_begun(site: Site) -> None:
    bot, begun = Bot(), list[str]()

    @bot.message()
    async def block(message: Message, ctx: Context) -> None:
        while len([task for task in asyncio.all_tasks() if "work_through" in repr(task.get_coro())]) < 2:
            await asyncio.sleep(0)
        with ThreadPoolExecutor() as threads:
            threads.submit(asyncio.run, taken_elsewhere(site)).result()

    site.add(bot, spec("support"))
    site.add(notes(begun))
    seal = await site.keyring.cipher("support")
    await site.accept(message(1, "blocks", seal, bot="support"), message(2, "x", site.cipher))
    await site.worker()
    await until(lambda: site.done("support"))
    await until(lambda: waits(site))
    assert begun == []
    assert str(await site.link.commands.hget(site.keys.bot("echo", "claim"), "oc_1")).startswith("b'other:1 ")


async def taken_elsewhere(site: Site, *arrives: Incoming) -> None:
    """What node and another worker do while this one takes a conversation and its loop is held, and how long."""
    link = await connect(site.url)
    mailbox, leases = Mailbox(link, site.keys), Leases(link, site.keys)
    if arrives:
        await mailbox.accept(arrives)
    await until(lambda: link.commands.zcard(site.keys.bot("echo", "lease")))
    await asyncio.sleep(0.2)  # what is looked at is how long it was held
    works: list[Work] = []
    while not works:  # a read that is still open takes it once more
        await leases.abandon("test:1", ["echo"], alive=True)
        works = await mailbox.take("echo", "other:1", 1)
    assert works[0].deaths == 0
    await link.close()


def notes(begun: list[str]) -> Bot[Any]:
    """Notes what it is called with."""
    bot = Bot()

    @bot.message()
    async def begin(message: Message, ctx: Context) -> None:
        begun.append(message.text)

    return bot


async def waits(site: Site) -> bool:
    """Whether the worker's read is open."""
    clients: Any = await site.link.commands.client_list()
    return any(client["cmd"] == "blmove" and "b" in client["flags"] for client in clients)


async def test_an_event_two_workers_died_with_is_given_to_the_node_to_run_alone(site: Site) -> None:
    site.add(echo())
    await site.accept(message(1, "deadly", site.cipher), message(2, "next", site.cipher))
    for death in range(2):
        (work,) = await site.mailbox.take("echo", f"dead:{death}", 1)
        await site.leases.abandon(work.owner, ["echo"])
    await site.worker()
    await until(lambda: [one for one in site.told if one["say"] == "solo"])
    (asked,) = [one for one in site.told if one["say"] == "solo"]
    assert asked["work"]["log_id"]
    site.tell({"do": "solo", "id": asked["id"], "died": True})
    await until(site.done)
    (letter,) = await site.letters()
    assert (letter.reason, letter.starts) == ("died alone", 3)
    assert [text for _, _, text in site.mouth.said] == ["next"]


async def test_a_solo_worker_handles_its_one_event_under_the_askers_claim(site: Site) -> None:
    site.add(echo())
    await site.accept(message(1, "suspect", site.cipher))
    (work,) = await site.mailbox.take("echo", "asker:1", 1)
    await site.worker(kind="solo")
    site.tell({"do": "run", "work": packed(work)})
    assert await asyncio.wait_for(site.workers[0], PATIENCE) == 0
    await until(lambda: [one for one in site.told if one["say"] == "outcome"])
    assert site.told[-1]["outcome"]["ending"] == "done"
    assert site.mouth.said == [("echo", "om_in_1", "suspect")]
    assert await site.mailbox.finish(work) is None
