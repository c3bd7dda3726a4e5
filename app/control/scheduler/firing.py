"""Fires what is due: schedules and reminders become events of their bots, once each, in the whole cluster."""

from __future__ import annotations

from typing import Final

import orjson

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import HubError, StoreUnavailable
from app.core.failpoint import failpoint
from app.core.logs import get_logger
from app.core.metrics import FIRINGS
from app.model.bot import BotSpec
from app.model.catalog import Catalog
from app.model.schedule import Schedule
from app.queue.envelope import Entry
from app.queue.mailbox import Mailbox
from app.queue.timetable import PAUSED, Timer, Timetable, Turn
from app.queue.work import Incoming, Receipt
from app.sdk.cron_tick import cron_document, cron_event
from app.storage.cipher import record_identity
from app.storage.keyring import Keyring

# Seconds after which a firing that could not be queued was missed; its schedule says what happens then.
MISSED_AFTER: Final = 30.0
# Timers of a bot that are queued together.
_BATCH: Final = 100
# Anybody may set a timer at any moment: the index is asked at least this often.
_LOOK_EVERY: Final = 0.5
_SOONEST: Final = 0.02
_MEND_EVERY: Final = 60.0
# How long a firing is remembered, in seconds: longer than any node can be behind.
_REMEMBERED: Final = 12 * 3600
# A bot whose queue is full is tried again after this long.
_FULL_REST: Final = 1.0

log = get_logger(__name__)


class Firing:
    """One node's part: the node with the turn fires, and if two do, the queue's dedup makes it one."""

    def __init__(
        self,
        timetable: Timetable,
        mailbox: Mailbox,
        keyring: Keyring,
        catalog: Catalog,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._timetable = timetable
        self._mailbox = mailbox
        self._keyring = keyring
        self._catalog = catalog
        self._clock = clock
        self._mend_at = 0.0

    async def run(self) -> None:
        """Run until cancelled; outlives every outage."""
        away = False
        while True:
            rest = _LOOK_EVERY
            try:
                rest = await self.fire_due()
                away = False
            except StoreUnavailable as error:
                if not away:
                    log.warning("schedules wait, Redis is away", error=str(error))
                away = True
            except Exception as error:
                # Without this task nothing would ever be due again.
                log.error("schedules not fired, this is a fault of the hub", error=type(error).__name__)
            await self._clock.sleep(rest)

    async def fire_due(self) -> float:
        """Fire what is due; returns the seconds until something may be due again."""
        if self._clock.monotonic() >= self._mend_at:
            await self._timetable.mend(list(self._catalog.bots))
            self._mend_at = self._clock.monotonic() + _MEND_EVERY
        turn = await self._timetable.claim()
        for bot in turn.bots:
            # A bot that this node lacks is another's, or nobody's until it is back; its turn ends by itself.
            if (spec := self._catalog.bots.get(bot)) is not None:
                try:
                    await self._fire_bot(spec, turn)
                except StoreUnavailable:
                    raise
                except Exception as error:
                    # A data key that does not open, a newer hub's entry, damage: the other bots' time goes on.
                    reason = str(error) if isinstance(error, HubError) else type(error).__name__
                    log.error("schedules of a bot wait", bot=bot, reason=reason)
        if turn.bots or turn.first is None:
            return _SOONEST if turn.bots else _LOOK_EVERY
        return min(_LOOK_EVERY, max(_SOONEST, turn.first - turn.now))

    async def _fire_bot(self, spec: BotSpec, turn: Turn) -> None:
        while True:
            now, timers = await self._timetable.due(spec.id, _BATCH)
            ended = await self._fire(spec, timers, now) if timers else []
            await self._timetable.settle(spec.id, *((timer, _next(timer, now)) for timer in ended))
            if len(timers) < _BATCH or len(ended) < len(timers):
                break
        full = len(ended) < len(timers)
        await self._timetable.free(turn, spec.id, not_before=now + _FULL_REST if full else 0.0)

    async def _fire(self, spec: BotSpec, timers: list[Timer], now: float) -> list[Timer]:
        """Queue the firings; returns the timers that are done, whoever fired them."""
        ended: list[Timer] = []
        firing: list[tuple[Timer, Entry]] = []
        for timer in timers:
            if timer.schedule is not None and _skipped(timer.schedule, timer.due, now):
                FIRINGS.labels(spec.id, "missed").inc()
                log.warning("a firing was missed and is skipped", bot=spec.id, schedule=timer.schedule.name)
                ended.append(timer)
            elif timer.schedule is not None:
                firing.append((timer, await self.entry(spec, timer.schedule, timer.due, now)))
            elif timer.reminder is not None:
                firing.append((timer, timer.reminder._replace(received=now)))
            else:
                ended.append(timer)  # its schedule was removed
        failpoint("before_fire")
        config = spec.config
        remembered = max(int(config.dedup_ttl), _REMEMBERED)
        receipts = await self._mailbox.accept(
            [Incoming(spec.id, entry, (entry.event_id,), remembered, config.message.queue_size) for _, entry in firing]
        )
        failpoint("after_fire")
        for (timer, entry), receipt in zip(firing, receipts, strict=True):
            status = receipt.status if isinstance(receipt, Receipt) else "away"
            if status in ("accepted", "duplicate"):
                ended.append(timer)
            if status != "duplicate":
                FIRINGS.labels(spec.id, "fired" if status == "accepted" else status).inc()
                log.info("timer is due", bot=spec.id, event_id=entry.event_id, outcome=status)
        return ended

    async def entry(self, spec: BotSpec, schedule: Schedule, due: float, now: float, *, id: str = "") -> Entry:
        """The event of a firing, sealed; `id` if it is not the due time's."""
        # The event's id has the time in Redis, on which all nodes agree; its content has the last time missed.
        at = due if now - due <= MISSED_AFTER else schedule.last_until(now) or due
        event = cron_event(
            spec.id,
            spec.credentials.app_id,
            schedule.name,
            at,
            tz=schedule.tz,
            chat_id=schedule.chat,
            id=id or f"cron:{spec.id}:{schedule.name}:{round(due)}",
        )
        plain = orjson.dumps(cron_document(event))
        cipher = await self._keyring.cipher(spec.id)
        return Entry(
            kind="event",
            event_id=event.id,
            identity=event.id,
            type=event.type,
            conversation=f"cron:{schedule.name}",
            chat_id=schedule.chat,
            user_id="",
            message_id="",
            received=now,
            replay=0,
            sealed=cipher.seal(plain, record_identity(event.id)),
        )

    async def run_now(self, spec: BotSpec, name: str) -> bool:
        """Fire a schedule out of turn; False if there is none of that name. HubError if the queue is full."""
        schedule = await self._timetable.show(spec.id, name)
        if schedule is None:
            return False
        now = await self._timetable.now(spec.id)
        entry = await self.entry(spec, schedule, now, now, id=f"cron:{spec.id}:{name}:run:{now}")
        config = spec.config
        incoming = Incoming(spec.id, entry, (entry.event_id,), int(config.dedup_ttl), config.message.queue_size)
        [receipt] = await self._mailbox.accept([incoming])
        if isinstance(receipt, StoreUnavailable):
            raise receipt
        if receipt.status == "full":
            raise HubError(f"the queue of bot {spec.id} is full: see what its handler waits for")
        return True


def _skipped(schedule: Schedule, due: float, now: float) -> bool:
    return schedule.missed == "skip" and now - due > MISSED_AFTER


def _next(timer: Timer, now: float) -> float | None:
    """When it is due next: what is not missed yet is fired too, unless one firing has made up for all."""
    if timer.schedule is None:
        return None
    made_up = timer.schedule.missed == "once" and now - timer.due > MISSED_AFTER
    return timer.schedule.next_after(now if made_up else max(timer.due, now - MISSED_AFTER)) or PAUSED
