"""Runs the handler that was found, and replies with what it returned; the worker and BotTest share this."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from app.core.errors import Misused
from app.sdk.bot import Bot
from app.sdk.card import Card
from app.sdk.content import message_of
from app.sdk.context import Context
from app.sdk.handler import Found, Handler, Kind, is_async, where
from app.sdk.link import Link
from app.sdk.outcomes import Drop, Retry
from app.sdk.toast import Toast

Call = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a plain function off the loop; the worker brings its own, to know when a thread that timed out ends."""


@dataclass(frozen=True, slots=True)
class Done:
    """The handler ended; `answer` is what a callback is answered with in the HTTP response, else empty."""

    answer: dict[str, Any] = field(default_factory=dict, repr=False)


Outcome = Done | Retry | Drop


async def run_handler(bot: Bot[Any], found: Found, ctx: Context[Any], *, call: Call = asyncio.to_thread) -> Outcome:
    """Run the handler, reply with what it returns, give errors to `@bot.error`; raises those that nobody takes."""
    kind = found.handler.kind
    try:
        return await _perform(found.handler, found.argument, kind, ctx, call)
    except (Retry, Drop) as outcome:
        return outcome
    except Exception as error:  # whatever an author's code may raise
        rescue = bot.error_handler(error)
        if rescue is None:
            raise
        # Its type alone: the text of an author's error may quote a message.
        ctx.log.warning(
            "handler failed, its bot took the error",
            handler=found.handler.name,
            rescue=rescue.name,
            error=type(error).__name__,
        )
        try:
            return await _perform(rescue, error, kind, ctx, call)
        except (Retry, Drop) as outcome:
            return outcome


async def run_hook(hook: Callable[..., Any], ctx: Context[Any], *, call: Call = asyncio.to_thread) -> None:
    """Run one of the bot's `start_hooks` or `stop_hooks`; raises what it raises."""
    if is_async(hook):
        await hook(ctx)
    else:
        await call(partial(hook, ctx.without_verbs()))


def answer_of(result: Toast | Card | tuple[Toast, Card] | Link | None) -> dict[str, Any]:
    """The HTTP answer of a callback: `{}` changes nothing; Misused for what Feishu would refuse."""
    match result:
        case None:
            return {}
        case Toast():
            return {"toast": result.to_dict()}
        case Card():
            return {"card": result.to_answer()}
        case (Toast() as toast, Card() as card):
            return {"toast": toast.to_dict(), "card": card.to_answer()}
        case Link():
            return result.to_dict()
    raise Misused(f"a callback is answered with Toast, Card, (Toast, Card), Link or None, not {_kind_of(result)}")


async def _perform(handler: Handler, argument: object, kind: Kind, ctx: Context[Any], call: Call) -> Done:
    result = await _call(handler, argument, ctx, call)
    if handler.kind == "error":
        result = _in_place_of(kind, result)
    try:
        if kind in ("card", "preview"):
            return Done(answer_of(result))
        if kind == "cron" and result is not None:
            raise Misused(f"a schedule has nobody to reply to: use ctx.send instead of returning {_kind_of(result)}")
        if result is not None:
            message_of(result)
    except Misused as error:
        raise Misused(f"handler {where(handler.function)}: {error}") from None
    if result is not None:
        await ctx.reply(result)
    return Done()


async def _call(handler: Handler, argument: object, ctx: Context[Any], call: Call) -> Any:
    if handler.is_async:
        return await handler.function(argument, ctx)
    result = await call(partial(handler.function, argument, ctx.without_verbs()))
    if inspect.iscoroutine(result):
        result.close()
        raise Misused(f"handler {where(handler.function)} is a plain def that gives a coroutine: make it `async def`")
    return result


def _in_place_of(kind: Kind, result: Any) -> Any:
    """What an error handler says, in the form that the failed handler would have had to use."""
    match kind, result:
        case "card", str():
            return Toast.error(result)
        case "preview" | "cron", _:
            return None
        case "command" | "message" | "event", Toast():
            return result.content
        case "command" | "message" | "event", (Toast(), Card() as card):
            return card
    return result


def _kind_of(result: object) -> str:
    return type(result).__name__
