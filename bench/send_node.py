"""A node's way out alone: `python -m bench.send_node`, a process of its own that sends what standard input orders.

The order is one line of JSON; when all is made ready it says `ready` and waits for another line, then sends. Its last
word is JSON: how long it took, how much CPU, what became of the sends.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from app.channel.sender import Sender
from app.core.errors import HubError
from app.core.heap import settle
from app.core.logs import configure_logs
from app.core.settings import Settings
from app.model.bot import BotConfig, BotSpec, Credentials
from app.model.outbound import Ledger, Outbound, SendName, Target
from app.queue.envelope import Entry
from app.queue.work import Incoming
from app.redis_stores import RedisStores, redis_stores_at
from app.sending import open_sender
from bench.events import App

_API = "im.message.create"


@dataclass(frozen=True, slots=True)
class Stream:
    """One bot's messages into one chat, in order, each when the one before has been taken."""

    spec: BotSpec
    chat: str
    first: int
    """Its n-th message is the number first + n * step of all, which says when it is offered."""
    step: int
    count: int


def spec_of(app: App, domain: str) -> BotSpec:
    """A bot of the benchmarks whose Feishu is at `domain`."""
    credentials = Credentials.model_validate(
        {"app_id": app.app_id, "app_secret": app.secret, "verification_token": app.token, "domain": domain}
    )
    config = BotConfig.model_validate({"handler": "mark"})
    return BotSpec(app.bot, config, credentials, "1", "", (), (), ())


class _Node:
    def __init__(self, stores: RedisStores, sender: Sender, order: dict[str, Any]) -> None:
        self._stores = stores
        self._sender = sender
        self._rate = float(order["rate"])
        self._only_slots = bool(order["only_slots"])
        self._outcomes: Counter[str] = Counter()
        self._began = 0.0

    async def claim(self, stream: Stream) -> Ledger:
        """The sent record of an event that this node handles."""
        bot, event = stream.spec.id, f"om_{stream.spec.id}_{stream.chat}"
        entry = Entry("event", event, event, "im.message.receive_v1", stream.chat, stream.chat, "", event, 0.0, 0, b"-")
        await self._stores.mailbox.accept([Incoming(bot, entry, (event,), 600, 100_000)])
        [work] = await self._stores.mailbox.take(bot, "bench", 1)
        return self._stores.ledgers.of(work)

    async def warm(self, spec: BotSpec) -> None:
        """Token, data key and connection are there before anything is counted."""
        await self._send(spec, "oc_warm", "warm", None)

    async def run(self, streams: list[tuple[Stream, Ledger | None]]) -> dict[str, Any]:
        self._outcomes.clear()
        self._began, cpu = time.monotonic(), time.process_time()
        await asyncio.gather(*(self._follow(stream, ledger) for stream, ledger in streams))
        return {
            "seconds": time.monotonic() - self._began,
            "cpu": time.process_time() - cpu,
            "outcomes": dict(self._outcomes),
            "codes": {str(code): count for code, count in self._sender.exchange.codes.items()},
        }

    async def _follow(self, stream: Stream, ledger: Ledger | None) -> None:
        for n in range(stream.count):
            if self._rate:
                offered = self._began + (stream.first + n * stream.step) / self._rate
                if (early := offered - time.monotonic()) > 0:
                    await asyncio.sleep(early)
            try:
                if self._only_slots:
                    limiter = self._sender.exchange.limiter
                    await limiter.slot(limiter.bounds.of(stream.spec, _API, chat=stream.chat), priority="send")
                else:
                    await self._send(stream.spec, stream.chat, f"{stream.spec.id} {n}", ledger)
                self._outcomes["sent"] += 1
            except HubError as error:
                self._outcomes[type(error).__name__] += 1

    async def _send(self, spec: BotSpec, chat: str, words: str, ledger: Ledger | None) -> None:
        name = SendName(
            spec.id, f"om_{spec.id}_{chat}", 0, _API, chat, int(words.rpartition(" ")[2] or 0) if ledger else 0
        )
        message = Outbound(Target("chat_id", chat, chat), "text", json.dumps({"text": words}))
        await self._sender.send(spec, message, name, ledger)


async def _main() -> None:
    lines = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    order: dict[str, Any] = json.loads(await lines.readline())
    settings = Settings.model_validate({"data_dir": Path(order["data_dir"]), "limits": order["limits"]})
    specs = {number: spec_of(App(number), order["feishu"]) for number in order["apps"]}
    async with AsyncExitStack() as closing:
        stores = await closing.enter_async_context(redis_stores_at(settings, order["redis"]))
        sender = await closing.enter_async_context(open_sender(stores))
        node = _Node(stores, sender, order)
        streams = [Stream(specs[app], *rest) for app, *rest in order["streams"]]
        claimed = [(stream, None if order["only_slots"] else await node.claim(stream)) for stream in streams]
        if order["warm"]:
            for spec in specs.values():
                await node.warm(spec)
        settle()  # as every node does
        print("ready", flush=True)
        await lines.readline()
        print(json.dumps(await node.run(claimed)), flush=True)


if __name__ == "__main__":
    configure_logs("json", "error")
    uvloop.run(_main())
