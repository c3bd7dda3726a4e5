"""A node with a database of its own forgets there what was shredded from another node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.core.ending import ended
from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.storage.database import Database
from app.storage.key_record import KeyRecord
from app.storage.keyring import Keyring
from app.storage.master_key import MasterKey
from app.storage.message import StoredMessage
from app.storage.messages import Messages
from app.storage.query import Query
from app.storage.shred import Shredder
from app.storage.shred_news import ShredNews
from app.storage.shredded_rows import ShreddedRows
from app.storage.vault import DatabaseVault
from tests.unit.storage.house import QuickClock
from tests.unit.storage.test_messages import row
from tests.waiting import until


class Node:
    """A node as far as it keeps keys and messages: all of it in a directory and a database of its own."""

    def __init__(self, master: MasterKey, link: RedisLink, keys: Keys, root: Path) -> None:
        self.root = root
        self.database = Database("sqlite", root)
        self.vault, self.messages = DatabaseVault(self.database), Messages(self.database)
        self.keyring = Keyring(master, link, keys, root / "keys", self.vault)
        self.news = ShredNews(self.keyring, link, keys)
        self.rows = ShreddedRows(self.vault, self.messages, clock=QuickClock())
        self.news.tell(self.rows.forget)

    def shredder(self, link: RedisLink, keys: Keys) -> Shredder:
        return Shredder(self.keyring, self.vault, link, keys, self.root, self.messages.shred, clock=QuickClock())

    async def store(self, bot: str, *numbers: int) -> None:
        """Store messages of these numbers under the bot's key of now."""
        cipher = await self.keyring.cipher(bot)
        await self.messages.insert([row(number, bot=bot, sealed=cipher.seal(b"x", b"1")) for number in numbers])

    async def stored(self, bot: str) -> list[StoredMessage]:
        return await self.messages.contents(await self.messages.search(Query(bot=bot), limit=1000))

    async def close(self) -> None:
        await self.keyring.close()
        await self.database.close()

    def files_with(self, secret: bytes) -> list[str]:
        return [path.name for path in self.root.rglob("*") if path.is_file() and secret in path.read_bytes()]


@pytest.fixture
async def nodes(master: MasterKey, link: RedisLink, keys: Keys, tmp_path: Path) -> AsyncIterator[tuple[Node, Node]]:
    here, there = nodes = [Node(master, link, keys, tmp_path / name) for name in ("here", "there")]
    for node in nodes:
        node.root.mkdir()
        await node.keyring.preload(["echo", "support"])
    await until(lambda: here.keyring.unsaved == there.keyring.unsaved == 0)
    yield here, there
    for node in nodes:
        await node.close()


async def test_the_key_and_what_lay_under_it_are_gone_and_what_came_since_is_there(
    nodes: tuple[Node, Node], link: RedisLink, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.storage.messages.LONGEST_PAGE", 2)
    here, there = nodes
    [wrapped] = (await there.vault.of("echo")).wrapped
    old = (await there.keyring.cipher("echo")).current_id
    await there.store("echo", 1, 2, 3)
    await there.store("support", 4)
    await here.shredder(link, keys).shred("echo")
    assert there.files_with(wrapped) != [], "it was not told yet"
    # It comes back when the bot has begun anew.
    await here.keyring.cipher("echo")
    there.keyring.drop("echo")
    await there.store("echo", 5)
    await until(lambda: there.keyring.unsaved == 0)
    assert old not in (await there.keyring.cipher("echo")).key_ids

    scrubbing, fails = there.vault.scrub, [StoreUnavailable("somebody reads")]

    async def scrub() -> None:
        if fails:
            raise fails.pop()
        await scrubbing()

    monkeypatch.setattr(there.vault, "scrub", scrub)
    with capture_logs() as logs:
        running = [asyncio.create_task(work) for work in (there.news.run(), there.rows.run())]
        await until(lambda: there.files_with(wrapped) == [])
    assert "shredded bots not forgotten in the database yet" in [line["event"] for line in logs]
    monkeypatch.undo()
    record = await there.vault.of("echo")
    assert (record.destroyed, len(record.wrapped)) == (frozenset({old}), 1)
    states = {one.info.key: (one.info.state, one.sealed is None) for one in await there.stored("echo")}
    gone, kept = ("shredded", True), ("kept", False)
    assert states == {"evt_1": gone, "evt_2": gone, "evt_3": gone, "evt_5": kept}
    assert [one.info.state for one in await there.stored("support")] == ["kept"]
    assert await there.messages.count("echo") == 1
    for task in running:
        await ended(task)


async def test_a_bot_that_it_never_had_is_marked_too(nodes: tuple[Node, Node], link: RedisLink, keys: Keys) -> None:
    here, there = nodes
    await here.keyring.cipher("other")
    await until(lambda: here.keyring.unsaved == 0)
    done = await here.shredder(link, keys).shred("other")
    gone = frozenset(map(bytes.fromhex, done.keys))
    await there.news.take_up("other")
    running = asyncio.create_task(there.rows.run())

    async def marked() -> bool:
        return await there.vault.of("other") == KeyRecord(destroyed=gone)

    await until(marked)
    await ended(running)
