"""Dead letters keep their own copy, and come back as a new intention."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue.dead_letters import DeadLetters, Unreadable
from app.queue.mailbox import Mailbox
from app.queue.work import Incoming
from tests.unit.queue.incoming import incoming


async def test_a_buried_event_is_listed_with_its_reason_and_its_conversation_goes_on(
    link: RedisLink, keys: Keys
) -> None:
    mailbox, letters = Mailbox(link, keys), DeadLetters(link, keys)
    await mailbox.accept([incoming("e1"), incoming("e2")])
    (work,) = await mailbox.take("echo", "n1", 1)
    following = await mailbox.bury(work, "failed", "ValueError in bots/echo.py:12")

    (letter,) = await letters.list("echo")
    assert (letter.reason, letter.detail, letter.starts) == ("failed", "ValueError in bots/echo.py:12", 1)
    assert letter.entry == work.entry
    assert following is not None
    assert following.entry.event_id == "e2"


async def test_a_replay_is_handled_again_under_a_new_count(link: RedisLink, keys: Keys) -> None:
    mailbox, letters = Mailbox(link, keys), DeadLetters(link, keys)
    await mailbox.accept([incoming("e1")])
    (work,) = await mailbox.take("echo", "n1", 1)
    assert await mailbox.bury(work, "failed") is None
    (letter,) = await letters.list("echo")

    await mailbox.accept([incoming("e2")])
    assert await letters.replay("echo", letter.id)
    assert not await letters.replay("echo", letter.id)
    (behind,) = await mailbox.take("echo", "n1", 1)
    assert behind.entry.event_id == "e2"
    again = await mailbox.finish(behind)
    assert again is not None
    assert await mailbox.depth("echo") == 1
    assert (again.entry.replay, again.entry.sealed, again.starts) == (1, work.entry.sealed, 1)
    assert await letters.list("echo") == []


async def test_a_dropped_letter_is_gone(link: RedisLink, keys: Keys) -> None:
    mailbox, letters = Mailbox(link, keys), DeadLetters(link, keys)
    await mailbox.accept([incoming("e1")])
    (work,) = await mailbox.take("echo", "n1", 1)
    await mailbox.bury(work, "failed")
    (letter,) = await letters.list("echo")

    assert await letters.drop("echo", letter.id)
    assert await letters.list("echo") == []
    assert not await letters.drop("echo", letter.id)


async def test_letters_about_withdrawn_messages_go_however_many_there_are(link: RedisLink, keys: Keys) -> None:
    letters = DeadLetters(link, keys)

    async def bury(bot: str, event: str, message: str, type: str = "im.message.receive_v1") -> None:
        entry = incoming(event, bot=bot, message_id=message).entry._replace(type=type)
        fields: dict[Any, Any] = {
            "e": entry.packed(),
            "s": b"sealed",
            "reason": "",
            "detail": "",
            "starts": 1,
            "c": "oc_1",
        }
        await link.commands.xadd(keys.bot(bot, "dead"), fields)

    for number, damaged in enumerate(("damaged", "5", "null"), 1):
        await link.commands.xadd(keys.bot("echo", "dead"), {"e": damaged}, id=f"1-{number}")
    for number in range(250):
        await bury("echo", f"e{number}", f"om_{number}")
    await bury("echo", "recall", "om_7", type="im.message.recalled_v1")
    await bury("other", "elsewhere", "om_7")

    assert await letters.withdraw("echo", ["om_7", "om_249", "om_none"], but=["im.message.recalled_v1"]) == 2
    for number in range(1, 4):
        assert await letters.drop("echo", f"1-{number}")
    left = {letter.entry.event_id for letter in await letters.list("echo", limit=1000)}
    assert left == {f"e{number}" for number in range(250)} - {"e7", "e249"} | {"recall"}
    assert [letter.entry.event_id for letter in await letters.list("other")] == ["elsewhere"]


async def test_letters_go_when_what_they_hold_is_as_old_as_messages_may_become(
    link: RedisLink, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.queue.dead_letters._LOOKED_AT_ONCE", 2)
    mailbox, letters = Mailbox(link, keys), DeadLetters(link, keys)
    came = [received(f"e{number}", 1000.0 + number) for number in range(5)]
    await mailbox.accept(came)
    for work in await mailbox.take("echo", "n1", 5):
        await mailbox.bury(work, "failed")

    async def held() -> set[str]:
        return {letter.entry.event_id for letter in await letters.list("echo")}

    # Given up once more it is as old as it was.
    [first] = [letter for letter in await letters.list("echo") if letter.entry.event_id == "e0"]
    assert await letters.replay("echo", first.id)
    (again,) = await mailbox.take("echo", "n1", 1)
    await mailbox.bury(again, "failed")
    assert await letters.expire("echo", 1000.0) == 0
    assert await letters.expire("echo", 1003.0) == 3
    assert await held() == {"e3", "e4"}
    assert await letters.expire("echo", 2000.0) == 2
    assert await letters.expire("echo", 2000.0) == 0


@pytest.mark.parametrize(
    "packed",
    [
        b'[2,"of a newer hub"]',
        b"[1]",
        b'[1,"event","","","","","","","","soon",0]',
        b"5",
        b"{}",
        b"{",
        b"",
        None,
    ],
)
async def test_a_letter_that_cannot_be_read_goes_by_when_it_was_given_up(
    link: RedisLink, keys: Keys, packed: bytes | None
) -> None:
    letters = DeadLetters(link, keys)
    fields: dict[Any, Any] = {"s": b""} if packed is None else {"e": packed, "s": b""}
    await link.commands.xadd(keys.bot("echo", "dead"), fields, id="5000-1")
    assert await letters.expire("echo", 5.0) == 0
    assert await letters.expire("echo", 5.1) == 1


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"e": "{"}, "a field of it is damaged"),
        ({"e": "5"}, "it is damaged"),
        ({"e": '[2,"of a newer hub"]'}, "run the newer version everywhere"),
        ({"e": '[1,"event",5,"","","","","","",1.0,0]'}, "it is damaged"),
        ({"e": '[1,"event","","","","","","","","soon",0]'}, "it is damaged"),
        ({"e": None}, "it has no field e"),
        ({"c": None}, "it has no field c"),
        ({"starts": "many"}, "a field of it is damaged"),
        ({"reason": b"\xff"}, "a field of it is damaged"),
    ],
    ids=["no-json", "no-entry", "newer", "text", "time", "no-e", "no-c", "number", "bytes"],
)
async def test_a_letter_that_cannot_be_read_is_named_among_the_others(
    link: RedisLink, keys: Keys, fields: dict[str, Any], named: str
) -> None:
    mailbox, letters = Mailbox(link, keys), DeadLetters(link, keys)
    await mailbox.accept([incoming("e1")])
    (work,) = await mailbox.take("echo", "n1", 1)
    await mailbox.bury(work, "failed")
    found: Any = await link.commands.xrange(keys.bot("echo", "dead"))
    [(whole, said)] = found
    written: dict[Any, Any] = {name.decode(): value for name, value in said.items()} | fields
    given = {name: value for name, value in written.items() if value is not None}
    added: Any = await link.commands.xadd(keys.bot("echo", "dead"), given)
    damaged = added.decode()

    first, second = await letters.list("echo")
    assert (first.id, first.reason, first.entry.event_id) == (damaged, "unreadable", "")
    assert f"dead letter {damaged} of bot echo" in first.detail
    assert named in first.detail
    assert (second.id, second.entry) == (whole.decode(), work.entry)
    for step in (letters.show, letters.replay):
        with pytest.raises(Unreadable, match=damaged):
            await step("echo", damaged)
    assert await link.commands.xlen(keys.bot("echo", "log")) == 1, "nothing of it came back"
    assert await letters.drop("echo", damaged)


def received(event: str, when: float) -> Incoming:
    """An event in a conversation of its own, taken at a time."""
    made = incoming(event, conversation=event)
    return made._replace(entry=made.entry._replace(received=when))


async def test_a_word_that_is_no_id_names_no_letter(link: RedisLink, keys: Keys) -> None:
    letters = DeadLetters(link, keys)

    for word in ("", "-", "+", "nonsense", "1-2-3", "(1-0"):
        assert await letters.show("echo", word) is None
        assert not await letters.replay("echo", word)
        assert not await letters.drop("echo", word)
        assert await letters.list("echo", before=word) == []
