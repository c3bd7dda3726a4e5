"""A local Feishu without its doors: people and what they do to cards, its Open API, its ledger."""

from __future__ import annotations

import random
import secrets
from typing import Any, Final

from app.control.playground.api import OpenApi
from app.control.playground.ask import Desk
from app.control.playground.callbacks import Action, Callbacks, Clicked
from app.control.playground.card_tokens import CardTokens
from app.control.playground.delivery import Attempt
from app.control.playground.entities import Entities
from app.control.playground.envelope import ATTACKS, Posted, challenge, posted
from app.control.playground.faults import Faults
from app.control.playground.hooks import Hook, Hooks
from app.control.playground.limits import RateLimits
from app.control.playground.people import People
from app.control.playground.token_desk import TokenDesk
from app.control.playground.uuids import Uuids
from app.control.playground.wire import parse_object
from app.control.playground.world import App, Chat, Message, User
from app.core.clock import Clock

CHALLENGE_WITHIN: Final = 1.0


class LocalFeishu(People):
    """Everything of the local Feishu; `chance` decides what is left to chance, `speed` divides waits."""

    def __init__(self, clock: Clock, chance: random.Random, speed: float, uuids: Uuids) -> None:
        super().__init__(clock, chance, speed)
        self.limits = RateLimits(clock)
        self.faults = Faults(chance)
        self.tokens = TokenDesk(self.world)
        self.uuids = uuids
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
        self.api = OpenApi(desk, self.faults, self.hooks)
        self.control_token = secrets.token_urlsafe(24)
        """What requests to the control API carry in `X-Playground-Token`."""

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
