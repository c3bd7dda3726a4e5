"""What a POST to a bot goes through between its body and its answer, step by step."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

import orjson

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import HubError, NotVerified, RequestRefused, Unavailable
from app.core.failpoint import failpoint
from app.core.logs import get_logger
from app.feishu.parse import conversation_of, dedup_identity, parse_event
from app.gateway.accept import Acceptor
from app.gateway.admission import Admission
from app.gateway.calls import ANSWER_WITHIN, NOTHING, Callbacks
from app.gateway.counts import Counts
from app.gateway.head import Head
from app.gateway.verify import Challenge, verify
from app.model.bot import BotSpec
from app.model.event import Event
from app.queue.envelope import CALL_PREFIX, Entry
from app.queue.work import Incoming, Receipt
from app.storage.cipher import Cipher, record_identity

log = get_logger(__name__)

# Every request is answered within 1.5 s of its first byte; the difference is for the way out.
ACCEPT_WITHIN: Final = 1.4
_FULL: Final = "the bot's queue is full, send the event again later"
_REFUSED: Final = "the event cannot be kept safe as things are, send it again later"
# Refused requests are logged at most this often for a bot and check; those in between are counted.
_LOG_EVERY: Final = 10.0

Outcome: TypeAlias = bytes | Exception
"""What became of a POST: the JSON for a 200, or why there is none."""
Tell = Callable[[Outcome], None]


class Ciphers(Protocol):
    """The bots' ciphers; one is made when a bot is first met."""

    def cached(self, bot: str) -> Cipher | None:
        """The bot's cipher, if it is at hand."""
        ...

    async def cipher(self, bot: str) -> Cipher:
        """The bot's cipher, fetched or made; StoreUnavailable or SealBroken."""
        ...


class Webhook:
    """Verifies, parses, seals, accepts: nothing here waits for a disk, a database or bot code."""

    def __init__(
        self,
        admission: Admission,
        ciphers: Ciphers,
        acceptor: Acceptor,
        callbacks: Callbacks,
        *,
        counts: Counts | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._admission = admission
        self._ciphers = ciphers
        self._acceptor = acceptor
        self._callbacks = callbacks
        self._counts = counts or Counts()
        self._clock = clock
        self._warned: set[str] = set()
        # Even a line that is not written costs two microseconds an event.
        self._debugs = log.is_enabled_for(logging.DEBUG)
        self._logged: dict[tuple[str, str], tuple[float, int]] = {}
        self._waiting: set[asyncio.Task[bytes]] = set()

    def begin(self, spec: BotSpec, head: Head, body: bytes, tell: Tell) -> None:
        """Take a POST as far as it goes without waiting; calls `tell` once, now or later, with what became of it."""
        try:
            step = self._step(spec, head, body)
        except Exception as error:
            return tell(error)
        if isinstance(step, Incoming):
            done = partial(self._tell_receipt, spec.id, head, tell)
            self._acceptor.submit(step, head.started + ACCEPT_WITHIN, done)
        elif isinstance(step, bytes):
            tell(step)
        else:
            task = asyncio.create_task(step)
            self._waiting.add(task)
            task.add_done_callback(partial(self._tell_result, tell))

    def _step(self, spec: BotSpec, head: Head, body: bytes) -> Incoming | bytes | Coroutine[Any, Any, bytes]:
        """The event to accept, or an answer, or a coroutine that waits for one."""
        now = self._clock.now()
        try:
            proved = verify(spec, head.signed(), body, now)
        except RequestRefused as error:
            self._note_refusal(spec.id, error, head.id)
            self._admission.note_refusal(spec.id, self._admission.source(head.peer, head.forwarded))
            raise
        if isinstance(proved, Challenge):
            return orjson.dumps({"challenge": proved.value})
        if proved.odd_timestamp:
            self._note_odd_timestamp(spec.id)
        event = parse_event(proved.document, raw=proved.plain)
        if self._debugs:
            log.debug("event proved", bot=spec.id, event_id=event.id, type=event.type, request=head.id.decode())
        cipher = self._ciphers.cached(spec.id)
        if cipher is None or event.is_callback:
            return self._wait(spec, event, proved.plain, cipher, now, head.started)
        self._admission.check_rate(spec)
        return _incoming(spec, event, proved.plain, cipher, now)

    async def _wait(
        self, spec: BotSpec, event: Event, plain: bytes, cipher: Cipher | None, now: float, started: float
    ) -> bytes:
        """The rest of the way if it has to wait: without the bot's cipher, and for a callback."""
        if cipher is None:
            cipher = await self._fetch_cipher(spec.id, started)
        incoming = _incoming(spec, event, plain, cipher, now)
        if event.is_callback:
            return await self._call(spec, incoming, cipher, started)
        self._admission.check_rate(spec)
        return self._kept(spec.id, started, await self._acceptor.accept(incoming, started + ACCEPT_WITHIN))

    def _kept(self, bot: str, started: float, receipt: Receipt) -> bytes:
        """The answer to an event that is in Redis or the spool, or whose bot has too many."""
        failpoint("after_accept")
        self._counts.accept_seconds.observe(self._clock.monotonic() - started)
        if receipt.status == "accepted":
            self._counts.accepted[bot] += 1
        elif receipt.status == "duplicate":
            self._counts.duplicates[bot] += 1
        else:
            raise Unavailable(_FULL if receipt.status == "full" else _REFUSED, retry_after=5.0)
        return NOTHING

    def _tell_receipt(self, bot: str, head: Head, tell: Tell, receipt: Receipt | Unavailable) -> None:
        outcome: Outcome
        try:
            outcome = receipt if isinstance(receipt, Unavailable) else self._kept(bot, head.started, receipt)
        except Unavailable as error:
            outcome = error
        tell(outcome)

    def _tell_result(self, tell: Tell, task: asyncio.Task[bytes]) -> None:
        self._waiting.discard(task)
        if not task.cancelled():
            error = task.exception()
            tell(error if isinstance(error, Exception) else task.result())

    async def _call(self, spec: BotSpec, incoming: Incoming, cipher: Cipher, started: float) -> bytes:
        try:
            self._admission.check_rate(spec)
        except Unavailable:
            return self._callbacks.refusal(spec.id, incoming.entry.type)
        return await self._callbacks.answer(incoming, cipher, started + ACCEPT_WITHIN, started + ANSWER_WITHIN)

    async def _fetch_cipher(self, bot: str, started: float) -> Cipher:
        try:
            async with asyncio.timeout(started + ACCEPT_WITHIN - self._clock.monotonic()):
                return await self._ciphers.cipher(bot)
        except (HubError, TimeoutError) as error:
            log.warning("no data key for a bot", bot=bot, error=str(error))
            raise Unavailable("the event cannot be kept safe now, send it again later", retry_after=5.0) from error

    def _note_refusal(self, bot: str, error: RequestRefused, request: bytes) -> None:
        check = error.check if isinstance(error, NotVerified) else ""
        now = self._clock.monotonic()
        last, quiet = self._logged.get((bot, check), (-_LOG_EVERY, 0))
        if now - last < _LOG_EVERY:
            self._logged[bot, check] = (last, quiet + 1)
            return
        self._logged[bot, check] = (now, 0)
        log.warning("request refused", bot=bot, code=error.code, check=check, request=request.decode(), before=quiet)

    def _note_odd_timestamp(self, bot: str) -> None:
        self._counts.odd_timestamps[bot] += 1
        if bot not in self._warned:
            self._warned.add(bot)
            log.warning("signed timestamps are no numbers, their age is not checked", bot=bot)


def _incoming(spec: BotSpec, event: Event, plain: bytes, cipher: Cipher, now: float) -> Incoming:
    identity = dedup_identity(event)
    is_call = event.is_callback
    entry = Entry(
        kind="call" if is_call else "event",
        event_id=event.id,
        identity=identity,
        type=event.type,
        # A callback skips the mailboxes and their order: it has a conversation of its own.
        conversation=CALL_PREFIX + event.id if is_call else conversation_of(event, spec.config.conversation),
        chat_id=event.chat_id,
        user_id=event.user_id,
        message_id=event.message_id,
        received=now,
        replay=0,
        sealed=cipher.seal(plain, record_identity(event.id)),
    )
    seen = (event.id,) if identity == event.id else (event.id, identity)
    return Incoming(spec.id, entry, seen, int(spec.config.dedup_ttl), spec.config.message.queue_size)
