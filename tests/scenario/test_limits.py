"""Inside Feishu's limits: what the hub sends is hardly ever refused, and what is refused is sent later, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from app.channel.limiter import Limiter
from app.channel.limits import SendLimits
from app.channel.sender import Sender
from app.channel.tokens import Tokens
from app.control.playground import App, Chat, Playground
from app.core.errors import FeishuLimited, FeishuRefused, FeishuUnavailable, SlotTimeout
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.feishu.client import FeishuApi
from app.model.bot import BotSpec
from app.model.outbound import Outbound, SendName, Target
from tests.unit.channel.parts import PlainSeal, bot, cache_of
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")
CREATE = "im.v1.message.create"
CARD = {"msg_type": "text", "content": {"text": "disk full"}}


@dataclass
class Node:
    """One process that sends."""

    api: FeishuApi
    limiter: Limiter
    sender: Sender


@dataclass
class Company:
    """A Feishu with its limits on, two bots in two groups, and two nodes."""

    feishu: Playground
    url: str
    apps: list[App]
    chats: list[Chat]
    specs: list[BotSpec]
    nodes: list[Node]

    async def say(self, words: str, *, node: int = 0, by: int = 0, chat: int = 0, deadline: float | None = None) -> str:
        """Send a text; its message id."""
        spec, where = self.specs[by], self.chats[chat].chat_id
        name = SendName(spec.id, words, 0, "im.message.create", where, 1)
        message = Outbound(Target("chat_id", where, where), "text", f'{{"text":"{words}"}}')
        sent = await self.nodes[node].sender.send(spec, message, name, None, deadline=deadline)
        return sent.message_id

    def said(self, chat: int = 0) -> list[str]:
        """What stands in a chat."""
        return [m.content[9:-2] for m in self.feishu.ledger.messages() if m.chat is self.chats[chat]]

    @property
    def refused(self) -> int:
        """Calls that the playground refused for frequency by its own count."""
        return len(self.feishu.ledger.violations())


@pytest.fixture
async def company(link: RedisLink, keys: Keys) -> AsyncIterator[Company]:
    async with Playground() as feishu:
        url = await feishu.start()
        apps = [feishu.add_app(f"cli_{n}", f"secret-{n}", n, None, "v") for n in "ab"]
        ann = feishu.add_user("Ann")
        chats = [feishu.group(name, apps, [ann]) for name in ("One", "Two")]
        specs = [bot(url, n, n) for n in "ab"]
        nodes = []
        for _ in range(2):
            api = FeishuApi()
            limiter = Limiter(link, keys, SendLimits())
            tokens = Tokens(api, link, keys, PlainSeal())
            nodes.append(Node(api, limiter, Sender(api, tokens, limiter, cache_of(link, keys))))
        yield Company(feishu, url, apps, chats, specs, nodes)
        for node in nodes:
            await node.limiter.close()
            await node.api.close()


async def test_two_bots_on_two_nodes_share_a_group_with_hardly_a_refusal(company: Company) -> None:
    company.feishu.limits.scale = 5.0
    # So much headroom that a busy machine's late arrivals do not come together with the next window's.
    limits = SendLimits(app_per_second=250, app_per_minute=5_000, chat_per_second=25, headroom=0.5)
    for node in company.nodes:
        node.limiter.bounds.limits = limits
    words = [f"w{n}" for n in range(60)]
    await asyncio.gather(*(company.say(word, node=n % 2, by=n // 2 % 2) for n, word in enumerate(words)))
    assert sorted(company.said()) == sorted(words)
    # Each node for itself would be refused half of the time; a machine that stands still sends two windows' as one.
    assert company.refused < len(words) / 10


@pytest.mark.parametrize(
    ("code", "status", "headers"),
    [
        (99991400, 429, {"x-ogw-ratelimit-limit": "50", "x-ogw-ratelimit-reset": "1"}),
        (99991400, 400, {"x-ogw-ratelimit-limit": "50", "x-ogw-ratelimit-reset": "1"}),
        (11232, 400, {}),
        (230020, 400, {}),
        (11233, 400, {}),
    ],
    ids=["gateway 429", "gateway 400", "11232", "230020", "11233"],
)
async def test_what_feishu_refuses_is_said_later_once_by_whoever_waits(
    company: Company, code: int, status: int, headers: dict[str, str]
) -> None:
    await company.say("warm", chat=1)
    company.feishu.faults.add("code", code=code, status=status, headers=headers, api=CREATE)
    await company.say("first")
    began = company.feishu.ledger.find(code=code)[0].instant
    await company.say("second", node=1)
    assert company.said() == ["first", "second"]
    [refused] = company.feishu.ledger.find(code=code)
    accepted = [call for call, _ in company.feishu.ledger.accepted if call.chat_id == company.chats[0].chat_id]
    assert len(accepted) == 2
    pause = 0.45 if code in (230020, 11233) else 0.95
    assert all(call.instant - began > pause for call in accepted)
    assert refused.seq < accepted[0].seq


async def test_feishus_word_about_an_app_holds_on_every_node_and_for_that_app_alone(company: Company) -> None:
    company.feishu.faults.add("code", code=99991400, status=429, headers={"x-ogw-ratelimit-reset": "30"}, api=CREATE)
    stuck = asyncio.create_task(company.say("stuck"))
    await _limited(company)
    with pytest.raises(SlotTimeout) as caught:
        await company.say("late", node=1, chat=1, deadline=company.feishu.clock.now() + 5)
    assert 20 < (caught.value.retry_after or 0) < 34
    assert caught.value.whole_app
    await company.say("other app", node=1, by=1)
    assert company.said() == ["other app"]
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)


async def test_feishus_word_about_a_chat_leaves_the_others_alone(company: Company) -> None:
    company.feishu.faults.add("code", code=230020, status=400, headers={"x-ogw-ratelimit-reset": "30"}, api=CREATE)
    stuck = asyncio.create_task(company.say("stuck"))
    await _limited(company)
    await company.say("elsewhere", node=1, chat=1)
    with pytest.raises(SlotTimeout) as caught:  # all bots share the chat
        await company.say("late", node=1, by=1, deadline=company.feishu.clock.now() + 5)
    assert not caught.value.whole_app
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)


async def test_a_quota_used_up_is_no_longer_asked_for(company: Company) -> None:
    company.feishu.faults.add("code", code=99991403, status=400, times=100, api=CREATE)
    with pytest.raises(FeishuLimited):
        await company.say("over")
    asked = len(company.feishu.ledger.calls)
    with pytest.raises(FeishuLimited) as caught:
        await company.say("still")
    assert caught.value.bound == "quota"
    assert len(company.feishu.ledger.calls) == asked


async def test_a_custom_bot_takes_what_is_signed_and_paced(company: Company) -> None:
    hook = company.feishu.add_hook(company.chats[0], secret="hook-secret")
    url = f"{company.url}/open-apis/bot/v2/hook/{hook.token}"
    sender = company.nodes[0].sender
    await asyncio.gather(*(sender.send_hook(url, "hook-secret", CARD) for _ in range(7)))
    assert company.said() == ["disk full"] * 7
    assert company.refused == 0
    with pytest.raises(FeishuRefused) as caught:
        await sender.send_hook(url, "other-secret", CARD)
    assert hook.token not in str(caught.value)
    company.feishu.faults.add("code", code=11232, status=200, api="bot.v2.hook")
    await sender.send_hook(url, "hook-secret", CARD)
    assert len(company.said()) == 8


async def test_an_error_about_a_custom_bot_does_not_tell_its_address(company: Company) -> None:
    with pytest.raises(FeishuUnavailable) as caught:
        await company.nodes[0].sender.send_hook("http://127.0.0.1:9/open-apis/bot/v2/hook/secret-token", None, CARD)
    assert "secret-token" not in repr(caught.value)


async def _limited(company: Company) -> None:
    """Until the first call was refused and its pause is known."""
    await until(lambda: company.nodes[0].sender.exchange.codes.total() and company.nodes[0].limiter.waiting)
