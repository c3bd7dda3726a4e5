"""The smaller calls: who am I, what is this chat, link previews, ephemeral cards, where events come from."""

from __future__ import annotations

from typing import Any, Final

import orjson

from app.control.playground.ask import Ask, text_field
from app.control.playground.cards import CARD_BYTES, check_card
from app.control.playground.limits import PER_GROUP_EPHEMERAL, PER_PREVIEW
from app.control.playground.receivers import BAD_PARAMETER, INVALID_RECEIVER, NOT_IN_GROUP, message_for, person
from app.control.playground.wire import Refusal
from app.control.playground.world import TENANT

UNKNOWN_CHAT: Final = 232006
# Feishu docs: get a user: error codes.
UNKNOWN_USER: Final = 41012
WRONG_KIND: Final = 40001
OUTSIDE_CHAT: Final = 232011
BAD_PAGING: Final = 1810001
NOT_HERE: Final = 230054
TOO_LONG: Final = 230025
MOST_PREVIEWS: Final = 10
MOST_PEOPLE: Final = 100
ADDRESSES: Final = ("127.0.0.1", "::1")


def bot_info(ask: Ask) -> dict[str, Any]:
    """GET bot/v3/info: `bot` at top level."""
    bot = {
        "activate_status": 2,
        "app_name": ask.app.name,
        "avatar_url": "",
        "ip_white_list": [],
        "open_id": ask.app.open_id,
    }
    return {"bot": bot}


def chat(ask: Ask) -> dict[str, Any]:
    """GET im/v1/chats/:chat_id."""
    ask.call.target = ask.call.chat_id = ask.params[0]
    found = ask.desk.world.chats.get(ask.params[0])
    if found is None:
        raise Refusal(UNKNOWN_CHAT, "Your request specifies a chat_id which is invalid.")
    if ask.app not in found.apps:
        raise Refusal(OUTSIDE_CHAT, "Operator can NOT be out of the chat.")
    return {
        "name": found.name if found.kind == "group" else "",
        "description": "",
        "avatar": "",
        "chat_mode": found.kind,
        "chat_type": "private",
        "chat_tag": "inner",
        "external": False,
        "tenant_key": TENANT,
        "user_count": str(len(found.users)),
        "bot_count": str(len(found.apps)),
        "chat_status": "dissolved" if found.dissolved else "normal",
    }


def user(ask: Ask) -> dict[str, Any]:
    """GET contact/v3/users/:user_id, named as `user_id_type` says, by default with an open_id."""
    kind = ask.request.query.get("user_id_type", "open_id")
    if kind not in ("open_id", "union_id", "user_id"):
        raise Refusal(WRONG_KIND, "user_id_type must be open_id, union_id or user_id")
    try:
        found = person(ask.desk.world, ask.app, kind, ask.params[0])
    except Refusal as refusal:
        if refusal.code != INVALID_RECEIVER:
            raise  # another app's open_id
        raise Refusal(UNKNOWN_USER, "user id invalid error") from None
    ids = {
        "open_id": ask.desk.world.open_id(ask.app, found),
        "union_id": found.union_id,
        "user_id": found.user_id,
    }
    status = {"is_activated": True, "is_frozen": False, "is_resigned": found.resigned}
    return {"user": {**ids, "name": found.name, "en_name": "", "status": status}}


def chats(ask: Ask) -> dict[str, Any]:
    """GET im/v1/chats: the groups that the bot is in, on one page."""
    groups = [c for c in ask.desk.world.chats.values() if c.kind == "group" and ask.app in c.apps]
    items = [{"chat_id": c.chat_id, "name": c.name, "external": False, "tenant_key": TENANT} for c in groups]
    return {"items": items, "page_token": "", "has_more": False}


def members(ask: Ask) -> dict[str, Any]:
    """GET im/v1/chats/:chat_id/members: the people in it, on one page."""
    chat(ask)
    found = ask.desk.world.chats[ask.params[0]]
    items = [
        {
            "member_id_type": "open_id",
            "member_id": ask.desk.world.open_id(ask.app, u),
            "name": u.name,
            "tenant_key": TENANT,
        }
        for u in found.users
    ]
    return {"items": items, "page_token": "", "has_more": False, "member_total": len(items)}


def update_previews(ask: Ask) -> dict[str, Any]:
    """POST im/v2/url_previews/batch_update: 1–10 tokens, each once in 5 s."""
    document = ask.json()
    tokens, people = document.get("preview_tokens"), document.get("open_ids", [])
    if not isinstance(tokens, list) or not 1 <= len(tokens) <= MOST_PREVIEWS:
        raise Refusal(BAD_PARAMETER, f"preview_tokens must be a list of 1 to {MOST_PREVIEWS}")
    if not isinstance(people, list) or len(people) > MOST_PEOPLE:
        raise Refusal(BAD_PARAMETER, f"open_ids must be a list of at most {MOST_PEOPLE}")
    if not all(isinstance(token, str) and token.startswith("pt_") for token in tokens):
        raise Refusal(BAD_PARAMETER, "a preview token is invalid")
    for open_id in people:
        person(ask.desk.world, ask.app, "open_id", str(open_id))
    for token in tokens:
        ask.desk.limits.target("preview", token, PER_PREVIEW)
    ask.call.target = ",".join(tokens)
    ask.desk.feed.put(lambda: {"type": "preview", "tokens": tokens})
    return {}


def send_ephemeral(ask: Ask) -> dict[str, Any]:
    """POST ephemeral/v1/send: a card in a group that one person sees."""
    document = ask.json()
    chat_id = ask.call.target = text_field(document, "chat_id", BAD_PARAMETER)
    found = ask.desk.world.chats.get(chat_id)
    card = document.get("card")
    if found is None:
        raise Refusal(BAD_PARAMETER, "chat_id is not known")
    ask.call.chat_id = chat_id
    if ask.app not in found.apps:
        raise Refusal(NOT_IN_GROUP, "The bot can not be outside the group.")
    if found.kind != "group":
        raise Refusal(NOT_HERE, "ephemeral cards can be sent to groups only")
    user = person(ask.desk.world, ask.app, "open_id", text_field(document, "open_id", BAD_PARAMETER))
    if user not in found.users:
        raise Refusal(BAD_PARAMETER, "the user is not in the group")
    if document.get("msg_type") != "interactive" or not isinstance(card, dict):
        raise Refusal(BAD_PARAMETER, "msg_type must be interactive and card an object")
    ask.call.content = orjson.dumps(card).decode()
    if len(ask.call.content.encode()) > CARD_BYTES:
        raise Refusal(TOO_LONG, "the card has more than 30 KB")
    check_card(ask.desk.world, ask.app, card)
    ask.desk.limits.target("ephemeral", chat_id, PER_GROUP_EPHEMERAL)
    message = ask.desk.world.add_message(found, ask.app, "interactive", ask.call.content, only_for=user)
    ask.desk.ledger.accept(ask.call, message)
    ask.desk.feed.put(lambda: {"type": "message", "message_id": message.message_id, "chat_id": chat_id})
    return {"message_id": message.message_id}


def delete_ephemeral(ask: Ask) -> dict[str, Any]:
    """POST ephemeral/v1/delete."""
    message_id = ask.call.target = text_field(ask.json(), "message_id", BAD_PARAMETER)
    message = message_for(ask.desk.world, ask.app, message_id)
    if message.only_for is None or message.sender is not ask.app:
        raise Refusal(BAD_PARAMETER, "no ephemeral card of this app has this message_id")
    message.recalled = True
    ask.desk.feed.put(lambda: {"type": "changed", "message_id": message_id, "chat_id": message.chat.chat_id})
    return {}


def outbound_ip(ask: Ask) -> dict[str, Any]:
    """GET event/v1/outbound_ip: where events come from, in pages of 1–50."""
    size, start = ask.request.query.get("page_size", "10"), ask.request.query.get("page_token") or "0"
    if not (size.isdigit() and start.isdigit() and 1 <= int(size) <= 50):
        raise Refusal(BAD_PAGING, "page_size must be 1 to 50, page_token one that was given")
    end = int(start) + int(size)
    more = end < len(ADDRESSES)
    return {
        "ip_list": list(ADDRESSES[int(start) : end]),
        "page_token": str(end) if more else "",
        "has_more": more,
    }
