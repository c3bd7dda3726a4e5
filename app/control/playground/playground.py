"""A local Feishu in one object: people write, bots answer through its Open API, its ledger remembers everything."""

from __future__ import annotations

import random
import secrets
from typing import Any

from app.control.playground.api import OpenApi
from app.control.playground.asgi import AsgiApp, asgi
from app.control.playground.ask import Desk
from app.control.playground.callbacks import Action, Callbacks, Clicked
from app.control.playground.cardkit import Entities
from app.control.playground.cards import CardTokens
from app.control.playground.control import Control
from app.control.playground.delivery import Attempt
from app.control.playground.envelope import ATTACKS, Posted, challenge, posted
from app.control.playground.faults import Faults
from app.control.playground.hooks import Hook, Hooks
from app.control.playground.limits import Limits
from app.control.playground.page import Page
from app.control.playground.people import People
from app.control.playground.server import Server
from app.control.playground.tokens import LIFETIME, TokenDesk
from app.control.playground.uuids import DUPLICATE_UUID_CODE, UuidMode, Uuids, UuidScope
from app.control.playground.wire import Answer, Request, json_answer, parse_object
from app.control.playground.world import App, Chat, Message, User
from app.core.clock import SYSTEM_CLOCK, Clock

CHALLENGE_WITHIN = 1.0


class Playground(People):
    """Everything of the local Feishu; `seed` decides its chances, `speed` divides the waits before redeliveries."""

    def __init__(
        self,
        clock: Clock = SYSTEM_CLOCK,
        seed: int = 0,
        uuid_mode: UuidMode = "original",
        uuid_scope: UuidScope = "app",
        speed: float = 1.0,
        *,
        duplicate_uuid_code: int = DUPLICATE_UUID_CODE,
        token_lifetime: float = LIFETIME,
    ) -> None:
        chance = random.Random(seed)
        super().__init__(clock, chance, speed)
        self.limits = Limits(clock)
        self.faults = Faults(chance)
        self.tokens = TokenDesk(self.world, token_lifetime)
        self.uuids = Uuids(clock, uuid_mode, uuid_scope, duplicate_uuid_code)
        self.cards = Entities(self.world)
        self.hooks = Hooks(self.world, self.limits)
        card_tokens = CardTokens(clock)
        self._callbacks = Callbacks(self.world, self.deliveries, card_tokens)
        desk = Desk(
            self.world,
            self.limits,
            self.ledger,
            self.tokens,
            self.uuids,
            self.cards,
            card_tokens,
            self.feed,
            self._notify,
            self._bot_spoke,
        )
        self._api = OpenApi(desk, self.faults, self.hooks)
        self.control_token = secrets.token_urlsafe(24)
        """What requests to the control API carry in `X-Playground-Token`."""
        control = Control(self)
        self._page = Page(control, self.control_token)
        self._control = control
        self.app: AsgiApp = asgi(self.handle)
        """The Open API, the control API and the page at /playground as one ASGI app."""
        self.page_app: AsgiApp = asgi(self._page.handle)
        """The chat page with its control API, to be mounted under any prefix."""
        self._server: Server | None = None

    async def handle(self, request: Request) -> Answer:
        """Answer any request, whichever front end it came through."""
        path = request.path
        if path.startswith("/open-apis/"):
            return await self._api.answer(request)
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

    def add_hook(self, chat: Chat, secret: str | None = None, keyword: str = "") -> Hook:
        """A custom bot in a group; it is posted to at /open-apis/bot/v2/hook/<token>."""
        return self.hooks.add(chat, secret, keyword)

    async def click(
        self,
        user: User,
        message_id: str,
        action: Action,
        form: dict[str, Any] | None = None,
        *,
        event_id: str | None = None,
        legacy: bool = False,
    ) -> Clicked:
        """A person acts on a card; returns what their client shows. `event_id` repeats an earlier callback."""
        message = self.world.messages[message_id]
        clicked = await self._callbacks.click(user, message, action, form, event_id=event_id, legacy=legacy)
        if clicked.card_changed:
            self.feed.put(lambda: {"type": "changed", "message_id": message_id, "chat_id": message.chat.chat_id})
        return clicked

    async def preview(
        self, app: App, user: User, url: str, message: Message | None = None, chat: Chat | None = None
    ) -> Clicked:
        """A person looks at a link whose previews the app serves."""
        chat_id = chat.chat_id if chat else self.p2p_chat(app, user).chat_id
        return await self._callbacks.preview(app, user, url, message, chat_id)

    async def challenge(self, app: App, url: str | None = None) -> bool:
        """Save a URL in the console: whether the challenge came back unchanged within 1 s."""
        value = secrets.token_hex(8)
        request = posted(app, challenge(app, value), self.clock.now(), unsigned=True)
        attempt = await self.deliveries.post(url or app.event_url, request, total=CHALLENGE_WITHIN)
        answer = parse_object(attempt.answer.encode()) or {}
        return attempt.status == 200 and answer.get("challenge") == value

    async def attack(self, name: str, app: App, document: dict[str, Any], url: str | None = None) -> Attempt:
        """Post one of the forged requests of `ATTACKS`, made of a genuine document."""
        request = ATTACKS[name](app, document, self.clock.now())
        return await self.deliveries.post(url or app.event_url, request)

    async def post(self, url: str, request: Posted) -> Attempt:
        """Post any request as Feishu posts, once."""
        return await self.deliveries.post(url, request)
