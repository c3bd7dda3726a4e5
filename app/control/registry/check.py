"""Checks everything that can be checked without running: directories, handlers, and settings against handlers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from app.control.registry.modules import (
    HandlerModule,
    check_schedules,
    check_settings,
    handler_directories,
    load_handler,
    unload,
)
from app.control.registry.snapshot import Registry
from app.core.errors import ConfigError, Fault
from app.core.redis import connect
from app.core.settings import Settings
from app.model.bot import Credentials


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found."""

    bots: frozenset[str]
    faults: tuple[Fault, ...]
    warnings: tuple[str, ...]


def check_all(registry: Registry, handlers: Path | None, names: frozenset[str]) -> Report:
    """Every fault of the named bots of a loaded registry; imports their handlers, so authors' code runs."""
    faults = list(registry.root_faults)
    warnings: list[str] = []
    loaded: dict[str, HandlerModule | ConfigError] = {}
    directories = handler_directories(handlers)
    for bot in sorted(names):
        status, reading = registry.statuses[bot], registry.readings[bot]
        faults += status.faults
        warnings += status.warnings
        name = reading.handler
        if name is None:
            continue
        if name not in loaded:
            try:
                loaded[name] = load_handler(name, directories)
            except ConfigError as exc:
                loaded[name] = exc
                faults += exc.faults
        handler = loaded[name]
        if isinstance(handler, HandlerModule) and reading.config is not None:
            # Values that could not be read are faults already.
            unresolved = any(fault.key.startswith("settings") for fault in status.faults)
            faults += [] if unresolved else check_settings(handler, reading.config.settings, reading.directory)[1]
            faults += check_schedules(handler, reading.config.schedules, reading.directory)
    for handler in loaded.values():
        if isinstance(handler, HandlerModule):
            unload(handler)
    return Report(names, tuple(faults), tuple(warnings))


def check_addresses(settings: Settings) -> list[Fault]:
    """What is wrong with redis.url, database.url and apprise's URLs as they are written; connects to none."""
    from app.storage.database_url import driver_url

    faults: list[Fault] = []
    try:
        if settings.redis.url != "embedded":
            asyncio.run(_understand(settings.redis.url))
    except ConfigError as exc:
        faults += exc.faults
    try:
        driver_url(settings.database.url, settings.data_dir)
    except ConfigError as exc:
        faults += exc.faults
    ways = {name: way.apprise.get_secret_value() for name, way in settings.alerts.channels.items() if way.apprise}
    if ways:
        from app.control.alerts.channels.by_apprise import is_known

        problem = "apprise does not know a URL of this form: see its wiki for the service's"
        faults += [
            Fault("hub.yaml", f"alerts.channels.{name}.apprise", problem)
            for name, url in ways.items()
            if not is_known(url)
        ]
    return faults


async def _understand(redis_url: str) -> None:
    await (await connect(redis_url)).close()


def unknown_bots(settings: Settings, bots: Collection[str]) -> list[str]:
    """What hub.yaml says about bots that do not exist: often a typo, but no fault, since they may be added later."""
    named = {
        **{f"api_tokens[{place}].bots": token.bots for place, token in enumerate(settings.api_tokens)},
        **{f"limits.quota.{name}.bots": quota.bots for name, quota in settings.limits.quota.items()},
        **{f"alerts.channels.{name}.bot": [one.bot] for name, one in settings.alerts.channels.items() if one.bot},
    }
    return [
        f"hub.yaml: {key}: there is no bot {bot}; there are {', '.join(sorted(bots)) or 'none'}"
        for key, words in named.items()
        for bot in words
        if bot != "*" and bot not in bots
    ]


def stand_in_credentials(bot: str) -> Credentials:
    """Credentials that fit any bot and open nothing, for checking everything else."""
    secret = SecretStr(os.urandom(16).hex())
    return Credentials(app_id=f"cli_{bot}", app_secret=secret, verification_token=(secret,), encrypt_key=(secret,))
