"""Fires the schedules of bots: each firing is an event of its own in the queue, once in the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import orjson
from cronsim import CronSim

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import HubError, StoreUnavailable
from app.core.logs import get_logger
from app.queue.envelope import Entry, event_aad
from app.queue.mailbox import Mailbox
from app.queue.work import Incoming
from app.sdk.cron_tick import cron_event
from app.sdk.handler import Handler
from app.storage.keyring import Keyring
from app.worker.outcome import place_of
from app.worker.roster import Resident, Roster

# Schedules are of minutes: looked at once a second, they fire in the first second of theirs.
_LOOK_EVERY: Final = 1.0
# A firing that could not be put into the queue in this time was missed, and is not made up.
_MISSED_AFTER: Final = 30.0

log = get_logger(__name__)


@dataclass(slots=True)
class _Due:
    handler: Handler
    at: float


class Cron:
    """Looks once a second what is due; every worker does, and the queue's dedup makes each firing one."""

    def __init__(self, roster: Roster, mailbox: Mailbox, keyring: Keyring, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._roster = roster
        self._mailbox = mailbox
        self._keyring = keyring
        self._clock = clock
        self._due: dict[str, tuple[Resident, list[_Due]]] = {}

    async def run(self) -> None:
        """Until cancelled; outlives every outage."""
        while True:
            try:
                await self.fire_due()
            except HubError as error:
                log.warning("schedules not fired", error=str(error))
            except Exception as error:
                log.error("schedules not fired, this is a fault of the hub", place=place_of(error))
            await self._clock.sleep(_LOOK_EVERY)

    async def fire_due(self) -> None:
        """Fire what has become due since the last look; what was due before the first is past."""
        now = self._clock.now()
        for resident in self._roster.everyone():
            known = self._due.get(resident.spec.id)
            if known is None or known[0] is not resident:
                # A changed directory must not lose what is due at this moment.
                before = {_plan(due.handler): due.at for due in known[1]} if known is not None else {}
                dues = [_Due(one, before.get(_plan(one)) or _next(one, now)) for one in resident.bot.crons]
                known = self._due[resident.spec.id] = (resident, dues)
            for due in known[1]:
                if due.at <= now:
                    try:
                        if now - due.at <= _MISSED_AFTER:
                            await self._fire(resident, due.handler, due.at)
                    except StoreUnavailable as error:
                        log.warning(
                            "schedule not fired yet",
                            bot=resident.spec.id,
                            schedule=due.handler.name,
                            error=str(error),
                        )
                        continue  # the next look tries again
                    due.at = _next(due.handler, now)

    async def _fire(self, resident: Resident, handler: Handler, at: float) -> None:
        spec = resident.spec
        event = cron_event(spec.id, spec.credentials.app_id, handler.name, at, tz=handler.tz)
        header = {
            "event_id": event.id,
            "event_type": event.type,
            "create_time": str(int(at)),
            "app_id": event.app_id,
        }
        plain = orjson.dumps({"schema": "2.0", "header": header, "event": event.body})
        cipher = self._keyring.cached(spec.id) or await self._keyring.cipher(spec.id)
        entry = Entry(
            kind="event",
            event_id=event.id,
            identity=event.id,
            type=event.type,
            conversation=f"cron:{handler.name}",
            chat_id="",
            user_id="",
            message_id="",
            received=self._clock.now(),
            replay=0,
            sealed=cipher.seal(plain, event_aad(event.id)),
        )
        config = spec.config
        # All workers come here; the dedup mark lets one through, in the same step that puts the event into the queue.
        (receipt,) = await self._mailbox.accept(
            [Incoming(spec.id, entry, (event.id,), int(config.dedup_ttl), config.message.queue_size)]
        )
        if isinstance(receipt, StoreUnavailable):
            raise receipt
        if receipt.status == "accepted":
            log.info("schedule fired", bot=spec.id, schedule=handler.name, at=int(at))
        elif receipt.status == "full":
            log.warning("schedule not fired, the bot's queue is full", bot=spec.id, schedule=handler.name)


def _plan(handler: Handler) -> tuple[str, str, str]:
    return handler.name, handler.expr, handler.tz


def _next(handler: Handler, after: float) -> float:
    """The next time that is due, in seconds since the epoch; never, for one that has no further time."""
    moment = datetime.fromtimestamp(after, ZoneInfo(handler.tz))
    found = next(CronSim(handler.expr, moment), None)
    return found.timestamp() if found is not None else float("inf")
