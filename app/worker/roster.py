"""The bots that this worker serves, each with its handlers, its settings and its own name at Feishu."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from pydantic import BaseModel, ValidationError
from structlog.typing import FilteringBoundLogger

from app.channel.sender import Sender
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.logs import get_logger
from app.model.bot import BotSpec
from app.model.catalog import Catalog
from app.sdk.bot import Bot
from app.sdk.me import Me
from app.sdk.schedules import Scheduled, scheduled, unknown_handlers
from app.worker.lane import Lane
from app.worker.outcome import place_of

_NEXT: Final = {True: "the bot's mail waits", False: "the last good version stays in force"}

log = get_logger(__name__)


class Handlers(Protocol):
    """Where bot code comes from; None for a bot without code, or whose code cannot be imported."""

    def get(self, bot_id: str) -> Bot[Any] | None: ...

    def faults(self) -> dict[str, str]:
        """Why bots have no code, by bot."""
        ...

    async def ready(self, bots: Sequence[str], patience: float) -> None:
        """Load the code of these bots, as far as possible within `patience` seconds."""
        ...


@dataclass(slots=True)
class Resident:
    """One bot as it lives in this worker, until its directory or its code changes."""

    spec: BotSpec
    bot: Bot[Any]
    settings: BaseModel
    log: FilteringBoundLogger
    started: bool = False
    """Whether its on_start hooks ran here."""
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    me: Me | None = None
    schedules: Mapping[str, Scheduled] = field(default_factory=dict)


class Roster:
    """Knows which bots this worker serves."""

    def __init__(
        self,
        lane: Lane,
        catalog: Catalog,
        handlers: Handlers,
        sender: Sender,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._kind = lane.kind
        self._apart = frozenset(lane.bots)
        self._catalog = catalog
        self._handlers = handlers
        self._sender = sender
        self._clock = clock
        self._residents: dict[str, Resident] = {}
        self._faulty: dict[str, tuple[str, Bot[Any], str]] = {}

    def keep_apart(self, bots: Iterable[str]) -> None:
        """Take the node's list of bots that only the quarantine lane serves."""
        self._apart = frozenset(bots)

    def mine(self) -> list[str]:
        """The bots of the catalog that this worker serves: no other's code may end it, not even by its import."""
        bots = self._catalog.bots
        if self._kind == "solo":
            return list(bots)
        return [bot for bot in bots if (bot in self._apart) is (self._kind == "quarantine")]

    def place_of(self, bot: str) -> Literal["here", "elsewhere", "nowhere"]:
        """Where a bot is served on this node: here, in its quarantine lane, or by no process."""
        if self._kind == "shared" and bot in self._apart:
            return "elsewhere"
        if self._kind == "quarantine" and bot not in self._apart:
            return "nowhere"
        return "here" if self.find(bot) is not None else "nowhere"

    def find(self, bot: str) -> Resident | None:
        """The bot, whichever lane serves it; None if its configuration or handlers are missing."""
        spec = self._catalog.bots.get(bot)
        resident = self._residents.get(bot)
        if resident is not None and resident.spec is spec:
            return resident
        code = self._handlers.get(bot) if spec is not None else None
        if spec is None or code is None:
            return None
        return self._settle(spec, code)

    def least_workers(self) -> int:
        """The smallest number of slots that a bot has on a node."""
        return min((spec.config.server.workers for spec in self._catalog.bots.values()), default=1)

    def faults(self) -> dict[str, str]:
        """Why bots of the catalog are not served here, or not in the version of their directories; by bot."""
        self.everyone()
        found = self._handlers.faults()
        for bot, (revision, _, fault) in self._faulty.items():
            spec = self._catalog.bots.get(bot)
            if spec is not None and spec.revision == revision:
                found[bot] = fault
        return found

    def residents(self) -> list[Resident]:
        """Every bot that was found here so far."""
        return list(self._residents.values())

    def everyone(self) -> list[Resident]:
        """Every bot of this worker whose handlers are here."""
        found = (self.find(bot) for bot in self.mine())
        return [resident for resident in found if resident is not None]

    async def me(self, resident: Resident) -> Me:
        """Who the bot is, asked of Feishu once; raises FeishuError if Feishu does not say."""
        if resident.me is None:
            info = await self._sender.bot_info(resident.spec)
            resident.me = Me(info.open_id, resident.spec.config.owners, info.name)
        return resident.me

    def _settle(self, spec: BotSpec, code: Bot[Any]) -> Resident | None:
        before = self._residents.get(spec.id)
        # Stays in force after a broken change; a worker that never saw a good version has none.
        last_good = before if before is not None and before.bot is code else None
        if self._faulty.get(spec.id, ())[:2] == (spec.revision, code):
            return last_good
        try:
            settings = code.read_settings(spec.config.settings)
        except ValidationError as error:
            # Once for each revision: the loader has told the operator the details, and this is the worker's view.
            keys = [".".join(str(part) for part in fault["loc"]) for fault in error.errors()]
            said = f"config.yaml: settings: do not fit the handler: {', '.join(keys)}"
            self._faulty[spec.id] = (spec.revision, code, said)
            log.error("settings do not fit the handler", bot=spec.id, settings=keys, next=_NEXT[last_good is None])
            return last_good
        except Exception as error:
            # An author's validator may raise anything, and the caller works for all bots.
            place = place_of(error)
            self._faulty[spec.id] = (spec.revision, code, f"config.yaml: settings: could not be checked: {place}")
            log.error("settings could not be checked", bot=spec.id, place=place, next=_NEXT[last_good is None])
            return last_good
        for number, wrong in unknown_handlers(code, spec.config.schedules):
            said = f"config.yaml: schedules.{number}: {wrong}"
            self._faulty[spec.id] = (spec.revision, code, said)
            log.error("a schedule starts nothing", bot=spec.id, fault=said, next=_NEXT[last_good is None])
            return last_good
        resident = Resident(
            spec,
            code,
            settings,
            get_logger("bot").bind(bot=spec.id),
            schedules=scheduled(code, spec.config.schedules),
        )
        if last_good is not None:
            resident.started = last_good.started
        self._residents[spec.id] = resident
        return resident
