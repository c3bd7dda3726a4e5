"""Checks the `content` string of a message as strictly as Feishu does."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from app.control.playground.cards import check_card
from app.control.playground.wire import Refusal
from app.control.playground.world import App, Chat, Mention, Message, World

TEXT_SIZE: Final = 150 * 1024
CARD_SIZE: Final = 30 * 1024
DIVIDER_LENGTH: Final = 20

BAD_PARAMETER: Final = 230001
TOO_LONG: Final = 230025
WRONG_FILE_TYPE: Final = 230055
NOT_HERE: Final = 230054
FOREIGN_RESOURCE: Final = 230017

_POST_TAGS: Final = frozenset({"text", "a", "at", "img", "media", "emotion", "code_block", "hr", "md"})
_ALONE: Final = frozenset({"img", "media", "md"})
_FILE_KINDS: Final = {"audio": {"opus"}, "media": {"mp4"}}
AT: Final = re.compile(r"<at\s+user_id\s*=\s*\"([^\"]*)\"\s*>(.*?)</at>", re.DOTALL)


def check_content(world: World, app: App, chat: Chat, msg_type: str, content: Any) -> dict[str, Any]:
    """The decoded content; Refusal 230001, 230025, 230054, 230055, 230017 or 230099 where Feishu would not take it."""
    if not isinstance(content, str):
        raise _bad("content must be a JSON document serialised into a string")
    most = TEXT_SIZE if msg_type == "text" else CARD_SIZE
    if len(content) > most or (len(content) > most // 4 and len(content.encode()) > most):
        raise Refusal(TOO_LONG, "The length of the message content reaches its limit.")
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise _bad("content is not a string in JSON format") from None
    if not isinstance(document, dict):
        raise _bad("content must be a JSON object")
    if msg_type == "text":
        if not isinstance(document.get("text"), str) or not document["text"]:
            raise _bad("text message content is empty: `text` must be a non-empty string")
    elif msg_type == "interactive":
        check_card(world, app, document)
    elif msg_type == "post":
        _check_post(world, app, document)
    elif msg_type == "image":
        _check_upload(world, app, document, "image_key", "image")
    elif msg_type in ("file", "audio", "media", "sticker"):
        _check_upload(world, app, document, "file_key", msg_type)
        if "image_key" in document:
            _check_upload(world, app, document, "image_key", "image")
    elif msg_type == "share_chat":
        shared = world.chats.get(str(document.get("chat_id")))
        if shared is None or app not in shared.apps:
            raise _bad("chat_id is no chat that the bot is in")
    elif msg_type == "share_user":
        known = world.by_open_id(str(document.get("user_id")))
        if known is None or known[0] is not app:
            raise _bad("user_id must be an open_id of this app")
    elif msg_type == "system":
        _check_divider(chat, document)
    else:
        raise _bad(f"msg_type {msg_type} is not known")
    return document


def mentions_in(world: World, app: App, msg_type: str, document: dict[str, Any]) -> list[Mention]:
    """Who a text names with `<at user_id="…">`, as the sending app's open ids have it."""
    if msg_type != "text" or "<at" not in document["text"]:
        return []
    found: list[Mention] = []
    for open_id, _name in AT.findall(document["text"]):
        known = world.by_open_id(open_id)
        if known is not None and known[0] is app:
            found.append(Mention(f"@_user_{len(found) + 1}", known[1]))
        elif open_id == "all":
            found.append(Mention("@_all", None))
    return found


def content_for(message: Message, world: World, reader: App) -> str:
    """The content as an app receives it: placeholders for mentions, posts without locale, cards simplified."""
    if message.msg_type == "text" and message.by_app:
        document = orjson.loads(message.content)
        mentions = iter(message.mentions)
        document["text"] = AT.sub(lambda match: _placeholder(match, mentions), document["text"])
        return orjson.dumps(document).decode()
    if message.msg_type == "post":
        document = orjson.loads(message.content)
        if "content" not in document and document:
            return orjson.dumps(next(iter(document.values()))).decode()
    if message.msg_type == "interactive":
        return orjson.dumps(simplified(orjson.loads(message.content))).decode()
    return message.content


def simplified(card: dict[str, Any]) -> dict[str, Any]:
    """A card as it is read back: title and text, not the JSON that was sent."""
    title = card.get("header", {}).get("title", {}) if isinstance(card.get("header"), dict) else {}
    body = card.get("body") if isinstance(card.get("body"), dict) else card
    elements = body.get("elements", []) if isinstance(body, dict) else []
    lines = [[{"tag": "text", "text": _text_of(element)}] for element in elements if isinstance(element, dict)]
    return {"title": title.get("content", "") if isinstance(title, dict) else "", "elements": lines}


def _text_of(element: dict[str, Any]) -> str:
    text = element.get("text")
    if isinstance(text, dict):
        return str(text.get("content", ""))
    return str(element.get("content", ""))


def _placeholder(match: re.Match[str], mentions: Any) -> str:
    mention = next(mentions, None)
    return mention.key if mention is not None else match[0]


def _check_post(world: World, app: App, document: dict[str, Any]) -> None:
    if not document:
        raise _bad("a post needs at least one locale, such as zh_cn")
    for locale, body in document.items():
        if not isinstance(body, dict) or not isinstance(body.get("content"), list):
            raise _bad(f"post.{locale} needs `content`, a list of paragraphs")
        for paragraph in body["content"]:
            if not isinstance(paragraph, list):
                raise _bad(f"post.{locale}.content must be a list of lists")
            for node in paragraph:
                if not isinstance(node, dict) or node.get("tag") not in _POST_TAGS:
                    raise _bad(f"post.{locale}.content holds something that is no known tag")
                if node["tag"] in _ALONE and len(paragraph) > 1:
                    raise _bad(f"tag {node['tag']} needs a paragraph of its own")
                if node["tag"] == "img":
                    _check_upload(world, app, node, "image_key", "image")


def _check_upload(world: World, app: App, document: dict[str, Any], name: str, kind: str) -> None:
    key = document.get(name)
    upload = world.uploads.get(key) if isinstance(key, str) else None
    if upload is None or (upload.kind == "image") != (kind == "image"):
        raise _bad(f"{name} is not known")
    if upload.owner is not app and kind != "sticker":
        raise Refusal(FOREIGN_RESOURCE, f"{name} belongs to someone else")
    if upload.kind not in _FILE_KINDS.get(kind, {upload.kind}):
        raise Refusal(WRONG_FILE_TYPE, f"the uploaded file does not fit the message type {kind}")


def _check_divider(chat: Chat, document: dict[str, Any]) -> None:
    if chat.kind != "p2p":
        raise Refusal(NOT_HERE, "system messages can be sent to private chats only")
    try:
        text = document["params"]["divider_text"]["text"]
    except (KeyError, TypeError):
        raise _bad("a divider needs params.divider_text.text") from None
    if document.get("type") != "divider" or not isinstance(text, str) or len(text) > DIVIDER_LENGTH:
        raise _bad(f"a divider's text has at most {DIVIDER_LENGTH} characters")


def _bad(what: str) -> Refusal:
    return Refusal(BAD_PARAMETER, f"Your request contains an invalid request parameter: {what}.")
