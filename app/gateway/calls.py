"""Callbacks: answers in the HTTP response, while Feishu still waits for it."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import orjson

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import SealBroken, StoreUnavailable, Unavailable
from app.core.logs import get_logger
from app.gateway.accept import Acceptor
from app.gateway.counts import Counts
from app.queue.envelope import result_aad
from app.queue.work import Incoming
from app.storage.cipher import Cipher

log = get_logger(__name__)

# Feishu waits 3 s, the way back included (Feishu docs: Required answer).
ANSWER_WITHIN: Final = 2.5
# How long the queue may take to say that there is no answer; then the request ends without knowing.
_GIVE_UP_WITHIN: Final = 0.2

NOTHING: Final = b"{}"
NO_QUEUE: Final = orjson.dumps(
    {
        "toast": {
            "type": "error",
            "content": "暂时无法处理，请稍后再试",
            "i18n": {
                "zh_cn": "暂时无法处理，请稍后再试",
                "en_us": "This is not possible right now, please try again later",
            },
        }
    }
)


class Results(Protocol):
    """Where workers leave the answers to callbacks."""

    async def wait(self, bot: str, event_id: str, deadline: float) -> bytes | None:
        """The sealed result; None if there is none by `deadline` (monotonic seconds): it will be late."""
        ...


class Callbacks:
    """Hands a callback to the workers and waits for their answer."""

    def __init__(
        self,
        acceptor: Acceptor,
        results: Results,
        *,
        counts: Counts | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._acceptor = acceptor
        self._results = results
        self._counts = counts or Counts()
        self._clock = clock

    async def answer(self, incoming: Incoming, cipher: Cipher, accept_by: float, answer_by: float) -> bytes:
        """The JSON for the HTTP response; both times are monotonic seconds.

        Without a queue it is an error toast. A late answer is replaced by an empty one, which changes nothing on the
        card; the worker that finds itself late brings it another way.
        """
        bot, event_id = incoming.bot, incoming.entry.event_id
        try:
            receipt = await self._acceptor.accept(incoming, accept_by)
        except Unavailable:
            return self.refusal(incoming.bot, incoming.entry.type)
        if receipt.status in ("full", "refused"):
            return self.refusal(incoming.bot, incoming.entry.type)
        result = await self._result(bot, event_id, answer_by)
        counted = self._counts.calls_unanswered if result is None else self._counts.calls_answered
        counted[bot] += 1
        if result is None:
            return NOTHING
        try:
            answer = cipher.open(result, result_aad(event_id))
            if not isinstance(orjson.loads(answer), dict):
                raise ValueError("not a JSON object")
        except (SealBroken, ValueError) as error:
            log.error("answer to a callback unusable", bot=bot, event_id=event_id, error=str(error))
            return NOTHING
        return answer

    def refusal(self, bot: str, event_type: str) -> bytes:
        """What the person sees if the callback could not be taken; a link preview has nowhere to show it."""
        self._counts.calls_unanswered[bot] += 1
        return NOTHING if event_type == "url.preview.get" else NO_QUEUE

    async def _result(self, bot: str, event_id: str, answer_by: float) -> bytes | None:
        try:
            async with asyncio.timeout(answer_by - self._clock.monotonic() + _GIVE_UP_WITHIN):
                return await self._results.wait(bot, event_id, answer_by)
        except (StoreUnavailable, TimeoutError) as error:
            # It was accepted, so a worker will see it: no error toast, which would invite a second click.
            log.warning("no answer to a callback", bot=bot, event_id=event_id, error=str(error))
            return None
