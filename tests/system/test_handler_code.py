"""Code that cannot be read keeps what works running, and is shown; mended, it takes over."""

from __future__ import annotations

from typing import Any

import pytest

from tests.system.hub_process import HubProcess
from tests.system.world import CODE, Site
from tests.waiting import until

pytestmark = pytest.mark.system


async def state_of(hub: HubProcess, bot: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in await hub.api("GET", "/bots") if one["id"] == bot)
    return found


async def test_a_broken_handler_keeps_its_last_good_code_and_is_shown(site: Site) -> None:
    app = site.bot("helpdesk", handler="helper")
    site.handler("helper", CODE)
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    user = site.playground.add_user("A")
    chat = site.playground.p2p_chat(app, user)

    async def answers(text: str, expected: str) -> None:
        await site.playground.user_says(user, chat, text)
        await until(lambda: any(expected in message.content for message in chat.messages))

    await answers("one", "echo one")
    site.handler("helper", "this is no python")
    await hub.api("POST", "/bots/reload")

    async def outdated() -> bool:
        bot = await state_of(hub, "helpdesk")
        return bot["state"] == "outdated" and any("SyntaxError" in fault for fault in bot["faults"])

    await until(outdated)
    await answers("two", "echo two")

    site.handler("helper", CODE.replace("echo {", "new {"))
    await hub.api("POST", "/bots/reload")
    await until(lambda: _is_ready(hub))
    await answers("three", "new three")

    # What swallows its cancellation keeps no process that was replaced.
    site.handler("helper", CODE + SWALLOWS)
    for text in ("now it begins", "now it is replaced"):
        await replace_worker(hub)
        await answers(text, f"echo {text}")


async def _is_ready(hub: HubProcess) -> bool:
    bot = await state_of(hub, "helpdesk")
    return bool(bot["state"] == "ready" and not bot["faults"])


async def replace_worker(hub: HubProcess) -> None:
    """Have the code read anew; returns when the process that ran the old one is gone."""
    await until(lambda: len(hub.children()["worker"]) == 1)
    [before] = hub.children()["worker"]
    await hub.api("POST", "/bots/reload")
    await until(lambda: not before.is_running())


SWALLOWS = """

import asyncio


async def stay() -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass


@bot.on_start
async def begin(ctx: Context) -> None:
    global staying
    staying = asyncio.create_task(stay())
"""


FAILS_TO_START = """

@bot.on_start
async def begin(ctx: Context) -> None:
    raise ValueError("a private word")
"""


async def test_a_bot_that_cannot_be_imported_or_started_is_shown_as_broken_until_it_is_mended(site: Site) -> None:
    app = site.bot("helpdesk", handler="helper")
    site.handler("helper", "import no_such_module")
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    user = site.playground.add_user("A")
    said = await site.playground.user_says(user, site.playground.p2p_chat(app, user), "hello")
    await said.settled()

    bot = await state_of(hub, "helpdesk")
    assert bot["state"] == "broken"
    assert "no_such_module" in bot["faults"][0]
    assert bot["waiting"] == 1

    site.handler("helper", CODE + FAILS_TO_START)
    await hub.api("POST", "/bots/reload")

    async def not_started() -> list[str]:
        bot = await state_of(hub, "helpdesk")
        return [fault for fault in bot["faults"] if bot["state"] == "broken" and "on_start" in fault]

    await until(not_started)
    [fault] = await not_started()
    assert fault.startswith("on_start failed: ValueError at ")
    assert fault.endswith(" in begin")
    site.handler("helper", CODE)
    await hub.api("POST", "/bots/reload")
    await until(lambda: _is_ready(hub))
