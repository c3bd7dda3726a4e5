"""What a bot must know of itself to understand what is said to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Me:
    """The bot itself: open id and name as Feishu tells them (bot/v3/info), owners from config.yaml."""

    open_id: str
    owners: tuple[str, ...] = ()
    name: str = ""
