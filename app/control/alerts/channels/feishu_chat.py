"""Sends alerts into a chat by one of the hub's bots, as cards with silence buttons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.channel.render import render
from app.channel.sender import Sender
from app.control.alerts.card import card_of
from app.control.alerts.notice import Notice
from app.control.alerts.wording import Wording
from app.core.errors import FeishuRefused
from app.model.bot import BotSpec
from app.model.outbound import Outbound, SendName, Target


@dataclass(frozen=True, slots=True)
class FeishuChat:
    """Sends under the notice's own name: if two nodes send it, it is sent once."""

    name: str
    standby: bool
    sender: Sender
    bots: Callable[[], Mapping[str, BotSpec]]
    bot: str
    chat: str
    wording: Wording

    async def send(self, notice: Notice) -> None:
        spec = self.bots().get(self.bot)
        if spec is None:
            raise FeishuRefused(f"alerts.channels.{self.name}: there is no bot {self.bot}, or it is broken or disabled")
        kind, content = render(card_of(notice, self.wording, buttons=True))
        message = Outbound(Target("chat_id", self.chat, self.chat), kind, content)
        name = SendName(self.bot, f"alert:{notice.id}", 0, "im.message.create", self.chat, 1)
        await self.sender.send(spec, message, name, None, priority="alert")
