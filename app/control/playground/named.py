"""Finds what a control request names, or says what is not there."""

from __future__ import annotations

from typing import Any

from app.control.playground.world import App, Chat, Message, User, World


class BadControl(Exception):
    """A control request that names something that is not there, or lacks something; answered 400."""


def app_named(world: World, values: dict[str, Any]) -> App:
    """The app of `app_id`."""
    app = world.apps.get(values.get("app_id", ""))
    if app is None:
        raise BadControl(f"app_id {values.get('app_id')!r} is not known")
    return app


def user_named(world: World, values: dict[str, Any]) -> User:
    """The person of `user_id`."""
    user = world.users.get(values.get("user_id", ""))
    if user is None:
        raise BadControl(f"user_id {values.get('user_id')!r} is not known")
    return user


def chat_named(world: World, values: dict[str, Any]) -> Chat:
    """The chat of `chat_id`."""
    chat = world.chats.get(values.get("chat_id", ""))
    if chat is None:
        raise BadControl(f"chat_id {values.get('chat_id')!r} is not known")
    return chat


def message_named(world: World, values: dict[str, Any]) -> Message:
    """The message of `message_id`."""
    message = world.messages.get(values.get("message_id", ""))
    if message is None:
        raise BadControl(f"message_id {values.get('message_id')!r} is not known")
    return message


def text_named(values: dict[str, Any], name: str) -> str:
    """A string that must be there."""
    value = values.get(name)
    if not isinstance(value, str) or not value:
        raise BadControl(f"{name} must be a non-empty string")
    return value
