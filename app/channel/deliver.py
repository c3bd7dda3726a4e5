"""Sends the messages of one chat, in order: each is sent, failed with a reason, or tried again later."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final

from app.channel.outbox import Outbox
from app.channel.sender import Sender
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import (
    AppRefused,
    FeishuError,
    FeishuLimited,
    Fenced,
    HubError,
    ScopeMissing,
    SlotTimeout,
    StoreUnavailable,
)
from app.core.logs import get_logger
from app.model.bot import BotSpec
from app.model.outbound import SendName
from app.queue.kept import kept
from app.queue.outbox import MessageRecord, Settled
from app.queue.work import Work

CREATE: Final = "im.message.create"
_FIRST_BACKOFF: Final = 1.0
_LONGEST_BACKOFF: Final = 60.0
_STORE_PAUSE: Final = 0.5
# Only a call can tell whether a scope was granted: each counts among the month's.
_ASKED_AGAIN: Final = 60.0

log = get_logger(__name__)


class Delivery:
    """Sends what was taken from the outbox."""

    def __init__(
        self,
        outbox: Outbox,
        sender: Sender,
        *,
        keep_trying: float,
        clock: Clock = SYSTEM_CLOCK,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`keep_trying`: seconds for which a message that Feishu does not take may hold up its chat."""
        self._outbox = outbox
        self._mailbox = outbox.queue.mailbox
        self._sender = sender
        self._keep_trying = keep_trying
        self._clock = clock
        self._chance = chance
        self._lacking: dict[tuple[str, str, str], tuple[float, str]] = {}
        """Until when (monotonic) a bot's messages to a kind of receiver, of a type, are not tried, and why."""

    async def one(self, work: Work, spec: BotSpec, patience: float, go_on: bool) -> Work | None:
        """Send one message; returns the next of its chat, if it shall `go_on`, or None when the chat was let go.

        `patience` is how long it may wait for its send slot, in seconds. Raises Fenced; SlotTimeout if no message of
        the app would find a slot; FeishuLimited if the month's calls are used up; AppRefused if Feishu takes nothing
        from the app.
        """
        record = self._outbox.queue.record(work)
        try:
            await self._send(work, spec, record, patience)
        except SlotTimeout as error:
            if error.whole_app:
                await kept(lambda: self._mailbox.release(work), self._clock)
                raise
            await self._park(work, error.retry_after or 0.0)
            return None
        except StoreUnavailable:
            await self._clock.sleep(_STORE_PAUSE)
            await kept(lambda: self._mailbox.release(work), self._clock)
            return None
        except Fenced:
            raise
        except Settled:
            pass  # by an earlier attempt, or because it was cancelled
        except Exception as error:
            if isinstance(error, AppRefused) or (isinstance(error, FeishuLimited) and error.bound == "quota"):
                # Kept, however long it takes: a secret gets corrected, the month ends, and the message is not at fault.
                await kept(lambda: self._mailbox.release(work), self._clock)
                raise
            if isinstance(error, ScopeMissing):
                # Kept, however long, with those behind it in its chat: all others have their scopes.
                reason = str(error)
                await kept(lambda: record.wait(reason), self._clock)
                await kept(lambda: self._mailbox.wait(work, _ASKED_AGAIN), self._clock)
                return None
            # A fault of the hub's own, which nobody foresaw, must not hold up the chat for ever either.
            known = error if isinstance(error, HubError) else HubError(type(error).__name__, retryable=True)
            if known.retryable and work.held < self._keep_trying:
                log.warning("message is tried again", bot=work.bot, message=work.entry.event_id, error=_name(error))
                await self._park(work, max(known.retry_after or 0.0, self._backoff(work)))
                return None
            log.error("message failed", bot=work.bot, message=work.entry.event_id, error=_name(error))
            await kept(lambda: record.fail(str(known)), self._clock)
        return await kept(lambda: self._mailbox.delete(work, go_on=go_on), self._clock)

    async def _send(self, work: Work, spec: BotSpec, record: MessageRecord, patience: float) -> None:
        letter = await self._outbox.open(work)
        name = SendName(work.bot, work.entry.event_id, 0, CREATE, letter.message.target.id, 1)
        # What scopes a message needs goes by these.
        call = (work.bot, letter.message.target.kind, letter.message.msg_type)
        if (lack := self._lack(call)) is not None:
            raise ScopeMissing(lack)
        try:
            sent = await self._sender.send(
                spec, letter.message, name, record, slot_within=patience, priority=letter.priority
            )
        except ScopeMissing as error:
            if self._lack(call) is None:
                _, receivers, kind = call
                log.error(
                    "messages wait, the app lacks a scope",
                    bot=work.bot,
                    receivers=receivers,
                    type=kind,
                    scopes=list(error.scopes),
                )
            self._lacking[call] = (self._clock.monotonic() + _ASKED_AGAIN, str(error))
            raise
        if not record.recorded:
            # It was sent, and Redis was away when that should have been noted.
            await kept(lambda: record.record(name, sent.message_id), self._clock)

    def _lack(self, call: tuple[str, str, str]) -> str | None:
        until, reason = self._lacking.get(call, (-math.inf, ""))
        return reason if self._clock.monotonic() < until else None

    async def _park(self, work: Work, delay: float) -> None:
        """Make the chat wait, so that another takes the slot; its messages stay in order."""
        await kept(lambda: self._mailbox.retry(work, delay), self._clock)

    def _backoff(self, work: Work) -> float:
        return min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(work.failures, 10)) * (0.75 + self._chance() / 2)


def _name(error: Exception) -> str:
    """An error's class, and Feishu's code: its text is in the message's state, for those who may read that."""
    return f"{type(error).__name__} {error.code}" if isinstance(error, FeishuError) else type(error).__name__
