"""A playground, a hub that it delivers to, and people who talk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest

from app.control.playground import App, Chat, Playground, User
from tests.unit.playground.fake_hub import ENCRYPT_KEY, TOKEN, Caller, FakeClock, FakeHub


@dataclass
class Town:
    """Two bots, two people, a private chat and a group, on a clock that stands."""

    playground: Playground
    clock: FakeClock
    hub: FakeHub
    url: str
    app: App
    other: App
    ann: User
    tom: User
    p2p: Chat
    group: Chat
    call: Caller
    call_other: Caller


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    clock = FakeClock()
    hub = FakeHub()
    await hub.start()
    async with Playground(clock, speed=1000.0) as playground, aiohttp.ClientSession() as session:
        url = await playground.start()
        app = playground.add_app("cli_a", "secret-a", "Helper", ENCRYPT_KEY, TOKEN, f"{hub.url}/a", f"{hub.url}/a")
        other = playground.add_app("cli_b", "secret-b", "Other", ENCRYPT_KEY, TOKEN, f"{hub.url}/b", f"{hub.url}/b")
        ann, tom = playground.add_user("Ann"), playground.add_user("Tom")
        callers = [Caller(session, url, playground.tokens.issue(a, "t-")[0]) for a in (app, other)]
        p2p, group = playground.p2p_chat(app, ann), playground.group("Team", [app, other], [ann, tom])
        yield Town(playground, clock, hub, url, app, other, ann, tom, p2p, group, *callers)
    await hub.close()
