"""The section `limits` of hub.yaml: Feishu's bounds as the hub keeps them, and quotas that apps share."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from pydantic import AfterValidator, Field

from app.core.shape import Frozen
from app.core.values import Number, Whole, Words


class ApiLimit(Frozen):
    """One of `limits.apis`: what Feishu bounds otherwise than by its usual rates."""

    per_second: Number | None = Field(None, gt=0, description="calls by one app in a second; null: as other APIs")
    per_minute: Number | None = Field(None, gt=0, description="calls by one app in a minute; null: as other APIs")


class QuotaGroup(Frozen):
    """One of `limits.quota`: bots whose calls count against the same month."""

    bots: Words = Field((), description="bots of one account; those named in no group belong to the group `default`")
    per_month: Whole | None = Field(None, ge=1, description="calls that the account has a month; null: only counted")


def _each_bot_once(groups: dict[str, QuotaGroup]) -> dict[str, QuotaGroup]:
    named = Counter(bot for group in groups.values() for bot in group.bots)
    twice = sorted(bot for bot, count in named.items() if count > 1)
    if twice:
        raise ValueError(f"a bot belongs to one group, found in several: {', '.join(twice)}")
    return groups


class LimitSettings(Frozen):
    """`limits`: Feishu's bounds on sends, kept over all nodes together."""

    app_per_second: Number = Field(50.0, gt=0, description="calls of one API by one app in a second")
    app_per_minute: Number = Field(1000.0, gt=0, description="calls of one API by one app in a minute")
    apis: dict[str, ApiLimit] = Field(
        {}, description="APIs bounded otherwise, by their name in docs/sends.md: `API: {per_second: N, per_minute: N}`"
    )
    chat_per_second: Number = Field(5.0, gt=0, description="messages into one chat, of all bots, in a second")
    ephemeral_per_second: Number = Field(40.0, gt=0, description="ephemeral cards into one chat in a second")
    message_per_second: Number = Field(5.0, gt=0, description="changes of one message in a second")
    card_per_second: Number = Field(10.0, gt=0, description="operations on one card that types in a second")
    hook_per_second: Number = Field(5.0, gt=0, description="messages to one custom bot in a second")
    hook_per_minute: Number = Field(100.0, gt=0, description="messages to one custom bot in a minute")
    headroom: Number = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of each bound left free for callers outside the hub; of a second at least 0.03",
    )
    quota: Annotated[dict[str, QuotaGroup], AfterValidator(_each_bot_once)] = Field(
        {}, description="calls a month by account: `NAME: {bots: [BOT], per_month: NUMBER}`; `default` has all others"
    )
