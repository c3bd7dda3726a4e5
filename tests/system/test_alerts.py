"""Alerts from end to end: real hubs, and a custom bot, a chat, a mail server and an HTTP address that hear of them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.control.alerts.book import Book
from app.control.playground.world import Chat
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from tests.ports import free_port
from tests.redis_servers import Server
from tests.system.hub_process import feishu_hub
from tests.system.receivers import Inbox, Mailbox, inbox, mailbox
from tests.system.world import Site
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.system

FAILING = '''
"""Fails until it is let."""
from pathlib import Path

from app.sdk import Bot, Context, Message

bot = Bot()
ROOT = Path({root!r})


@bot.message()
async def answer(message: Message, ctx: Context) -> str:
    if not (ROOT / "well").exists():
        raise ValueError("not well")
    return "well"
'''

# Times a hundred as fast as by default; of the rules only those that a test is about.
FAST: dict[str, Any] = {"interval": "100ms", "window": "2s", "settle": "300ms", "language": "both"}
KEPT = {"BotBroken": {"for": "200ms"}, "AlertsNotDelivered": {}}
BROKEN = ("BotBroken", "failing")


def rules(**kept: Any) -> dict[str, Any]:
    from app.core.alert_rules import DEFAULT_RULES

    return {name: False for name in DEFAULT_RULES if name not in kept} | {
        name: given for name, given in kept.items() if given
    }


@dataclass
class Scene:
    """A site with a bot that fails, and everywhere that alerts may arrive."""

    site: Site
    mail: Mailbox
    http: Inbox
    group: Chat
    channels: dict[str, Any]

    @property
    def cards(self) -> list[str]:
        """Titles of the custom bot's cards."""
        return [titled(message.content) for message in self.group.messages if message.msg_type == "interactive"]

    @property
    def configuration(self) -> Path:
        """That of the bot that fails."""
        return self.site.config / "failing" / "config.yaml"

    @contextmanager
    def trouble(self) -> Iterator[None]:
        """Something that does not end by itself, as the rate of a moment does: a configuration that cannot be read."""
        good = self.configuration.read_text()
        self.configuration.write_text("timeout: soon\n")
        yield
        self.configuration.write_text(good)

    async def errors(self, count: int) -> None:
        """So many events fail."""
        await asyncio.gather(*(self.site.says("failing", str(number)) for number in range(count)))


PORT = free_port()


@pytest.fixture
async def statsd() -> AsyncIterator[asyncio.Queue[bytes]]:
    """What a statsd server hears."""

    class Ears(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            queue.put_nowait(data)

    queue: asyncio.Queue[bytes] = asyncio.Queue()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Ears, ("127.0.0.1", PORT))
    yield queue
    transport.close()


async def heard(statsd: asyncio.Queue[bytes], pattern: bytes, wanted: int) -> int:
    """The sum of what a counter was told to have grown by, once it is what is wanted."""
    total = 0
    async with asyncio.timeout(PATIENCE):
        while total < wanted:
            total += sum(map(int, re.findall(pattern, await statsd.get())))
    return total


def titled(content: str) -> str:
    return str(orjson.loads(content)["header"]["title"]["content"])


@pytest.fixture
async def scene(site: Site) -> AsyncIterator[Scene]:
    site.handler("failing", FAILING.format(root=str(site.root)))
    site.bot("failing", handler="failing", message={"retry_policy": {"max_attempts": 1}}, conversation="none")
    site.bot("echo")
    group = site.playground.group("ops", [site.apps["echo"]], [site.playground.add_user("Oper")])
    hook = site.playground.add_hook(group, secret="hook-s3cret")
    async with mailbox() as mail, inbox() as http:
        channels = {
            "group": {"feishu_hook": f"{site.feishu}/open-apis/bot/v2/hook/{hook.token}", "secret": "hook-s3cret"},
            "chat": {"bot": "echo", "feishu_chat": site.chat("echo").chat_id},
            "mail": {
                "apprise": f"mailto://127.0.0.1:{mail.port}?from=hub@example.com&to=ops@example.com&mode=insecure"
            },
            "http": {"webhook": http.url, "secret": "http-s3cret"},
        }
        yield Scene(site, mail, http, group, channels)


async def test_an_alert_arrives_everywhere_when_it_fires_and_when_it_is_over(
    scene: Scene, statsd: asyncio.Queue[bytes]
) -> None:
    site = scene.site
    site.settings(
        alerts=FAST | {"rules": rules(**KEPT), "channels": scene.channels},
        metrics={"statsd": {"host": "127.0.0.1", "port": PORT, "interval": "100ms", "tags": True}},
    )
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    fired, over = ("firing", *BROKEN), ("resolved", *BROKEN)
    chat = site.chat("echo")

    def everywhere(count: int) -> bool:
        chats = [message for message in chat.messages if message.msg_type == "interactive"]
        return [len(scene.cards), len(chats), len(scene.mail.mails), len(scene.http.documents)] == [count] * 4

    await scene.errors(8)
    assert await heard(statsd, rb"hub\.events_handled:(\d+)\|c\|#bot:failing,outcome:failed", 8) == 8
    with scene.trouble():
        await until(lambda: everywhere(1))
        assert scene.http.alerts == [fired]
        [standing] = await hub.api("GET", "/alerts")
        assert (standing["name"], standing["subject"], standing["state"]) == (*BROKEN, "firing")
    await until(lambda: everywhere(2))
    assert scene.http.alerts == [fired, over]
    for titles in (scene.cards, scene.mail.subjects):
        assert [re.findall(r"BotBroken (firing|resolved)", one) for one in titles] == [["firing"], ["resolved"]]
    text = scene.mail.mails[0].as_string() + json.dumps(scene.http.documents[0], ensure_ascii=False)
    assert "A bot's configuration is broken" in text
    assert "机器人配置错误" in json.dumps(scene.http.documents[0], ensure_ascii=False)
    signature = hmac.new(b"http-s3cret", scene.http.bodies[0], hashlib.sha256).hexdigest()
    assert scene.http.headers[0]["X-Hub-Signature"] == signature
    assert await hub.api("GET", "/alerts") == []
    past = await hub.api("GET", "/alerts/history")
    assert [(one["what"], one["name"]) for one in past] == [("resolved", "BotBroken"), ("fired", "BotBroken")]

    where = ("-c", site.config, "--data-dir", hub.data_dir)
    status, printed, _ = await feishu_hub("alerts", "list", "--past", "--json", *where)
    assert (status, [one["what"] for one in json.loads(printed)]) == (0, ["resolved", "fired"])
    said = hub.said()
    assert "s3cret" not in said
    assert "/hook/" not in said


async def test_a_click_or_a_command_silences(scene: Scene) -> None:
    site = scene.site
    channels = {name: scene.channels[name] for name in ("chat", "http")}
    site.settings(alerts=FAST | {"repeat": "1s", "rules": rules(**KEPT), "channels": channels})
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    chat = site.chat("echo")
    with scene.trouble():
        await until(lambda: [message for message in chat.messages if message.msg_type == "interactive"])
    card = next(message for message in chat.messages if message.msg_type == "interactive")
    button = "Silence 1 h / 静默 1 小时: BotBroken failing"
    clicked = await site.playground.click(chat.users[0], card.message_id, button)
    assert clicked.toast is not None
    assert "1" in json.dumps(clicked.toast)
    [silence] = await hub.api("GET", "/alerts/silences")
    assert (silence["name"], silence["subject"]) == BROKEN
    assert silence["by"].startswith("ou_")

    where = ("-c", site.config, "--data-dir", hub.data_dir)
    status, printed, error = await feishu_hub("alerts", "silence", "BotBroken", "--for", "2h", *where)
    assert (status, printed.startswith("BotBroken * is not sent until")) == (0, True), error
    status, _, error = await feishu_hub("alerts", "silence", "Nothing", *where)
    assert (status, "there is no rule Nothing" in error) == (1, True)
    status, printed, error = await feishu_hub("alerts", "test", "http", *where)
    assert (status, printed) == (0, "http took it\n"), error
    assert ("firing", "Test", "of the channel http") in scene.http.alerts


async def test_a_channel_that_fails_is_shown_and_the_others_hear_of_it(scene: Scene) -> None:
    site = scene.site
    scene.http.status = 500
    channels = {"http": scene.channels["http"], "group": scene.channels["group"] | {"standby": True}}
    kept = {"HighErrorRate": {"for": "200ms"}, "AlertsNotDelivered": {}}
    site.settings(alerts=FAST | {"rules": rules(**kept), "channels": channels})
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    while not any("HighErrorRate firing" in title for title in scene.cards):
        await scene.errors(2)

    async def shown() -> bool:
        known = {one["name"]: one for one in await hub.api("GET", "/alerts/channels")}
        return known["http"]["failures"] > 0 and "500" in known["http"]["error"]

    await until(shown)


async def test_another_node_goes_on_when_the_one_that_evaluates_is_killed(scene: Scene) -> None:
    site = scene.site
    with Server(
        "--appendonly", "yes", "--appendfsync", "no", "--save", "", "--maxmemory-policy", "noeviction"
    ) as server:
        channels = {"http": scene.channels["http"]}
        kept = KEPT | {"NodeOffline": {"when": "node_offline > 1s", "for": "0s"}}
        site.settings(redis={"url": server.url}, alerts=FAST | {"rules": rules(**kept), "channels": channels})
        key = (await feishu_hub("keys", "make"))[1].strip()
        hubs = [site.hub(name, env={"HUB_MASTER_KEY": key, "HUB_NODE_ID": name}) for name in ("n1", "n2")]
        await hubs[0].start()
        await hubs[1].start()
        with scene.trouble():
            await until(lambda: BROKEN in scene.http.standing)
            # Between an answer and its record lies a moment in which a death sends again.
            link = await connect(server.url)
            try:
                await until(lambda: all_sent(link))
            finally:
                await link.close()
            await hubs[0].kill()
        await until(lambda: scene.http.standing == {("NodeOffline", "n1")})
        await hubs[0].start()
        await until(lambda: not scene.http.standing)
        assert scene.http.told_twice == [], scene.http.alerts


async def all_sent(link: RedisLink) -> bool:
    """Whether no notice waits for its channels."""
    return not (await Book(link, Keys()).standing()).notices


async def test_without_redis_a_node_tells_itself_and_not_twice(scene: Scene) -> None:
    site = scene.site
    channels = {name: scene.channels[name] for name in ("group", "http")}
    # Longer than a heartbeat from before, which Redis reads when it wakes, may be believed.
    kept = {"RedisAway": {"when": "redis_away > 500ms"}, "SpoolInUse": {"for": "2s"}}
    site.settings(alerts=FAST | {"rules": rules(**kept), "channels": channels})
    hub = site.hub(env={"HUB_NODE_ID": "n1"})
    await hub.start()
    site.point_at(hub)
    [engine] = hub.children()["engine"]
    engine.suspend()
    await site.says("echo", "while it sleeps")
    await until(lambda: scene.http.standing == {("RedisAway", "n1"), ("SpoolInUse", "n1")})
    engine.resume()
    await until(lambda: not scene.http.standing)
    assert scene.http.told_twice == [], scene.http.alerts
    past = Counter((one["what"], one["name"]) for one in await hub.api("GET", "/alerts/history"))
    assert past == Counter(("fired" if status == "firing" else status, name) for status, name, _ in scene.http.alerts)
