"""A bot, its events, and a way out that keeps what is said: what tests of the worker are made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
import redis
from pydantic import SecretStr

from app.channel.changes import Change
from app.channel.facts import BotInfo
from app.channel.outbox import Outbox
from app.channel.pages import Page
from app.channel.render import render
from app.channel.sender import Sender
from app.core.errors import FeishuRefused
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.model.bot import BotConfig, BotSpec, Credentials
from app.model.event import CALLBACK_TYPES
from app.model.outbound import Ledger, Outbound, SendName, Sent, Target
from app.queue.calls import Calls
from app.queue.envelope import CALL_PREFIX, Entry
from app.queue.ledger import Ledgers
from app.queue.mailbox import Mailbox
from app.queue.outbox import OutboxQueue
from app.queue.tasks import Tasks
from app.queue.timetable import Timetable
from app.queue.work import Incoming
from app.sdk.bot import Bot
from app.sdk.content import Content
from app.sdk.context import Context
from app.sdk.message import Message
from app.storage.cache import CacheTiers
from app.storage.cipher import Cipher, record_identity
from app.storage.keyring import Keyring
from app.worker.dial import Dials
from app.worker.parts import Parts
from tests.unit.channel.parts import PlainSeal


def spec(bot: str = "echo", revision: str = "1", **config: Any) -> BotSpec:
    credentials = Credentials(app_id=f"cli_{bot}", app_secret=SecretStr("s"), verification_token=(SecretStr("t"),))
    return BotSpec(bot, BotConfig(handler=bot, **config), credentials, revision, f"config/{bot}", (), (), ())


class Bots:
    """A Catalog and Handlers in one, whose content a test changes at will."""

    def __init__(self, *specs: BotSpec, **code: Bot[Any]) -> None:
        self.bots: Mapping[str, BotSpec] = {one.id: one for one in specs}
        self.code: dict[str, Bot[Any]] = dict(code)
        self._listeners: list[Callable[[frozenset[str]], None]] = []

    def get(self, bot_id: str) -> Bot[Any] | None:
        return self.code.get(bot_id)

    def faults(self) -> dict[str, str]:
        return {}

    async def ready(self, bots: Sequence[str], patience: float) -> None:
        pass

    async def look(self) -> None:
        """Nothing is read: what a test changes is here at once."""

    def subscribe(self, listener: Callable[[frozenset[str]], None]) -> None:
        self._listeners.append(listener)

    def change(self, one: BotSpec) -> None:
        self.bots = {**self.bots, one.id: one}
        for listener in self._listeners:
            listener(frozenset({one.id}))


@dataclass
class Mouth:
    """Stands in for the Sender: says each name once under the ledger, and notes everything."""

    said: list[tuple[str, str, str]] = field(default_factory=list)
    """(bot, target, text)"""
    names: list[SendName] = field(default_factory=list)
    other: list[tuple[str, Any]] = field(default_factory=list)
    told: list[Change] = field(default_factory=list)
    private: bool = False
    """Whether chats are private, which have no ephemeral cards."""

    async def send(
        self, spec: BotSpec, message: Outbound, name: SendName, ledger: Ledger | None, **patience: Any
    ) -> Sent:
        if ledger is not None:
            begun = await ledger.begin(name)
            if begun.message_id is not None:
                return Sent(begun.message_id, repeated=True)
        self.names.append(name)
        self.said.append((spec.id, message.target.id, json.loads(message.content).get("text", "")))
        if ledger is not None:
            await ledger.record(name, f"om_{len(self.said)}")
        return Sent(f"om_{len(self.said)}", message.target.chat_id)

    async def say(
        self, spec: BotSpec, target: Target, content: Content, name: SendName, ledger: Ledger | None, **patience: Any
    ) -> Sent:
        return await self.send(spec, Outbound(target, *render(content)), name, ledger, **patience)

    async def pages(self, spec: BotSpec, content: Content, **patience: Any) -> tuple[Page, ...]:
        return (Page(*render(content)),)

    async def bot_info(self, spec: BotSpec) -> BotInfo:
        return BotInfo(f"ou_{spec.id}", spec.id)

    async def update_card(self, spec: BotSpec, token: str, card: Any, message_id: str = "", **patience: Any) -> None:
        self.other.append(("update_card", (token, card)))

    async def tell(self, spec: BotSpec, change: Change) -> None:
        self.told.append(change)

    async def update_previews(self, spec: BotSpec, tokens: Sequence[str], **patience: Any) -> None:
        self.other.append(("update_previews", list(tokens)))

    async def ephemeral(self, spec: BotSpec, chat_id: str, open_id: str, card: Any, **patience: Any) -> str:
        if self.private:
            raise FeishuRefused("no ephemeral cards in private chats")
        self.other.append(("ephemeral", (chat_id, open_id)))
        return "om_e"


def echo() -> Bot[Any]:
    """Says again what is said to it."""
    bot = Bot()

    @bot.message()
    async def say(message: Message, ctx: Context) -> str:
        return message.text

    return bot


def message(
    number: int,
    text: str,
    cipher: Cipher,
    *,
    bot: str = "echo",
    chat: str = "oc_1",
    sender: str = "ou_1",
    sender_type: str = "user",
    created: float = 1_700_000_000.0,
    received: float = 1_700_000_000.0,
) -> Incoming:
    """A received message as a gateway puts it into the queue."""
    body = {
        "sender": {"sender_id": {"open_id": sender}, "sender_type": sender_type},
        "message": {
            "message_id": f"om_in_{number}",
            "chat_id": chat,
            "chat_type": "p2p",
            "message_type": "text",
            "content": json.dumps({"text": text}),
        },
    }
    return _incoming(
        number, "im.message.receive_v1", body, cipher, bot, chat, sender, f"om_in_{number}", created, received
    )


def click(number: int, action: str, cipher: Cipher, *, bot: str = "echo", received: float) -> Incoming:
    """A card callback."""
    body = {
        "operator": {"open_id": "ou_1"},
        "token": "c-1",
        "action": {"tag": "button", "value": {"action": action}},
        "context": {"open_message_id": "om_card", "open_chat_id": "oc_1"},
    }
    return _incoming(number, "card.action.trigger", body, cipher, bot, "oc_1", "ou_1", "om_card", received, received)


def other(number: int, kind: str, cipher: Cipher, *, bot: str = "echo") -> Incoming:
    """An event of another type."""
    return _incoming(number, kind, {"chat_id": "oc_1"}, cipher, bot, "oc_1", "", "", 1.7e9, 1.7e9)


def _incoming(
    number: int,
    kind: str,
    body: Mapping[str, Any],
    cipher: Cipher,
    bot: str,
    chat: str,
    user: str,
    message_id: str,
    created: float,
    received: float,
) -> Incoming:
    event_id = f"e{number}"
    header = {
        "event_id": event_id,
        "event_type": kind,
        "create_time": str(int(created * 1000)),
        "app_id": f"cli_{bot}",
    }
    plain = orjson.dumps({"schema": "2.0", "header": header, "event": body})
    is_call = kind in CALLBACK_TYPES
    is_message = kind == "im.message.receive_v1"
    identity = message_id if is_message else event_id
    entry = Entry(
        kind="call" if is_call else "event",
        event_id=event_id,
        identity=identity,
        type=kind,
        conversation=CALL_PREFIX + event_id if is_call else chat,
        chat_id=chat,
        user_id=user,
        message_id=message_id,
        received=received,
        replay=0,
        sealed=cipher.seal(plain, record_identity(event_id)),
    )
    seen = (event_id, identity) if is_message else (event_id,)
    return Incoming(bot, entry, seen, 600, 1000)


def parts_of(
    link: RedisLink, keys: Keys, url: str, keyring: Keyring, bots: Bots, mouth: Mouth, dials: Dials, drain: float
) -> Parts:
    """What a worker is built of, on the engine at `url`; `drain` in seconds."""
    return Parts(
        link=link,
        keys=keys,
        mailbox=Mailbox(link, keys),
        ledgers=Ledgers(link, keys),
        outbox=Outbox(OutboxQueue(link, keys), PlainSeal()),
        calls=Calls(link, keys),
        tasks=Tasks(link, keys),
        cache=CacheTiers(link, keys, keyring),
        timetable=Timetable(link, keys),
        keyring=keyring,
        sender=cast(Sender, mouth),
        catalog=bots,
        look=bots.look,
        handlers=bots,
        dials=dials,
        open_heartbeat=lambda: redis.Redis.from_url(url),
        drain_timeout=drain,
    )
