"""A storm: people write through a Feishu that repeats itself while processes die; and who judges what came of it."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import psutil

from app.control.playground.people import Said
from app.control.playground.world import Chat
from app.core.keys import Keys
from app.core.redis import connect
from tests.system.hub_process import HubProcess
from tests.system.world import Site
from tests.waiting import until

Target = Literal["node", "worker", "engine", "nursery"]

POISON = "poison"
"""A message with this word fails in every attempt and belongs in the dead letters."""

# The slow one is slow on purpose: many of its events are being handled when a process dies.
HANDLERS = {
    "plain": """
@bot.message()
async def answer(message: Message, ctx: Context) -> str:
    return f"echo {message.text}"
""",
    "twice": """
@bot.message()
async def answer(message: Message, ctx: Context) -> None:
    await ctx.reply(f"echo {message.text}")
    await ctx.send(message.chat_id, f"also {message.text}")
""",
    "slow": """
@bot.message()
async def answer(message: Message, ctx: Context) -> str:
    await asyncio.sleep(0.05)
    return f"echo {message.text}"
""",
    "thread": """
@bot.message()
def answer(message: Message, ctx: Context) -> str:
    return f"echo {message.text}"
""",
    "moody": """
@bot.message()
async def answer(message: Message, ctx: Context) -> str:
    if "poison" in message.text or (message.text.endswith("7") and ctx.attempt == 1):
        raise ValueError("a bad day")
    return f"echo {message.text}"
""",
}
_HEAD = '"""A bot of the storm."""\nimport asyncio\nfrom app.sdk import Bot, Context, Message\n\nbot = Bot()\n\n'


@dataclass(eq=False, slots=True)
class Line:
    """One message that a person wrote in the storm."""

    bot: str
    chat: Chat
    number: int
    text: str
    said: Said
    acked: bool = False


@dataclass
class Storm:
    """The traffic, the kills, and the verdict; everything that is chosen is chosen by `chance`."""

    site: Site
    hubs: list[HubProcess]
    chance: random.Random
    rate: float = 120.0
    """Messages a second, of all people together, while nothing holds them up."""
    lines: list[Line] = field(default_factory=list)
    written: int = 0
    """How many messages were answered 200, or given up."""
    killed: Counter[str] = field(default_factory=Counter)
    ended: Counter[int] = field(default_factory=Counter)
    """Exit statuses of nodes that were started again."""
    _progress: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: bool = False

    def people(self, bots: Sequence[str], conversations: int) -> list[tuple[str, Chat]]:
        """So many private chats, spread evenly over the bots."""
        playground = self.site.playground
        chats = []
        for number in range(conversations):
            bot = bots[number % len(bots)]
            user = playground.add_user(f"person {number // len(bots)}")
            chats.append((bot, playground.p2p_chat(self.site.apps[bot], user)))
        return chats

    async def blow(self, chats: Sequence[tuple[str, Chat]], each: int, kills: int, targets: Sequence[Target]) -> None:
        """Have `each` messages written in every chat while `kills` processes are killed, then wait for quiet."""
        keepers = [asyncio.create_task(self._keep(hub)) for hub in self.hubs]
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._shake(each * len(chats), kills, targets))
                for bot, chat in chats:
                    group.create_task(self._write(bot, chat, each))
            await self.quiet()
        finally:
            self._stopping = True
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            sys.stdout.write(f"killed {dict(self.killed)}, nodes ended with {dict(self.ended)}, took {self.taken}\n")
        assert self.killed.total() == kills
        assert self.taken > 0.9 * each * len(chats), "too much was refused for the run to prove anything"

    async def quiet(self) -> None:
        """Until Feishu has nothing to bring and no hub anything to do."""
        await self.site.playground.deliveries.settle(120)
        try:
            # To ask costs those something who have work to do.
            await until(self._nothing_waits, 240, rest=0.2)
        except TimeoutError:
            left = [(hub.running, await hub.health(), await hub.api("GET", "/bots")) for hub in self.hubs]
            raise AssertionError(f"something waits for ever: {left}") from None

    async def _nothing_waits(self) -> bool:
        return all([await hub.is_idle() for hub in self.hubs])

    async def _write(self, bot: str, chat: Chat, each: int) -> None:
        """One person, who writes on only when Feishu is told that the last message has arrived."""
        user = chat.users[0]
        pause = len(self.site.playground.world.chats) / self.rate
        for number in range(each):
            await asyncio.sleep(self.chance.expovariate(1 / pause))  # people are no pump
            text = f"{chat.chat_id[-6:]} {number:05d}"
            if bot == "moody" and self.chance.random() < 0.02:
                text = f"{POISON} {text}"
            if len(self.hubs) > 1:
                self.site.point_at(self.chance.choice(self.hubs))
            line = Line(bot, chat, number, text, await self.site.playground.user_says(user, chat, text))
            self.lines.append(line)
            await line.said.settled(timeout=120)
            line.acked = line.said.deliveries[0].acked
            self.written += 1
            self._progress.set()

    async def _shake(self, total: int, kills: int, targets: Sequence[Target]) -> None:
        """Kill at random moments of the traffic, now and then twice in a row."""
        moments = sorted(self.chance.randrange(total // 50, total * 19 // 20) for _ in range(kills))
        for moment in moments:
            while self.written < moment:
                self._progress.clear()
                await self._progress.wait()
            await until(lambda: self._kill_one(self.chance.choice(targets)), 120)

    def _kill_one(self, target: Target) -> bool:
        hub = self.chance.choice(self.hubs)
        if not hub.running:
            return False
        if target == "node":
            hub.signal(signal.SIGKILL)
        else:
            found = hub.children()[target]
            if not found:
                return False
            try:
                self.chance.choice(found).kill()
            except psutil.NoSuchProcess:
                return False
        self.killed[target] += 1
        return True

    async def _keep(self, hub: HubProcess) -> None:
        """Start a node again whenever it has ended, as a supervisor does."""
        while True:
            assert hub.process is not None
            self.ended[await hub.process.wait()] += 1
            if not self._stopping:
                await hub.start(ready=False)

    # -- the verdict ---------------------------------------------------------------------------------------

    @property
    def taken(self) -> int:
        """How many messages were answered 200."""
        return sum(line.acked for line in self.lines)

    async def judge(self) -> None:
        """Every event answered 200 handled or in the dead letters, each answered once, conversations in order."""
        dead = await self._dead()
        replies, extras, order = self._sent()
        faults: list[str] = []
        for line in self.lines:
            name = f"{line.bot} {line.text} ({line.said.message_id})"
            count = replies[line.said.message_id]
            is_dead = line.said.message_id in dead
            if count > 1:
                faults.append(f"{name} was answered {count} times")
            if line.acked and count == 0 and not is_dead:
                faults.append(f"{name} was taken and is lost")
            if POISON in line.text and (count or (line.acked and not is_dead)):
                faults.append(f"{name} had to be buried")
            if line.bot == "twice":
                also = extras[line.chat.chat_id, line.text]
                if also > 1 or (line.acked and also == 0 and not is_dead):
                    faults.append(f"{name} had {also} second messages")
        for chat_id, numbers in order.items():
            if numbers != sorted(numbers):
                at = next(i for i, (a, b) in enumerate(pairwise(numbers)) if a > b)
                faults.append(f"chat {chat_id} is out of order: {numbers[max(0, at - 3) : at + 5]}")
        assert not faults, f"{len(faults)} faults, the first: " + "; ".join(faults[:10])

    def _sent(self) -> tuple[Counter[str], Counter[tuple[str, str]], dict[str, list[int]]]:
        """What Feishu took: replies by message, second messages by text, and the order of first replies by chat."""
        numbers = {line.said.message_id: line.number for line in self.lines}
        replies: Counter[str] = Counter()
        extras: Counter[tuple[str, str]] = Counter()
        order: defaultdict[str, list[int]] = defaultdict(list)
        for _, message in self.site.playground.ledger.accepted:
            if message.parent:
                replies[message.parent] += 1
                if replies[message.parent] == 1:
                    order[message.chat.chat_id].append(numbers[message.parent])
            else:
                text = message.content.partition("also ")[2].removesuffix('"}')
                extras[message.chat.chat_id, text] += 1
        return replies, extras, order

    async def _dead(self) -> set[str]:
        """The message ids of the dead letters."""
        identities = {delivery.event_id: delivery.identity for delivery in self.site.playground.deliveries.log}
        dead = set()
        for bot in self.site.apps:
            letters: list[Any] = await self.hubs[0].api("GET", f"/bots/{bot}/dead?limit=1000")
            dead |= {identities[letter["event_id"]] for letter in letters}
        return dead

    async def leaves_nothing(self, url: str) -> None:
        """Redis holds nothing of what is done, once the archive has caught up."""
        keys = Keys()
        link = await connect(url)
        parts = ("log", "half", "ready", "calls", "claim", "lease", "delayed", "later", "tries")
        try:
            left: dict[str, int] = {}

            async def empty() -> bool:
                left.clear()
                for bot in self.site.apps:
                    for part in parts:
                        if count := await _size(link.commands, keys.bot(bot, part)):
                            left[f"{bot} {part}"] = count
                    async for key in link.commands.scan_iter(match=f"{keys.root(bot)}mail:*", count=1000):
                        left[key.decode()] = 1
                return not left

            try:
                await until(empty)
            except TimeoutError:
                raise AssertionError(f"Redis still holds {left}") from None
        finally:
            await link.close()


async def _size(redis: Any, key: str) -> int:
    kind = (await redis.type(key)).decode()
    counts = {"hash": redis.hlen, "list": redis.llen, "set": redis.scard, "zset": redis.zcard, "stream": redis.xlen}
    return int(await counts[kind](key)) if kind in counts else 0


def storm_bots(site: Site) -> list[str]:
    """Five bots that answer in five ways; one of them sends no encrypted events."""
    policy = {"retry_policy": {"max_attempts": 2, "backoff": "50ms"}}
    for name, code in HANDLERS.items():
        site.handler(name, _HEAD + code)
        site.bot(name, handler=name, encrypted=name != "slow", message=policy)
    return list(HANDLERS)
