"""The state of each bot: judged by what its directory holds, and logged when it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.control.registry.loader import Reading
from app.core.errors import Fault
from app.core.logs import get_logger
from app.model.bot import BotSpec

State = Literal["ready", "disabled", "outdated", "broken", "missing credentials"]

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BotStatus:
    """The state of one bot.

    `ready` runs as its directory says; `outdated` has faults and runs its last good version; `broken` and `missing
    credentials` do not run; `disabled` is not meant to.
    """

    id: str
    state: State
    directory: Path
    spec: BotSpec | None
    """The version in force; for a disabled bot the one that would be."""
    faults: tuple[Fault, ...] = ()
    warnings: tuple[str, ...] = ()


def judge(
    readings: Mapping[str, Reading], good: Mapping[str, BotSpec], running: Mapping[str, BotSpec]
) -> dict[str, BotStatus]:
    """Each bot's state from what its directory holds, what ran before, and who else uses its app.

    `good` are the last good versions, disabled ones too, `running` the bots in force.
    """
    holders = _holders(readings, good, running)
    statuses: dict[str, BotStatus] = {}
    for bot, reading in sorted(readings.items()):
        spec, last = reading.spec, good.get(bot)
        faults = reading.faults
        if spec is not None and spec.config.enabled and (holder := holders.get(spec.credentials.app_id, bot)) != bot:
            faults = (_shared(reading, holder), *faults)
            spec = None
        if last is not None and holders.get(last.credentials.app_id, bot) != bot:
            last = None
        state: State
        if spec is not None:
            state = "ready" if spec.config.enabled else "disabled"
        elif last is not None and last.config.enabled:
            state = "outdated"
        else:
            state, last = "missing credentials" if reading.unfilled else "broken", None
        statuses[bot] = BotStatus(bot, state, reading.directory, spec or last, faults, reading.warnings)
    return statuses


def _holders(
    readings: Mapping[str, Reading], good: Mapping[str, BotSpec], running: Mapping[str, BotSpec]
) -> dict[str, str]:
    """Which bot has each app id: one that runs with it already, or the first by name."""
    holders: dict[str, str] = {}
    wanted = {bot: reading.spec or good.get(bot) for bot, reading in sorted(readings.items())}
    for keeps in (True, False):
        for bot, spec in wanted.items():
            if spec is None or not spec.config.enabled:
                continue
            app_id = spec.credentials.app_id
            last = running.get(bot)
            if (last is not None and last.credentials.app_id == app_id) is keeps:
                holders.setdefault(app_id, bot)
    return holders


def _shared(reading: Reading, holder: str) -> Fault:
    file = str(reading.directory / "credentials.yaml")
    return Fault(file, "app_id", f"is the app of bot {holder} already: one app is one bot, remove one of the two")


def log_changes(before: Mapping[str, BotStatus], after: Mapping[str, BotStatus]) -> None:
    """Log what changed, with every fault: whoever adds a directory has nothing else to look at."""
    for bot in sorted(before.keys() - after.keys()):
        log.info("bot removed", bot=bot)
    for bot, status in after.items():
        if bot in before and _essence(before[bot]) == _essence(status):
            continue
        problems = [str(fault) for fault in status.faults]
        if problems:
            log.warning("bot has faults", bot=bot, state=status.state, faults=problems)
        else:
            log.info("bot loaded", bot=bot, state=status.state, revision=status.spec and status.spec.revision)
        for warning in status.warnings:
            log.warning("bot has a weak point", bot=bot, warning=warning)


def _essence(status: BotStatus) -> tuple[object, ...]:
    return status.state, status.faults, status.spec and status.spec.revision
