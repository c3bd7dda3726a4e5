"""Events made for queue tests, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.errors import StoreUnavailable
from app.queue.envelope import Entry
from app.queue.work import Incoming, Receipt


def incoming(
    event_id: str,
    *,
    bot: str = "echo",
    conversation: str = "oc_1",
    message_id: str = "",
    queue_size: int = 1000,
    kind: str = "event",
) -> Incoming:
    entry = Entry(
        "call" if kind == "call" else "event",
        event_id,
        message_id or event_id,
        "im.message.receive_v1",
        conversation,
        conversation,
        "ou_1",
        message_id,
        1_700_000_000.0,
        0,
        b"sealed " + event_id.encode(),
    )
    return Incoming(bot, entry, (event_id, message_id) if message_id else (event_id,), 600, queue_size)


def statuses(results: Sequence[Receipt | StoreUnavailable]) -> list[str]:
    return [result.status if isinstance(result, Receipt) else "unavailable" for result in results]
