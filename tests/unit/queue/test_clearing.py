"""What waits for a removed bot is dropped, wherever it stands; what is to be archived, and what is held, stays."""

from __future__ import annotations

from app.core.clock import SYSTEM_CLOCK
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue.clearing import Cleared, Clearing
from app.queue.dead_letters import DeadLetters
from app.queue.mailbox import Mailbox
from app.queue.outbox import OutboxQueue
from tests.unit.queue.incoming import incoming
from tests.unit.queue.test_outbox import outgoing


async def test_everything_that_waits_goes_wherever_it_stands(
    link: RedisLink, keys: Keys, no_key_without_ttl: None
) -> None:
    mailbox, outbox, letters = Mailbox(link, keys), OutboxQueue(link, keys), DeadLetters(link, keys)
    in_line = [incoming("e1"), incoming("e2"), incoming("call", conversation="call:1", kind="call")]
    apart = [incoming(event, conversation=event) for event in ("retried", "later", "dead", "held")]
    await mailbox.accept([*in_line, *apart, incoming("e1", bot="other")])
    works = {work.entry.event_id: work for work in await mailbox.take("echo", "n1", 10, calls=10)}
    await mailbox.release(works["e1"])
    await mailbox.release(works["call"])
    await mailbox.retry(works["retried"], 3600.0)
    assert await mailbox.later(works["later"], 3600.0) is None
    assert await mailbox.bury(works["dead"], "failed") is None
    await outbox.put("echo", [outgoing("m1"), outgoing("m2", due=SYSTEM_CLOCK.now() + 3600)], 1000)

    clearing = Clearing(link, keys, mailbox, outbox, letters)
    assert await clearing.clear("echo") == Cleared(events=5, dead=1, to_send=2, held=1)
    for message in ("m1", "m2"):
        state = await outbox.state("echo", message)
        assert state is not None
        assert (state.state, "dropped by an operator" in state.reason) == ("failed", True)
    assert await letters.list("echo") == []
    assert await link.commands.xlen(keys.bot("echo", "log")) == 7, "they are archived still"
    assert await mailbox.depth("other") == 1

    assert await mailbox.finish(works["held"]) is None
    assert await clearing.clear("echo") == Cleared(events=0, dead=0, to_send=0, held=0)
