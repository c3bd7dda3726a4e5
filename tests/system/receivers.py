"""Where alerts arrive in tests: a mail server and an HTTP address, both real, both on this machine."""

from __future__ import annotations

import asyncio
import email
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import Message
from email.policy import default
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.ports import free_port


class Mailbox:
    """Mails as they came."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.port = 0

    async def handle_DATA(self, _server: object, _session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.mails.append(email.message_from_bytes(envelope.content, policy=default))
        return "250 OK"

    @property
    def subjects(self) -> list[str]:
        return [str(mail["subject"]) for mail in self.mails]


class Inbox:
    """Documents that were posted; while `status` is no 200 they are refused."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.status = 200
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.status == 200:
            self.bodies.append(body)
            self.documents.append(await request.json())
            self.headers.append(dict(request.headers))
        return web.Response(status=self.status)

    @property
    def alerts(self) -> list[tuple[str, str, str]]:
        """What was told, in order: status, rule, subject."""
        return [
            (alert["status"], alert["labels"]["alertname"], alert["labels"]["subject"])
            for document in self.documents
            for alert in document["alerts"]
        ]

    @property
    def standing(self) -> set[tuple[str, str]]:
        """Rule and subject of what fires, as far as was told."""
        last = {(rule, subject): status for status, rule, subject in self.alerts}
        return {alert for alert, status in last.items() if status == "firing"}

    @property
    def told_twice(self) -> list[tuple[str, str, str]]:
        """What was told though it was known; that an alert comes back on a machine that stands still is news."""
        standing: set[tuple[str, str]] = set()
        twice = []
        for status, rule, subject in self.alerts:
            if (status == "firing") == ((rule, subject) in standing):
                twice.append((status, rule, subject))
            standing ^= {(rule, subject)}
        return twice


@asynccontextmanager
async def mailbox() -> AsyncIterator[Mailbox]:
    """A mail server."""
    box = Mailbox()
    box.port = free_port()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(box, hostname="localhost", loop=loop), "127.0.0.1", box.port)
    try:
        yield box
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def inbox() -> AsyncIterator[Inbox]:
    """An HTTP address."""
    box = Inbox()
    app = web.Application()
    app.router.add_post("/alerts", box.take)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    box.url = f"http://127.0.0.1:{port}/alerts"
    try:
        yield box
    finally:
        await runner.cleanup()
