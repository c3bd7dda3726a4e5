"""Messages accepted by the API arrive once and in order, whatever dies, is away or answers wrongly on their way."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.control.playground.world import Chat
from app.core.failpoint import Step
from app.storage.master_key import new_key
from tests.faults.each_way import EACH_WAY, Uuids
from tests.faults.redis_server import ExternalRedis
from tests.system.hub_process import HubProcess
from tests.system.world import NO_LIMITS, Site, site_at, text_of
from tests.waiting import until

pytestmark = pytest.mark.faults


@dataclass
class Post:
    """A door that takes messages, channel nodes that send them, and what was taken."""

    site: Site
    redis: ExternalRedis
    env: dict[str, str]
    door: HubProcess
    chats: Sequence[Chat]
    taken: defaultdict[str, list[str]]
    ids: list[str]

    async def channel(self, name: str, **env: str) -> HubProcess:
        """One more node that sends."""
        hub = self.site.hub(name, env={**self.env, **env}, arguments=("--roles", "channel"))
        await hub.start()
        return hub

    async def put(self, chat: Chat, number: int) -> None:
        """Have a message sent; a request that is not answered is repeated under its key, as programs do."""
        text = f"{chat.name} {number}"
        request = {"json": {"to": chat.chat_id, "text": text}, "headers": {"Idempotency-Key": text}}

        async def is_taken() -> bool:
            try:
                answer = await self.door.api("POST", "/bots/echo/messages", **request)
            except (aiohttp.ClientError, TimeoutError):
                return False
            self.ids.append(answer["id"])
            return True

        await until(is_taken, rest=0.1)
        self.taken[chat.chat_id].append(text)

    async def all_sent(self) -> bool:
        try:
            return all([(await self._state(one))["state"] == "sent" for one in self.ids])
        except aiohttp.ClientError:
            return False

    async def _state(self, id: str) -> Any:
        return await self.door.api("GET", f"/bots/echo/messages/{id}")

    async def judge(self) -> None:
        """Everything taken was said once, in each chat in order."""
        await until(self.all_sent, 90)
        said = {
            chat.chat_id: [text_of(one) for one in self.site.playground.ledger.messages(chat.chat_id)]
            for chat in self.chats
        }
        assert said == {chat.chat_id: self.taken[chat.chat_id] for chat in self.chats}
        assert not self.site.playground.ledger.duplicates("uuid")


@asynccontextmanager
async def open_post(root: Path, database_url: str, uuids: Uuids, chats: int) -> AsyncIterator[Post]:
    async with site_at(root, database_url, uuids) as site, ExternalRedis() as redis:
        app = site.bot("echo")
        site.settings(limits=NO_LIMITS)
        site.playground.limits.enabled = False
        env = {"HUB_REDIS_URL": redis.url, "HUB_MASTER_KEY": new_key()}
        door = site.hub("door", env=env, arguments=("--roles", "gateway"))
        await door.start()
        groups = [site.playground.group(f"g{number}", [app], []) for number in range(chats)]
        yield Post(site, redis, env, door, groups, defaultdict(list), [])


@EACH_WAY
async def test_channel_nodes_that_die_in_the_middle_of_a_send(tmp_path: Path, database_url: str, uuids: Uuids) -> None:
    """One after the other; what each has left, the next one sends before its own turn comes."""
    answered_again: Sequence[Step] = ("before_send", "after_send", "after_record")
    refused: Sequence[Step] = ("after_send", "before_record")
    steps = answered_again if uuids[0] == "original" else refused
    async with open_post(tmp_path, database_url, uuids, 2) as post:
        waiting = {step: tmp_path / step for step in steps}
        for number, (step, file) in enumerate(waiting.items()):
            file.touch()
            dying = await post.channel(f"dying-{step}", HUB_FAILPOINT=f"{step}:{file}")
            await post.judge()
            file.unlink()
            for turn in range(3):
                for chat in post.chats:
                    await post.put(chat, 3 * number + turn)
            assert await dying.ended() == -signal.SIGKILL
            assert file.exists()
        await post.channel("last")
        await post.judge()


@EACH_WAY
async def test_everything_at_once(tmp_path: Path, database_url: str, uuids: Uuids) -> None:
    """Feishu refuses, forgets its tokens, answers nonsense or nothing, Redis stops for 10 s, a node is killed."""
    chance = random.Random(4)
    async with open_post(tmp_path, database_url, uuids, 8) as post:
        faults = post.site.playground.faults
        create = "im.v1.message.create"
        limited = {"x-ogw-ratelimit-reset": "1"}
        faults.add("code", api=create, times=4, probability=0.08, code=99991400, status=429, headers=limited)
        faults.add("code", api=create, times=4, probability=0.08, code=99991400, status=400, headers=limited)
        faults.add("code", api=create, times=4, probability=0.08, code=11232, status=400)
        faults.add("code", api=create, times=4, probability=0.08, code=230020, status=400)
        for kind in ("html", "lost", "half", "reset", "token"):
            faults.add(kind, api=create, times=4, probability=0.08)
        # Longer than a call waits for its answer, which was carried out.
        faults.add("latency", api=create, times=2, seconds=12.0)
        nodes = [await post.channel(f"channel{number}") for number in range(2)]

        async def write(chat: Chat) -> None:
            for number in range(25):
                await post.put(chat, number)
                await asyncio.sleep(chance.random() * 0.4)  # people are no pump

        async with asyncio.TaskGroup() as group:
            for chat in post.chats:
                group.create_task(write(chat))
            await until(lambda: len(post.ids) > 40)
            post.redis.signal(signal.SIGSTOP)
            await asyncio.sleep(10)  # what is tested: longer than any lease, and than any call waits for its answer
            post.redis.signal(signal.SIGCONT)
            await until(lambda: len(post.ids) > 120)
            await nodes[0].kill()
        faults.clear()
        await post.judge()
        codes = {call.code for call in post.site.playground.ledger.calls}
        assert {99991400, 11232, 230020, 99991663} <= codes, codes
