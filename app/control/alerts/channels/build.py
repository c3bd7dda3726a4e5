"""Builds the channels of `alerts.channels`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import aiohttp

from app.channel.sender import Sender
from app.control.alerts.channels.by_apprise import ByApprise
from app.control.alerts.channels.channel import Channel
from app.control.alerts.channels.feishu_chat import FeishuChat
from app.control.alerts.channels.feishu_hook import FeishuHook
from app.control.alerts.channels.webhook import Webhook
from app.control.alerts.wording import Wording
from app.core.alert_settings import AlertSettings, ChannelSettings
from app.model.bot import BotSpec


def channels_of(
    settings: AlertSettings, sender: Sender, session: aiohttp.ClientSession, bots: Callable[[], Mapping[str, BotSpec]]
) -> dict[str, Channel]:
    """Every channel, by name; `bots` returns the bots in force."""
    wording = Wording(settings.effective(), settings.language, settings.link)

    def build(name: str, way: ChannelSettings) -> Channel:
        secret = way.secret.get_secret_value() if way.secret is not None else None
        if way.feishu_hook is not None:
            return FeishuHook(name, way.standby, sender, way.feishu_hook.get_secret_value(), secret, wording)
        if way.feishu_chat is not None:
            return FeishuChat(name, way.standby, sender, bots, way.bot or "", way.feishu_chat, wording)
        if way.webhook is not None:
            return Webhook(name, way.standby, session, way.webhook.get_secret_value(), secret, wording)
        assert way.apprise is not None  # the model makes sure that one of them is set
        return ByApprise(name, way.standby, way.apprise.get_secret_value(), wording)

    return {name: build(name, way) for name, way in settings.channels.items()}
