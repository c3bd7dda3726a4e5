"""Slots over all nodes: never too dense, in order, given back, paused, and given by the node when Redis is away."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from app.channel.limiter import Limiter, Slot
from app.channel.limits import SendLimits
from app.core.errors import SlotTimeout
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.model.bot import BotSpec
from tests.ports import free_port
from tests.redis_servers import Server
from tests.unit.channel.parts import bot
from tests.unit.channel.slots import API, QUICK, densest, grants, pause, paused_until, take
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


@pytest.fixture
def spec() -> BotSpec:
    return bot("https://open.feishu.cn")


async def test_200_at_once_never_exceed_a_window(
    link: RedisLink, keys: Keys, spec: BotSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy the machine is: nobody is late for a slot.
    monkeypatch.setattr("app.channel.limits._MIN_GRACE", 20_000_000)
    nodes = [Limiter(link, keys, SendLimits(second=0.3, headroom=0.3)) for _ in range(3)]
    slots = await asyncio.gather(*(take(nodes[n % 3], spec) for n in range(200)))
    times = await grants(link, keys.limit_app("cli_a", API))
    assert len(times) == 200
    assert densest(times, 300_000) <= 50
    assert sorted(round(slot.at * 1e6) for slot in slots) == times
    # 200 take four windows, stretched by the headroom.
    assert times[-1] - times[0] < 5 * 428_571


async def test_one_chat_is_shared_by_all_bots_and_nodes(link: RedisLink, keys: Keys, spec: BotSpec) -> None:
    other = bot("https://open.feishu.cn", "hr", "b")
    nodes = [Limiter(link, keys, QUICK) for _ in range(2)]
    await asyncio.gather(*(take(nodes[n % 2], (spec, other)[n // 2 % 2], chat="oc_1") for n in range(24)))
    times = await grants(link, keys.limit_chat("oc_1"))
    assert len(times) == 24
    assert densest(times, 50_000) <= 5


async def test_the_minute_is_kept_too(link: RedisLink, keys: Keys) -> None:
    spec = bot("https://open.feishu.cn", app_per_minute=20)
    limiter = Limiter(link, keys, replace(QUICK, second=0.002))
    await asyncio.gather(*(take(limiter, spec) for _ in range(50)))
    times = await grants(link, keys.limit_app("cli_a", API))
    assert densest(times, 120_000) <= 20


async def test_who_waits_in_a_chat_leaves_in_order(link: RedisLink, keys: Keys, spec: BotSpec) -> None:
    limiter = Limiter(link, keys, QUICK)
    left: list[int] = []

    async def ask(n: int) -> Slot:
        slot = await take(limiter, spec, chat="oc_1")
        left.append(n)
        return slot

    slots = await asyncio.gather(*(ask(n) for n in range(17)))
    assert left == list(range(17))
    assert [slot.at for slot in slots] == sorted(slot.at for slot in slots)


async def test_a_slot_that_was_given_back_does_not_let_anyone_overtake(
    link: RedisLink, keys: Keys, spec: BotSpec
) -> None:
    limiter = Limiter(link, keys, SendLimits(second=0.2, chat_per_second=1))
    left: list[str] = []

    async def ask(who: str) -> None:
        await take(limiter, spec, chat="oc_1")
        left.append(who)

    async def reserved() -> bool:
        return len(await grants(link, keys.limit_chat("oc_1"))) == 2

    await ask("first")
    tasks = [asyncio.create_task(ask(who)) for who in ("cancelled", "second", "gives up", "third")]
    await until(reserved)
    tasks[0].cancel()
    tasks[2].cancel()
    await asyncio.gather(ask("fourth"), *tasks, return_exceptions=True)
    assert left == ["first", "second", "third", "fourth"]
    await limiter.close()
    assert len(await grants(link, keys.limit_chat("oc_1"))) == 4


async def test_a_slot_that_redis_grants_to_who_has_gone_is_given_back(
    link: RedisLink, keys: Keys, spec: BotSpec
) -> None:
    limiter = Limiter(link, keys, SendLimits())
    lanes = limiter._reserve._pipe._lanes
    await link.commands.execute_command("CLIENT", "PAUSE", 10_000, "WRITE")
    asking = asyncio.create_task(take(limiter, spec, chat="oc_1"))
    await until(lambda: lanes and not any(lane.waiting for lane in lanes.values()))
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await link.commands.execute_command("CLIENT", "UNPAUSE")
    await limiter.close()
    assert await grants(link, keys.limit_chat("oc_1")) == await grants(link, keys.limit_app("cli_a", API)) == []


async def test_a_busy_chat_does_not_hold_up_another(link: RedisLink, keys: Keys, spec: BotSpec) -> None:
    limiter = Limiter(link, keys, SendLimits(chat_per_second=1, second=60.0))
    await take(limiter, spec, chat="oc_busy")
    waiting = asyncio.create_task(take(limiter, spec, chat="oc_busy"))
    await until(lambda: limiter.waiting)
    await take(limiter, spec, chat="oc_free")
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await limiter.close()


async def test_the_chats_slot_follows_the_apps(link: RedisLink, keys: Keys) -> None:
    # The app may call once in 110 ms, the chat five times in 55 ms: chat slots must not pile up before the app's.
    spec = bot("https://open.feishu.cn", app_per_second=0.5)
    limiter = Limiter(link, keys, QUICK)
    await asyncio.gather(*(take(limiter, spec, chat=f"oc_{n % 2}") for n in range(6)))
    apps = await grants(link, keys.limit_app("cli_a", API))
    chats = sorted([*await grants(link, keys.limit_chat("oc_0")), *await grants(link, keys.limit_chat("oc_1"))])
    assert len(apps) == 6
    assert apps == chats


async def test_while_the_app_waits_the_chats_slot_waits_with_it(link: RedisLink, keys: Keys) -> None:
    spec = bot("https://open.feishu.cn", app_per_minute=1)
    limiter = Limiter(link, keys, SendLimits())
    await take(limiter, spec)
    waiting = asyncio.create_task(take(limiter, spec, chat="oc_1"))

    async def together() -> bool:
        chat = await grants(link, keys.limit_chat("oc_1"))
        app = await grants(link, keys.limit_app("cli_a", API))
        return len(app) == 2 and chat == app[1:]

    await until(together)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await limiter.close()


async def test_a_slot_past_the_deadline_is_refused_at_once_and_all_is_given_back(link: RedisLink, keys: Keys) -> None:
    spec = bot("https://open.feishu.cn", app_per_minute=1)
    limiter = Limiter(link, keys, SendLimits())
    await take(limiter, spec, chat="oc_1")
    with pytest.raises(SlotTimeout) as caught:
        await take(limiter, spec, chat="oc_2", deadline=time.time() + 5)
    assert 50 < (caught.value.retry_after or 0) <= 66.7
    await limiter.close()
    assert await grants(link, keys.limit_chat("oc_2")) == []
    assert len(await grants(link, keys.limit_app("cli_a", API))) == 1


async def test_a_cancelled_wait_gives_its_slots_back(link: RedisLink, keys: Keys, spec: BotSpec) -> None:
    limiter = Limiter(link, keys, SendLimits(chat_per_second=1))
    await take(limiter, spec, chat="oc_1")
    waiting = asyncio.create_task(take(limiter, spec, chat="oc_1"))

    async def reserved() -> bool:
        return len(await grants(link, keys.limit_chat("oc_1"))) == 2

    await until(reserved)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await limiter.close()
    assert len(await grants(link, keys.limit_chat("oc_1"))) == 1
    assert len(await grants(link, keys.limit_app("cli_a", API))) == 1
    assert limiter.waiting == 0


async def test_a_pause_is_obeyed_by_every_node(link: RedisLink, keys: Keys, spec: BotSpec) -> None:
    one, other = Limiter(link, keys, SendLimits()), Limiter(link, keys, SendLimits())
    await pause(one, spec, 0.2)
    assert (await take(other, spec)).at >= await paused_until(link, keys.limit_app("cli_a", API), keys)


async def test_a_pause_of_a_chat_leaves_other_chats_alone(link: RedisLink, keys: Keys, spec: BotSpec) -> None:
    limiter = Limiter(link, keys, SendLimits())
    await pause(limiter, spec, 30.0, chat="oc_1")
    assert (await take(limiter, spec, chat="oc_2")).at < await paused_until(link, keys.limit_chat("oc_1"), keys)
    with pytest.raises(SlotTimeout):
        await take(limiter, spec, chat="oc_1", deadline=time.time() + 1)
    await limiter.close()


async def test_a_shorter_pause_does_not_end_a_longer_one(link: RedisLink, keys: Keys, spec: BotSpec) -> None:
    limiter = Limiter(link, keys, SendLimits())
    await pause(limiter, spec, 30.0)
    await pause(limiter, spec, 0.01)
    with pytest.raises(SlotTimeout) as caught:
        await take(limiter, spec, deadline=time.time() + 1)
    assert 20 < (caught.value.retry_after or 0) <= 33.1


async def test_who_waits_already_obeys_a_pause_that_comes_later(link: RedisLink, keys: Keys, spec: BotSpec) -> None:
    limiter = Limiter(link, keys, SendLimits(second=0.5, chat_per_second=1))
    await take(limiter, spec, chat="oc_1")
    waiting = asyncio.create_task(take(limiter, spec, chat="oc_1"))
    await until(lambda: limiter.waiting)
    await pause(limiter, spec, 0.8, chat="oc_1")
    paused = await paused_until(link, keys.limit_chat("oc_1"), keys)
    assert (await waiting).at >= paused


async def test_waits_are_announced_before_they_begin(link: RedisLink, keys: Keys, spec: BotSpec) -> None:
    limiter = Limiter(link, keys, SendLimits(chat_per_second=1, second=0.5))
    told: list[float] = []
    await take(limiter, spec, chat="oc_1", on_wait=told.append)
    assert told == []
    slot = await take(limiter, spec, chat="oc_1", on_wait=told.append)
    assert 0 < sum(told) <= slot.waited + 0.01


async def test_the_keys_of_a_call_may_lie_on_several_nodes_of_a_cluster(keys: Keys, spec: BotSpec) -> None:
    port = free_port()
    with Server("--cluster-enabled", "yes", port=port) as server:
        alone = await connect(server.url)
        await alone.commands.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)

        async def formed() -> bool:
            return "cluster_state:ok" in str(await alone.commands.execute_command("CLUSTER", "INFO"))

        await until(formed)
        cluster = await connect(f"redis+cluster://127.0.0.1:{port}")
        limiter = Limiter(cluster, keys, QUICK)
        await asyncio.gather(*(take(limiter, spec, chat=f"oc_{n % 3}") for n in range(30)))
        await pause(limiter, spec, 0.1)
        assert (await take(limiter, spec)).at >= await paused_until(cluster, keys.limit_app("cli_a", API), keys)
        assert len(await grants(cluster, keys.limit_app("cli_a", API))) == 31
        await cluster.close()
        await alone.close()
