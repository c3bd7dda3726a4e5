"""What somebody did on a card: pressed a button, chose an option, sent a form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.model.event import Event
from app.sdk.body import mapping, string, strings


@dataclass(frozen=True, slots=True)
class CardAction:
    """`card.action.trigger`, new or legacy; what people filled in is never printed with it."""

    name: str
    """The component's name, else `value["action"]`, else a value that is a bare string."""
    names: tuple[str, ...]
    """All of these: Feishu's card editor names components by itself, so a handler may go by any."""
    value: Mapping[str, Any] | str = field(repr=False)
    """What the component carries: an object or a string, as the card gave it."""
    form: Mapping[str, Any] = field(repr=False)
    """What was filled in, by the fields' names."""
    input: str = field(repr=False)
    """What was typed into an input outside a form."""
    options: tuple[str, ...] = field(repr=False)
    """What was chosen, one or several."""
    operator_id: str
    """open_id of who did it."""
    chat_id: str
    message_id: str
    """The card's message."""
    token: str = field(repr=False)
    """Updates this card, twice within 30 minutes; the hub uses it for late answers."""
    event: Event

    def get(self, key: str, default: Any = None) -> Any:
        """A key of `value`, whatever the value is."""
        return self.value.get(key, default) if isinstance(self.value, Mapping) else default

    @classmethod
    def of(cls, event: Event) -> CardAction:
        """Read a card action; strange bodies give empty fields, never an error."""
        action = mapping(event.body, "action")
        given = action.get("value")
        value: Mapping[str, Any] | str = given if isinstance(given, Mapping | str) else {}
        by_value = value if isinstance(value, str) else string(value, "action")
        names = tuple(name for name in (string(action, "name"), by_value) if name)
        chosen = string(action, "option")
        return cls(
            name=names[0] if names else "",
            names=names,
            value=value,
            form=mapping(action, "form_value"),
            input=string(action, "input_value"),
            options=strings(action, "options") or ((chosen,) if chosen else ()),
            operator_id=event.user_id,
            chat_id=event.chat_id,
            message_id=event.message_id,
            token=string(event.body, "token"),
            event=event,
        )
