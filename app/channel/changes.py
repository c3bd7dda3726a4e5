"""What bots say and do through plain API calls, as the store keeps it: messages, cards, edits, reactions, recalls."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import orjson

from app.channel.call import Call
from app.feishu.client import Answer
from app.model.bot import BotSpec
from app.model.outbound import BY_PERSON, ChangeType

UPDATED_BY_TOKEN: Final = "interactive.card.update"
# Feishu docs: create, reply, forward a message; merge and forward messages; forward a thread.
_SAYING: Final = re.compile(
    r"/open-apis/im/v1/(?:messages(?:/merge_forward|/(?P<message>[^/?]+)/(?:reply|forward))?|threads/[^/?]+/forward)/?"
)


class _Kind(NamedTuple):
    methods: frozenset[str]
    path: re.Pattern[str]
    type: ChangeType


def _kind(methods: str, path: str, type: ChangeType) -> _Kind:
    return _Kind(frozenset(methods.split()), re.compile(f"/open-apis{path}/?"), type)


_MESSAGE: Final = r"/im/v1/messages/(?P<message>[^/?]+)"
# Feishu docs: messages, reactions, delayed update of a card, ephemeral cards, batch sending, CardKit.
_KINDS: Final = (
    _kind("PATCH", _MESSAGE, "im.message.patch"),
    _kind("PUT", _MESSAGE, "im.message.update"),
    _kind("DELETE", _MESSAGE, "im.message.delete"),
    _kind("POST", f"{_MESSAGE}/reactions", "im.message.reaction.create"),
    _kind("DELETE", f"{_MESSAGE}/reactions/[^/?]+", "im.message.reaction.delete"),
    _kind("POST", "/interactive/v1/card/update", UPDATED_BY_TOKEN),
    _kind("POST", "/ephemeral/v1/send", "ephemeral.send"),
    _kind("POST", "/ephemeral/v1/delete", "ephemeral.delete"),
    _kind("POST", "/message/v4/(?:batch_)?send", "message.send"),
    _kind("POST PUT PATCH DELETE", r"/cardkit/v1/cards(?:/(?P<card>[^/?]+)(?:/.*)?)?", "cardkit.card"),
)


@dataclass(frozen=True, slots=True)
class Change:
    """Something done to a message or card, or a message that was sent."""

    type: str
    """A ChangeType, or the type of the message sent."""
    message_id: str
    body: Any = field(repr=False)
    chat_id: str = ""
    user_id: str = ""
    target: Mapping[str, str] | None = None
    """`kind` and `id` of the receiver of a message sent; None for anything else."""


OnChange = Callable[[BotSpec, Change], Awaitable[None]]


def change_of(call: Call, answer: Answer, about: str = "") -> Change | None:
    """What a successful call has said or done; None for calls that say and do nothing of the kind.

    `about` is the message it changes, if the call itself does not say.
    """
    if call.method == "POST" and (found := _SAYING.fullmatch(call.path)):
        return _said(call, answer, unquote(found["message"] or ""))
    for methods, path, type_ in _KINDS:
        if call.method in methods and (found := path.fullmatch(call.path)):
            return _done(call, answer, type_, found.groupdict(), about)
    return None


def _said(call: Call, answer: Answer, message: str) -> Change:
    """A message that a plain call sent; only the answer holds what was forwarded."""
    body, data = _body(call), answer.data
    made = _part(data, "message") or data  # the first for messages that were merged
    kind, receiver = dict(call.query).get("receive_id_type", "reply"), str(body.get("receive_id") or message)
    return Change(
        type=str(body.get("msg_type") or made.get("msg_type") or ""),
        message_id=str(made.get("message_id") or ""),
        body=body.get("content") or _part(made, "body").get("content"),
        chat_id=str(made.get("chat_id") or (receiver if kind == "chat_id" else "")),
        user_id=receiver if kind in BY_PERSON else "",
        target={"kind": kind, "id": receiver},
    )


def _done(call: Call, answer: Answer, type_: ChangeType, ids: Mapping[str, str | None], about: str) -> Change:
    body = _body(call)
    message = unquote(ids.get("message") or "") or about or answer.data.get("message_id") or body.get("message_id")
    if type_ == UPDATED_BY_TOKEN:
        # The token would let whoever reads this change the card once more.
        body = {"card": body.get("card")}
    elif type_ == "cardkit.card":
        body = {"card_id": unquote(ids.get("card") or "") or answer.data.get("card_id"), **body}
    chat, user = str(body.get("chat_id") or ""), str(body.get("open_id") or "")
    return Change(type_, str(message or ""), body, chat, user)


def _part(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = of.get(name)
    return part if isinstance(part, Mapping) else {}


def _body(call: Call) -> Mapping[str, Any]:
    """The body, which is bytes already in calls that bots' authors made themselves."""
    body = orjson.loads(call.json) if isinstance(call.json, bytes) else call.json
    return body if isinstance(body, Mapping) else {}
