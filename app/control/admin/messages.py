"""Messages that programs have bots send: accepted at once, sent later, and shown, followed or cancelled meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from app.control.admin.accept import Acceptance, Accepted
from app.control.admin.access import Caller
from app.control.admin.body import read_body
from app.control.admin.followers import Followers
from app.control.admin.new_message import NewMessage
from app.control.admin.shapes import Batch, Message
from app.queue.outbox import OutboxQueue
from app.queue.outgoing import BatchState, MessageState

_PAGE: Final = 1000

T = TypeVar("T")

_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": NewMessage.model_json_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "message": {"type": "string", "description": "the JSON document"},
                        "image": {"type": "string", "format": "binary"},
                        "file": {"type": "string", "format": "binary"},
                    },
                }
            },
        },
    }
}


def messages_router(queue: OutboxQueue, acceptance: Acceptance, followers: Followers) -> APIRouter:
    """The routes under /bots/{bot} that concern messages to be sent."""
    api = APIRouter(prefix="/bots/{bot}")

    @api.post("/messages", status_code=202, response_model=Message | Batch, openapi_extra=_BODY)
    async def send(
        bot: str,
        request: Request,
        response: Response,
        idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
    ) -> Message | Batch:
        """Have a message sent, to one receiver or (`to` a list) to many.

        With an `Idempotency-Key` a repeated request is answered like the first one, and sends nothing more.
        """
        caller: Caller = request.state.caller
        accepted: Accepted = await acceptance.accept(bot, caller.name, idempotency_key, await read_body(request))
        response.headers["Location"] = f"/api/v1/bots/{bot}/{accepted.noun}/{accepted.id}"
        if accepted.noun == "batches":
            return Batch.of(_found(await queue.batch(bot, accepted.id), bot, accepted.id))
        return Message.of(_found(await queue.state(bot, accepted.id), bot, accepted.id))

    @api.get("/messages/{message_id}", response_model=Message)
    async def show(bot: str, message_id: str) -> Message:
        """What became of a message; it can be asked for a week after its end."""
        return Message.of(_found(await queue.state(bot, message_id), bot, message_id))

    @api.delete("/messages/{message_id}", response_model=Message)
    async def cancel(bot: str, message_id: str) -> Message:
        """Have a message not sent, while it is queued; 409 when it is too late."""
        state = await queue.cancel(bot, message_id)
        found = _found(await queue.state(bot, message_id), bot, message_id)
        if state != "cancelled":
            raise HTTPException(409, f"message {message_id} is {state}: only what is queued can be cancelled")
        return Message.of(found)

    @api.get("/messages/{message_id}/events", response_class=StreamingResponse)
    async def follow(bot: str, message_id: str) -> StreamingResponse:
        """A message's state and each change, as server-sent events, until its end."""
        _found(await queue.state(bot, message_id), bot, message_id)
        return followers.stream(_shaped(queue.watch(bot, message_id), Message.of), event="state")

    @api.get("/batches/{batch_id}", response_model=Batch)
    async def progress(bot: str, batch_id: str) -> Batch:
        """How far the messages of a batch are."""
        return Batch.of(_found(await queue.batch(bot, batch_id), bot, batch_id))

    @api.get("/batches/{batch_id}/messages", response_model=list[Message])
    async def members(
        bot: str,
        batch_id: str,
        after: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=_PAGE)] = 100,
    ) -> list[Message]:
        """The messages of a batch in the order of its receivers, from number `after` + 1 on."""
        batch = _found(await queue.batch(bot, batch_id), bot, batch_id)
        return [Message.of(one) for one in await _members(queue, bot, batch, after, limit)]

    @api.delete("/batches/{batch_id}", response_model=Batch)
    async def cancel_batch(bot: str, batch_id: str) -> Batch:
        """Have those of its messages not sent that are queued."""
        batch = _found(await queue.batch(bot, batch_id), bot, batch_id)
        for start in range(1, batch.total + 1, _PAGE):
            numbers = range(start, min(batch.total + 1, start + _PAGE))
            await asyncio.gather(*(queue.cancel(bot, f"{batch_id}-{number}") for number in numbers))
        return Batch.of(_found(await queue.batch(bot, batch_id), bot, batch_id))

    @api.get("/batches/{batch_id}/events", response_class=StreamingResponse)
    async def follow_batch(bot: str, batch_id: str) -> StreamingResponse:
        """A batch's progress as server-sent events, until its end."""
        _found(await queue.batch(bot, batch_id), bot, batch_id)
        return followers.stream(_shaped(queue.watch_batch(bot, batch_id), Batch.of), event="state")

    return api


async def _members(queue: OutboxQueue, bot: str, batch: BatchState, after: int, limit: int) -> Sequence[MessageState]:
    numbers = range(after + 1, min(batch.total, after + limit) + 1)
    found = await queue.states(bot, [f"{batch.id}-{number}" for number in numbers])
    return [one for one in found if one is not None]


async def _shaped(states: AsyncGenerator[T, None], shape: Callable[[T], BaseModel]) -> AsyncGenerator[Any, None]:
    async with aclosing(states):
        async for state in states:
            yield shape(state).model_dump()


def _found(state: Any, bot: str, id: str) -> Any:
    if state is None:
        raise HTTPException(404, f"bot {bot} has no message or batch {id}, or it ended over a week ago")
    return state
