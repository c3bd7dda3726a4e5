"""Who and what exists in the playground: apps, users, chats, messages, and the ids that name them."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any, Literal

from app.core.clock import Clock
from app.feishu.crypto import aes_key

TENANT = "t_playground_tenant"

Delivered = Literal["none", "waiting", "delivered", "retrying", "failed"]


@dataclass(eq=False)
class App:
    """One Feishu app: its credentials, where its events go, and what it may hear."""

    app_id: str
    app_secret: str = field(repr=False)
    name: str
    encrypt_key: str | None = field(repr=False)
    verification_token: str = field(repr=False)
    event_url: str
    callback_url: str | None
    open_id: str
    group_messages: Literal["all", "mentions"] = "all"
    """Which messages of its groups it is told of: all (scope im:message.group_msg) or those that mention it."""
    hears_bots: bool = False
    """Whether messages of other bots that mention it are events for it (scope …include_bot:readonly)."""
    subscriptions: frozenset[str] | None = None
    """Event types it subscribed to; None means all."""
    outage: bool = False
    """While true nothing reaches its event URL: attempts fail and wait for their redelivery."""
    ticket: str = field(default="", repr=False)
    key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.key = aes_key(self.encrypt_key) if self.encrypt_key else None


@dataclass(eq=False, slots=True)
class User:
    """One person; what other people call them is `name`, what apps call them differs by app."""

    key: str
    name: str
    union_id: str
    user_id: str
    resigned: bool = False


@dataclass(eq=False, slots=True)
class Chat:
    """A private conversation of one app with one user, or a group."""

    chat_id: str
    kind: Literal["p2p", "group"]
    name: str
    apps: list[App]
    users: list[User]
    messages: list[Message] = field(default_factory=list)
    dissolved: bool = False
    muted: bool = False
    """A group in which bots may not speak (230018)."""


@dataclass(eq=False, slots=True)
class Message:
    """One message, from an app or from a user, as it stands now."""

    message_id: str
    chat: Chat
    sender: App | User
    msg_type: str
    content: str = field(repr=False)
    created: float
    seq: int
    uuid: str = ""
    root: str = ""
    parent: str = ""
    thread: str = ""
    mentions: list[Mention] = field(default_factory=list)
    updated: float | None = None
    edits: int = 0
    recalled: bool = False
    reactions: dict[str, Reaction] = field(default_factory=dict)
    card_id: str = ""
    only_for: User | None = None
    """Set for ephemeral cards, which one user sees."""

    @property
    def by_app(self) -> bool:
        return isinstance(self.sender, App)


@dataclass(eq=False, slots=True)
class Mention:
    """Someone named in a message, under the placeholder that stands in its text; `who` is None for everyone."""

    key: str
    who: App | User | None


@dataclass(eq=False, slots=True)
class Reaction:
    """One emoji that someone put on a message."""

    reaction_id: str
    who: App | User
    emoji: str
    at: float


@dataclass(eq=False, slots=True)
class Upload:
    """An image or file, kept in memory; `owner` is the app or the user it came from."""

    key: str
    owner: App | User
    kind: str
    name: str
    data: bytes = field(repr=False)


class World:
    """Everything there is, found by id; ids of messages and events are new in every start, others are stable."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.apps: dict[str, App] = {}
        self.users: dict[str, User] = {}
        self.chats: dict[str, Chat] = {}
        self.messages: dict[str, Message] = {}
        self.uploads: dict[str, Upload] = {}
        self.templates: dict[str, dict[str, Any]] = {}
        # A hub remembers ids for hours: were they the same after a restart, its new messages would be duplicates.
        self._boot = secrets.token_hex(8)
        self._serial = 0
        self._open_ids: dict[str, tuple[App, App | User]] = {}

    def new_id(self, prefix: str) -> str:
        """An id that was never given before, such as `om_…`."""
        self._serial += 1
        return f"{prefix}{self._boot}{self._serial:016x}"

    def serial(self) -> int:
        """A number above all that were given before."""
        self._serial += 1
        return self._serial

    def add_app(
        self,
        app_id: str,
        app_secret: str,
        name: str,
        encrypt_key: str | None,
        verification_token: str,
        event_url: str,
        callback_url: str | None,
    ) -> App:
        """A new app, or the changed settings of one that is there already."""
        app = self.apps.get(app_id)
        if app is None:
            app = App(app_id, app_secret, name, encrypt_key, verification_token, event_url, callback_url, "")
            app.open_id = self.open_id(app, app)
            app.ticket = self.new_id("ticket-")
            self.apps[app_id] = app
            return app
        app.app_secret, app.name, app.verification_token = app_secret, name, verification_token
        app.encrypt_key, app.event_url, app.callback_url = encrypt_key, event_url, callback_url
        app.__post_init__()
        return app

    def add_user(self, name: str) -> User:
        """A new person; two of one name are two people."""
        key = f"{name}#{len(self.users) + 1}"
        user = User(key, name, f"on_{_short(key, 'union')}", f"u{_short(key, 'user')[:8]}")
        self.users[user.user_id] = user
        return user

    def open_id(self, app: App, who: App | User) -> str:
        """What `app` knows `who` as: another id for every app."""
        name = who.app_id if isinstance(who, App) else who.key
        open_id = f"ou_{_short(app.app_id, name)}"
        self._open_ids[open_id] = (app, who)
        return open_id

    def everyone(self) -> list[App | User]:
        """All people and bots."""
        return [*self.users.values(), *self.apps.values()]

    def by_open_id(self, open_id: str) -> tuple[App, App | User] | None:
        """Which app knows whom as `open_id`; found for every pair, whether it was asked for before or not."""
        if open_id not in self._open_ids and open_id.startswith("ou_"):
            for app in self.apps.values():
                for who in self.everyone():
                    self.open_id(app, who)
        return self._open_ids.get(open_id)

    def p2p_chat(self, app: App, user: User) -> Chat:
        """The private conversation of the two, made where there was none."""
        chat_id = f"oc_{_short(app.app_id, user.key, 'p2p')}"
        chat = self.chats.get(chat_id)
        if chat is None:
            chat = self.chats[chat_id] = Chat(chat_id, "p2p", user.name, [app], [user])
        return chat

    def group(self, name: str, apps: list[App], users: list[User]) -> Chat:
        """A new group."""
        ordinal = sum(chat.kind == "group" and chat.name == name for chat in self.chats.values())
        chat_id = f"oc_{_short(name, str(ordinal), 'group')}"
        chat = self.chats[chat_id] = Chat(chat_id, "group", name, list(apps), list(users))
        return chat

    def add_message(
        self,
        chat: Chat,
        sender: App | User,
        msg_type: str,
        content: str,
        *,
        uuid: str = "",
        reply_to: Message | None = None,
        in_thread: bool = False,
        mentions: list[Mention] | None = None,
        only_for: User | None = None,
    ) -> Message:
        """Put a message at the end of its chat."""
        message = Message(
            self.new_id("om_"), chat, sender, msg_type, content, self.clock.now(), self.serial(), uuid=uuid
        )
        message.mentions = mentions or []
        message.only_for = only_for
        if reply_to is not None:
            message.parent = reply_to.message_id
            message.root = reply_to.root or reply_to.message_id
            message.thread = reply_to.thread
            if in_thread and not message.thread:
                message.thread = reply_to.thread = self.new_id("omt_")
        self.messages[message.message_id] = message
        chat.messages.append(message)
        return message


def _short(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
