"""A link that somebody sent or looks at, and that the bot may show as something better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.model.event import Event
from app.sdk.body import mapping, string


@dataclass(frozen=True, slots=True)
class Preview:
    """`url.preview.get`; Feishu asks again for every device, so answers should come fast."""

    url: str = field(repr=False)
    token: str = field(repr=False)
    host: str
    """Where it is shown: `im_message` or `im_top_notice`."""
    operator_id: str
    chat_id: str
    message_id: str
    event: Event
    groups: Mapping[str, str] = field(repr=False, default_factory=dict)
    """What the groups of the handler's pattern caught: by name, those without a name by number (`"1"`)."""

    @classmethod
    def of(cls, event: Event) -> Preview:
        """Read a preview request; strange bodies give empty fields, never an error."""
        context = mapping(event.body, "context")
        return cls(
            url=string(context, "url"),
            token=string(context, "preview_token"),
            host=string(event.body, "host"),
            operator_id=event.user_id,
            chat_id=event.chat_id,
            message_id=event.message_id,
            event=event,
        )
