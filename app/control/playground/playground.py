"""The playground: a local Feishu with its doors, by which bots, tests and a browser reach it."""

from __future__ import annotations

import random

from app.control.playground.asgi import AsgiApp, asgi
from app.control.playground.control import Control
from app.control.playground.local import LocalFeishu
from app.control.playground.page import Page
from app.control.playground.server import Server
from app.control.playground.uuids import UuidMode, Uuids, UuidScope
from app.control.playground.wire import Answer, Request, json_answer
from app.core.clock import SYSTEM_CLOCK, Clock


class Playground(LocalFeishu):
    """The local Feishu behind one address; `seed` decides its chances, `speed` divides the waits of redelivery."""

    def __init__(
        self,
        clock: Clock = SYSTEM_CLOCK,
        seed: int = 0,
        uuid_mode: UuidMode = "original",
        uuid_scope: UuidScope = "app",
        speed: float = 1.0,
    ) -> None:
        super().__init__(clock, random.Random(seed), speed, Uuids(clock, uuid_mode, uuid_scope))
        self._control = Control(self)
        self._page = Page(self._control, self.control_token)
        self.app: AsgiApp = asgi(self.handle)
        """The Open API, the control API and the page at /playground as one ASGI app."""
        self.page_app: AsgiApp = asgi(self._page.handle)
        """The chat page with its control API, to be mounted under any prefix."""
        self._server: Server | None = None

    async def handle(self, request: Request) -> Answer:
        """Answer any request, whichever front end it came through."""
        path = request.path
        if path.startswith("/open-apis/"):
            return await self.api.answer(request)
        if path.startswith("/_playground/"):
            return await self._control.handle(request, path.removeprefix("/_playground"))
        if path == "/playground" or path.startswith("/playground/"):
            request.path, request.root = path.removeprefix("/playground"), "/playground"
            return await self._page.handle(request)
        return json_answer(404, {"code": 404, "msg": "404 page not found"})

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen by its own server (port 0 chooses a free one); returns the address, such as http://127.0.0.1:8080."""
        self._server = Server(self.handle)
        return await self._server.start(host, port)

    async def close(self) -> None:
        """Stop listening and drop what is under way."""
        self.feed.close()
        if self._server is not None:
            await self._server.close()
        await self.deliveries.close()

    async def __aenter__(self) -> Playground:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
