"""What a context asks of its surroundings: the worker implements it for real, BotTest in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from app.sdk.cache import Cache
from app.sdk.content import Content
from app.sdk.stream import Typing

UploadKind = Literal["image", "opus", "mp4", "pdf", "doc", "xls", "ppt", "stream"]
"""`image`, or Feishu's own names for files; `stream` is any other file."""
DownloadKind = Literal["image", "file"]


class Verbs(Protocol):
    """The verbs of one event; each raises errors of `app.core.errors`, Fenced when the claim is lost."""

    @property
    def cache(self) -> Cache:
        """What the bot keeps at hand."""
        ...

    async def reply(self, content: Content, *, in_thread: bool = False) -> str:
        """Reply to the event's message, else send to its chat, else to its user; the message id or ""."""
        ...

    async def send(self, chat_id: str, content: Content, *, later: bool = False) -> str:
        """Send to a chat (`oc_…`) or a person (`ou_…`); the message id, which may be empty.

        `later` puts it on the outbox instead, and gives its id there.
        """
        ...

    def stream(self, title: str, *, chat_id: str = "", in_thread: bool = False) -> Typing:
        """A card that types, as a reply, or sent to `chat_id`; not begun yet."""
        ...

    async def later(self, delay: float, *, handler: str = "", data: Any = None, content: Content | None = None) -> str:
        """Have a handler run, or something said, after `delay` seconds; an id."""
        ...

    async def update(self, message_id: str, content: Content) -> None:
        """Replace a message of the bot's own."""
        ...

    async def react(self, emoji: str, message_id: str | None = None) -> str:
        """Add a reaction to a message (None: the event's); the reaction id."""
        ...

    async def upload(self, data: bytes | Path, name: str, kind: UploadKind) -> str:
        """Upload an image (10 MB) or a file (30 MB); the image or file key."""
        ...

    async def download(self, key: str, kind: DownloadKind, message_id: str | None = None) -> bytes:
        """Fetch what a message carries (None: the event's message)."""
        ...

    async def call(self, request: Any) -> Any:
        """Make any Feishu call, given as a lark-oapi request object."""
        ...

    async def chat_info(self, chat_id: str) -> Mapping[str, Any] | None:
        """A chat's profile, five minutes old at most; None for one out of the bot's reach."""
        ...

    async def user_info(self, open_id: str) -> Mapping[str, Any] | None:
        """A person's profile, five minutes old at most; None for one out of the app's reach."""
        ...

    async def state_get(self, scope: str, key: str) -> bytes | None:
        """Read what was kept; `scope` is `bot`, `chat:<id>` or `user:<id>`."""
        ...

    async def state_set(self, scope: str, key: str, value: bytes, ttl: float | None = None) -> None:
        """Keep a value, for `ttl` seconds or for good."""
        ...

    async def state_delete(self, scope: str, key: str) -> None:
        """Forget a value; nothing happens where there is none."""
        ...

    async def state_change(
        self,
        scope: str,
        key: str,
        change: Callable[[bytes | None], bytes | None],
        ttl: float | None = None,
        *,
        keep_ttl: bool = False,
    ) -> bool:
        """Replace a value by what `change` makes of it, in one step; False if it makes nothing (None) of it.

        `change` may be called several times. `keep_ttl` leaves a value that was there the time to live that it has.
        """
        ...

    async def state_ttl(self, scope: str, key: str) -> float | None:
        """Seconds for which a value is still kept; None for good, or where there is none."""
        ...

    async def task_update(self, task: str, status: str, progress: float | None, note: str | None, keep: float) -> None:
        """Note how a task stands; `keep` is for how many seconds it is shown after its end."""
        ...
