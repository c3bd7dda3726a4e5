"""A plain card whose message is edited as it grows, for apps that have no CardKit."""

from __future__ import annotations

from typing import Final, Unpack

from app.channel.call import Call, Patience, segment
from app.channel.cardkit import answer_card
from app.channel.exchange import Exchange
from app.core.clock import Clock
from app.model.bot import BotSpec

# Feishu allows five edits of a message a second, but clients repaint the whole card at each.
_EDIT_EVERY: Final = 0.5


class EditedCard:
    """Shows a text as `Entity` does, by replacing the message's card."""

    def __init__(self, exchange: Exchange, spec: BotSpec, message_id: str, title: str, clock: Clock) -> None:
        self._exchange = exchange
        self._spec = spec
        self._message_id = message_id
        self._title = title
        self._clock = clock
        self._next = 0.0

    async def show(self, text: str, **patience: Unpack[Patience]) -> None:
        """Show this text, all of it."""
        if (wait := self._next - self._clock.monotonic()) > 0:
            await self._clock.sleep(wait)
        self._next = self._clock.monotonic() + _EDIT_EVERY
        path = f"/open-apis/im/v1/messages/{segment(self._message_id)}"
        content = {"content": answer_card(self._title, text)}
        call = Call("im.message.patch", "PATCH", path, json=content, message=self._message_id)
        await self._exchange.run(self._spec, call, **patience)

    close = show
