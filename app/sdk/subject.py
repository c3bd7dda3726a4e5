"""From the hub's one event shape to the typed thing that a handler is given."""

from __future__ import annotations

from app.model.event import Event
from app.sdk.card_action import CardAction
from app.sdk.cron_tick import CronTick
from app.sdk.feishu_event import FeishuEvent
from app.sdk.me import Me
from app.sdk.message import Message
from app.sdk.preview import Preview

Subject = Message | CardAction | Preview | FeishuEvent | CronTick


def subject_of(event: Event, me: Me) -> Subject:
    """What an event is to the bot `me`; never raises, whatever the body holds."""
    match event.type:
        case "im.message.receive_v1":
            return Message.of(event, me)
        case "card.action.trigger" | "card.action.trigger_v1":
            return CardAction.of(event)
        case "url.preview.get":
            return Preview.of(event)
        case "hub.cron":
            return CronTick.of(event)
        case _:
            return FeishuEvent.of(event)
