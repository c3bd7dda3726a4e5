"""What a node is started with: settings, where its bots are, and what `dev` or one bot alone adds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.control.registry.snapshot import Registry
from app.core.settings import Settings
from app.storage.master_key import MasterKey
from app.worker.dial import Dials
from app.worker.nursery import Nursery

AdminWrap = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Workers:
    """The node's nursery and dials, made before any loop; a node without the worker role has neither."""

    nursery: Nursery
    dials: Dials


@dataclass(frozen=True, slots=True)
class Plan:
    """What a node is started with, beside its settings."""

    settings: Settings
    root: Path
    """Directory of the bots, or of one."""
    env: Mapping[str, str] = field(repr=False)
    master: MasterKey
    registry: Registry = field(repr=False)
    """The bots, read before the fork, so that a worker has to read again only those that changed since."""
    bots_dir: Path | None = None
    group: str = ""
    """The bot's id, where one bot runs as a process of its own."""
    metrics_path: str = "/metrics"
    health_path: str = "/healthz"
    watch_code: bool = False
    """Whether handlers are read again when their code changes."""
    wrap_admin: AdminWrap | None = None
    """Puts something in front of the admin listener: the playground."""
    on_ready: Callable[[Any], Awaitable[None]] | None = None
    """Given the node, once it is ready."""
    on_stop: Callable[[], Awaitable[None]] | None = None
