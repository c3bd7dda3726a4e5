"""Feishu's events as the benchmarks send them: signed, encrypted, each with ids of its own, all of one length."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.feishu.crypto import aes_key, encrypt
from app.feishu.signature import event_signature

PLAIN_BYTES: Final = 911
"""Of an event before encryption: the body that is sent has then 1,254 bytes, which is called 1.2 KB."""

_EVENT: Final = (
    '{"schema":"2.0","header":{"event_id":"%(event)s","event_type":"im.message.receive_v1",'
    '"create_time":"%(now)d000","token":"%(token)s","app_id":"%(app)s","tenant_key":"t000000000000001"},'
    '"event":{"sender":{"sender_id":{"union_id":"on_%(user)032d","user_id":"u%(user)07d",'
    '"open_id":"ou_%(user)032d"},"sender_type":"user","tenant_key":"t000000000000001"},'
    '"message":{"message_id":"om_%(event)s","create_time":"%(now)d000","update_time":"%(now)d000",'
    '"chat_id":"oc_%(chat)s","chat_type":"p2p","message_type":"text","content":"{\\"text\\":\\"%(text)s\\"}"}}}'
)
_NONCE: Final = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class App:
    """A Feishu app of the benchmarks; everything follows from its number."""

    number: int

    @classmethod
    def named(cls, bot: str) -> App:
        return cls(int(bot.rpartition("-")[2]))

    @property
    def bot(self) -> str:
        return f"bench-{self.number:04d}"

    @property
    def app_id(self) -> str:
        return f"cli_{self.number:016d}"

    @property
    def secret(self) -> str:
        return f"secret-of-{self.bot}"

    @property
    def encrypt_key(self) -> str:
        return f"encrypt-key-of-{self.bot}"

    @property
    def token(self) -> str:
        return f"token-of-{self.bot}"


def numbered(text: str) -> int:
    """The event's number, which its text begins with."""
    return int(text[:8])


@dataclass(frozen=True, slots=True)
class Requests:
    """A file of whole HTTP requests, `size` bytes each, so that a load generator only reads and writes."""

    path: Path
    size: int
    count: int


def write_requests(
    path: Path, count: int, apps: Sequence[App], *, chats: int = 1000, say: str = "", series: int = 0
) -> Requests:
    """Events spread evenly over `apps`, and over `chats` chats in all; one `series` shares no id with another."""
    each = max(1, chats // len(apps))
    with path.open("wb") as file:
        size = 0
        for request in _requests(count, apps, each, say, series):
            size = size or len(request)
            if len(request) != size:
                raise ValueError("requests differ in length: an id outgrew its field")
            file.write(request)
    return Requests(path, size, count)


def _requests(count: int, apps: Sequence[App], chats: int, say: str, series: int) -> Iterator[bytes]:
    now = int(time.time())
    keys = {app: (aes_key(app.encrypt_key), app.encrypt_key.encode()) for app in apps}
    for number in range(count):
        app = apps[number % len(apps)]
        chat = number // len(apps) % chats
        key, secret = keys[app]
        values = {
            "event": f"{series:08x}{number:024x}",
            "now": now,
            "token": app.token,
            "app": app.app_id,
            "user": chat,
            "chat": f"{app.number:012d}{chat:020d}",
        }
        words = f"{number:08d} {say} "
        room = PLAIN_BYTES - len(_EVENT % (values | {"text": words}))
        plain = (_EVENT % (values | {"text": words + "x" * room})).encode()
        body = b'{"encrypt":"' + encrypt(key, plain).encode() + b'"}'
        signature = event_signature(str(now), _NONCE, secret, body)
        head = (
            f"POST /webhook/{app.bot} HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json; charset=utf-8\r\n"
            f"X-Lark-Request-Timestamp: {now}\r\nX-Lark-Request-Nonce: {_NONCE}\r\nX-Lark-Signature: {signature}\r\n"
            f"X-Request-Id: {values['event']}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        yield head.encode() + body
