"""Callbacks on a worker: before everything else, answered once, late where nobody waits any more."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
import pytest

from app.core.clock import SYSTEM_CLOCK
from app.core.errors import StoreUnavailable
from app.queue.work import Incoming
from app.sdk.bot import Bot
from app.sdk.card import Card
from app.sdk.card_action import CardAction
from app.sdk.context import Context
from app.sdk.link import Link
from app.sdk.message import Message
from app.sdk.preview import Preview
from app.sdk.toast import Toast
from app.storage.cipher import Cipher, record_identity
from tests.unit.worker.conftest import Site
from tests.unit.worker.kit import click, echo, message
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


async def test_callbacks_are_answered_while_all_slots_are_in_use(site: Site) -> None:
    bot, gate, held = Bot(), asyncio.Event(), asyncio.Event()

    @bot.message()
    async def hold(message: Message, ctx: Context) -> None:
        held.set()
        await gate.wait()

    @bot.card("ok")
    async def press(action: CardAction, ctx: Context) -> Toast:
        return Toast.success("done")

    site.add(bot, server={"workers": 1})
    await site.accept(*(message(n, "x", site.cipher, chat=f"oc_{n}") for n in range(2)))
    await site.worker()
    await held.wait()
    await site.accept(click(5, "ok", site.cipher, received=SYSTEM_CLOCK.now()))
    listening = asyncio.create_task(site.calls.listen())
    sealed = await site.calls.wait("echo", "e5", time.monotonic() + PATIENCE)
    listening.cancel()
    assert sealed is not None
    assert site.cipher.open(sealed, b"result\ne5") == (b'{"toast":{"type":"success","content":"done"}}')
    gate.set()
    await until(site.done)


@pytest.mark.parametrize("private", [False, True])
async def test_a_late_answer_comes_by_its_own_ways(site: Site, private: bool) -> None:
    bot = Bot()

    @bot.card("ok")
    async def press(action: CardAction, ctx: Context) -> tuple[Toast, Card]:
        return Toast.info("late, but done"), Card.of(title="done")

    site.mouth.private = private
    site.add(bot)
    await site.accept(click(5, "ok", site.cipher, received=SYSTEM_CLOCK.now()))
    assert await site.calls.wait("echo", "e5", time.monotonic()) is None  # the gateway gives up
    await site.worker()
    await until(site.done)
    kinds = [kind for kind, _ in site.mouth.other]
    assert kinds == (["update_card"] if private else ["update_card", "ephemeral"])
    token, card = site.mouth.other[0][1]
    assert token == "c-1"
    assert not card.keys() & {"type", "data"}, "an update takes the card itself"
    assert site.mouth.said == ([("echo", "ou_1", "late, but done")] if private else [])


async def test_a_card_in_the_answer_is_told_for_the_store(site: Site) -> None:
    bot = Bot()

    @bot.card("ok")
    async def press(action: CardAction, ctx: Context) -> tuple[Toast, Card]:
        return Toast.info("done"), Card.raw({"elements": [{"tag": "hr"}]})

    site.add(bot)
    await site.accept(click(5, "ok", site.cipher, received=SYSTEM_CLOCK.now()))
    await site.worker()
    await until(site.done)
    assert await site.calls.wait("echo", "e5", time.monotonic() + PATIENCE) is not None
    [change] = site.mouth.told
    assert (change.type, change.message_id, change.chat_id) == ("interactive.card.update", "om_card", "oc_1")
    assert change.body == {"card": {"elements": [{"tag": "hr"}]}}


def called(cipher: Cipher, kind: str, plain: dict[str, Any]) -> Incoming:
    """A callback of another kind than a click on a card of today."""
    one = click(5, "", cipher, received=SYSTEM_CLOCK.now())
    return one._replace(
        entry=one.entry._replace(type=kind, sealed=cipher.seal(orjson.dumps(plain), record_identity("e5")))
    )


async def test_a_legacy_card_gets_its_new_card_at_the_top(site: Site) -> None:
    bot = Bot()

    @bot.card("ok")
    async def press(action: CardAction, ctx: Context) -> tuple[Toast, Card]:
        return Toast.info("done"), Card.raw({"elements": []})

    site.add(bot)
    action = {"tag": "button", "value": {"action": "ok"}}
    plain = {"open_id": "ou_1", "open_message_id": "om_card", "token": "c-1", "action": action}
    await site.accept(called(site.cipher, "card.action.trigger_v1", plain))
    await site.worker()
    await until(site.done)
    sealed = await site.calls.wait("echo", "e5", time.monotonic() + PATIENCE)
    assert sealed is not None
    found = orjson.loads(site.cipher.open(sealed, b"result\ne5"))
    assert found == {"toast": {"type": "info", "content": "done"}, "elements": []}


async def test_a_late_preview_comes_by_its_token(site: Site) -> None:
    bot = Bot()

    @bot.preview(r"tickets/(\d+)")
    async def show(preview: Preview, ctx: Context) -> Link:
        return Link(f"Ticket {preview.groups['1']}")

    site.add(bot)
    context = {"url": "https://example.com/tickets/7", "preview_token": "pt-1"}
    header = {"event_id": "e5", "event_type": "url.preview.get"}
    plain = {"schema": "2.0", "header": header, "event": {"operator": {"open_id": "ou_1"}, "context": context}}
    await site.accept(called(site.cipher, "url.preview.get", plain))
    assert await site.calls.wait("echo", "e5", time.monotonic()) is None  # the gateway gives up
    await site.worker()
    await until(site.done)
    assert site.mouth.other == [("update_previews", ["pt-1"])]
    assert site.mouth.said == []


async def test_a_callback_that_fails_is_answered_at_once_and_buried(site: Site) -> None:
    bot = Bot()

    @bot.card("ok")
    async def press(action: CardAction, ctx: Context) -> Toast:
        raise ValueError

    site.add(bot)
    await site.accept(click(5, "ok", site.cipher, received=SYSTEM_CLOCK.now()))
    await site.worker()
    await until(site.done)
    sealed = await site.calls.wait("echo", "e5", time.monotonic() + PATIENCE)
    assert sealed is not None
    assert b'"type":"error"' in site.cipher.open(sealed, b"result\ne5")
    assert len(await site.letters()) == 1


async def test_a_callback_nobody_started_in_time_is_buried(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.worker.calls.START_WITHIN", -1)
    site.add(echo())
    await site.accept(click(5, "ok", site.cipher, received=SYSTEM_CLOCK.now()))
    await site.worker()
    await until(site.done)
    assert (await site.letters())[0].reason == "not started within 30 s"


async def test_an_outage_at_the_answer_does_not_run_a_callback_twice(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot, presses = Bot(), []

    @bot.card("ok")
    async def press(action: CardAction, ctx: Context) -> Toast:
        presses.append(1)
        return Toast.success("done")

    written, tries = site.calls.answer, []

    async def away_once(*call: Any) -> Any:
        tries.append(1)
        if len(tries) == 1:
            await written(*call)  # and its reply is lost
            raise StoreUnavailable("Redis is away")
        return await written(*call)

    monkeypatch.setattr(site.calls, "answer", away_once)
    site.add(bot)
    await site.accept(click(5, "ok", site.cipher, received=SYSTEM_CLOCK.now()))
    await site.worker()
    await until(site.done)
    assert (presses, len(tries), site.mouth.other) == ([1], 2, [])
    assert await site.calls.wait("echo", "e5", time.monotonic() + 5) is not None


async def test_the_answer_to_a_replayed_callback_comes_late_since_nobody_waits(site: Site) -> None:
    bot = Bot()
    presses: list[int] = []

    @bot.card("ok")
    async def press(action: CardAction, ctx: Context) -> Card:
        presses.append(1)
        if len(presses) == 1:
            raise ValueError
        return Card.of(title="done")

    site.add(bot)
    await site.accept(click(5, "ok", site.cipher, received=SYSTEM_CLOCK.now()))
    await site.worker()
    await until(site.letters)
    (letter,) = await site.letters()
    assert await site.dead.replay("echo", letter.id)
    await until(lambda: [kind for kind, _ in site.mouth.other] == ["update_card"])


async def test_an_answer_that_no_gateway_can_wait_for_any_more_is_late(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.queue.calls._NOBODY_WAITS_MS", -1)
    bot = Bot()

    @bot.card("ok")
    async def press(action: CardAction, ctx: Context) -> Card:
        return Card.of(title="done")

    site.add(bot)
    # Its gateway died, or could not tell Redis that it gave up.
    await site.accept(click(5, "ok", site.cipher, received=SYSTEM_CLOCK.now()))
    await site.worker()
    await until(lambda: [kind for kind, _ in site.mouth.other] == ["update_card"])
    assert await site.calls.wait("echo", "e5", time.monotonic() + 5) is None


async def test_a_gateway_whose_clock_is_behind_gets_its_answer_in_time(site: Site) -> None:
    bot = Bot()

    @bot.card("ok")
    async def press(action: CardAction, ctx: Context) -> Toast:
        return Toast.success("done")

    site.add(bot)
    await site.accept(click(5, "ok", site.cipher, received=SYSTEM_CLOCK.now() - 40))
    await site.worker()
    assert await site.calls.wait("echo", "e5", time.monotonic() + PATIENCE) is not None
    await until(site.done)
    assert site.mouth.other == []  # Feishu would take back what came before the answer
