"""One proved step after the other: what a POST to a bot goes through between its body and its answer."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

import orjson

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import HubError, NotVerified, RequestRefused, Unavailable
from app.core.failpoint import failpoint
from app.core.logs import get_logger
from app.feishu.parse import conversation_of, dedup_identity, parse_event
from app.gateway.accept import Acceptor
from app.gateway.admission import Admission
from app.gateway.calls import ANSWER_WITHIN, NOTHING, Callbacks, Opener
from app.gateway.counts import Counts
from app.gateway.verify import Challenge, Signed, Verified, verify
from app.model.bot import BotSpec
from app.model.event import Event
from app.queue.envelope import CALL_PREFIX, Entry, event_aad
from app.queue.work import Incoming

log = get_logger(__name__)

# Every request is answered within 1.5 s of its first byte; the rest is for the way out.
ACCEPT_WITHIN: Final = 1.4
_FULL: Final = "the bot's queue is full, send the event again later"
# A refused request is logged at most so often for a bot and check; what lies between is counted.
_LOG_EVERY: Final = 10.0


class Sealer(Opener, Protocol):
    """A bot's cipher."""

    def seal(self, plain: bytes, identity: bytes) -> bytes:
        """Seal for the record named `identity`."""
        ...


class Ciphers(Protocol):
    """Where the bots' ciphers are; one is made when a bot is first met."""

    def cached(self, bot: str) -> Sealer | None:
        """The bot's cipher, if it is at hand."""
        ...

    async def cipher(self, bot: str) -> Sealer:
        """The bot's cipher, fetched or made; StoreUnavailable or SealBroken."""
        ...


class Webhook:
    """Verify, parse, seal, accept: nothing here waits for a disk, a database or bot code."""

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
        # A line that is not written still costs two microseconds an event.
        self._debugs = log.is_enabled_for(logging.DEBUG)
        self._logged: dict[tuple[str, str], tuple[float, int]] = {}

    async def answer(
        self, spec: BotSpec, signed: Signed, body: bytes, source: str, started: float, request: bytes = b""
    ) -> bytes:
        """The JSON body of a 200, or RequestRefused; `started` is the request's first byte (monotonic seconds).

        `request` is the request's id: the caller reads it in the answer, and the log has it.
        """
        now = self._clock.now()
        try:
            proved = verify(spec, signed, body, now)
        except RequestRefused as error:
            self._note_refusal(spec.id, error, request)
            self._admission.note_refusal(spec.id, source)
            raise
        if isinstance(proved, Challenge):
            self._counts.challenges[spec.id] += 1
            return orjson.dumps({"challenge": proved.value})
        if proved.odd_timestamp:
            self._note_odd_timestamp(spec.id)
        event = parse_event(proved.document, raw=proved.plain)
        cipher = self._ciphers.cached(spec.id) or await self._fetch_cipher(spec.id, started)
        incoming = _incoming(spec, event, proved, cipher, now)
        if self._debugs:
            log.debug("event proved", bot=spec.id, event_id=event.id, type=event.type, request=request.decode())
        if event.is_callback:
            return await self._call(spec, event, incoming, cipher, started)
        self._admission.check_rate(spec)
        receipt = await self._acceptor.accept(incoming, started + ACCEPT_WITHIN)
        failpoint("after_accept")
        self._counts.accept_seconds.observe(self._clock.monotonic() - started)
        if receipt.status == "accepted":
            self._counts.accepted[spec.id] += 1
        elif receipt.status == "duplicate":
            self._counts.duplicates[spec.id] += 1
        else:
            raise Unavailable(_FULL, retry_after=5.0)
        return NOTHING

    async def _call(self, spec: BotSpec, event: Event, incoming: Incoming, cipher: Opener, started: float) -> bytes:
        try:
            self._admission.check_rate(spec)
        except Unavailable:
            return self._callbacks.refusal(spec.id, event.type)
        return await self._callbacks.answer(incoming, cipher, started + ACCEPT_WITHIN, started + ANSWER_WITHIN)

    async def _fetch_cipher(self, bot: str, started: float) -> Sealer:
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


def _incoming(spec: BotSpec, event: Event, proved: Verified, cipher: Sealer, now: float) -> Incoming:
    identity = dedup_identity(event)
    is_call = event.is_callback
    entry = Entry(
        kind="call" if is_call else "event",
        event_id=event.id,
        identity=identity,
        type=event.type,
        # A callback skips the mailboxes and their order: it is a conversation of its own.
        conversation=CALL_PREFIX + event.id if is_call else conversation_of(event, spec.config.conversation),
        chat_id=event.chat_id,
        user_id=event.user_id,
        message_id=event.message_id,
        received=now,
        replay=0,
        sealed=cipher.seal(proved.plain, event_aad(event.id)),
    )
    seen = (event.id,) if identity == event.id else (event.id, identity)
    return Incoming(spec.id, entry, seen, int(spec.config.dedup_ttl), spec.config.message.queue_size)
