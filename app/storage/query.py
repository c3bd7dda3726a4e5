"""What can be asked of the message store without opening anything, and how it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, text

from app.storage.message import MessageInfo
from app.storage.tables import messages


@dataclass(frozen=True, slots=True)
class Query:
    """Everything given must hold; times are milliseconds since the epoch."""

    bot: str | None = None
    chat: str | None = None
    sender: str | None = None
    """open_id of who did it."""
    type: str | None = None
    event: str | None = None
    """Feishu's event id, or the name of a send."""
    message: str | None = None
    """Feishu's message id: the message with its edits, reactions and recall."""
    since: int | None = None
    until: int | None = None
    """The first instant that is too late."""


def narrowed(chosen: Select[Any], query: Query) -> Select[Any]:
    """The statement narrowed to what a query asks for; ValueError where it needs a bot and names none."""
    if query.bot is None:
        for name in ("chat", "sender", "type", "event", "message", "since", "until"):
            if getattr(query, name) is not None:
                raise ValueError(f"a {name} is looked up within a bot" if name != "since" else "a time needs a bot")
        return chosen
    chosen = chosen.where(messages.c.bot == query.bot)
    if query.chat is not None:
        chosen = chosen.where(messages.c.chat_id == query.chat)
    if query.sender is not None:
        # Written out, like the condition of the partial index: with a parameter alone it would not be used.
        chosen = chosen.where(messages.c.user_id == query.sender, text("user_id <> ''"))
    if query.type is not None:
        # A chat or a person has fewer messages than a type may have, which SQLite cannot know: no index by type then.
        narrower = query.chat is not None or query.sender is not None
        chosen = chosen.where((messages.c.type.concat("") if narrower else messages.c.type) == query.type)
    if query.event is not None:
        chosen = chosen.where(messages.c.key == query.event)
    if query.message is not None:
        chosen = chosen.where(messages.c.message_id == query.message, text("message_id <> ''"))
    if query.since is not None:
        chosen = chosen.where(messages.c.created >= query.since)
    if query.until is not None:
        chosen = chosen.where(messages.c.created < query.until)
    return chosen


def fits(info: MessageInfo, query: Query) -> bool:
    """Whether a message is among what a query asks for."""
    wanted = (
        (query.bot, info.bot),
        (query.chat, info.chat_id),
        (query.sender, info.user_id),
        (query.type, info.type),
        (query.event, info.key),
        (query.message, info.message_id),
    )
    return (
        all(asked in (None, found) for asked, found in wanted)
        and (query.since is None or info.created >= query.since)
        and (query.until is None or info.created < query.until)
    )
