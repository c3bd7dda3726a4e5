"""The public listener with a stand-in behind it, asked by raw ASGI messages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from app.gateway.admission import Admission
from app.gateway.counts import Counts
from app.gateway.head import Head
from app.gateway.routes import Gateway
from app.gateway.verify import Signed
from app.gateway.webhook import Tell
from app.model.bot import BotSpec
from tests.unit.gateway.kit import Bots, bot


class Answering:
    """In the webhook's place: remembers what came, answers or fails as told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Signed, bytes, str]] = []
        self.error: Exception | None = None

    def begin(self, spec: BotSpec, head: Head, body: bytes, tell: Tell) -> None:
        self.seen.append((spec.id, head.signed(), body, head.peer))
        tell(self.error or b'{"ok":1}')


class Answer:
    """What went out for one request."""

    def __init__(self, sent: list[dict[str, Any]]) -> None:
        assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
        self.status: int = sent[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        self.body: bytes = sent[1]["body"]
        assert self.headers["content-length"] == str(len(self.body))
        assert self.headers["content-type"] == "application/json"

    @property
    def error(self) -> dict[str, str]:
        found: dict[str, str] = orjson.loads(self.body)["error"]
        assert found["request_id"] == self.headers["x-request-id"]
        return found


class Door:
    """The app under test and what stands behind it."""

    def __init__(self, max_body: int = 1000) -> None:
        self.webhook = Answering()
        self.counts = Counts()
        self.read = 0
        self.app = Gateway(
            Bots({"support": bot()}),
            Admission(),
            self.webhook,  # type: ignore[arg-type]
            self.health,
            max_body=max_body,
            counts=self.counts,
        )

    def health(self, path: str) -> tuple[int, Mapping[str, Any]]:
        return (503, {"status": "no"}) if path == "/readyz" else (200, {"path": path})

    async def ask(
        self,
        path: str = "/webhook/support",
        method: str = "POST",
        *,
        query: bytes = b"",
        headers: Iterable[tuple[bytes, bytes]] = (),
        body: Iterable[bytes] = (b"{}",),
        messages: list[dict[str, Any]] | None = None,
        client: tuple[str, int] | None = ("192.0.2.1", 4711),
    ) -> Answer:
        return Answer(await self.sent(path, method, query, headers, body, messages, client))

    async def sent(
        self,
        path: str = "/webhook/support",
        method: str = "POST",
        query: bytes = b"",
        headers: Iterable[tuple[bytes, bytes]] = (),
        body: Iterable[bytes] = (b"{}",),
        messages: list[dict[str, Any]] | None = None,
        client: tuple[str, int] | None = ("192.0.2.1", 4711),
    ) -> list[dict[str, Any]]:
        parts = list(body)
        waiting = (
            [
                {"type": "http.request", "body": part, "more_body": place < len(parts) - 1}
                for place, part in enumerate(parts)
            ]
            if messages is None
            else list(messages)
        )
        out: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if not waiting:
                await asyncio.Event().wait()
            self.read += 1
            return waiting.pop(0)

        async def send(message: Any) -> None:
            out.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query,
            "headers": list(headers),
        }
        await self.app({**scope, "client": client}, receive, send)
        return out
