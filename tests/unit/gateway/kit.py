"""Bots, requests and a queue that can fail, for tests of the front door."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.core.clock import SYSTEM_CLOCK
from app.core.errors import StoreUnavailable
from app.feishu.crypto import aes_key, encrypt
from app.feishu.signature import event_signature
from app.gateway.verify import Signed
from app.model.bot import BotConfig, BotSpec, Credentials
from app.queue.envelope import Entry
from app.queue.work import Incoming, Receipt
from app.storage.cipher import Cipher
from tests import vectors

_numbers = itertools.count(1)


def bot(
    name: str = "support",
    *,
    keys: Sequence[str] = (vectors.ENCRYPT_KEY,),
    tokens: Sequence[str] = (vectors.VERIFICATION_TOKEN,),
    app_id: str = vectors.APP_ID,
    **config: Any,
) -> BotSpec:
    """A bot as the registry would give it."""
    return BotSpec(
        id=name,
        config=BotConfig.model_validate(config),
        # The gateway asks it for the app id alone; the secrets it checks with stand below.
        credentials=Credentials.model_validate(
            {"app_id": app_id, "app_secret": "unused", "verification_token": "unused"}
        ),
        revision="1",
        directory="",
        keys=tuple(aes_key(key) for key in keys),
        tokens=tuple(token.encode() for token in tokens),
        encrypt_keys=tuple(key.encode() for key in keys),
    )


@dataclass
class Bots:
    """A catalog that tests fill by hand."""

    bots: dict[str, BotSpec] = field(default_factory=dict)

    def subscribe(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Nothing ever changes here."""


class Ciphers:
    """Data keys made on the spot."""

    def __init__(self) -> None:
        self._made: dict[str, Cipher] = {}

    def cached(self, bot: str) -> Cipher | None:
        return self._made.get(bot)

    async def cipher(self, bot: str) -> Cipher:
        return self._made.setdefault(bot, Cipher(bot, {b"test": bytes(32)}, b"test"))


def message(
    text: str = "ping",
    *,
    event_id: str | None = None,
    message_id: str | None = None,
    chat: str = "oc_1",
    token: str = vectors.VERIFICATION_TOKEN,
    app_id: str = vectors.APP_ID,
) -> dict[str, Any]:
    """A received message, with ids of its own unless given."""
    number = next(_numbers)
    return {
        "schema": "2.0",
        "header": {
            "event_id": event_id or f"ev{number}",
            "event_type": "im.message.receive_v1",
            "create_time": "1700000000000",
            "token": token,
            "app_id": app_id,
            "tenant_key": "t1",
        },
        "event": {
            "sender": {"sender_id": {"open_id": "ou_1"}, "sender_type": "user", "tenant_key": "t1"},
            "message": {
                "message_id": message_id or f"om_{number}",
                "create_time": "1700000000000",
                "chat_id": chat,
                "chat_type": "p2p",
                "message_type": "text",
                "content": orjson.dumps({"text": text}).decode(),
            },
        },
    }


def callback(kind: str = "card.action.trigger", *, event_id: str | None = None, value: Any = None) -> dict[str, Any]:
    """A click on a card, or a link preview."""
    document = message(event_id=event_id)
    document["header"]["event_type"] = kind
    document["event"] = {
        "operator": {"open_id": "ou_1", "tenant_key": "t1"},
        "token": "c-1",
        "action": {"value": {"action": "approve"} if value is None else value, "tag": "button"},
        "context": {"open_message_id": "om_1", "open_chat_id": "oc_1"},
    }
    return document


@dataclass(frozen=True)
class Request:
    """What Feishu posts."""

    headers: dict[str, str]
    body: bytes

    @property
    def signed(self) -> Signed:
        """The signature headers as `verify` takes them."""
        found = {name.lower(): value.encode() for name, value in self.headers.items()}
        return Signed(
            found.get("x-lark-request-timestamp"),
            found.get("x-lark-request-nonce"),
            found.get("x-lark-signature"),
        )


def signed_request(
    body: bytes, *, key: str = vectors.ENCRYPT_KEY, timestamp: str | None = None, nonce: str = vectors.NONCE
) -> Request:
    """`body` with a signature made now."""
    stamp = str(int(SYSTEM_CLOCK.now())) if timestamp is None else timestamp
    return Request(
        {
            "X-Lark-Request-Timestamp": stamp,
            "X-Lark-Request-Nonce": nonce,
            "X-Lark-Signature": event_signature(stamp, nonce, key.encode(), body),
            "Content-Type": "application/json;charset=utf-8",
        },
        body,
    )


def sealed_request(document: Mapping[str, Any] | bytes, *, key: str = vectors.ENCRYPT_KEY, **signing: Any) -> Request:
    """The encrypted and signed form of an event."""
    plain = document if isinstance(document, bytes) else orjson.dumps(document)
    return signed_request(orjson.dumps({"encrypt": encrypt(aes_key(key), plain)}), key=key, **signing)


def plain_request(document: Mapping[str, Any] | bytes) -> Request:
    """What a bot without an encrypt key gets."""
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    return Request({"Content-Type": "application/json;charset=utf-8"}, body)


def incoming(
    number: int, *, bot: str = "support", conversation: str = "oc_1", size: int = 10, call: bool = False
) -> Incoming:
    """An event that was verified and sealed."""
    entry = Entry(
        kind="call" if call else "event",
        event_id=f"e{number}",
        identity=f"om_{number}",
        type="card.action.trigger" if call else "im.message.receive_v1",
        conversation=conversation,
        chat_id=conversation,
        user_id="ou_1",
        message_id=f"om_{number}",
        received=1700000000.5,
        replay=0,
        sealed=b"x" * size,
    )
    return Incoming(bot, entry, (f"e{number}", f"om_{number}"), 3600, 1000)


class StubQueue:
    """A queue in memory with dedup marks, which can hang, fail before or after it took a batch, or be full."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.events: list[Incoming] = []
        self.attempts = 0
        self.failures: list[str] = []
        """What the next calls do: '' works, 'refuse' takes nothing, 'lose' takes all and fails, 'hang'."""
        self.away = False
        self.full: set[str] = set()
        self.refused: set[str] = set()
        self.away_for: set[str] = set()
        self.gate: asyncio.Event | None = None
        """Set to hold a call until the event is set."""
        self._seen: dict[tuple[str, str], str] = {}

    async def accept(self, batch: Sequence[Incoming]) -> list[Receipt | StoreUnavailable]:
        self.attempts += 1
        if self.gate is not None:
            await self.gate.wait()
        failure = self.failures.pop(0) if self.failures else ""
        if failure == "hang":
            await asyncio.Event().wait()
        if self.away or failure == "refuse":
            raise StoreUnavailable("away")
        self.batches.append([item.entry.event_id for item in batch])
        results = [self._one(item) for item in batch]
        if failure == "lose":
            raise StoreUnavailable("the reply was lost")
        return results

    async def probe(self) -> None:
        """What a drainer asks while it has nothing to hand on."""
        if self.away:
            raise StoreUnavailable("away")

    def order(self, bot: str = "support", conversation: str = "oc_1") -> list[str]:
        """The event ids of a conversation in the order kept."""
        return [
            item.entry.event_id for item in self.events if item.bot == bot and item.entry.conversation == conversation
        ]

    def _one(self, item: Incoming) -> Receipt | StoreUnavailable:
        if item.bot in self.away_for:
            return StoreUnavailable("slot away")
        for identity in item.seen:
            if (item.bot, identity) in self._seen:
                return Receipt("duplicate", self._seen[item.bot, identity])
        if item.bot in self.full:
            return Receipt("full")
        if item.bot in self.refused:
            return Receipt("refused")
        self.events.append(item)
        log_id = f"{len(self.events)}-0"
        self._seen.update({(item.bot, identity): log_id for identity in item.seen})
        return Receipt("accepted", log_id)
