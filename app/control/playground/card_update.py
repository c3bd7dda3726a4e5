"""The delayed update of a card: by the token of a callback, after its answer."""

from __future__ import annotations

from typing import Any, Final

import orjson

from app.control.playground.ask import Ask
from app.control.playground.cards import CARD_BYTES, card_fault, replace_card, shared
from app.control.playground.wire import Refusal

OPEN_IDS_MISSING: Final = 300090
BAD_OPEN_IDS: Final = 200320
RECALLED: Final = 200000
MALFORMED: Final = 11311
BAD_BODY: Final = 100030


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


def _stranger(ask: Ask, who: Any) -> bool:
    known = ask.desk.world.by_open_id(who) if isinstance(who, str) else None
    return known is None or known[0] is not ask.app
