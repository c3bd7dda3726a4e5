"""What is sealed opens only where it was put: a record that somebody moves is refused, and never taken for another."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.errors import SealBroken
from app.gateway.spool import Spool
from app.queue.envelope import batch_aad, fingerprint_aad, message_aad, result_aad
from app.queue.tasks import task_aad
from app.sdk import Bot, Context, Message
from app.storage.cipher import Cipher, record_identity
from app.storage.database import Database
from app.storage.message import NewMessage
from app.storage.messages import Messages
from app.storage.query import Query
from tests.unit.worker.conftest import Site
from tests.unit.worker.kit import message
from tests.waiting import until

KINDS: dict[str, Callable[[str], bytes]] = {
    "event": record_identity,
    "result": result_aad,
    "outbox message": message_aad,
    "outbox batch": batch_aad,
    "fingerprint": fingerprint_aad,
    "task": task_aad,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_opens_as_no_other_kind_of_no_other_name_and_for_no_other_bot(kind: str) -> None:
    key = {b"key1": bytes(32)}
    echo, support = Cipher("echo", key, b"key1"), Cipher("support", key, b"key1")
    sealed = echo.seal(b"x", KINDS[kind]("name"))
    assert echo.open(sealed, KINDS[kind]("name")) == b"x"
    for other, identity in KINDS.items():
        if other != kind:
            with pytest.raises(SealBroken):
                echo.open(sealed, identity("name"))
    with pytest.raises(SealBroken):
        echo.open(sealed, KINDS[kind]("name2"))
    with pytest.raises(SealBroken):
        support.open(sealed, KINDS[kind]("name"))


async def test_an_event_with_the_content_of_another_is_buried_and_so_is_its_letter_unreadable(site: Site) -> None:
    bot, heard = Bot(), []

    @bot.message()
    async def hear(message: Message, ctx: Context) -> None:
        heard.append(message.text)

    site.add(bot)
    first, second = message(1, "first", site.cipher), message(2, "second", site.cipher, chat="oc_2")
    moved = second._replace(entry=second.entry._replace(sealed=first.entry.sealed))
    await site.accept(first, moved)
    await site.worker()
    await until(site.done)
    assert heard == ["first"]
    (letter,) = await site.letters()
    assert (letter.reason, letter.entry.event_id) == ("cannot succeed", "e2")
    assert "changed or moved" in letter.detail
    with pytest.raises(SealBroken):
        site.cipher.open(letter.entry.sealed, record_identity(letter.entry.event_id))


async def test_state_of_one_chat_is_not_that_of_another(site: Site) -> None:
    bot, found = Bot(), []

    @bot.message()
    async def remember(message: Message, ctx: Context) -> None:
        if message.text == "write":
            await ctx.state.chat.set("balance", 1_000_000)
        else:
            found.append(await ctx.state.chat.get("balance"))

    site.add(bot)
    await site.accept(message(1, "write", site.cipher, chat="oc_rich"))
    await site.worker()
    await until(site.done)
    [name] = [name async for name in site.link.commands.scan_iter(match=f"{site.keys.state('echo', 'chat:oc_rich')}*")]
    await site.link.commands.copy(name, name.replace(b"oc_rich", b"oc_poor"))
    await site.accept(message(2, "read", site.cipher, chat="oc_poor"), message(3, "read", site.cipher, chat="oc_rich"))
    await until(site.done)
    assert found == [1_000_000]
    (letter,) = await site.letters()
    assert letter.entry.event_id == "e2"


async def test_a_stored_message_in_the_place_of_another(database_url: str, tmp_path: Path) -> None:
    cipher = Cipher("echo", {b"key1": bytes(32)}, b"key1")
    database = Database(database_url, tmp_path)
    messages = Messages(database)
    rows = [
        NewMessage("echo", key, "in", "im.message.receive_v1", "oc_1", "ou_1", f"om_{key}", 1, sealed)
        for key, sealed in (("e1", cipher.seal(b"first", record_identity("e1"))), ("e2", b""))
    ]
    await messages.insert([rows[0], rows[1]._replace(sealed=rows[0].sealed)])
    for info in await messages.search(Query(bot="echo")):
        stored = await messages.show(info.id)
        assert stored is not None
        assert stored.sealed is not None
        if info.key == "e1":
            assert cipher.open(stored.sealed, record_identity(stored.info.key)) == b"first"
        else:
            with pytest.raises(SealBroken):
                cipher.open(stored.sealed, record_identity(stored.info.key))
    await database.close()


async def test_an_event_in_the_place_of_another_in_the_spool(tmp_path: Path) -> None:
    cipher = Cipher("echo", {b"key1": bytes(32)}, b"key1")
    spool = Spool(tmp_path / "spool.db", 1 << 30)
    await spool.open()
    await spool.put([message(1, "first", cipher), message(2, "second", cipher)])
    await spool.close()
    with sqlite3.connect(tmp_path / "spool.db") as file:
        file.execute("UPDATE spool SET sealed = (SELECT sealed FROM spool WHERE event_id = 'e1')")
    file.close()
    spool = Spool(tmp_path / "spool.db", 1 << 30)
    await spool.open()
    first, second = (item.incoming.entry for item in await spool.oldest(10, 1 << 30))
    assert b"first" in cipher.open(first.sealed, record_identity(first.event_id))
    with pytest.raises(SealBroken):
        cipher.open(second.sealed, record_identity(second.event_id))
    await spool.close()
