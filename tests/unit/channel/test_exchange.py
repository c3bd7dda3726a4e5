"""One call to its end: what its path may hold, and what goes before what."""

from __future__ import annotations

import pytest

from app.channel.sender import Sender
from app.core.errors import FeishuRefused
from app.model.bot import BotSpec
from app.model.outbound import Outbound, Target
from tests.unit.channel.parts import name
from tests.unit.channel.stand_in import StandIn


@pytest.mark.parametrize("bad", ["", ".", ".."])
async def test_an_id_that_would_change_the_path_is_refused(
    sender: Sender, feishu: StandIn, spec: BotSpec, bad: str
) -> None:
    with pytest.raises(FeishuRefused, match="no id"):
        await sender.send(spec, Outbound(Target("reply", bad), "text", "{}"), name(), None)
    assert feishu.seen == []
