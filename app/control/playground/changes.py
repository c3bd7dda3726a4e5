"""What can be done with a message once it is there: change, recall, read, list, react."""

from __future__ import annotations

from typing import Any, Final

import orjson

from app.control.playground.ask import Ask, text_field
from app.control.playground.cards import shared
from app.control.playground.content import check_content, content_for
from app.control.playground.limits import PER_MESSAGE
from app.control.playground.messages import message_data
from app.control.playground.receivers import (
    BAD_PARAMETER,
    INVALID_RECEIVER,
    NOT_IN_GROUP,
    message_for,
    standing,
)
from app.control.playground.wire import Refusal
from app.control.playground.world import App, Chat, Message, Reaction

MISSING_RIGHT: Final = 230027
TOO_OLD: Final = 230031
WRONG_TYPE: Final = 230054
NOT_OWN: Final = 230071
TOO_MANY_EDITS: Final = 230072
RECALL_WINDOW: Final = 230009
REACTION_BAD: Final = 231001
REACTION_FOREIGN: Final = 231002
REACTION_GONE: Final = 231003

CARD_LIFE: Final = 14 * 86400.0
MOST_EDITS: Final = 20
RECALLABLE: Final = 86400.0
PAGE: Final = 20
LARGEST_PAGE: Final = 50


def patch(ask: Ask) -> dict[str, Any]:
    """PATCH im/v1/messages/:message_id: another card in the place of a shared one, for 14 days."""
    message = _mine(ask, MISSING_RIGHT)
    document = ask.json()
    content = document.get("content")
    ask.call.content = content if isinstance(content, str) else ""
    if message.msg_type != "interactive":
        raise Refusal(WRONG_TYPE, "only cards can be updated by this API")
    if message.created < ask.desk.world.clock.now() - CARD_LIFE:
        raise Refusal(TOO_OLD, "the card was sent more than 14 days ago")
    card = check_content(ask.desk.world, ask.app, message.chat, "interactive", content)
    template = card.get("type") == "template"
    if (not message.card_id and not shared(orjson.loads(message.content))) or not (template or shared(card)):
        raise Refusal(BAD_PARAMETER, "config.update_multi must be true in the card before and after the update")
    ask.desk.limits.target("message", message.message_id, PER_MESSAGE)
    if template:
        card = ask.desk.world.templates[card["data"]["template_id"]]
    message.content = orjson.dumps(card).decode()
    _changed(ask, message)
    return {}


def put(ask: Ask) -> dict[str, Any]:
    """PUT im/v1/messages/:message_id: another text or post, at most 20 times."""
    message = _mine(ask, NOT_OWN)
    document = ask.json()
    msg_type = text_field(document, "msg_type", BAD_PARAMETER)
    content = document.get("content")
    ask.call.content = content if isinstance(content, str) else ""
    if msg_type not in ("text", "post") or message.msg_type not in ("text", "post"):
        raise Refusal(WRONG_TYPE, "only text and post messages can be edited")
    check_content(ask.desk.world, ask.app, message.chat, msg_type, content)
    if message.edits >= MOST_EDITS:
        raise Refusal(TOO_MANY_EDITS, f"the message was edited {MOST_EDITS} times")
    message.edits += 1
    message.msg_type, message.content = msg_type, str(content)
    _changed(ask, message)
    return message_data(ask.desk.world, ask.app, message)


def delete(ask: Ask) -> dict[str, Any]:
    """DELETE im/v1/messages/:message_id: recall an own message within a day."""
    message = _mine(ask, MISSING_RIGHT)
    if message.created < ask.desk.world.clock.now() - RECALLABLE:
        raise Refusal(RECALL_WINDOW, "the time in which the message can be recalled is over")
    message.recalled = True
    _changed(ask, message)
    return {}


def get(ask: Ask) -> dict[str, Any]:
    """GET im/v1/messages/:message_id."""
    message = message_for(ask.desk.world, ask.app, ask.params[0])
    ask.call.target, ask.call.chat_id = message.message_id, message.chat.chat_id
    return {"items": [_item(ask, message)]}


def list_messages(ask: Ask) -> dict[str, Any]:
    """GET im/v1/messages: one page of a chat or thread."""
    query, world = ask.request.query, ask.desk.world
    name = ask.call.target = query.get("container_id", "")
    chat: Chat | None
    if query.get("container_id_type") == "thread":
        chat = next((m.chat for m in world.messages.values() if m.thread == name), None) if name else None
    elif query.get("container_id_type") == "chat":
        chat = world.chats.get(name)
    else:
        raise Refusal(BAD_PARAMETER, "container_id_type must be chat or thread")
    if chat is None:
        raise Refusal(INVALID_RECEIVER, "container_id is not known")
    if ask.app not in chat.apps:
        raise Refusal(NOT_IN_GROUP, "The bot can not be outside the group.")
    ask.call.chat_id = chat.chat_id
    size, start = _number(query.get("page_size", str(PAGE))), _number(query.get("page_token") or "0")
    if not 1 <= size <= LARGEST_PAGE:
        raise Refusal(BAD_PARAMETER, f"page_size must be 1 to {LARGEST_PAGE}")
    earliest, latest = _number(query.get("start_time") or "0"), _number(query.get("end_time") or str(2**40))
    found = [
        message
        for message in chat.messages
        if earliest <= message.created <= latest + 1
        and message.only_for is None
        and (query["container_id_type"] == "chat" or message.thread == name)
    ]
    if query.get("sort_type") == "ByCreateTimeDesc":
        found.reverse()
    more = start + size < len(found)
    page: dict[str, Any] = {"has_more": more, "items": [_item(ask, m) for m in found[start : start + size]]}
    if more:
        page["page_token"] = str(start + size)
    return page


def react(ask: Ask) -> dict[str, Any]:
    """POST im/v1/messages/:message_id/reactions; the same emoji twice by one app is one reaction."""
    message = _reactable(ask)
    kind = ask.json().get("reaction_type")
    emoji = kind.get("emoji_type") if isinstance(kind, dict) else None
    if not isinstance(emoji, str) or not emoji.isascii() or not emoji:
        raise Refusal(REACTION_BAD, "reaction_type.emoji_type is invalid")
    ask.call.content = emoji
    for present in message.reactions.values():
        if present.who is ask.app and present.emoji == emoji:
            return _reaction(ask, present)
    reaction = Reaction(ask.desk.world.new_id("rc_"), ask.app, emoji, ask.desk.world.clock.now())
    message.reactions[reaction.reaction_id] = reaction
    reacted(ask, message, reaction, "created")
    return _reaction(ask, reaction)


def unreact(ask: Ask) -> dict[str, Any]:
    """DELETE im/v1/messages/:message_id/reactions/:reaction_id: only one's own."""
    message = _reactable(ask)
    reaction = message.reactions.get(ask.params[1])
    if reaction is None:
        raise Refusal(REACTION_BAD, "reaction_id is not known")
    if reaction.who is not ask.app:
        raise Refusal(REACTION_FOREIGN, "the reaction is someone else's")
    del message.reactions[reaction.reaction_id]
    reacted(ask, message, reaction, "deleted")
    return _reaction(ask, reaction)


def list_reactions(ask: Ask) -> dict[str, Any]:
    """GET im/v1/messages/:message_id/reactions."""
    wanted = ask.request.query.get("reaction_type")
    message = _reactable(ask)
    items = [_reaction(ask, r) for r in message.reactions.values() if wanted in (None, "", r.emoji)]
    return {"items": items, "has_more": False}


def reacted(ask: Ask, message: Message, reaction: Reaction, what: str) -> None:
    """Show a reaction of an app, and tell the apps of the chat: an app's own come back to it."""
    _show(ask, message)
    for app in message.chat.apps:
        ask.desk.notify(
            app,
            f"im.message.reaction.{what}_v1",
            reaction_event(ask.desk.world, app, message, reaction),
            "2.0",
        )


def reaction_event(world: Any, app: App, message: Message, reaction: Reaction) -> dict[str, Any]:
    """The event body that tells `app` of a reaction."""
    body: dict[str, Any] = {
        "message_id": message.message_id,
        "reaction_type": {"emoji_type": reaction.emoji},
        "action_time": str(int(reaction.at * 1000)),
    }
    if isinstance(reaction.who, App):
        return body | {"operator_type": "app", "app_id": reaction.who.app_id}
    who = reaction.who
    ids = {"open_id": world.open_id(app, who), "union_id": who.union_id, "user_id": who.user_id}
    return body | {"operator_type": "user", "user_id": ids, "app_id": ""}


def _mine(ask: Ask, foreign: int) -> Message:
    ask.call.target = ask.call.message_id = ask.params[0]
    message = standing(ask.desk.world, ask.app, ask.params[0])
    ask.call.chat_id = message.chat.chat_id
    if message.sender is not ask.app:
        raise Refusal(foreign, "the message was sent by someone else")
    return message


def _reactable(ask: Ask) -> Message:
    ask.call.target = ask.call.message_id = ask.params[0]
    message = message_for(ask.desk.world, ask.app, ask.params[0], gone=REACTION_GONE)
    ask.call.chat_id = message.chat.chat_id
    if message.recalled:
        raise Refusal(REACTION_GONE, "The message is recalled.")
    return message


def _reaction(ask: Ask, reaction: Reaction) -> dict[str, Any]:
    who = reaction.who
    operator = (
        {"operator_id": who.app_id, "operator_type": "app"}
        if isinstance(who, App)
        else {"operator_id": ask.desk.world.open_id(ask.app, who), "operator_type": "user"}
    )
    return {
        "reaction_id": reaction.reaction_id,
        "operator": operator,
        "action_time": str(int(reaction.at * 1000)),
        "reaction_type": {"emoji_type": reaction.emoji},
    }


def _item(ask: Ask, message: Message) -> dict[str, Any]:
    if message.recalled:
        return message_data(ask.desk.world, ask.app, message, "This message was recalled")
    if message.msg_type == "interactive" and ask.request.query.get("card_msg_content_type"):
        return message_data(ask.desk.world, ask.app, message)
    return message_data(ask.desk.world, ask.app, message, content_for(message, ask.desk.world, ask.app))


def _changed(ask: Ask, message: Message) -> None:
    message.updated = ask.desk.world.clock.now()
    _show(ask, message)


def _show(ask: Ask, message: Message) -> None:
    ask.desk.feed.put(lambda: {"type": "changed", "message_id": message.message_id, "chat_id": message.chat.chat_id})


def _number(text: str) -> int:
    if not text.isdigit():
        raise Refusal(BAD_PARAMETER, "paging and times must be whole numbers")
    return int(text)
