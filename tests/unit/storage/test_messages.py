"""What is stored is found again, once, newest first."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from app.storage.database import Database
from app.storage.message import NewMessage
from app.storage.messages import Messages
from app.storage.query import Query

ROW = NewMessage(
    bot="echo",
    key="evt_1",
    direction="in",
    type="im.message.receive_v1",
    chat_id="oc_1",
    user_id="ou_1",
    message_id="om_1",
    created=1_700_000_000_000,
    sealed=b"\x01sealed",
)
ECHO = Query(bot="echo")
CHAT = Query(bot="echo", chat="oc_1")


def row(number: int, **changes: object) -> NewMessage:
    return ROW._replace(key=f"evt_{number}", created=ROW.created + number, **changes)  # type: ignore[arg-type]


async def test_what_is_stored_is_shown_whole(messages: Messages) -> None:
    await messages.insert([ROW])
    (info,) = await messages.search(CHAT)
    found = await messages.show(info.id)
    assert found is not None
    assert found.info == info
    assert found.sealed == ROW.sealed
    assert (info.bot, info.key, info.direction, info.type) == ("echo", "evt_1", "in", "im.message.receive_v1")
    assert (info.chat_id, info.user_id, info.message_id) == ("oc_1", "ou_1", "om_1")
    assert info.created == ROW.created
    assert await messages.show(info.id + 1) is None


async def test_the_same_message_is_stored_once(messages: Messages) -> None:
    await messages.insert([ROW, row(2)])
    await messages.insert([ROW._replace(sealed=b"again"), row(3), ROW._replace(bot="support")])
    assert await messages.count() == 4
    assert await messages.count("echo") == 3
    first = (await messages.search(ECHO))[-1]
    stored = await messages.show(first.id)
    assert stored is not None
    assert stored.sealed == ROW.sealed


async def test_of_a_batch_that_comes_again_what_is_new_is_stored_with_its_own_content(messages: Messages) -> None:
    def batch(first: int, last: int, said: bytes) -> list[NewMessage]:
        return [row(number, sealed=b"\x01%s %d" % (said, number)) for number in range(first, last)]

    await messages.insert(batch(0, 300, b"first"))
    # The second half is new, and its last message stands in it twice.
    await messages.insert([*batch(150, 450, b"second"), *batch(449, 450, b"third")])
    page = await messages.contents(await messages.search(ECHO, limit=1000))
    assert [stored.sealed for stored in reversed(page)] == [
        b"\x01%s %d" % (b"first" if number < 300 else b"second", number) for number in range(450)
    ]
    assert [stored.info.id for stored in page] == sorted((stored.info.id for stored in page), reverse=True)


async def test_nothing_to_store_is_fine(messages: Messages) -> None:
    await messages.insert([])
    assert await messages.search(Query()) == []


async def test_pages_go_back_in_time_without_gap_or_repetition(messages: Messages) -> None:
    # Equal times, and rows that came late: their order is by time, then id.
    rows = [row(number, chat_id="oc_1" if number % 3 else "oc_2") for number in range(30)]
    rows = [item._replace(created=item.created // 4 * 4) for item in rows]
    await messages.insert(rows[15:])
    await messages.insert(rows[:15])
    for chat, expected in (("oc_1", 20), ("oc_2", 10), (None, 30)):
        seen = []
        before: int | None = None
        while page := await messages.search(Query(bot="echo", chat=chat), before=before, limit=7):
            seen += page
            before = page[-1].id
        assert len({info.id for info in seen}) == len(seen) == expected
        assert [(info.created, info.id) for info in seen] == sorted(
            ((info.created, info.id) for info in seen), reverse=True
        )


# A plan without statistics is only settled on SQLite.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_page_is_read_from_its_index_alone(database: Database, messages: Messages) -> None:
    await messages.insert([row(number) for number in range(100)])
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(database._engine.sync_engine, "before_cursor_execute", note)
    await messages.search(CHAT, before=50)
    await messages.search(ECHO)
    for rare in ("text", "im.chat.updated_v1", "im.message.receive_v1"):
        await messages.search(Query("echo", type=rare))
    await messages.search(Query("echo", chat="oc_1", type="text"))
    (chat, bot, *types, both) = [statement for statement in statements if statement.startswith("SELECT")]
    async with database.reading() as connection:
        plans = [
            str((await connection.exec_driver_sql("EXPLAIN QUERY PLAN " + query, values)).all())
            for query, values in (
                (chat, ("echo", "oc_1", 50, 50, 0)),
                (bot, ("echo", 50, 0)),
                (both, ("echo", "oc_1", "", "text", 50, 0)),
                *((one, ("echo", "text", 50, 0)) for one in types),
            )
        ]
    assert "USING INDEX ix_messages_chat" in plans[0]
    assert "USING INDEX ix_messages_bot" in plans[1]
    assert "USING INDEX ix_messages_chat" in plans[2]
    assert all("USING INDEX ix_messages_type" in plan for plan in plans[3:])
    assert not any("TEMP B-TREE" in plan for plan in plans)


async def test_without_a_bot_the_last_stored_come_first(messages: Messages) -> None:
    await messages.insert([row(5, bot="support"), row(1), row(3)])
    page = await messages.search(Query(), limit=2)
    assert [info.key for info in page] == ["evt_3", "evt_1"]
    assert [info.key for info in await messages.search(Query(), before=page[-1].id)] == ["evt_5"]


async def test_a_chat_is_looked_up_within_a_bot(messages: Messages) -> None:
    with pytest.raises(ValueError, match="within a bot"):
        await messages.search(Query(chat="oc_1"))
