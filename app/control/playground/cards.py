"""Cards: what Feishu takes as one, which parts can be acted on, and the tokens that change one later."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from app.control.playground.wire import Refusal
from app.control.playground.world import App, Message, User, World
from app.core.clock import Clock

if TYPE_CHECKING:
    from app.control.playground.ask import Ask

NOT_CREATED: Final = 230099
BAD_JSON: Final = 200621
BAD_TAG: Final = 200861
BAD_IMAGE: Final = 200570
BAD_USER: Final = 100290
NO_TEMPLATE: Final = 200380
TOO_MANY: Final = 11310
MOST_ELEMENTS: Final = 200
MOST_TABLES: Final = 3
CARD_BYTES: Final = 30 * 1024

TOKEN_LIFE: Final = 1800.0
TOKEN_USES: Final = 2
BAD_TOKEN: Final = 300020
TOKEN_EXPIRED: Final = 300030
TOKEN_USED_UP: Final = 300040
OPEN_IDS_MISSING: Final = 300090
BAD_OPEN_IDS: Final = 200320
RECALLED: Final = 200000
MALFORMED: Final = 11311
BAD_BODY: Final = 100030
# What an update gets while its callback is unanswered is not documented; the code CardKit has for it is taken.
CALLBACK_OPEN: Final = 200810

_GONE_IN_2: Final = frozenset({"action", "note"})
_AT: Final = re.compile(r"<at\s+id\s*=\s*[\"']?([^\s\"'>]+)")
_TABLE: Final = re.compile(r"^\s*\|?\s*:?-{3,}:?\s*(\|\s*:?-{3,}:?\s*)+\|?\s*$", re.MULTILINE)


def check_card(world: World, app: App, document: dict[str, Any]) -> None:
    """Refuse (230099 with the real cause in `msg`) what Feishu could make no card of."""
    if document.get("type") == "template":
        data = document.get("data")
        if not isinstance(data, dict) or data.get("template_id") not in world.templates:
            raise not_created(NO_TEMPLATE, "template does not exist")
        return
    if document.get("type") == "card":
        return  # an entity: the sender looks it up, since sending uses it up
    fault = card_fault(document)
    if fault is not None:
        raise not_created(*fault)
    for node in walk(document):
        key = node.get("img_key")
        if isinstance(key, str) and key and key not in world.uploads:
            raise not_created(BAD_IMAGE, "image key is invalid")
        text = node.get("content")
        for who in _AT.findall(text) if isinstance(text, str) and "<at" in text else ():
            known = world.by_open_id(who)
            if who != "all" and (known is None or known[0] is not app):
                raise not_created(BAD_USER, "at user is invalid")


def card_fault(card: dict[str, Any]) -> tuple[int, str] | None:
    """What is wrong with a raw card's shape (sub-code, text), or None."""
    if card.get("schema", "1.0") not in ("1.0", "2.0"):
        return BAD_JSON, "unknown schema"
    second = card.get("schema") == "2.0"
    body = card.get("body") if second else card
    elements = body.get("elements") if isinstance(body, dict) else None
    if not isinstance(elements, list) and not (not second and isinstance(card.get("i18n_elements"), dict)):
        return BAD_JSON, "body.elements is missing" if second else "elements is missing"
    header = card.get("header")
    if header is not None and not (isinstance(header, dict) and isinstance(header.get("title"), dict)):
        return BAD_JSON, "header.title is missing"
    count = tables = 0
    for element in elements or []:
        if not isinstance(element, dict) or not isinstance(element.get("tag"), str):
            return BAD_JSON, "every element needs a tag"
    for node in walk(elements or []):
        tag = node.get("tag")
        if second and tag in _GONE_IN_2:
            return BAD_TAG, f"cards of schema V2 no longer support this capability; unsupported tag {tag}"
        count += isinstance(tag, str)
        if tag in ("markdown", "lark_md") and isinstance(node.get("content"), str):
            tables += len(_TABLE.findall(node["content"]))
        tables += tag == "table"
    if count > MOST_ELEMENTS or tables > MOST_TABLES:
        return TOO_MANY, "element or table number over limit"
    return None


def not_created(code: int, text: str) -> Refusal:
    """The answer to a card that cannot be made; the sub-code stands only in the text."""
    return Refusal(NOT_CREATED, f"Failed to create card content, ext=ErrCode: {code}; ErrMsg: {text}; ")


def shared(card: dict[str, Any]) -> bool:
    """Whether everyone sees the same card and it may be updated: always for 2.0, by `update_multi` for 1.0."""
    config = card.get("config")
    declared = config.get("update_multi") if isinstance(config, dict) else None
    return declared is True or (declared is None and card.get("schema") == "2.0")


def walk(node: Any) -> Iterator[dict[str, Any]]:
    """Every object in a card, outer ones first."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            if isinstance(value, dict | list):
                yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


@dataclass(eq=False, slots=True)
class CardToken:
    """The right to change one card after an action on it."""

    value: str
    app: App
    message: Message
    user: User
    made: float
    uses: int = 0
    answered: bool = False


class CardTokens:
    """The tokens of callbacks: 30 minutes, two uses, not before the callback is answered."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[str, CardToken] = {}

    def make(self, value: str, app: App, message: Message, user: User) -> CardToken:
        """A token for one callback that is about to be sent."""
        token = self._tokens[value] = CardToken(value, app, message, user, self._clock.now())
        return token

    def use(self, value: Any, app: App) -> CardToken:
        """Spend one use; Refusal 300020, 300030, 300040 or (callback not answered) 200810."""
        token = self._tokens.get(value) if isinstance(value, str) and value.startswith("c-") else None
        if token is None or token.app is not app:
            raise Refusal(BAD_TOKEN, "the card token is invalid")
        if token.made <= self._clock.now() - TOKEN_LIFE:
            raise Refusal(TOKEN_EXPIRED, "the card token has expired")
        if not token.answered:
            raise Refusal(CALLBACK_OPEN, "the callback is not answered yet")
        if token.uses >= TOKEN_USES:
            raise Refusal(TOKEN_USED_UP, "the card token was used too often")
        token.uses += 1
        return token

    def open_on(self, message: Message) -> bool:
        """Whether a callback about this card waits for its answer."""
        return any(token.message is message and not token.answered for token in self._tokens.values())


def update_by_token(ask: Ask) -> dict[str, Any]:
    """POST interactive/v1/card/update: the delayed update of the card that was acted on."""
    document = ask.json()
    ask.call.target = str(document.get("token", ""))
    card = document.get("card")
    if not isinstance(card, dict):
        raise Refusal(BAD_BODY, "card must be an object")
    ask.call.content = orjson.dumps(card).decode()
    open_ids = card.get("open_ids")
    if card.get("type") != "template" and (len(ask.call.content) > CARD_BYTES or card_fault(card) is not None):
        raise Refusal(MALFORMED, "the card is malformed")
    if card.get("schema") != "2.0" and not shared(card):
        if not open_ids:
            raise Refusal(OPEN_IDS_MISSING, "open_ids is required for cards that are not shared")
        if not isinstance(open_ids, list) or any(_stranger(ask, who) for who in open_ids):
            raise Refusal(BAD_OPEN_IDS, "open_ids are invalid")
    token = ask.desk.card_tokens.use(document.get("token"), ask.app)
    ask.call.message_id, ask.call.chat_id = token.message.message_id, token.message.chat.chat_id
    if token.message.recalled:
        token.uses -= 1
        raise Refusal(RECALLED, "the message was recalled")
    replace_card(ask.desk.world, token.message, {k: v for k, v in card.items() if k != "open_ids"})
    ask.desk.feed.put(lambda: {"type": "changed", "message_id": token.message.message_id, "chat_id": ask.call.chat_id})
    return {}


def replace_card(world: World, message: Message, card: dict[str, Any]) -> None:
    """Put another card in a message's place."""
    message.content = orjson.dumps(card).decode()
    message.updated = world.clock.now()


def _stranger(ask: Ask, who: Any) -> bool:
    known = ask.desk.world.by_open_id(who) if isinstance(who, str) else None
    return known is None or known[0] is not ask.app
