"""The people of the playground, and what they do: every deed changes the world and becomes events."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.control.playground import changes, speech
from app.control.playground.delivery import Chaos, Deliveries, Delivery
from app.control.playground.envelope import event_v1, event_v2
from app.control.playground.feed import Feed
from app.control.playground.ledger import Ledger
from app.control.playground.world import App, Chat, Mention, Message, Reaction, Upload, User, World
from app.core.clock import Clock


@dataclass(frozen=True, slots=True)
class Said:
    """A message that a person wrote, and the events it became."""

    message: Message
    deliveries: list[Delivery] = field(repr=False)

    @property
    def message_id(self) -> str:
        return self.message.message_id

    @property
    def chat_id(self) -> str:
        return self.message.chat.chat_id

    async def settled(self, timeout: float = 60.0) -> None:
        """Wait until every event was answered 200 or given up; TimeoutError after `timeout` seconds."""
        async with asyncio.timeout(timeout):
            for delivery in self.deliveries:
                await delivery.settled.wait()


class People:
    """The world with its people; `chance` decides what is left to chance, `speed` divides redelivery waits."""

    def __init__(self, clock: Clock, chance: random.Random, speed: float) -> None:
        self.clock = clock
        self.world = World(clock)
        self.ledger = Ledger()
        self.feed = Feed()
        self.deliveries = Deliveries(clock, chance, speed)
        self.deliveries.on_change = self._delivered

    @property
    def chaos(self) -> Chaos:
        """What happens to deliveries beside being delivered: duplicates, reordering, ordered mode."""
        return self.deliveries.chaos

    def add_app(
        self,
        app_id: str,
        app_secret: str,
        name: str,
        encrypt_key: str | None = None,
        verification_token: str = "playground-token",
        event_url: str = "",
        callback_url: str | None = None,
    ) -> App:
        """A new app, or changed settings of one; an empty `event_url` means that nothing is delivered."""
        app = self.world.add_app(app_id, app_secret, name, encrypt_key, verification_token, event_url, callback_url)
        self.feed.put(lambda: {"type": "world"})
        return app

    def add_user(self, name: str) -> User:
        """A new person."""
        user = self.world.add_user(name)
        self.feed.put(lambda: {"type": "world"})
        return user

    def open_id(self, app: App, who: App | User) -> str:
        """What an app knows someone as."""
        return self.world.open_id(app, who)

    def p2p_chat(self, app: App, user: User) -> Chat:
        """The private chat of the two."""
        return self.world.p2p_chat(app, user)

    def group(self, name: str, apps: Sequence[App], users: Sequence[User]) -> Chat:
        """A new group."""
        chat = self.world.group(name, list(apps), list(users))
        self.feed.put(lambda: {"type": "world"})
        return chat

    def add_attachment(self, user: User, name: str, data: bytes) -> str:
        """A person's file, to be named in a message; returns its key."""
        key = self.world.new_id("file_v3_")
        self.world.uploads[key] = Upload(key, user, "stream", name, data)
        return key

    async def user_says(
        self,
        user: User,
        chat: Chat,
        text: str,
        mention: Sequence[App | User | speech.Everyone] = (),
        *,
        reply_to: Message | None = None,
    ) -> Said:
        """A person writes; events are on their way when this returns (`await said.settled()` waits for them)."""
        text, mentions = speech.write(text, mention)
        return await self.user_sends(user, chat, "text", speech.text_content(text), mentions, reply_to=reply_to)

    async def user_sends(
        self,
        user: User,
        chat: Chat,
        msg_type: str,
        content: str,
        mentions: list[Mention] | None = None,
        *,
        reply_to: Message | None = None,
    ) -> Said:
        """A person sends a message of any type; `content` is the JSON string as apps receive it."""
        message = self.world.add_message(chat, user, msg_type, content, reply_to=reply_to, mentions=mentions)
        self.feed.put(lambda: {"type": "message", "message_id": message.message_id, "chat_id": chat.chat_id})
        return Said(message, self._tell(message))

    async def react(self, user: User, message: Message, emoji: str) -> list[Delivery]:
        """A person puts an emoji on a message, or takes theirs away again."""
        mine = [r for r in message.reactions.values() if r.who is user and r.emoji == emoji]
        if mine:
            del message.reactions[mine[0].reaction_id]
            reaction, what = mine[0], "deleted"
        else:
            reaction, what = Reaction(self.world.new_id("rc_"), user, emoji, self.clock.now()), "created"
            message.reactions[reaction.reaction_id] = reaction
        self._changed(message)
        sent = [
            self._notify(
                app,
                f"im.message.reaction.{what}_v1",
                changes.reaction_event(self.world, app, message, reaction),
            )
            for app in message.chat.apps
        ]
        return [delivery for delivery in sent if delivery is not None]

    async def recall(self, message: Message) -> list[Delivery]:
        """A person withdraws their message."""
        message.recalled = True
        self._changed(message)
        body = {
            "message_id": message.message_id,
            "chat_id": message.chat.chat_id,
            "recall_time": str(int(self.clock.now() * 1000)),
            "recall_type": "message_owner",
        }
        sent = [self._notify(app, "im.message.recalled_v1", body) for app in message.chat.apps]
        return [delivery for delivery in sent if delivery is not None]

    async def enter(self, user: User, app: App) -> Delivery | None:
        """A person opens their private chat with a bot."""
        chat = self.p2p_chat(app, user)
        body: dict[str, Any] = {"chat_id": chat.chat_id, "operator_id": speech.ids(self.world, app, user)}
        if chat.messages:
            last = chat.messages[-1]
            body["last_message_id"] = last.message_id
            body["last_message_create_time"] = str(int(last.created * 1000))
        return self._notify(app, "im.chat.access_event.bot_p2p_chat_entered_v1", body)

    async def menu(self, user: User, app: App, key: str) -> Delivery | None:
        """A person chooses an entry of a bot's menu."""
        operator = {"operator_name": user.name, "operator_id": speech.ids(self.world, app, user)}
        body = {"operator": operator, "event_key": key, "timestamp": int(self.clock.now())}
        return self._notify(app, "application.bot.menu_v6", body)

    async def add_bot(self, chat: Chat, app: App, operator: User) -> Delivery | None:
        """A person takes a bot into a group."""
        if app not in chat.apps:
            chat.apps.append(app)
        return self._notify(app, "im.chat.member.bot.added_v1", speech.chat_event(self.world, app, chat, operator))

    async def remove_bot(self, chat: Chat, app: App, operator: User) -> Delivery | None:
        """A person removes a bot from a group."""
        chat.apps.remove(app)
        return self._notify(app, "im.chat.member.bot.deleted_v1", speech.chat_event(self.world, app, chat, operator))

    async def deliver(
        self,
        app: App,
        event_type: str,
        body: dict[str, Any],
        *,
        schema: str = "2.0",
        event_id: str | None = None,
    ) -> Delivery:
        """Send an app any event."""
        return self._send(app, event_type, body, schema, event_id)

    def _send(
        self, app: App, event_type: str, body: dict[str, Any], schema: str = "2.0", event_id: str | None = None
    ) -> Delivery:
        event_id = event_id or self.world.new_id("")
        build = event_v1 if schema == "1.0" else event_v2
        document = build(app, event_type, body, event_id, self.clock.now())
        return self.deliveries.send(app, event_type, event_id, document, chat_id=str(body.get("chat_id", "")))

    def _tell(self, message: Message) -> list[Delivery]:
        """One event for every app that may hear a message."""
        return [delivery for app in speech.hearers(message) if (delivery := self._tell_app(app, message))]

    def _tell_app(self, app: App, message: Message) -> Delivery | None:
        if not app.event_url:
            return None
        event_id = self.world.new_id("")
        self.ledger.said(app.app_id, event_id, message, self.clock.monotonic())
        body = speech.received(self.world, app, message)
        document = event_v2(app, "im.message.receive_v1", body, event_id, message.created)
        return self.deliveries.send(
            app,
            "im.message.receive_v1",
            event_id,
            document,
            identity=message.message_id,
            chat_id=message.chat.chat_id,
        )

    def _bot_spoke(self, message: Message) -> None:
        if len(message.chat.apps) > 1:
            self._tell(message)

    def _notify(self, app: App, event_type: str, body: dict[str, Any], schema: str = "2.0") -> Delivery | None:
        if not app.event_url or (app.subscriptions is not None and event_type not in app.subscriptions):
            return None
        return self._send(app, event_type, body, schema)

    def _changed(self, message: Message) -> None:
        self.feed.put(lambda: {"type": "changed", "message_id": message.message_id, "chat_id": message.chat.chat_id})

    def _delivered(self, delivery: Delivery) -> None:
        if delivery.acked:
            self.ledger.acked(delivery.app.app_id, delivery.identity, self.clock.monotonic())
        self.feed.put(
            lambda: {
                "type": "delivery",
                "app_id": delivery.app.app_id,
                "message_id": delivery.identity,
                "chat_id": delivery.chat_id,
                "state": delivery.state,
            }
        )
