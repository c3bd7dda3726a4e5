"""A message that somebody wrote to the bot, or in a group where the bot may read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from app.model.event import Event
from app.sdk.body import document, mapping, objects, string
from app.sdk.me import Me

# Feishu writes a mention as a placeholder, "@_user_1", whose name and id stand in `mentions`.
_PLACEHOLDER = re.compile(r"@_(?:user_\d+|all)")
_SLASHES = "/／"


@dataclass(frozen=True, slots=True)
class Mention:
    """Somebody who is mentioned; `open_id` is empty for @all."""

    key: str
    open_id: str
    name: str = field(repr=False)
    is_bot: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """`im.message.receive_v1`; what people wrote is never printed with it."""

    text: str = field(repr=False)
    """What was said (text and rich text; else empty), mentions by name, without the bot's own in front."""
    type: str
    """`text`, `post`, `image`, `file`, `audio`, `media`, `sticker`, `interactive`, …"""
    content: Mapping[str, Any] = field(repr=False)
    """The content as Feishu sent it, decoded: `content["image_key"]`, `content["file_key"]`, …"""
    message_id: str
    chat_id: str
    chat_type: str
    """`p2p` or `group`."""
    sender_id: str
    """open_id."""
    sender_type: str
    """`user`, or `bot` (older: `app`)."""
    mentions: tuple[Mention, ...]
    mentions_me: bool
    thread_id: str
    root_id: str
    """The message that this one's thread of replies began with; empty where it is none."""
    event: Event
    line: str = field(repr=False, default="")
    """The text without any mention of the bot itself: what commands are read from."""
    command: str = ""
    """Name of the command that it is, in the handler of that command."""
    args: str = field(repr=False, default="")
    """What stands behind the command's name."""
    groups: Mapping[str, str] = field(repr=False, default_factory=dict)
    """What the groups of `matches(…)` caught: by name, those without a name by number (`"1"`)."""

    @property
    def is_private(self) -> bool:
        """Whether nobody but the two reads it."""
        return self.chat_type != "group"

    @property
    def from_bot(self) -> bool:
        """Whether another bot wrote it."""
        return self.sender_type in ("bot", "app")

    @classmethod
    def of(cls, event: Event, me: Me) -> Message:
        """Read a received message; strange bodies give empty fields, never an error."""
        body = mapping(event.body, "message")
        content = document(body, "content")
        mentions = tuple(_mentions(body))
        own = {one.key for one in mentions if me.open_id and one.open_id == me.open_id}
        written = _written(string(body, "message_type"), content)
        names = {one.key: f"@{one.name}" for one in mentions}
        return cls(
            text=_named(_without_leading(written, own), names),
            type=string(body, "message_type"),
            content=content,
            message_id=event.message_id,
            chat_id=event.chat_id,
            chat_type="group" if string(body, "chat_type") in ("group", "public") else "p2p",
            sender_id=event.user_id,
            sender_type=string(mapping(event.body, "sender"), "sender_type"),
            mentions=mentions,
            mentions_me=bool(own),
            thread_id=event.thread_id,
            root_id=string(body, "root_id"),
            event=event,
            line=_named(_PLACEHOLDER.sub(lambda m: "" if m[0] in own else m[0], written), names).strip(),
        )

    def as_command(self, name: str) -> Message | None:
        """This message as the command `name`, if it is that: `name`, `/name` or `／name`, then anything."""
        word, _, rest = self.line.partition(next((c for c in self.line if c.isspace()), "\n"))
        if word.lstrip(_SLASHES).lower() != name.lower() or len(word) - len(word.lstrip(_SLASHES)) > 1:
            return None
        return replace(self, command=name, args=rest.strip())


def _mentions(body: Mapping[str, Any]) -> Iterable[Mention]:
    for one in objects(body, "mentions"):
        open_id = string(mapping(one, "id"), "open_id")
        is_bot = string(one, "mentioned_type") == "bot"
        yield Mention(string(one, "key"), open_id, string(one, "name"), is_bot)


def _written(kind: str, content: Mapping[str, Any]) -> str:
    if kind == "text":
        return string(content, "text")
    if kind != "post":
        return ""
    paragraphs = content.get("content")
    lines = [string(content, "title")]
    for paragraph in paragraphs if isinstance(paragraphs, list) else ():
        if isinstance(paragraph, list):
            lines.append("".join(_run(run) for run in paragraph if isinstance(run, Mapping)))
    return "\n".join(line for line in lines if line)


def _run(run: Mapping[str, Any]) -> str:
    if string(run, "tag") != "at":
        return string(run, "text")
    key = string(run, "user_id")
    return key if _PLACEHOLDER.fullmatch(key) else f"@{string(run, 'user_name')}"


def _without_leading(written: str, own: set[str]) -> str:
    rest = written.lstrip()
    while (found := _PLACEHOLDER.match(rest)) and found[0] in own:
        rest = rest[found.end() :].lstrip()
    return rest.rstrip()


def _named(written: str, names: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda m: names.get(m[0]) or ("@all" if m[0] == "@_all" else m[0]), written)
