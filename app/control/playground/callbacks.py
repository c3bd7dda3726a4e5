"""Card actions and link previews: one POST, no retry, and what the user's client makes of the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from app.control.playground.card_tokens import CardTokens
from app.control.playground.cards import CARD_BYTES, card_fault, replace_card, walk
from app.control.playground.delivery import Attempt, Deliveries
from app.control.playground.envelope import event_v2, legacy_card, posted
from app.control.playground.wire import parse_object
from app.control.playground.world import TENANT, App, Message, User, World

INTERNAL: Final = 200080
NO_ADDRESS: Final = 200340
NOT_IN_TIME: Final = 200341
NOT_CONNECTED: Final = 200342
NO_DNS: Final = 200343
FIELD_WITHOUT_NAME: Final = 200530
NOT_200: Final = 200671
MALFORMED: Final = 200672
BAD_CARD: Final = 200673
DOWNGRADE: Final = 200830

_TOASTS: Final = frozenset({"info", "success", "error", "warning"})
_FIELDS: Final = frozenset(
    {
        "input",
        "select_static",
        "multi_select_static",
        "select_person",
        "multi_select_person",
        "date_picker",
        "picker_time",
        "picker_datetime",
        "checker",
    }
)

# A component's name, text or element_id; its path in the card's JSON; or the whole `action` to send.
Action = str | list[str | int] | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Clicked:
    """What a user's client shows after an action: an error code (0 is none), a toast, a changed card."""

    code: int
    toast: dict[str, Any] | None = None
    card_changed: bool = False
    token: str = field(default="", repr=False)
    """The update token that the callback carried."""
    event_id: str = ""
    attempt: Attempt | None = None
    answer: dict[str, Any] | None = field(default=None, repr=False)


class Callbacks:
    """Sends callbacks and judges their answers."""

    def __init__(self, world: World, deliveries: Deliveries, tokens: CardTokens) -> None:
        self._world = world
        self._deliveries = deliveries
        self._tokens = tokens

    async def click(
        self,
        user: User,
        message: Message,
        action: Action,
        form: dict[str, Any] | None = None,
        *,
        event_id: str | None = None,
        legacy: bool = False,
    ) -> Clicked:
        """Act on a card; LookupError where it has no such component."""
        app = message.sender
        card = parse_object(message.content.encode()) or {}
        if not isinstance(app, App) or message.msg_type != "interactive" or message.recalled:
            return Clicked(INTERNAL)
        if not app.callback_url:
            return Clicked(NO_ADDRESS)
        if isinstance(action, dict):
            acted = action if form is None else {**action, "form_value": form}
        else:
            found = component(card, action)
            if submits(found) and nameless(card, found):
                return Clicked(FIELD_WITHOUT_NAME)
            acted = action_of(found, form)
        token = self._tokens.make(self._world.new_id("c-"), app, message, user)
        body = self._body(app, user, message, acted, token.value)
        event_id = event_id or self._world.new_id("")
        now = self._world.clock.now()
        if legacy:
            request = legacy_card(app, _legacy_body(body), now)
        else:
            request = posted(app, event_v2(app, "card.action.trigger", body, event_id, now, micro=True), now)
        attempt = await self._deliveries.post(app.callback_url, request)
        token.answered = True
        answer = parse_object(attempt.answer.encode()) if attempt.answer else None
        code = _transport_code(attempt) or answer_fault(answer, card, legacy=legacy)
        if code or answer is None:
            return Clicked(code, token=token.value, event_id=event_id, attempt=attempt, answer=answer)
        new = _new_card(self._world, answer, legacy=legacy)
        if new is not None:
            replace_card(self._world, message, new)
        toast = answer.get("toast")
        return Clicked(0, toast, new is not None, token.value, event_id, attempt, answer)

    async def preview(self, app: App, user: User, url: str, message: Message | None, chat_id: str) -> Clicked:
        """Have a link previewed; the answer's `inline` and `card` are in `answer`."""
        if not app.callback_url:
            return Clicked(NO_ADDRESS)
        token = self._world.new_id("pt_")
        ids = {"open_id": self._world.open_id(app, user), "user_id": user.user_id, "tenant_key": TENANT}
        body = {
            "operator": ids,
            "host": "im_message",
            "context": {
                "url": url,
                "preview_token": token,
                "open_message_id": message.message_id if message else self._world.new_id("om_"),
                "open_chat_id": chat_id,
            },
        }
        event_id, now = self._world.new_id(""), self._world.clock.now()
        document = event_v2(app, "url.preview.get", body, event_id, now, micro=True)
        attempt = await self._deliveries.post(app.callback_url, posted(app, document, now))
        answer = parse_object(attempt.answer.encode()) if attempt.answer else None
        code = _transport_code(attempt) or (MALFORMED if answer is None else 0)
        if answer is not None and not code and not isinstance(answer.get("inline", {}), dict):
            code = MALFORMED
        return Clicked(code, token=token, event_id=event_id, attempt=attempt, answer=answer)

    def _body(self, app: App, user: User, message: Message, action: dict[str, Any], token: str) -> dict[str, Any]:
        return {
            "operator": {
                "tenant_key": TENANT,
                "user_id": user.user_id,
                "open_id": self._world.open_id(app, user),
                "union_id": user.union_id,
            },
            "token": token,
            "action": action,
            "host": "im_message",
            "context": {"open_message_id": message.message_id, "open_chat_id": message.chat.chat_id},
        }


def component(card: dict[str, Any], wanted: str | list[str | int]) -> dict[str, Any]:
    """The component of a card with that name, element_id or text (the first that fits), or at that path."""
    if isinstance(wanted, str):
        for node in walk(card):
            text = node.get("text")
            label = text.get("content") if isinstance(text, dict) else None
            if isinstance(node.get("tag"), str) and wanted in (
                node.get("name"),
                node.get("element_id"),
                label,
            ):
                return node
        raise LookupError(f"no component of the card is called {wanted!r}: use its name, text or element_id")
    place: Any = card
    for step in wanted:
        place = place[step]
    if not isinstance(place, dict) or not isinstance(place.get("tag"), str):
        raise LookupError("the path leads to no component of the card")
    return place


def submits(node: dict[str, Any]) -> bool:
    """Whether a button sends its form."""
    return node.get("form_action_type") == "submit" or node.get("action_type") == "form_submit"


def nameless(card: dict[str, Any], button: dict[str, Any]) -> bool:
    """Whether the button's form holds a field without a name."""
    for node in walk(card):
        if node.get("tag") == "form" and any(inner is button for inner in walk(node)):
            return any(inner.get("tag") in _FIELDS and not inner.get("name") for inner in walk(node))
    return False


def action_of(node: dict[str, Any], form: dict[str, Any] | None) -> dict[str, Any]:
    """The `action` that a component sends: its tag, name and value, and the form where it submits one."""
    action: dict[str, Any] = {"tag": node["tag"], "timezone": "Asia/Shanghai"}
    value = node.get("value")
    for behaviour in node.get("behaviors", ()):
        if isinstance(behaviour, dict) and behaviour.get("type") == "callback":
            value = behaviour.get("value", value)
    if value is not None:
        action["value"] = value
    if node.get("name"):
        action["name"] = node["name"]
    if submits(node):
        action["form_value"] = form or {}
    elif form:
        action.update(form)
    return action


def answer_fault(answer: dict[str, Any] | None, before: dict[str, Any], *, legacy: bool) -> int:
    """What a client complains of in an answer's body (200672, 200673, 200830), or 0."""
    if answer is None:
        return MALFORMED
    toast = answer.get("toast")
    if toast is not None:
        if not isinstance(toast, dict) or toast.get("type", "info") not in _TOASTS:
            return MALFORMED
        if not isinstance(toast.get("content", ""), str):
            return MALFORMED
    if legacy:
        bare = {key: value for key, value in answer.items() if key != "toast"}
        return BAD_CARD if bare and card_fault(bare) is not None else 0
    if set(answer) - {"toast", "card"}:
        return MALFORMED
    card = answer.get("card")
    if card is None:
        return 0
    if not isinstance(card, dict) or not isinstance(card.get("data"), dict):
        return BAD_CARD
    if card.get("type") == "template":
        return 0 if isinstance(card["data"].get("template_id"), str) else BAD_CARD
    if card.get("type") != "raw" or card_fault(card["data"]) is not None or len(orjson.dumps(card)) > CARD_BYTES:
        return BAD_CARD
    if before.get("schema") == "2.0" and card["data"].get("schema") != "2.0":
        return DOWNGRADE
    return 0


def _new_card(world: World, answer: dict[str, Any], *, legacy: bool) -> dict[str, Any] | None:
    if legacy:
        return {key: value for key, value in answer.items() if key != "toast"} or None
    card = answer.get("card")
    if not isinstance(card, dict):
        return None
    data: dict[str, Any] = card["data"]
    return world.templates.get(data["template_id"]) if card["type"] == "template" else data


def _transport_code(attempt: Attempt) -> int:
    if attempt.error == "dns":
        return NO_DNS
    if attempt.error == "connect":
        return NOT_CONNECTED
    if attempt.error == "timeout":
        return NOT_IN_TIME
    if attempt.error:
        return INTERNAL
    return 0 if attempt.status == 200 else NOT_200


def _legacy_body(body: dict[str, Any]) -> dict[str, Any]:
    operator, context = body["operator"], body["context"]
    return {
        "open_id": operator["open_id"],
        "user_id": operator["user_id"],
        "tenant_key": TENANT,
        "open_message_id": context["open_message_id"],
        "open_chat_id": context["open_chat_id"],
        "token": body["token"],
        "action": body["action"],
    }
