"""What a worker process is made of: built by assembly after the fork."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from app.channel.outbox import Outbox
from app.channel.sender import Sender
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.model.catalog import Catalog
from app.queue.calls import Calls
from app.queue.ledger import Ledgers
from app.queue.mailbox import Mailbox
from app.queue.tasks import Tasks
from app.queue.timetable import Timetable
from app.sdk.bot import Bot
from app.storage.cache import CacheTiers
from app.storage.keyring import Keyring
from app.worker.dial import Dials
from app.worker.roster import Handlers


@dataclass(frozen=True, slots=True)
class Parts:
    """What assembly builds for a worker, after the fork."""

    link: RedisLink
    keys: Keys
    mailbox: Mailbox
    ledgers: Ledgers
    outbox: Outbox
    timetable: Timetable
    calls: Calls
    tasks: Tasks
    cache: CacheTiers
    keyring: Keyring
    sender: Sender
    catalog: Catalog
    look: Callable[[], Coroutine[Any, Any, object]]
    """Reads what has changed in the catalog."""
    handlers: Handlers
    dials: Dials
    open_heartbeat: Callable[[], Any]
    """Makes the synchronous redis client of the heartbeat thread."""
    drain_timeout: float = 25.0
    own: Bot[Any] | None = None
    """The hub's own handlers, which come before those of every bot."""
    clock: Clock = SYSTEM_CLOCK
