"""The message store: how fast it takes in what was said, how fast it finds it among millions, what a seal costs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Final, Literal

import orjson
from sqlalchemy import text

from app.core.engine import EmbeddedEngine
from app.storage.audit import Audit
from app.storage.cipher import Cipher, record_identity
from app.storage.database import Database
from app.storage.days import DAY_MS, words_of
from app.storage.message import NewMessage
from app.storage.messages import Messages
from app.storage.query import Query
from app.storage.reveal import Reveals
from app.storage.words import hashes, tokens
from bench.machine import MEASURED, OTHERS, pin, pinned, started_on
from bench.millions import CIPHER, FIRST_DAY, KEYS, fill
from bench.plan import Plan
from bench.report import Row, percentile, row
from bench.speech import Speech
from tests.postgres_server import PostgresServer

Kind = Literal["sqlite", "postgresql"]

_KINDS: Final[tuple[Kind, ...]] = ("sqlite", "postgresql")
_SEALS: Final = 50_000
_DAYS: Final = 30
_LOADED_AT_ONCE: Final = 5000
_LOOKS: Final = 200


def measure(plan: Plan) -> list[Row]:
    """Seals; then each database in turn: the archiver without and with the index of words, then a full store."""
    rows = _seals(plan)
    for kind in _KINDS:
        rows += _archiver(plan, kind)
    for kind in _KINDS:
        rows += asyncio.run(_full(plan, kind))
    return rows


def _seals(plan: Plan) -> list[Row]:
    plain, identity = os.urandom(1024), record_identity("evt_1")
    sealed = CIPHER.seal(plain, identity)
    seals, opens = [], []
    for _ in range(plan.rounds):
        seals.append(_each(lambda: CIPHER.seal(plain, identity)))
        opens.append(_each(lambda: CIPHER.open(sealed, identity)))
    return [
        row("store", "seal 1 KB", "µs", seals, at_most=2),
        row("store", "open 1 KB", "µs", opens, at_most=2),
    ]


def _each(call: Callable[[], object]) -> float:
    began = time.process_time()
    for _ in range(_SEALS):
        call()
    return (time.process_time() - began) / _SEALS * 1e6


def _archiver(plan: Plan, kind: Kind) -> list[Row]:
    rows = []
    for words, least in (("plain", 20_000), ("words", 2_000)):
        count = int(plan.pick(20_000, 200_000) if words == "plain" else plan.pick(5000, 40_000))
        rates, costs = [], []
        with _server(kind) as database:
            for turn in range(plan.rounds):
                scratch = plan.scratch / f"archiver-{kind}-{words}-{turn}"
                scratch.mkdir()
                with database(scratch) as url:
                    measured = asyncio.run(_archived(scratch, url, count, words))
                rates.append(count / measured["seconds"])
                costs.append(measured["cpu"] / count * 1e6)
        index = "with the index of words" if words == "words" else "without"
        note = "wall clock, the process on one core"
        rows.append(row(f"store, archiver, {kind}", index, "messages/s", rates, at_least=least, note=note))
        rows.append(row(f"store, archiver, {kind}", f"{index}, CPU of the process", "µs a message", costs))
    return rows


async def _archived(scratch: Path, database: str, count: int, words: str) -> dict[str, float]:
    engine = EmbeddedEngine(scratch / "engine", "everysec", maxmemory=4 << 30)
    try:
        url = await engine.start()
        if engine.pid is not None:
            pin(engine.pid, OTHERS)
        program = [sys.executable, "-m", "bench.archiving", str(scratch), url, database, str(count), words]
        done = await asyncio.to_thread(
            subprocess.run, pinned(MEASURED, program), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr[-2000:])
        measured: dict[str, float] = orjson.loads(done.stdout)
        return measured
    finally:
        await engine.stop()


async def _full(plan: Plan, kind: Kind) -> list[Row]:
    """A store of millions: the newest page of a chat, and words that are common and rare."""
    count, on_top = int(plan.pick(200_000, 10_000_000)), int(plan.pick(10_000, 50_000))
    a_day = (count - on_top) // _DAYS
    section = f"store of {count:,}, {kind}"
    scratch = plan.scratch / f"full-{kind}"
    scratch.mkdir()
    with _server(kind) as database_in, database_in(scratch) as url:
        began = time.monotonic()
        await fill(url, scratch, _DAYS, a_day)
        note = f"loaded in {time.monotonic() - began:.0f} s"
        database = Database(url, scratch)
        messages, speech = Messages(database), Speech()
        spent = [await _load(messages, speech, start) for start in range(0, on_top, _LOADED_AT_ONCE)]
        pages = [await _timed_page(messages, number) for number in range(_LOOKS)]
        searches, found = [], 0
        for rank in (0, 1, 5, 20, 100, 500, 2000, 3999):
            for words in (speech.words[rank], f"{speech.words[rank]} {speech.words[(rank * 7 + 3) % 4000]}"):
                took, hits = await _timed_search(messages, words, words, Query("one"))
                searches.append(took)
                found += hits
        # The most that there is to look at: a common word of which a filter leaves nothing, and two pairs of characters
        # that many messages have, none of them one behind the other.
        for words, query in (
            (speech.words[0], Query("one", type="text")),
            (speech.words[0] + speech.words[1][0], Query("one")),
        ):
            searches.append((await _timed_search(messages, words, "", query))[0])
        size = await _index_size(database, kind) / on_top
        await database.close()
    return [
        row(section, "newest page of a chat, p99", "ms", [percentile(pages, 0.99)], at_most=10, note=note),
        row(section, "search by words, slowest", "ms", [max(searches)], at_most=300, note=f"{found} found"),
        row(section, "search by words, median", "ms", [percentile(searches, 0.5)]),
        row(section, "index of words", "bytes a message", [size]),
        row(section, "more of them stored, words indexed", "messages/s", [_LOADED_AT_ONCE / took for took in spent]),
    ]


async def _load(messages: Messages, speech: Speech, start: int) -> float:
    """Store messages of a day more as the archiver does; how many seconds the store took."""
    rows, words = [], {}
    for place in range(_LOADED_AT_ONCE):
        number = start + place
        mixed = number * 2_654_435_761
        key = f"{number * 0x9E3779B97F4A7C15 % (1 << 64):032x}"
        created = (FIRST_DAY + _DAYS) * DAY_MS + number
        chat, person, message = f"oc_{mixed % 1000:032x}", f"ou_{mixed % 3000:032x}", f"om_{key}"
        # Of the content only its place counts here, not its size.
        kind = "im.message.receive_v1"
        rows.append(NewMessage("one", key, "in", kind, chat, person, message, created, b"\x01" * 64))
        words[place] = hashes(CIPHER, tokens(speech.sentence()))
    began = time.monotonic()
    await messages.insert(rows, words)
    return time.monotonic() - began


async def _timed_page(messages: Messages, number: int) -> float:
    began = time.monotonic()
    page = await messages.search(Query("one", chat=f"oc_{number * 37 % 1000:032x}"))
    if not page:
        raise RuntimeError("a chat has no messages")
    return (time.monotonic() - began) * 1000


async def _timed_search(messages: Messages, words: str, said: str, query: Query) -> tuple[float, int]:
    """A whole search, opened and written into the audit, among messages that all turn out to have `said` the same."""
    reveals = Reveals(messages, _Opening(said), Audit(messages.database))
    began = time.monotonic()
    found = await reveals.with_words(words, query, who="the bench", why="a measurement")
    return (time.monotonic() - began) * 1000, len(found.messages)


class _Opening(Cipher):
    """Opens one message, really sealed, for each: millions are not sealed one by one."""

    def __init__(self, said: str) -> None:
        super().__init__("one", KEYS, *KEYS)
        message = {"message": {"content": orjson.dumps({"text": said}).decode()}}
        self._one = self.seal(orjson.dumps({"event": message}), record_identity("one"))

    async def refresh(self, bot: str) -> Cipher:
        return self

    def open(self, sealed: bytes, identity: bytes) -> bytes:
        return super().open(self._one, record_identity("one"))


async def _index_size(database: Database, kind: Kind) -> float:
    """What the index of the day takes that came through the store."""
    day = words_of(FIRST_DAY + _DAYS)
    size = f"pg_total_relation_size('{day}')" if kind == "postgresql" else f"sum(length(block)) FROM {day}_data"
    async with database.reading() as connection:
        return float(await connection.scalar(text(f"SELECT {size}")) or 0)


@contextmanager
def _server(kind: Kind) -> Iterator[Callable[[Path], AbstractContextManager[str]]]:
    """Makes empty databases, each in a directory of its own or all in one server; the URL of each."""
    if kind == "sqlite":
        yield lambda scratch: nullcontext(f"sqlite:///{scratch / 'hub.db'}")
        return
    # As Debian sets it up, with memory for the machine that it has.
    with started_on(OTHERS):
        server = PostgresServer("shared_buffers=512MB", "max_wal_size=4GB")
    with server:
        yield lambda _: server.database()
