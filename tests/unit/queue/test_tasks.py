"""Tasks are what their bot's handlers say of them, and go some time after their end."""

from __future__ import annotations

import asyncio

import pytest

from app.core.errors import Fenced
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue.leases import Leases
from app.queue.tasks import LONGEST, TaskInfo, Tasks
from tests.unit.queue.test_ledger import claimed
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


async def test_a_task_goes_from_its_first_word_to_its_end(link: RedisLink, keys: Keys) -> None:
    work, tasks = await claimed(link, keys), Tasks(link, keys)
    await tasks.update(work, "report", "running", 0.25, b"sealed", 600.0)
    begun = await tasks.show("echo", "report")
    assert begun is not None
    assert (begun.status, begun.progress, begun.note, begun.ended) == ("running", 0.25, b"sealed", None)
    assert await link.commands.pttl(keys.task("echo", "report")) > 600_000

    await tasks.update(work, "report", "done", None, b"", 600.0)
    ended = await tasks.show("echo", "report")
    assert ended is not None
    assert (ended.status, ended.progress, ended.note, ended.created) == ("done", 0.25, b"sealed", begun.created)
    assert ended.ended == ended.updated >= begun.updated
    assert 0 < await link.commands.pttl(keys.task("echo", "report")) <= 600_000

    await tasks.update(work, "report", "running", 0.0, b"", 600.0)
    again = await tasks.show("echo", "report")
    assert again is not None
    assert again.ended is None
    assert await link.commands.pttl(keys.task("echo", "report")) > (LONGEST - 60) * 1000


async def test_those_spoken_of_last_come_first_and_those_gone_not_at_all(link: RedisLink, keys: Keys) -> None:
    work, tasks = await claimed(link, keys), Tasks(link, keys)
    for name in ("a", "b", "c", "a"):
        await tasks.update(work, name, "running", None, b"", 600.0)
        spoken = (await tasks.list("echo"))[0].updated
        await until(lambda spoken=spoken: is_over(link, spoken))  # type: ignore[misc]
    await link.commands.delete(keys.task("echo", "b"))
    assert [task.id for task in await tasks.list("echo")] == ["a", "c"]
    assert await link.commands.zcard(keys.tasks("echo")) == 2
    assert [task.id for task in await tasks.list("echo", limit=1)] == ["a"]


async def is_over(link: RedisLink, instant: float) -> bool:
    """Whether the millisecond is over on Redis's clock: the order is by milliseconds."""
    seconds, micros = await link.commands.time()
    return (seconds * 1000 + micros // 1000) / 1000 > instant


async def test_who_lost_the_claim_says_nothing(link: RedisLink, keys: Keys) -> None:
    work = await claimed(link, keys)
    await Leases(link, keys).abandon("n1", ["echo"])
    with pytest.raises(Fenced):
        await Tasks(link, keys).update(work, "report", "done", None, b"", 600.0)
    assert await Tasks(link, keys).list("echo") == []


async def test_a_task_is_watched_to_its_end(link: RedisLink, keys: Keys) -> None:
    work, tasks = await claimed(link, keys), Tasks(link, keys)
    await tasks.update(work, "report", "queued", None, b"", 600.0)
    seen: list[TaskInfo] = []

    async def watch() -> None:
        async for task in tasks.watch("echo", "report"):
            seen.append(task)

    watching = asyncio.create_task(watch())
    for status in ("running", "done"):
        await until(lambda: seen)
        count = len(seen)
        await tasks.update(work, "report", status, None, b"", 600.0)
        await until(lambda: len(seen) > count)  # noqa: B023 - awaited at once
    await asyncio.wait_for(watching, PATIENCE)
    assert [task.status for task in seen] == ["queued", "running", "done"]
    assert [task async for task in tasks.watch("echo", "nothing")] == []
