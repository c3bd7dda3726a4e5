"""What a bot does to messages that are there, as the store keeps it: edits, reactions, recalls."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from app.channel.exchange import Call
from app.model.bot import BotSpec
from app.model.outbound import ChangeType

# Feishu docs: messages, reactions.
_PATH: Final = re.compile(r"/open-apis/im/v1/messages/([^/?]+)(/reactions(?:/[^/?]+)?)?")
_TYPES: Final[dict[tuple[str, bool], ChangeType]] = {
    ("PATCH", False): "im.message.patch",
    ("PUT", False): "im.message.update",
    ("DELETE", False): "im.message.delete",
    ("POST", True): "im.message.reaction.create",
    ("DELETE", True): "im.message.reaction.delete",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was done to a message."""

    type: ChangeType
    message_id: str
    body: Any = field(repr=False)


OnChange = Callable[[BotSpec, Change], Awaitable[None]]


def change_of(call: Call) -> Change | None:
    """What a call does to a message that is there; None for every other call."""
    found = _PATH.fullmatch(call.path)
    kind = _TYPES.get((call.method, found[2] is not None)) if found else None
    if found is None or kind is None:
        return None
    return Change(kind, unquote(found[1]), call.json)
