"""Finds the chat that a send names, and refuses where a bot may not speak."""

from __future__ import annotations

from typing import Final

from app.control.playground.wire import Refusal
from app.control.playground.world import App, Chat, Message, User, World

CROSS_APP: Final = 99992361
BAD_PARAMETER: Final = 230001
NOT_IN_GROUP: Final = 230002
OUT_OF_RANGE: Final = 230013
MAY_NOT_SPEAK: Final = 230018
INVALID_RECEIVER: Final = 230034
DISSOLVED: Final = 232009
RECALLED: Final = 230011

KINDS: Final = frozenset({"open_id", "user_id", "union_id", "email", "chat_id"})


def receiver(world: World, app: App, kind: str, name: str) -> Chat:
    """The chat behind `receive_id_type` and `receive_id`; Refusal with Feishu's code otherwise."""
    if kind == "chat_id":
        chat = world.chats.get(name)
        if chat is None:
            raise Refusal(INVALID_RECEIVER, "The receive_id is invalid.")
        may_speak(app, chat)
        return chat
    if kind not in KINDS:
        raise Refusal(BAD_PARAMETER, f"receive_id_type must be one of {', '.join(sorted(KINDS))}")
    user = person(world, app, kind, name)
    if user.resigned:
        raise Refusal(OUT_OF_RANGE, "Bot has NO availability to this user.")
    return world.p2p_chat(app, user)


def person(world: World, app: App, kind: str, name: str) -> User:
    """The user whom an app names; Refusal 99992361 for another app's open_id, 230034 for nobody."""
    if kind == "open_id":
        known = world.by_open_id(name)
        if known is not None and known[0] is not app:
            raise Refusal(CROSS_APP, "open_id cross app")
        who = known[1] if known is not None else None
        if isinstance(who, User):
            return who
    elif kind == "user_id":
        if name in world.users:
            return world.users[name]
    elif kind == "union_id":
        for user in world.users.values():
            if user.union_id == name:
                return user
    raise Refusal(INVALID_RECEIVER, "The receive_id is invalid.")


def may_speak(app: App, chat: Chat) -> None:
    """Refuse (232009, 230002, 230018) where the bot cannot write to this chat."""
    if chat.dissolved:
        raise Refusal(DISSOLVED, "Your request specifies a chat which has already been dissolved.")
    if app not in chat.apps:
        raise Refusal(NOT_IN_GROUP, "The bot can not be outside the group.")
    if chat.muted:
        raise Refusal(MAY_NOT_SPEAK, "The group does not allow the bot to speak.")


def message_for(world: World, app: App, message_id: str, *, gone: int = BAD_PARAMETER) -> Message:
    """A message in a chat that the app is in; `gone` is the code for a message that never was."""
    message = world.messages.get(message_id)
    if message is None:
        raise Refusal(gone, "The message is not found: invalid message_id.")
    if app not in message.chat.apps:
        raise Refusal(NOT_IN_GROUP, "The bot can not be outside the group.")
    return message


def standing(world: World, app: App, message_id: str) -> Message:
    """The same, refused with 230011 where it was recalled."""
    message = message_for(world, app, message_id)
    if message.recalled:
        raise Refusal(RECALLED, "The message was withdrawn.")
    return message
