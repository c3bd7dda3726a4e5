"""A real hub deletes what is due: out of the store, and out of every file that it or its engine or spool has."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from app.storage.database import Database
from app.storage.messages import Messages
from app.storage.query import Query
from tests.system.world import Site
from tests.waiting import until

pytestmark = pytest.mark.system


async def test_what_is_due_is_in_no_file(site: Site) -> None:
    site.bot("short")
    site.bot("long")
    site.bot("empty", retain="1s")  # that there is a look every tenth of it
    # It dies when rows are deleted whose pages are not written anew yet.
    died = site.root / "died"
    hub = site.hub(env={"HUB_FAILPOINT": f"in_retention:{died}"})
    await hub.start()
    site.point_at(hub)
    database = Database(site.database, hub.data_dir)
    messages = Messages(database)
    pieces: dict[str, list[bytes]] = {"short": [], "long": []}

    async def collected(bot: str) -> bool:
        stored = await messages.contents(await messages.search(Query(bot=bot)))
        pieces[bot] = [one.sealed[20:52] for one in stored if one.sealed is not None]
        return len(pieces[bot]) == 2

    for bot in pieces:
        assert await site.asks(bot, f"words for {bot}") == f"echo words for {bot}"
        await until(lambda bot=bot: collected(bot))  # type: ignore[misc]

    [engine] = hub.children()["engine"]
    engine.suspend()
    spooled = await site.says("short", "words that lie in the spool first")
    with closing(sqlite3.connect(f"file:{hub.data_dir / 'spool.db'}?mode=ro", uri=True)) as spool:
        pieces["short"] += [sealed[20:52] for (sealed,) in spool.execute("SELECT sealed FROM spool")]
    engine.resume()
    assert len(pieces["short"]) == 3
    await until(lambda: site.replies(spooled))
    await hub.stored("short", 4)

    # Called at the end alone: who closes a file of a database here loses the locks that this process has on it.
    def found(bot: str) -> bool:
        return any(piece in content_of(path) for path in hub.data_dir.rglob("*") for piece in pieces[bot])

    async def deleted() -> bool:
        return await messages.count("short") == 0 and not found("short")

    # Not before, or it could be gone before it was seen.
    (site.config / "short" / "config.yaml").write_text("handler: repeat\nretain: 1s\n")
    assert await hub.ended() == -9
    assert died.exists()
    await hub.start()
    await until(deleted)
    assert await messages.count("long") == 2
    for stored in await messages.contents(await messages.search(Query(bot="long"))):
        assert stored.sealed is not None
    await database.close()
    assert await hub.stop() == 0, hub.said()


def content_of(path: Path) -> bytes:
    """What a file holds; nothing where the engine has just put another in its place."""
    try:
        return path.read_bytes() if path.is_file() else b""
    except FileNotFoundError:
        return b""
