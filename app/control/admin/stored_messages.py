"""The message store in the admin API: searched without content, opened for a reason, which the audit keeps."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from fastapi import Query as Parameter
from pydantic import BaseModel, ConfigDict, Field

from app.control.admin.access import asked_by
from app.control.admin.known import KnownBots
from app.control.admin.shapes import Number, Why
from app.storage.audit import Audit
from app.storage.message import MessageInfo
from app.storage.messages import LONGEST_PAGE, Messages
from app.storage.query import Query
from app.storage.reveal import Opened, Reveals


class MessageShown(BaseModel):
    """What is known of a message without opening it; `created` in milliseconds since the epoch."""

    id: int
    bot: str
    key: str
    direction: str
    """`in` or `out`; here and in `state` a damaged row may say something else, and is shown."""
    type: str
    chat_id: str
    user_id: str
    message_id: str
    created: int
    state: str
    """`kept`, `recalled` or `shredded`."""


class MessageOpened(MessageShown):
    """A message and what was in it, or why that cannot be shown."""

    content: Any = None
    fault: str | None = None


class MessageDetail(MessageOpened):
    """One message, with what else is kept of it: edits, reactions, its recall."""

    about: list[MessageShown]


class WordSearch(BaseModel):
    """What to look for, and why."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    bot: str
    words: str = Field(min_length=1, max_length=1000)
    why: Why
    chat: str | None = None
    sender: str | None = None
    type: str | None = None
    event: str | None = None
    message: str | None = None
    since: Number | None = None
    until: Number | None = None
    before: Number | None = None
    limit: int = Field(50, ge=1, le=LONGEST_PAGE)


class WordsFound(BaseModel):
    """Messages that say all of the words; `whole` is false where it took so long that older ones were not looked at.

    `before` of the next search goes on behind these; null where all were looked at.
    """

    messages: list[MessageOpened]
    whole: bool
    before: int | None


class RevealShown(BaseModel):
    """One time that messages were opened: who, when, which, why."""

    id: int
    created: int
    who: str
    action: str
    bot: str
    which: str
    why: str


Limit = Annotated[int, Parameter(ge=1, le=LONGEST_PAGE)]


def stored_messages_router(store: Messages, reveals: Reveals, audit: Audit, known: KnownBots) -> APIRouter:
    """The routes under /messages."""
    api = APIRouter()

    @api.get("/messages", response_model=list[MessageShown])
    async def search(
        bot: str | None = None,
        chat: str | None = None,
        sender: str | None = None,
        type: str | None = None,
        event: str | None = None,
        message: str | None = None,
        since: Number | None = None,
        until: Number | None = None,
        before: Number | None = None,
        limit: Limit = 50,
    ) -> list[MessageShown]:
        """Messages, the newest first, without content; all but `before` and `limit` need `bot`."""
        query = Query(bot, chat, sender, type, event, message, since, until)
        try:
            return [_shown(info) for info in await store.search(query, before=before, limit=limit)]
        except ValueError as error:
            raise HTTPException(422, f"query.bot: {error}") from error

    @api.get("/messages/audit", response_model=list[RevealShown])
    async def list_audit(bot: str | None = None, before: Number | None = None, limit: Limit = 50) -> list[RevealShown]:
        """Who opened which messages, when and why; the newest first."""
        return [RevealShown(**asdict(one)) for one in await audit.list(bot, before=before, limit=limit)]

    @api.get("/messages/{message}", response_model=MessageDetail)
    async def show(message: Number, why: Why, request: Request) -> MessageDetail:
        """One message, opened; `why` goes into the audit."""
        try:
            found = await reveals.show(message, who=asked_by(request), why=why)
        except ValueError as error:
            raise HTTPException(422, f"query.why: {error}") from error
        if found is None:
            raise HTTPException(404, f"no message has the id {message}")
        opened, about = found
        return MessageDetail(**_opened(opened).model_dump(), about=[_shown(info) for info in about])

    @api.post("/messages/search", response_model=WordsFound)
    async def by_words(sought: WordSearch, request: Request) -> WordsFound:
        """Messages of a bot with `word_index: true` that say all of the words, opened; `why` goes into the audit."""
        await known.must_know(sought.bot)
        query = Query(**sought.model_dump(exclude={"words", "why", "limit", "before"}))
        try:
            found = await reveals.with_words(
                sought.words,
                query,
                who=asked_by(request),
                why=sought.why,
                limit=sought.limit,
                before=sought.before,
            )
        except ValueError as error:
            raise HTTPException(422, f"body.words: {error}") from error
        shown = [_opened(one) for one in found.messages]
        return WordsFound(messages=shown, whole=found.whole, before=found.before)

    return api


def _shown(info: MessageInfo) -> MessageShown:
    return MessageShown(**asdict(info))


def _opened(one: Opened) -> MessageOpened:
    return MessageOpened(**asdict(one.info), content=one.content, fault=one.fault)
