"""The silence button on alert cards: a card action that the hub answers itself, whichever bot sent the card."""

from __future__ import annotations

from typing import Any

from app.control.alerts.book import Book
from app.control.alerts.card import SILENCE_ACTION, SILENCE_FOR
from app.control.alerts.request import silence_asked
from app.core.alert_settings import AlertSettings
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import HubError
from app.core.logs import get_logger
from app.sdk.bot import Bot
from app.sdk.card_action import CardAction
from app.sdk.context import Context
from app.sdk.toast import Toast

log = get_logger(__name__)


def silence_button(book: Book, alerts: AlertSettings, *, clock: Clock = SYSTEM_CLOCK) -> Bot[Any]:
    """Handlers that come before those of every bot; only clicks in the chats that alerts go to count."""
    bot = Bot()
    chats = {(way.bot, way.feishu_chat) for way in alerts.channels.values() if way.feishu_chat is not None}
    rules = alerts.effective()

    @bot.card(SILENCE_ACTION)
    async def silence(action: CardAction, ctx: Context) -> Toast:
        # Any author can put any action on a card, so only those who can see the alerts may silence them.
        if (ctx.bot_id, action.chat_id) not in chats:
            return _said(Toast.error, "Alerts are not sent here", "告警未配置发送到此会话")
        name, subject = str(action.get("rule", "")), str(action.get("subject", ""))
        try:
            await book.silence(silence_asked(rules, name, subject, SILENCE_FOR, clock.now(), action.operator_id))
        except HubError as error:
            if error.retryable:
                raise
            return _said(Toast.error, "There is no such alert any more", "该告警规则已不存在")
        log.info("alert silenced by its button", bot=ctx.bot_id, alert=f"{name}/{subject}", by=action.operator_id)
        return _said(Toast.success, "Silenced for 1 hour", "已静默 1 小时")

    return bot


def _said(toast: Any, en: str, zh: str) -> Toast:
    made: Toast = toast(en, {"en_us": en, "zh_cn": zh})
    return made
