"""A node with real worker processes, whose bots do to them what they are told."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue.mailbox import Mailbox
from app.queue.work import Receipt
from app.sdk.bot import Bot
from app.sdk.context import Context
from app.sdk.message import Message
from app.storage.cipher import Cipher
from app.storage.master_key import MasterKey, new_key
from app.worker.lanes import Lanes
from tests.unit.worker.kit import Bots, Mouth, message, spec

MASTER = MasterKey([new_key()], "the test")


def rogue() -> Bot[Any]:
    """Does to its worker what its messages say."""
    bot = Bot()

    @bot.message()
    async def obey(message: Message, ctx: Context) -> str:
        word, _, rest = message.text.partition(" ")
        if word == "exit":
            os._exit(9)
        if word == "exit-once" and first_time(Path(rest)):
            os._exit(9)
        if word == "exit-twice-and-hang":
            if first_time(Path(rest)) or first_time(Path(f"{rest}-2")):
                os._exit(9)
            first_time(Path(f"{rest}-hangs"))
            await asyncio.Event().wait()
        if word == "exit-beside":
            await asyncio.wait([asyncio.create_task(leave())])
        if word == "hang-beside":
            asyncio.get_running_loop().run_in_executor(None, time.sleep, 60.0)
        if word == "block-unseen" and first_time(Path(f"{rest}-seen")):
            asyncio.get_running_loop().call_soon(Path(rest).read_text)
        if word == "block":
            Path(rest).read_text()  # noqa: ASYNC240 - what a careless author writes; a pipe that says nothing yet
        return f"{os.getpid()}"

    return bot


def plain() -> Bot[Any]:
    """Its plain function runs in a thread, and may keep the interpreter's lock, as C code can."""
    bot = Bot()

    @bot.message()
    def obey(message: Message, ctx: Context) -> str:
        time.sleep(0.1)  # the step that started the thread is over, nobody's code is on the loop
        ctypes.PyDLL(None).open(os.fsencode(message.text), os.O_RDONLY)  # a pipe, until somebody writes into it
        return f"{os.getpid()}"

    return bot


async def leave() -> None:
    sys.exit()


def first_time(mark: Path) -> bool:
    seen = mark.exists()
    mark.touch()
    return not seen


class Said(Mouth):
    """Notes what is said in Redis, since it is said in other processes."""

    def __init__(self, link: RedisLink, keys: Keys) -> None:
        super().__init__()
        self._link, self._key = link, f"{keys.prefix}wake:said"

    async def send(self, spec: Any, message: Any, name: Any, ledger: Any, **patience: Any) -> Any:
        sent = await super().send(spec, message, name, ledger)
        if not sent.repeated:
            said = next(said for said in reversed(self.said) if said[1] == message.target.id)
            await cast(Any, self._link.commands.rpush(self._key, " ".join(said)))
        return sent


def bots() -> Bots:
    return Bots(
        spec("rogue", message={"retry_policy": {"backoff": "1ms"}}),
        spec("good"),
        spec("plain"),
        rogue=rogue(),
        plain=plain(),
        good=rogue(),
    )


@dataclass
class Node:
    """A node's lanes, and its queue."""

    lanes: Lanes
    link: RedisLink
    keys: Keys
    ciphers: dict[str, Cipher]
    catalog: Bots

    async def say(self, number: int, text: str, bot: str, chat: str = "oc_1") -> None:
        incoming = message(number, text, self.ciphers[bot], bot=bot, chat=chat)
        (receipt,) = await Mailbox(self.link, self.keys).accept([incoming])
        assert isinstance(receipt, Receipt)
        assert receipt.status == "accepted"

    async def said(self) -> dict[str, tuple[str, int]]:
        """By the message answered: the bot and the process that spoke."""
        lines = await cast(Any, self.link.commands.lrange(f"{self.keys.prefix}wake:said", 0, -1))
        words = [line.decode().split() for line in lines]
        targets = [target for _, target, _ in words]
        assert len(targets) == len(set(targets)), "something was said twice"
        return {target: (bot, int(pid)) for bot, target, pid in words}

    async def answered(self, *numbers: int) -> bool:
        return {f"om_in_{n}" for n in numbers} <= (await self.said()).keys()

    def pid(self, kind: str) -> int:
        (pid,) = [pid for pid, one in self.lanes.pids.items() if one == kind]
        return pid
