"""Accepts a message for a bot: reads it, uploads its files to Feishu, and puts it on the outbox, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from fastapi import HTTPException
from pydantic import ValidationError

from app.channel.attach import Attachment, Attachments
from app.channel.outbox import Outbox, Put, id_of, new_id
from app.channel.render import kind_of, render
from app.control.admin.body import Body
from app.control.admin.new_message import MANY, ONE, FileSource, NewMessage, Source
from app.control.admin.wrong import said_of
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import FeishuRefused, FetchRefused, Misused, StoreUnavailable
from app.model.bot import BotSpec
from app.model.catalog import Catalog
from app.model.outbound import MessageType, Outbound
from app.sdk.card import Card
from app.sdk.content import Markdown

# Whoever sends a file waits for its upload, but not for ever.
_UPLOAD_PATIENCE: Final = 90.0
_FORMS: Final[dict[str, MessageType]] = {"post": "post", "card": "interactive"}


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a caller can ask about from now on."""

    id: str
    noun: Literal["messages", "batches"]


class Acceptance:
    """What POST …/messages does."""

    def __init__(
        self, outbox: Outbox, catalog: Catalog, attachments: Attachments, *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._outbox = outbox
        self._catalog = catalog
        self._attachments = attachments
        self._clock = clock

    async def accept(self, bot: str, caller: str, key: str | None, body: Body) -> Accepted:
        """Put it on the outbox, or raise an HTTP error that names the field."""
        spec = self._catalog.bots.get(bot)
        if spec is None:
            raise HTTPException(404, f"bot {bot} cannot send: GET /api/v1/bots says how it stands")
        message = _read(body)
        # Named by its key: a repeated request finds what the first one put there.
        id = new_id() if key is None else id_of("api", bot, caller, key)
        if key is not None and (known := await self._known(bot, id, body)) is not None:
            return known
        pages = await self._pages(spec, message, body)
        put: Put
        accepted = Accepted(id, "batches" if message.is_batch or len(pages) > 1 else "messages")
        if accepted.noun == "batches":
            put = await self._outbox.put_many(
                bot,
                id,
                message.targets,
                pages,
                due=message.at,
                fingerprint=body.fingerprint,
                priority="broadcast" if message.is_batch else "send",
            )
        else:
            outbound = Outbound(message.targets[0], *pages[0])
            put = await self._outbox.put(bot, id, outbound, due=message.at, fingerprint=body.fingerprint)
        _check(put)
        if put == "full":
            raise StoreUnavailable(f"the outbox of bot {bot} is full (outbox.max_waiting): try again later")
        return accepted

    async def _known(self, bot: str, id: str, body: Body) -> Accepted | None:
        """What an earlier request under the same key put, if all of it is there.

        Checked before files are fetched and uploaded a second time.
        """
        known = await self._outbox.is_known(bot, id, body.fingerprint)
        _check(known)
        if known != "known":
            return None
        batch = await self._outbox.queue.batch(bot, id)
        if batch is None:
            return Accepted(id, "messages")
        return Accepted(id, "batches") if await self._outbox.is_whole(bot, batch) else None

    async def _pages(self, spec: BotSpec, message: NewMessage, body: Body) -> list[tuple[MessageType, str]]:
        kind = message.kind
        given: Any = getattr(message, kind)
        deadline = self._clock.now() + _UPLOAD_PATIENCE
        try:
            if isinstance(given, Source):
                return [await self._attachments.message(spec, _attachment(kind, given, body), deadline)]
            if kind in ("post", "card") and (found := kind_of(given)) != _FORMS[kind]:
                raise _wrong(kind, f"this is no {kind}, it has the form of a {found}")
            if kind == "post":
                return [render(given)]
            said = Markdown(given) if kind == "markdown" else Card.raw(given) if kind == "card" else given
            return await self._attachments.words(spec, said, deadline)
        except (Misused, TypeError, FeishuRefused, FetchRefused) as error:
            raise _wrong(kind, str(error)) from None


def _read(body: Body) -> NewMessage:
    try:
        return NewMessage.model_validate(body.document)
    except ValidationError as error:
        faults = [{**one, "loc": ("body", *_path(one["loc"]))} for one in error.errors()]
        raise HTTPException(422, said_of(faults, NewMessage)) from None


def _path(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The path without what pydantic adds for the two forms of `to`."""
    return tuple(part for part in loc if part not in (ONE, MANY))


def _attachment(kind: str, source: Source, body: Body) -> Attachment:
    own = source if isinstance(source, FileSource) else None
    part = body.part if body.carried == kind else None
    if part is None and not (source.key or source.url):
        raise _wrong(kind, "give key or url, or send the file in a form")
    return Attachment(
        "image" if kind == "image" else "file",
        key=source.key,
        url=source.url,
        data=part.data if part is not None else b"",
        name=(own.name if own else "") or (part.filename or "" if part is not None else ""),
        file_type=own.type if own else None,
    )


def _wrong(field: str, problem: str) -> HTTPException:
    return HTTPException(422, f"body.{field}: {problem}")


def _check(put: str) -> None:
    if put == "other":
        raise HTTPException(409, "Idempotency-Key: it was used for another request; choose a new one for a new message")
