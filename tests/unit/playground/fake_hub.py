"""A hub of a few lines, and a clock that stands until it is moved: what the playground is tested with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson

from app.control.playground.server import Server
from app.control.playground.wire import Answer, Request
from app.feishu.crypto import aes_key, decrypt

ENCRYPT_KEY = "hub-encrypt-key-0001"
TOKEN = "hub-verify-token-0001"


class FakeClock:
    """Time that passes only when told; sleeping passes it."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)


class FakeHub:
    """Keeps what it is sent; answers with `answers`, one after another, then 200 `{}`."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.documents: list[dict[str, Any]] = []
        self.answers: list[Answer] = []
        self.on_event: Callable[[dict[str, Any]], Awaitable[None]] | None = None
        self.url = ""
        self._server = Server(self._handle)

    async def start(self) -> None:
        self.url = await self._server.start("127.0.0.1", 0)

    async def close(self) -> None:
        await self._server.close()

    async def _handle(self, request: Request) -> Answer:
        self.requests.append(request)
        document = opened(request.body)
        if document.get("type") == "url_verification":
            return Answer(200, orjson.dumps({"challenge": document["challenge"]}))
        self.documents.append(document)
        if self.on_event is not None:
            await self.on_event(document)
        return self.answers.pop(0) if self.answers else Answer(200, b"{}")


def opened(body: bytes) -> dict[str, Any]:
    """The document in a body, decrypted where it is encrypted."""
    document: dict[str, Any] = orjson.loads(body)
    if "encrypt" in document:
        document = orjson.loads(decrypt([aes_key(ENCRYPT_KEY)], document["encrypt"]))
    return document


class Caller:
    """Calls the Open API as an app would."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self.session, self.url, self.token = session, url, token
        self.headers: dict[str, str] = {}

    async def __call__(self, method: str, path: str, document: Any = None, **query: str) -> tuple[int, dict[str, Any]]:
        async with self.session.request(
            method,
            f"{self.url}/open-apis/{path}",
            params=query,
            data=None if document is None else orjson.dumps(document),
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json; charset=utf-8",
            },
        ) as response:
            self.headers = {name.lower(): value for name, value in response.headers.items()}
            return response.status, orjson.loads(await response.read())

    async def code(self, method: str, path: str, document: Any = None, **query: str) -> int:
        """Call, and give only the code that the answer carries."""
        return int((await self(method, path, document, **query))[1]["code"])

    async def say(self, chat_id: str, text: str, uuid: str = "") -> tuple[int, dict[str, Any]]:
        document = {
            "receive_id": chat_id,
            "msg_type": "text",
            "content": orjson.dumps({"text": text}).decode(),
        }
        if uuid:
            document["uuid"] = uuid
        return await self("POST", "im/v1/messages", document, receive_id_type="chat_id")
