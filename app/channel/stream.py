"""A typing card: takes words as fast as they come, and shows them as fast as Feishu's limits allow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, Unpack

import orjson

from app.channel.call import Patience
from app.channel.cardkit import CREATE_CARD, CardKit, Entity, answer_card
from app.channel.edited_card import EditedCard
from app.channel.exchange import Exchange
from app.channel.once import SendOnce
from app.channel.pages import MOST_PAGES, card_fits
from app.channel.render import CARD_LIMIT
from app.channel.split import cut
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import FeishuRefused, Fenced, HubError, TargetGone
from app.core.logs import get_logger
from app.feishu.codes import CARD_NOT_MADE
from app.model.bot import BotSpec
from app.model.outbound import CardLedger, Ledger, Opened, Outbound, SendName, Sent, Target
from app.sdk.content import Content, Markdown
from app.sdk.markdown import for_card

# An empty card looks broken; what is typed replaces this.
_NOTHING_YET: Final = "…"
_NOTHING: Final = "—"
# An intermediate text is not worth a long wait: newer words will be there by then.
_PATIENCE: Final = 2.0
_REST: Final = 1.0
# How long a stopped handler may take to leave a readable card.
_LAST_WORDS: Final = 2.0
# Parts of messages that say what a card would not take; no page has a number this high.
_SAID_AGAIN: Final = 1000

log = get_logger(__name__)


class Say(Protocol):
    """Says a text in messages of its own."""

    async def __call__(
        self,
        spec: BotSpec,
        target: Target,
        content: Content,
        name: SendName,
        ledger: Ledger | None,
        /,
        **patience: Unpack[Patience],
    ) -> Sent:
        """Send it under names that count up from this one's part."""
        ...


@dataclass(frozen=True, slots=True)
class Typewriter:
    """What typing cards are made with."""

    exchange: Exchange = field(repr=False)
    once: SendOnce = field(repr=False)
    kit: CardKit = field(repr=False)
    say: Say = field(repr=False)
    clock: Clock = SYSTEM_CLOCK


class TypedCard:
    """Implements `app.sdk.stream.Typing`: one answer, on as many cards as it needs.

    Every card is named and sent once; the attempt after one that died types into the same cards.
    """

    def __init__(
        self,
        means: Typewriter,
        spec: BotSpec,
        target: Target,
        name: SendName,
        ledger: CardLedger | None,
        title: str,
        patience: Patience,
    ) -> None:
        """`patience` is for what has to be done: sending and ending cards; texts shown in between have their own."""
        self._means = means
        self._spec = spec
        self._target = target
        self._name = name
        self._ledger = ledger
        self._title = title
        self._patience = patience
        self._new: list[str] = []
        self._text = ""  # of the card being typed into
        self._shown = ""
        self._part = 0
        self._turn = 1
        self._card: Entity | EditedCard | None = None
        self._sent = Sent("")
        self._wake = asyncio.Event()
        self._closing = False
        self._pump: asyncio.Task[None] | None = None

    @property
    def message_id(self) -> str:
        return self._sent.message_id

    def begin(self) -> None:
        self._pump = asyncio.create_task(self._type(), name="card that types")

    def write(self, text: str) -> None:
        assert self._pump is not None
        if self._pump.done():
            self._pump.result()
        if text:
            self._new.append(text)
            self._wake.set()

    async def end(self, error: BaseException | None) -> None:
        assert self._pump is not None
        self._closing = True
        self._wake.set()
        if isinstance(error, Fenced | asyncio.CancelledError):
            return await self._stop(0.0 if isinstance(error, Fenced) else _LAST_WORDS)
        try:
            await asyncio.shield(self._pump)
        except asyncio.CancelledError:
            await self._stop(_LAST_WORDS)
            raise
        except Exception as failed:
            if error is None:
                raise
            # The handler's own error is the one to be raised.
            log.warning("card could not be ended", bot=self._spec.id, error=type(failed).__name__)

    async def _stop(self, patience: float) -> None:
        """End this attempt, with `patience` seconds to make the card readable."""
        assert self._pump is not None
        await asyncio.wait({self._pump}, timeout=patience)
        if not self._pump.done():
            self._pump.cancel()
            await asyncio.wait({self._pump})
        if not self._pump.cancelled() and (failed := self._pump.exception()) is not None:
            log.warning("card could not be ended", bot=self._spec.id, error=type(failed).__name__)

    # -- the task beside the handler -----------------------------------------------------------------------

    async def _type(self) -> None:
        app = self._spec.credentials.app_id
        self._means.kit.typing[app] += 1
        try:
            await self._open()
            while not self._closing:
                await self._wake.wait()
                self._wake.clear()
                await self._turn_pages()
                if not self._closing:
                    await self._show()
            await self._turn_pages()
            await self._close(self._text or _NOTHING)
            await self._blank_what_is_over()
        finally:
            self._means.kit.typing[app] -= 1

    async def _turn_pages(self) -> None:
        """Take what was written; the next card continues where one is full."""
        # A token may hold half a surrogate pair, which no JSON can carry.
        self._text += "".join(self._new).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        self._new.clear()
        while self._card is not None:
            page, rest = cut(self._text, CARD_LIMIT, self._fits, markdown=True)
            if not rest:
                return
            await self._close(page)
            self._text, self._shown, self._title = rest, "", ""
            if self._part + 1 == MOST_PAGES:
                self._card = None  # the rest is said at the end, as a file if it is long
                return
            self._part += 1
            await self._open()

    def _fits(self, text: str) -> bool:
        return card_fits(self._title, text)

    async def _open(self) -> None:
        """Make the card, or find the one an earlier attempt made, and send it unless it was sent."""
        name = replace(self._name, part=self._part)
        card_name = replace(name, api=CREATE_CARD)
        opened = Opened(1) if self._ledger is None else await self._ledger.open(card_name)
        self._turn = max(self._turn, opened.turn)
        card_id = opened.card_id
        if card_id is None:
            card_id = await self._means.kit.create(self._spec, self._title, _NOTHING_YET, **self._patience)
            await self._record(card_name, card_id)
        if card_id:
            try:
                await self._send(orjson.dumps({"type": "card", "data": {"card_id": card_id}}).decode(), name)
                self._card = Entity(self._means.kit, self._spec, card_id, card_name, opened.turn)
                return
            except FeishuRefused as error:
                if error.code != CARD_NOT_MADE:
                    raise
                log.warning("card that types was refused, it is sent as a plain one", bot=self._spec.id)
                await self._record(card_name, "")
        await self._send(answer_card(self._title, self._text or _NOTHING_YET), name)
        # Without the message's id nothing can be edited; the text is then said at the end.
        if self.message_id:
            means = self._means
            self._card = EditedCard(means.exchange, self._spec, self.message_id, self._title, means.clock)
        else:
            self._card = None

    async def _record(self, card_name: SendName, card_id: str) -> None:
        if self._ledger is not None:
            await self._ledger.record(card_name, card_id)

    async def _send(self, content: str, name: SendName) -> None:
        message = Outbound(self._target, "interactive", content)
        self._sent = await self._means.once.send(self._spec, message, name, self._ledger, tell=False, **self._patience)

    async def _show(self) -> None:
        """Show the text so far; if that has to wait, the text as it is then."""
        if self._card is None or self._text == self._shown:
            return
        text = self._text
        try:
            soon = self._means.clock.now() + _PATIENCE
            await self._card.show(for_card(text), deadline=soon, priority="send")
            self._shown = text
        except (Fenced, TargetGone):
            raise
        except FeishuRefused as error:
            self._give_up(error)
        except HubError as error:
            log.debug("card waits", bot=self._spec.id, error=type(error).__name__)
            self._wake.set()  # what was not shown is still to be
            await self._means.clock.sleep(min(_REST, error.retry_after or _REST))

    async def _close(self, text: str) -> None:
        """Leave the card with all of its text; if it takes none, say the text in a message of its own."""
        if self._card is not None:
            try:
                await self._card.close(for_card(text), **self._patience)
            except TargetGone:
                raise
            except FeishuRefused as error:
                self._give_up(error)
        if self._card is not None:
            name = replace(self._name, part=self._part)
            shown = Outbound(self._target, "interactive", answer_card(self._title, text))
            await self._means.once.tell(self._spec, shown, self._sent, name)
            return
        name = replace(self._name, part=_SAID_AGAIN * (1 + self._part))
        said = Markdown(text, self._title)
        self._sent = await self._means.say(self._spec, self._target, said, name, self._ledger, **self._patience)

    def _give_up(self, error: FeishuRefused) -> None:
        log.warning("card takes no more text, it is sent at the end", bot=self._spec.id, code=error.code)
        self._card = None

    async def _blank_what_is_over(self) -> None:
        """Empty the further cards of an earlier attempt that had more to say."""
        while self._ledger is not None and self._turn > 1 and isinstance(self._card, Entity):
            self._part += 1
            card_name = replace(self._name, part=self._part, api=CREATE_CARD)
            opened = await self._ledger.open(card_name)
            if not opened.card_id:
                return
            left = Entity(self._means.kit, self._spec, opened.card_id, card_name, opened.turn)
            await left.close(_NOTHING, **self._patience)
