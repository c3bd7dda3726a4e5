"""What stands on the outbox opens in its own place only: whoever can write to Redis cannot move it to another."""

from __future__ import annotations

import pytest

from app.channel.outbox import Outbox
from app.core.errors import SealBroken
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.model.outbound import target_of
from app.queue.outbox import OutboxQueue
from app.queue.work import Work
from tests.unit.channel.parts import PlainSeal, text


@pytest.fixture
def outbox(link: RedisLink, keys: Keys, no_key_without_ttl: None) -> Outbox:
    return Outbox(OutboxQueue(link, keys), PlainSeal())


async def taken(outbox: Outbox) -> list[Work]:
    return await outbox.queue.mailbox.take("support", "n1:b:out", 8, calls=8)


async def test_a_message_does_not_open_as_another(outbox: Outbox) -> None:
    assert await outbox.put("support", "m1", text()) == "queued"
    [work] = await taken(outbox)
    assert (await outbox.open(work)).message.target.id == "oc_1"
    with pytest.raises(SealBroken):
        await outbox.open(work._replace(entry=work.entry._replace(event_id="m2")))


async def test_a_batch_does_not_open_with_the_content_of_another(outbox: Outbox, link: RedisLink, keys: Keys) -> None:
    for batch in ("a", "b"):
        await outbox.put_many("support", batch, [target_of(f"oc_{batch}")], [("text", f'"{batch}"')])
    content = await outbox.queue.batch_content("support", "a")
    assert content is not None
    await link.commands.hset(keys.batch("support", "b"), "sealed", content)
    own, moved = sorted(await taken(outbox), key=lambda work: work.entry.event_id)
    assert (await outbox.open(own)).message.content == '"a"'
    with pytest.raises(SealBroken):
        await outbox.open(moved)


async def test_a_request_is_not_taken_for_another_by_a_fingerprint_that_was_moved(
    outbox: Outbox, link: RedisLink, keys: Keys
) -> None:
    await outbox.put("support", "m1", text(), fingerprint=b"one")
    await outbox.put("support", "m2", text(), fingerprint=b"two")
    assert await outbox.is_known("support", "m1", b"one") == "known"
    assert await outbox.is_known("support", "m1", b"two") == "other"
    moved = await outbox.queue.fingerprint("support", "m2")
    assert moved is not None
    await link.commands.hset(keys.msg("support", "m1"), "fingerprint", moved)
    with pytest.raises(SealBroken):
        await outbox.is_known("support", "m1", b"two")
