"""The registry: all bots of a configuration, the good ones in a snapshot for the data plane, and their faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from app.control.registry.directories import (
    Stamp,
    bot_directories,
    bot_id_of,
    bot_stamps,
    is_one_bot,
    mounted_stamp,
    stamp_of,
)
from app.control.registry.loader import Reading, examine
from app.control.registry.status import BotStatus, judge, log_changes
from app.core.errors import Fault
from app.core.logs import get_logger
from app.model.bot import BotSpec, Credentials

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Scan:
    """One look at the whole configuration; made in a thread, applied on the loop."""

    readings: Mapping[str, Reading] = field(default_factory=dict)
    """Directories that were read; without those unchanged since the last look."""
    stamps: Mapping[str, Stamp] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    """Why the root could not be read; everything then stays as it was."""


class Registry:
    """Implements `Catalog`; `root` is one bot or a directory of many, `env` fills placeholders.

    `credentials`, where given, may supply a bot's credentials by id where its credentials.yaml has no values yet.
    """

    def __init__(
        self,
        root: Path,
        env: Mapping[str, str],
        credentials: Callable[[str], Credentials | None] | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        """`quiet` if another process of the node logs the same changes."""
        self.root = root
        self._env = env
        self._credentials = credentials
        self._single: bool | None = None
        self._bots: Mapping[str, BotSpec] = MappingProxyType({})
        self._statuses: Mapping[str, BotStatus] = MappingProxyType({})
        self._root_faults: tuple[Fault, ...] = ()
        self._readings: dict[str, Reading] = {}
        self._stamps: dict[str, Stamp] = {}
        self._good: dict[str, BotSpec] = {}
        self._listeners: list[Callable[[frozenset[str]], None]] = []
        self._turn = asyncio.Lock()
        self.quiet = quiet

    @property
    def bots(self) -> Mapping[str, BotSpec]:
        """Enabled bots by id; a new mapping whenever anything changes."""
        return self._bots

    @property
    def statuses(self) -> Mapping[str, BotStatus]:
        """Every bot that has a directory, even a broken one; a new mapping whenever anything changes."""
        return self._statuses

    @property
    def readings(self) -> Mapping[str, Reading]:
        """What the last look found in each directory, good or not."""
        return self._readings

    @property
    def root_faults(self) -> tuple[Fault, ...]:
        """Why the configuration directory itself cannot be read; its bots then stay as they were."""
        return self._root_faults

    @property
    def faults(self) -> Mapping[str, tuple[Fault, ...]]:
        """What is wrong, by bot id; bots without faults are left out."""
        return {bot: status.faults for bot, status in self._statuses.items() if status.faults}

    @property
    def single(self) -> bool:
        """Whether `root` is one bot; settled when it is first seen, so that a stray file cannot change it."""
        if self._single is None and self.root.is_dir():
            self._single = is_one_bot(self.root)
        return bool(self._single)

    def subscribe(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Have `listener` called, on the loop, with the ids that were added, changed or removed."""
        self._listeners.append(listener)

    def load(self, *, everything: bool = True) -> frozenset[str]:
        """Read everything (or what changed since the last look) here and now; the ids that changed."""
        return self.apply(self.scan(everything=everything))

    async def reload(self, *, everything: bool = True) -> frozenset[str]:
        """Read everything again (or what changed since the last look) off the loop; the ids that changed."""
        async with self._turn:
            return self.apply(await asyncio.to_thread(self.scan, everything=everything))

    def stamps(self) -> Mapping[str, Stamp]:
        """The present state of all files that matter, to be compared with a later one; blocks on the disk."""
        try:
            if self.single:
                return {bot: self._stamp(bot, directory) for bot, directory in self._directories().items()}
            own = bot_stamps(self.root)
        except OSError as exc:
            return {"": (exc.errno,)}
        return {bot: (stamp, self._mounted(bot)) for bot, stamp in own.items()}

    def scan(self, *, everything: bool) -> Scan:
        """Read directories without changing anything here; blocks on the disk."""
        try:
            directories = self._directories()
        except OSError as exc:
            missing = isinstance(exc, FileNotFoundError)
            problem = "no such directory" if missing else (exc.strerror or "unreadable").lower()
            hint = "make it, or name another with -c DIR" if missing else "name another with -c DIR"
            return Scan(faults=(Fault(str(self.root), "", f"{problem}: {hint}"),))
        readings: dict[str, Reading] = {}
        stamps: dict[str, Stamp] = {}
        for bot, directory in directories.items():
            # Taken before reading, so that the next look sees what changes meanwhile.
            stamps[bot] = self._stamp(bot, directory)
            if everything or self._stamps.get(bot) != stamps[bot]:
                readings[bot], stamps[bot] = self._read(bot, directory)
        return Scan(readings, stamps)

    def _read(self, bot: str, directory: Path) -> tuple[Reading, Stamp]:
        supplied = self._credentials(bot) if self._credentials else None
        known = self._readings.get(bot)
        mounted = known.mounted if known else ()
        while True:
            stamp = stamp_of(directory), mounted_stamp(mounted)
            reading = examine(directory, self._env, supplied)
            # Which further files matter is known only afterwards: a stamp of other files says nothing about these.
            if reading.mounted == mounted:
                return reading, stamp
            mounted = reading.mounted

    def apply(self, scan: Scan) -> frozenset[str]:
        """Put a scan in force and tell the listeners; the ids that were added, changed or removed."""
        if scan.faults != self._root_faults:
            self._root_faults = scan.faults
            for fault in scan.faults:
                log.warning("configuration directory cannot be read", fault=str(fault))
        if scan.faults:
            return frozenset()
        self._stamps = dict(scan.stamps)
        self._readings = {
            bot: scan.readings[bot] if bot in scan.readings else self._readings[bot] for bot in scan.stamps
        }
        before, told = self._bots, self._statuses
        statuses = judge(self._readings, self._good, before)
        self._good = {bot: status.spec for bot, status in statuses.items() if status.spec is not None}
        self._statuses = MappingProxyType(statuses)
        running = {bot: spec for bot, spec in self._good.items() if statuses[bot].state != "disabled"}
        changed = frozenset(
            bot for bot in running.keys() | before.keys() if _revision(running, bot) != _revision(before, bot)
        )
        if changed:
            self._bots = MappingProxyType(running)
        if not self.quiet:
            log_changes(told, statuses)
        if changed:
            self._notify(changed)
        return changed

    def _directories(self) -> Mapping[str, Path]:
        if self.single:
            if not self.root.is_dir():
                raise FileNotFoundError(2, "no such directory", str(self.root))
            return {bot_id_of(self.root): self.root}
        return bot_directories(self.root)

    def _stamp(self, bot: str, directory: Path) -> Stamp:
        return stamp_of(directory), self._mounted(bot)

    def _mounted(self, bot: str) -> Stamp:
        known = self._readings.get(bot)
        return mounted_stamp(known.mounted) if known and known.mounted else ()

    def _notify(self, changed: frozenset[str]) -> None:
        for listener in self._listeners:
            try:
                listener(changed)
            except Exception:
                # One failing listener must not keep the others from hearing.
                log.exception("a listener to configuration changes failed", bots=sorted(changed))


def _revision(bots: Mapping[str, BotSpec], bot: str) -> str | None:
    return bots[bot].revision if bot in bots else None
