"""What a context asks of its surroundings: the worker implements it for real, BotTest in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol

from app.sdk.content import Content

UploadKind = Literal["image", "opus", "mp4", "pdf", "doc", "xls", "ppt", "stream"]
"""`image`, or Feishu's own names for files; `stream` is any other file."""
DownloadKind = Literal["image", "file"]


class Verbs(Protocol):
    """The verbs of one event; each raises errors of `app.core.errors`, Fenced when the claim is lost."""

    async def reply(self, content: Content, *, in_thread: bool = False) -> str:
        """Reply to the event's message, else send to its chat, else to its user; the message id or ""."""
        ...

    async def send(self, chat_id: str, content: Content) -> str:
        """Send to a chat (`oc_…`) or a person (`ou_…`); the message id, which may be empty."""
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

    async def state_get(self, scope: str, key: str) -> bytes | None:
        """Read what was kept; `scope` is `bot`, `chat:<id>` or `user:<id>`."""
        ...

    async def state_set(self, scope: str, key: str, value: bytes, ttl: float | None = None) -> None:
        """Keep a value, for `ttl` seconds or for good."""
        ...

    async def state_delete(self, scope: str, key: str) -> None:
        """Forget a value; nothing happens where there is none."""
        ...
