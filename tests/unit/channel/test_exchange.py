"""One call to its end: what its path may hold, and what goes before what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from app.channel.limiter import Slot
from app.channel.limits import Bound
from app.channel.sender import Sender
from app.core.errors import FeishuRefused
from app.model.bot import BotSpec
from app.model.outbound import Outbound, Target
from tests.unit.channel.parts import name, text
from tests.unit.channel.stand_in import StandIn


@pytest.mark.parametrize("bad", ["", ".", ".."])
async def test_an_id_that_would_change_the_path_is_refused(
    sender: Sender, feishu: StandIn, spec: BotSpec, bad: str
) -> None:
    with pytest.raises(FeishuRefused, match="no id"):
        await sender.send(spec, Outbound(Target("reply", bad), "text", "{}"), name(), None)
    assert feishu.seen == []


async def test_what_answers_nobody_lets_replies_go_first(
    sender: Sender, spec: BotSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    limiter = sender.exchange.limiter
    give = limiter.slot

    async def noted(bounds: Sequence[Bound], **more: Any) -> Slot:
        asked.append(more["priority"])
        return await give(bounds, **more)

    monkeypatch.setattr(limiter, "slot", noted)
    await sender.send(spec, Outbound(Target("reply", "om_asked", "oc_1"), "text", "{}"), name(1), None)
    await sender.send(spec, text(), name(2), None)
    await sender.send(spec, text(), name(3), None, priority="broadcast")
    assert asked == ["reply", "send", "broadcast"]
