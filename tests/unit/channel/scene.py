"""A bot in a chat of a playground, and its way out: what cards that type are tested with."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from app.channel.sender import Sender
from app.channel.stream import TypedCard
from app.control.playground.playground import Playground
from app.control.playground.world import App, Chat, Message
from app.model.bot import BotSpec
from app.model.outbound import SendName, Target
from tests.unit.channel.parts import MemoryLedger


@dataclass
class Scene:
    """A bot in a chat of a playground, and its way out."""

    playground: Playground
    app: App
    chat: Chat
    spec: BotSpec
    sender: Sender
    ledger: MemoryLedger
    told: list[str] = field(default_factory=list)

    def card(self, title: str = "Answer", n: int = 1) -> TypedCard:
        name = SendName("support", "om_event", 0, "im.message.create", self.chat.chat_id, n)
        target = Target("chat_id", self.chat.chat_id, self.chat.chat_id)
        return self.sender.stream(self.spec, target, name, self.ledger, title)

    @property
    def messages(self) -> list[Message]:
        return self.playground.ledger.messages()

    @property
    def texts(self) -> list[str]:
        """What the chat's cards show."""
        return [shown(message) for message in self.messages]

    def count(self, api: str) -> int:
        return len(self.playground.ledger.find(api=api, code=0))


def shown(message: Message) -> str:
    document = json.loads(message.content)
    return str(document["body"]["elements"][0]["content"]) if "body" in document else message.content


def typing(message: Message) -> bool:
    return bool(json.loads(message.content)["config"].get("streaming_mode"))
