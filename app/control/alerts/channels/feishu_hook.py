"""Sends alerts into a group by its custom bot, as cards, signed if the bot has a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.control.alerts.card import card_of
from app.control.alerts.notice import Notice
from app.control.alerts.wording import Wording


class HookSender(Protocol):
    """Posts to a custom bot, within the bot's own bound."""

    async def send_hook(self, url: str, secret: str | None, message: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True)
class FeishuHook:
    """Feishu docs: custom bot guide."""

    name: str
    standby: bool
    sender: HookSender
    url: str = field(repr=False)
    secret: str | None = field(repr=False)
    wording: Wording

    async def send(self, notice: Notice) -> None:
        card = card_of(notice, self.wording, buttons=False)
        await self.sender.send_hook(self.url, self.secret, {"msg_type": "interactive", "card": card})
