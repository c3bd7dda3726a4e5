"""One API call: what goes out, whose bounds it falls under, how long it may wait, and how it is going."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypedDict
from urllib.parse import quote

from app.channel.limiter import OnWait
from app.channel.limits import Priority
from app.channel.tokens import TokenKind
from app.core.errors import FeishuRefused
from app.feishu.client import Part, Query


class Call(NamedTuple):
    """One API call as it goes out, and whose bounds it falls under; a tuple, since every send makes one."""

    api: str
    """Its name for limiter, metrics and errors; never holds an id."""
    method: str
    path: str
    """Percent-encoded."""
    query: Query = ()
    json: Any = None
    form: tuple[Part, ...] = ()
    headers: Mapping[str, str] | None = None
    chat: str = ""
    user: str = ""
    message: str = ""
    card: str = ""
    """The card entity it works on."""
    priority: Priority = "reply"
    """Its priority, unless its caller names another."""
    repeatable: bool = True
    """Whether repeating it does no harm: it has a uuid, or the API is idempotent by itself."""
    binary: bool = False
    timeout: float = 10.0
    token: TokenKind | Literal["none"] = "tenant"

    def __repr__(self) -> str:
        return f"Call({self.api})"


class Patience(TypedDict, total=False):
    """How long a call may wait: `deadline` in seconds since the epoch; `on_wait` is called before each wait for a slot.

    `priority` says what it goes before: `reply` before `send` before `broadcast`; without it a message that is no
    reply is a `send`, and everything else goes with the replies. `slot_within` bounds only the wait for a slot, in
    seconds, for callers that have something else to do meanwhile; the call itself may take its time.
    """

    deadline: float | None
    slot_within: float
    on_wait: OnWait | None
    priority: Priority | None


@dataclass(slots=True)
class Course:
    """How a call is going; a caller passes one in to know after a failure."""

    unknown: bool = False
    """Whether some attempt, in this call or an earlier one under the same uuid, may have done its work."""
    repeat_until: float | None = None
    """Until when (seconds since the epoch) an attempt of unknown outcome may be repeated; None: always."""
    busy: int = 0
    """How often Feishu answered that the same message is being sent."""


def segment(value: str) -> str:
    """An id as one segment of a path; FeishuRefused for what would change the path."""
    if value in ("", ".", ".."):
        raise FeishuRefused(f"{value!r} is no id: check where the message id, chat id or key comes from")
    return quote(value, safe="")
