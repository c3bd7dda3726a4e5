"""`python -m bench.archiving DIRECTORY REDIS DATABASE COUNT WORDS`: how long so many messages take into the store.

A program of its own, so that it can be bound to a core; it prints seconds and CPU seconds, of the archiving alone.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop

from app.core.heap import settle
from app.core.keys import Keys
from app.core.logs import configure_logs
from app.core.redis import RedisLink, connect
from app.model.bot import BotConfig, BotSpec, Credentials
from app.queue.envelope import Entry
from app.queue.log import EventLog
from app.storage.archiver import Archiver
from app.storage.cipher import record_identity
from app.storage.database import Database
from app.storage.keeping import Keeping
from app.storage.keyring import Keyring
from app.storage.master_key import MasterKey, new_key
from app.storage.messages import Messages
from app.storage.overflow import Overflow
from bench.speech import Speech

BOTS: Final = ("one", "two", "three")
_CHATS: Final = 1000
_PEOPLE: Final = 3000
_BODY: Final = 1000
_AT_ONCE: Final = 1000


class _Catalog:
    def __init__(self, words: bool) -> None:
        credentials = Credentials.model_validate({"app_id": "cli_1", "app_secret": "s", "verification_token": "t"})
        config = BotConfig(handler="echo", word_index=words)
        self.bots = {bot: BotSpec(bot, config, credentials, "1", "", (), (), ()) for bot in BOTS}

    def subscribe(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Nothing changes."""


async def _run(directory: Path, redis_url: str, database_url: str, count: int, words: bool) -> dict[str, float]:
    link = await connect(redis_url)
    keys = Keys()
    keyring = Keyring(MasterKey([new_key()], "the bench"), link, keys, directory / "keys")
    database = Database(database_url, directory)
    try:
        await database.prepare()
        await _fill(link, keys, keyring, count)
        messages, log = Messages(database), EventLog(link, keys)
        archiver = Archiver(
            log,
            Keeping(messages, keyring, _Catalog(words)),
            Overflow(directory / "archive-overflow.db"),
            bots=lambda: BOTS,
            consumer="bench",
        )
        # As every node does when it is ready.
        settle()
        began, cpu = time.monotonic(), _cpu()
        running = asyncio.create_task(archiver.run())
        while archiver.counts["stored"] < count:
            await asyncio.sleep(0.01)
        measured = {"seconds": time.monotonic() - began, "cpu": _cpu() - cpu}
        archiver.stop()
        await running
        if await messages.count() != count:
            raise RuntimeError(f"{count} messages were to be stored, {await messages.count()} are")
        return measured
    finally:
        await database.close()
        await keyring.close()
        await link.close()


async def _fill(link: RedisLink, keys: Keys, keyring: Keyring, count: int) -> None:
    speech = Speech()
    ciphers = {bot: await keyring.cipher(bot) for bot in BOTS}
    now = time.time()
    for start in range(0, count, _AT_ONCE):
        pipe: Any = link.commands.pipeline(transaction=False)
        for number in range(start, min(start + _AT_ONCE, count)):
            bot = BOTS[number % len(BOTS)]
            entry = _entry(number, now, ciphers[bot].seal(_body(speech), record_identity(_name(number))))
            # As a message that was sent: nobody else has to be done with it before it may go.
            pipe.xadd(keys.bot(bot, "log"), {"e": entry.packed(), "s": entry.sealed})
        await pipe.execute()


def _body(speech: Speech) -> bytes:
    message = {"message_type": "text", "content": orjson.dumps({"text": speech.sentence()}).decode()}
    return orjson.dumps({"schema": "2.0", "event": {"message": message}}).ljust(_BODY)


def _name(number: int) -> str:
    """An event id; those of Feishu come in no order."""
    return f"{number * 0x9E3779B97F4A7C15 % (1 << 64):032x}"


def _entry(number: int, now: float, sealed: bytes) -> Entry:
    mixed = number * 2_654_435_761
    return Entry(
        kind="sent",
        event_id=_name(number),
        identity="",
        type="text",
        conversation="",
        chat_id=f"oc_{mixed % _CHATS:032x}",
        user_id=f"ou_{mixed % _PEOPLE:032x}",
        message_id=f"om_{mixed % (1 << 64):032x}",
        received=now + number / 1000,
        replay=0,
        sealed=sealed,
    )


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    configure_logs("json", "warning")
    _directory, _redis, _database, _count, _words = sys.argv[1:]
    _measured = uvloop.run(_run(Path(_directory), _redis, _database, int(_count), _words == "words"))
    sys.stdout.write(orjson.dumps(_measured).decode())
