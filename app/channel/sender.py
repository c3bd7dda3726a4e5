"""The only way out: everything that a bot says to Feishu or asks of it passes through here."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, Unpack

from app.channel.call import Call, Patience, segment
from app.channel.cardkit import CardKit
from app.channel.changes import UPDATED_BY_TOKEN, Change, OnChange, change_of
from app.channel.exchange import Exchange
from app.channel.facts import BotFacts, BotInfo
from app.channel.hooks import Hooks
from app.channel.lark import call_of, response_of
from app.channel.limiter import Limiter
from app.channel.limits import EPHEMERAL, UPDATE_PREVIEWS
from app.channel.once import OnSent, SendOnce
from app.channel.pages import Page, Paper, page_of, pages_of
from app.channel.render import render
from app.channel.stream import TypedCard, Typewriter
from app.channel.tokens import Tokens
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import FeishuRefused, HubError
from app.core.logs import get_logger
from app.feishu.client import Answer, FeishuApi, Part
from app.model.bot import BotSpec
from app.model.outbound import CardLedger, Ledger, MessageType, Outbound, SendName, Sent, Target
from app.sdk.content import Content, File
from app.storage.cache import CacheTiers

FileType = Literal["opus", "mp4", "pdf", "doc", "xls", "ppt", "stream"]

# Feishu docs: ephemeral cards, images, files, bytes.
IMAGE_LIMIT: Final = 10 * 1000 * 1000
FILE_LIMIT: Final = 30 * 1000 * 1000
_FILE_TIMEOUT: Final = 60.0
# Feishu docs: link previews
_PREVIEWS_A_CALL: Final = 10

log = get_logger(__name__)


class Sender:
    """All calls to Feishu: within its limits, with the hub's tokens, retried where that is safe.

    Each raises FeishuError (by what Feishu answered), SlotTimeout, or OutcomeUnknown.
    """

    def __init__(
        self,
        api: FeishuApi,
        tokens: Tokens,
        limiter: Limiter,
        cache: CacheTiers,
        *,
        clock: Clock = SYSTEM_CLOCK,
        on_sent: OnSent | None = None,
        on_change: OnChange | None = None,
        chance: random.Random | None = None,
    ) -> None:
        """`on_sent` and `on_change` are called, for the store, with all that Feishu took; `chance` spreads retries."""
        self._on_change = on_change
        self.exchange = Exchange(api, tokens, limiter, clock=clock, chance=chance)
        """Where calls are made and counted."""
        self._facts = BotFacts(self.exchange, cache)
        self._once = SendOnce(self.exchange, self._facts, clock=clock, on_sent=on_sent)
        kit = CardKit(self.exchange, clock)
        self._typewriter = Typewriter(self.exchange, self._once, kit, self.say, clock)
        self._hooks = Hooks(api, limiter, clock=clock, chance=chance)

    async def send(
        self,
        spec: BotSpec,
        message: Outbound,
        name: SendName,
        ledger: Ledger | None,
        **patience: Unpack[Patience],
    ) -> Sent:
        """Send a message or reply, once for each name; also raises Fenced and StoreUnavailable."""
        return await self._once.send(spec, message, name, ledger, **patience)

    async def say(
        self,
        spec: BotSpec,
        target: Target,
        content: Content,
        name: SendName,
        ledger: Ledger | None,
        **patience: Unpack[Patience],
    ) -> Sent:
        """Send what a bot says, as several messages or a file if one message is too small; returns the first."""
        pages = await self.pages(spec, content, **patience)
        sent = [
            await self.send(
                spec,
                Outbound(target, page.msg_type, page.content),
                replace(name, part=name.part + number),
                ledger,
                **patience,
            )
            for number, page in enumerate(pages)
        ]
        return sent[0]

    async def pages(self, spec: BotSpec, content: Content, **patience: Unpack[Patience]) -> tuple[Page, ...]:
        """The messages that say it, in order; uploads what has to be a file."""
        if (page := page_of(content)) is not None:
            return (page,)
        # Finding where to cut takes a moment, during which others are served.
        pages = await asyncio.to_thread(pages_of, content, spec.config.message.long)
        if isinstance(pages, Paper):
            key = await self.upload_file(spec, pages.data, pages.name, **patience)
            return (Page(*render(File(key))),)
        return pages

    def stream(
        self,
        spec: BotSpec,
        target: Target,
        name: SendName,
        ledger: CardLedger | None,
        title: str,
        **patience: Unpack[Patience],
    ) -> TypedCard:
        """A typing card, not begun yet; sent once under the name, by whichever attempt comes first."""
        return TypedCard(self._typewriter, spec, target, name, ledger, title, patience)

    async def update(
        self,
        spec: BotSpec,
        message_id: str,
        msg_type: MessageType,
        content: str,
        **patience: Unpack[Patience],
    ) -> None:
        """Replace one of the bot's own cards (within 14 days), texts or posts (20 times)."""
        path = f"/open-apis/im/v1/messages/{segment(message_id)}"
        if msg_type == "interactive":
            call = Call("im.message.patch", "PATCH", path, json={"content": content}, message=message_id)
        elif msg_type in ("text", "post"):
            body = {"msg_type": msg_type, "content": content}
            call = Call("im.message.update", "PUT", path, json=body, message=message_id)
        else:
            raise FeishuRefused(f"a message cannot be made {msg_type}: only cards, texts and posts can be updated")
        await self._change(spec, call, **patience)

    async def update_card(
        self, spec: BotSpec, token: str, card: Mapping[str, Any], message_id: str = "", **patience: Unpack[Patience]
    ) -> None:
        """Replace the card that was clicked, by the click's token: for 30 minutes, twice, after its answer.

        `message_id` is the card's, for the store.
        """
        body = {"token": token, "card": card}
        call = Call(UPDATED_BY_TOKEN, "POST", "/open-apis/interactive/v1/card/update", json=body)
        await self._change(spec, call, message_id, **patience)

    async def update_previews(self, spec: BotSpec, tokens: Sequence[str], **patience: Unpack[Patience]) -> None:
        """Make the clients of all members ask for link previews again."""
        for start in range(0, len(tokens), _PREVIEWS_A_CALL):
            body = {"preview_tokens": list(tokens[start : start + _PREVIEWS_A_CALL])}
            call = Call(UPDATE_PREVIEWS, "POST", "/open-apis/im/v2/url_previews/batch_update", json=body)
            await self.exchange.run(spec, call, **patience)

    async def ephemeral(
        self, spec: BotSpec, chat_id: str, open_id: str, card: Mapping[str, Any], **patience: Unpack[Patience]
    ) -> str:
        """Show a card to one member of a group; the message id. Has no uuid: a lost answer is OutcomeUnknown."""
        body = {"chat_id": chat_id, "open_id": open_id, "msg_type": "interactive", "card": card}
        path = "/open-apis/ephemeral/v1/send"
        call = Call(EPHEMERAL, "POST", path, json=body, chat=chat_id, repeatable=False)
        answer = await self._change(spec, call, **patience)
        return str(answer.data.get("message_id") or "")

    async def react(self, spec: BotSpec, message_id: str, emoji: str, **patience: Unpack[Patience]) -> str:
        """Add a reaction such as `SMILE`; the reaction id. Reacting twice alike adds nothing."""
        body = {"reaction_type": {"emoji_type": emoji}}
        path = f"/open-apis/im/v1/messages/{segment(message_id)}/reactions"
        answer = await self._change(spec, Call("im.message.reaction.create", "POST", path, json=body), **patience)
        return str(answer.data.get("reaction_id") or "")

    async def upload_image(self, spec: BotSpec, data: bytes, **patience: Unpack[Patience]) -> str:
        """Upload an image of at most 10 MB; its key."""
        _check_size("image", data, IMAGE_LIMIT)
        form = (Part("image_type", "message"), Part("image", data))
        call = Call("im.image.create", "POST", "/open-apis/im/v1/images", form=form, timeout=_FILE_TIMEOUT)
        answer = await self.exchange.run(spec, call, **patience)
        return str(answer.data.get("image_key") or "")

    async def upload_file(
        self,
        spec: BotSpec,
        data: bytes,
        name: str,
        file_type: FileType = "stream",
        duration_ms: int | None = None,
        **patience: Unpack[Patience],
    ) -> str:
        """Upload a file of at most 30 MB; its key. Audio has to be `opus`, video `mp4`."""
        _check_size("file", data, FILE_LIMIT)
        form = [Part("file_type", file_type), Part("file_name", name), Part("file", data)]
        if duration_ms is not None:
            form.insert(2, Part("duration", str(duration_ms)))
        call = Call("im.file.create", "POST", "/open-apis/im/v1/files", form=tuple(form), timeout=_FILE_TIMEOUT)
        answer = await self.exchange.run(spec, call, **patience)
        return str(answer.data.get("file_key") or "")

    async def download(
        self,
        spec: BotSpec,
        message_id: str,
        key: str,
        kind: Literal["image", "file"],
        **patience: Unpack[Patience],
    ) -> bytes:
        """Fetch what a message carries, at most 100 MB."""
        call = Call(
            "im.message.resource.get",
            "GET",
            f"/open-apis/im/v1/messages/{segment(message_id)}/resources/{segment(key)}",
            query=(("type", kind),),
            binary=True,
            timeout=_FILE_TIMEOUT,
        )
        return (await self.exchange.run(spec, call, **patience)).raw

    async def send_hook(self, url: str, secret: str | None, message: Mapping[str, Any]) -> None:
        """Send a message to the custom bot at `url`, signed where it has a secret; see `Hooks.send`."""
        await self._hooks.send(url, secret, message)

    async def bot_info(self, spec: BotSpec) -> BotInfo:
        """The bot's own open_id and name; five minutes old at most while Feishu answers."""
        return await self._facts.info(spec)

    async def chat_info(self, spec: BotSpec, chat_id: str) -> Mapping[str, Any] | None:
        """What Feishu says of a chat: `name`, `chat_mode`, `owner_id` and more; None if out of the bot's reach."""
        return await self._facts.chat(spec, chat_id)

    async def user_info(self, spec: BotSpec, open_id: str) -> Mapping[str, Any] | None:
        """What Feishu says of a person: `name`, `en_name`, `avatar` and more; None if out of the app's reach."""
        return await self._facts.user(spec, open_id)

    async def call(self, spec: BotSpec, request: Any, **patience: Unpack[Patience]) -> Any:
        """Make the call that a lark-oapi request object describes; returns lark-oapi's response object."""
        answer = await self._change(spec, await call_of(spec, request), **patience)
        return await response_of(request, answer)

    async def tell(self, spec: BotSpec, change: Change) -> None:
        """Tell the store what was done or said, even in an answer to Feishu."""
        if self._on_change is None:
            return
        try:
            await self._on_change(spec, change)
        except HubError as error:
            log.warning("change of a message could not be archived", bot=spec.id, api=change.type, reason=str(error))

    async def _change(self, spec: BotSpec, call: Call, about: str = "", **patience: Unpack[Patience]) -> Answer:
        """Make a call, and tell the store if it says something or changes a message."""
        answer = await self.exchange.run(spec, call, **patience)
        if (change := change_of(call, answer, about)) is not None:
            await self.tell(spec, change)
        return answer


def _check_size(what: str, data: bytes, limit: int) -> None:
    if not data:
        raise FeishuRefused(f"an empty {what} cannot be uploaded: check where it comes from")
    if len(data) > limit:
        raise FeishuRefused(
            f"a {what} of {len(data)} bytes is too large: Feishu takes {limit // 1_000_000} MB; "
            "make it smaller or send a link"
        )
