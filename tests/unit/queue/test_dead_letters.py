"""Dead letters keep their own copy, and come back as a new intention."""

from __future__ import annotations

from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue.dead_letters import DeadLetters
from app.queue.mailbox import Mailbox
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

    assert await letters.replay("echo", letter.id)
    assert not await letters.replay("echo", letter.id)
    (again,) = await mailbox.take("echo", "n1", 1)
    assert (again.entry.replay, again.entry.sealed, again.starts) == (1, work.entry.sealed, 1)
    assert await letters.count("echo") == 0


async def test_a_dropped_letter_is_gone(link: RedisLink, keys: Keys) -> None:
    mailbox, letters = Mailbox(link, keys), DeadLetters(link, keys)
    await mailbox.accept([incoming("e1")])
    (work,) = await mailbox.take("echo", "n1", 1)
    await mailbox.bury(work, "failed")
    (letter,) = await letters.list("echo")

    assert await letters.drop("echo", letter.id)
    assert await letters.list("echo") == []
    assert not await letters.drop("echo", letter.id)


async def test_a_word_that_is_no_id_names_no_letter(link: RedisLink, keys: Keys) -> None:
    letters = DeadLetters(link, keys)

    for word in ("", "-", "+", "nonsense", "1-2-3", "(1-0"):
        assert await letters.show("echo", word) is None
        assert not await letters.replay("echo", word)
        assert not await letters.drop("echo", word)
        assert await letters.list("echo", before=word) == []
