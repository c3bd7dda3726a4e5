"""What a program posts to have a message sent: to whom, what, when."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PlainValidator, Tag, model_validator

from app.channel.sender import FileType
from app.core.errors import HubError
from app.model.outbound import Target, TargetKind, target_of

MOST_RECEIVERS: Final = 10_000
# A year: messages for later are not kept for ever.
_LONGEST_WAIT: Final = 366 * 24 * 3600
_KINDS: Final[dict[str, TargetKind]] = {
    "chat_id": "chat_id",
    "open_id": "open_id",
    "user_id": "user_id",
    "union_id": "union_id",
    "email": "email",
}
# How pydantic names the two forms of `to`, also in the paths of its errors.
ONE: Final = "(one)"
MANY: Final = "(many)"
_CONTENTS: Final = ("text", "post", "card", "markdown", "image", "file")


def _receiver(value: Any) -> Target:
    if isinstance(value, Target):
        return value
    try:
        if isinstance(value, str):
            return target_of(value)
        if isinstance(value, Mapping) and len(value) == 1:
            [(name, receiver)] = value.items()
            if name in _KINDS and isinstance(receiver, str) and 0 < len(receiver) <= 256 and receiver.isprintable():
                return Target(_KINDS[name], receiver, receiver if name == "chat_id" else "")
    except HubError as error:
        raise ValueError(str(error)) from None
    raise ValueError(f"a receiver is an id as text, or one of {', '.join(_KINDS)} with an id")


def _instant(value: Any) -> float:
    if isinstance(value, bool) or value is None:
        raise ValueError("expected a time such as 2026-01-31T09:00:00+08:00, or seconds since the epoch")
    if isinstance(value, int | float):
        seconds = float(value)
    else:
        try:
            when = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            raise ValueError("expected a time such as 2026-01-31T09:00:00+08:00, or seconds since the epoch") from None
        if when.tzinfo is None:
            raise ValueError("a time needs its time zone, as +08:00 or Z at its end")
        seconds = when.timestamp()
    # A time that has passed means now: a retried request must not be refused for it.
    if not 0 <= seconds <= time.time() + _LONGEST_WAIT:
        raise ValueError("expected a time within a year from now")
    return seconds


def _one_or_many(value: Any) -> str:
    return MANY if isinstance(value, list | tuple) else ONE


Receiver = Annotated[Target, PlainValidator(_receiver, json_schema_input_type=str | dict[str, str])]
Receivers = Annotated[tuple[Receiver, ...], Field(min_length=1, max_length=MOST_RECEIVERS)]
Instant = Annotated[float, PlainValidator(_instant, json_schema_input_type=str | float)]


class Strict(BaseModel):
    """A part of a request: unknown fields are errors, and no error quotes what was sent."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Source(Strict):
    """An image by its key at Feishu, or by a URL that the hub fetches; or neither, where the form carries it."""

    key: str = Field("", max_length=256, pattern=r"^[\x21-\x7e]*$")
    url: str = Field("", max_length=4096)

    @model_validator(mode="after")
    def _one(self) -> Source:
        if self.key and self.url:
            raise ValueError("give key or url, not both")
        return self


class FileSource(Source):
    """The same of a file; audio has to be of the type opus, video of mp4."""

    name: str = Field("", max_length=255)
    type: FileType | None = None


class NewMessage(Strict):
    """One content to one receiver, or to many (a list, which makes it a batch)."""

    to: Annotated[Annotated[Receiver, Tag(ONE)] | Annotated[Receivers, Tag(MANY)], Discriminator(_one_or_many)]
    text: str | None = Field(None, min_length=1)
    post: dict[str, Any] | None = None
    card: dict[str, Any] | None = None
    markdown: str | None = Field(None, min_length=1)
    image: Source | None = None
    file: FileSource | None = None
    at: Instant = 0.0
    """When it is to be sent; at once where it is not given."""

    @property
    def targets(self) -> tuple[Target, ...]:
        return (self.to,) if isinstance(self.to, Target) else self.to

    @property
    def is_batch(self) -> bool:
        return not isinstance(self.to, Target)

    @property
    def kind(self) -> Literal["text", "post", "card", "markdown", "image", "file"]:
        """Which content it has."""
        [kind] = (name for name in _CONTENTS if getattr(self, name) is not None)
        return kind  # type: ignore[return-value]  # _CONTENTS holds these words

    @model_validator(mode="after")
    def _one_content(self) -> NewMessage:
        given = [name for name in _CONTENTS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"give exactly one of {', '.join(_CONTENTS)}: found {found}")
        seen: dict[tuple[str, str], int] = {}
        for place, target in enumerate(self.targets):
            first = seen.setdefault((target.kind, target.id), place)
            if first != place:
                raise ValueError(f"to.{place} is the same receiver as to.{first}: name each once")
        return self
