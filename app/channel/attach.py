"""Turns what a program gives, words or an image or file by key, URL or bytes, into the content of messages."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final, Literal

import orjson

from app.channel.fetch import Fetcher
from app.channel.pages import Paper, pages_of
from app.channel.sender import FILE_LIMIT, IMAGE_LIMIT, FileType, Sender
from app.model.bot import BotSpec
from app.model.outbound import MessageType
from app.sdk.content import Content

_TYPES: Final[dict[str, FileType]] = {
    ".pdf": "pdf",
    **dict.fromkeys((".doc", ".docx"), "doc"),
    **dict.fromkeys((".xls", ".xlsx"), "xls"),
    **dict.fromkeys((".ppt", ".pptx"), "ppt"),
}
# Feishu docs: audio has to be uploaded as opus, video as mp4, and each is a message type of its own.
_MESSAGES: Final[dict[str, MessageType]] = {"opus": "audio", "mp4": "media"}


@dataclass(frozen=True, slots=True)
class Attachment:
    """An image or file to be sent; one of `key`, `url` and `data` is given."""

    kind: Literal["image", "file"]
    key: str = ""
    url: str = field(default="", repr=False)
    data: bytes = field(default=b"", repr=False)
    name: str = ""
    file_type: FileType | None = None
    """None: by the name."""


class Attachments:
    """Brings attachments to Feishu."""

    def __init__(self, sender: Sender, fetcher: Fetcher) -> None:
        self._sender = sender
        self._fetcher = fetcher

    async def words(self, spec: BotSpec, content: Content, deadline: float) -> list[tuple[MessageType, str]]:
        """Message types and contents of what is said, in order; what is too long for one message becomes a file.

        A card that holds more than text becomes several. Raises FeishuError, Misused.
        """
        # Finding where to cut takes a moment, during which others are served.
        pages = await asyncio.to_thread(pages_of, content, "file")
        if isinstance(pages, Paper):
            return [await self.message(spec, Attachment("file", data=pages.data, name=pages.name), deadline)]
        return [(page.msg_type, page.content) for page in pages]

    async def message(self, spec: BotSpec, attachment: Attachment, deadline: float) -> tuple[MessageType, str]:
        """Message type and content; `deadline` in seconds since the epoch.

        Raises FetchRefused, FeishuError, or SlotTimeout.
        """
        name, data = attachment.name, attachment.data
        if attachment.url:
            most = IMAGE_LIMIT if attachment.kind == "image" else FILE_LIMIT
            fetched = await self._fetcher.fetch(attachment.url, most)
            name, data = name or fetched.name, fetched.data
        if attachment.kind == "image":
            key = attachment.key or await self._sender.upload_image(spec, data, deadline=deadline)
            return "image", orjson.dumps({"image_key": key}).decode()
        file_type = attachment.file_type or _TYPES.get(PurePosixPath(name).suffix.lower(), "stream")
        key = attachment.key or await self._sender.upload_file(spec, data, name or "file", file_type, deadline=deadline)
        return _MESSAGES.get(file_type, "file"), orjson.dumps({"file_key": key}).decode()
