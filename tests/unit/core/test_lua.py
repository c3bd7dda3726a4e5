"""Scripts and group commit against a real engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError

from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.lua import Pipeliner, Script
from app.core.redis import RedisLink
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("no_key_without_ttl")


def script(directory: Path, name: str, text: str) -> Script:
    path = directory / f"{name}.lua"
    path.write_text(text)
    return Script(path)


@pytest.fixture
def push(tmp_path: Path) -> Script:
    return script(
        tmp_path, "push", "local n = redis.call('RPUSH', KEYS[1], ARGV[1]) redis.call('EXPIRE', KEYS[1], 60) return n"
    )


@pytest.fixture
def echo(tmp_path: Path) -> Script:
    return script(tmp_path, "echo", "return {KEYS[1], ARGV[1], ARGV[2]}")


@pytest.fixture
def broken(tmp_path: Path) -> Script:
    return script(tmp_path, "broken", "return redis.call('INCR', KEYS[1])")


@pytest.fixture
def pipeliner(link: RedisLink) -> Pipeliner:
    return Pipeliner(link.commands, cluster=link.cluster)


@pytest.fixture
async def paused(link: RedisLink) -> AsyncIterator[None]:
    """Redis takes writes and answers none, until the test ends."""
    await link.commands.execute_command("CLIENT", "PAUSE", "30000", "WRITE")
    yield
    await link.commands.execute_command("CLIENT", "UNPAUSE")


async def test_a_script_runs_before_and_after_redis_forgot_it(link: RedisLink, keys: Keys, echo: Script) -> None:
    name = keys.seen("bot", "daily")
    for _ in range(2):
        assert await echo(link.commands, [name], [b"\x00\xff", 7]) == [name.encode(), b"\x00\xff", b"7"]
        await link.commands.script_flush()


async def test_a_script_that_fails_says_so_itself(link: RedisLink, keys: Keys, push: Script, broken: Script) -> None:
    await push(link.commands, [keys.seen("bot", "daily")], ["x"])
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await broken(link.commands, [keys.seen("bot", "daily")], [])


async def test_calls_in_order_each_with_its_own_reply(pipeliner: Pipeliner, keys: Keys, push: Script) -> None:
    name = keys.seen("bot", "daily")
    lengths = await asyncio.gather(*(pipeliner.run(push, [name], [i]) for i in range(1000)))
    assert lengths == list(range(1, 1001))


async def test_calls_made_during_a_round_trip_share_the_next(
    link: RedisLink, pipeliner: Pipeliner, keys: Keys, push: Script
) -> None:
    name = keys.seen("bot", "daily")
    await pipeliner.run(push, [name], [0])
    before = int((await link.commands.info("stats"))["total_reads_processed"])
    await asyncio.gather(*(pipeliner.run(push, [name], [i]) for i in range(200)))
    reads = int((await link.commands.info("stats"))["total_reads_processed"]) - before
    assert reads < 20


async def test_an_error_is_one_callers_own(
    pipeliner: Pipeliner, link: RedisLink, keys: Keys, push: Script, broken: Script
) -> None:
    name = keys.seen("bot", "daily")
    results: Sequence[Any] = await asyncio.gather(
        pipeliner.run(push, [name], ["a"]),
        pipeliner.run(broken, [name], []),
        pipeliner.run(push, [name], ["b"]),
        return_exceptions=True,
    )
    assert (results[0], results[2]) == (1, 2)
    assert isinstance(results[1], ResponseError)
    assert await link.commands.lrange(name, 0, -1) == [b"a", b"b"]


async def test_forgotten_scripts_are_taught_again(
    pipeliner: Pipeliner, link: RedisLink, keys: Keys, push: Script, echo: Script
) -> None:
    name = keys.seen("bot", "daily")
    await pipeliner.run(push, [name], ["x"])
    await link.commands.script_flush()
    await echo(link.commands, [name], ["", ""])
    replies = await asyncio.gather(
        *(pipeliner.run(push, [name], ["x"]) for _ in range(5)), pipeliner.run(echo, [name], ["1", "2"])
    )
    assert replies == [2, 3, 4, 5, 6, [name.encode(), b"1", b"2"]]


async def test_a_script_that_does_not_compile_hurts_nobody_else(
    pipeliner: Pipeliner, keys: Keys, push: Script, tmp_path: Path
) -> None:
    name = keys.seen("bot", "daily")
    nonsense = script(tmp_path, "nonsense", "this is no Lua")
    for expected in (1, 2):
        results: Sequence[Any] = await asyncio.gather(
            pipeliner.run(nonsense, [name], []), pipeliner.run(push, [name], ["x"]), return_exceptions=True
        )
        assert isinstance(results[0], ResponseError)
        assert "compil" in str(results[0])
        assert results[1] == expected


async def test_an_argument_that_cannot_be_sent_fails_only_its_call(
    pipeliner: Pipeliner, keys: Keys, push: Script
) -> None:
    name = keys.seen("bot", "daily")
    good = asyncio.create_task(pipeliner.run(push, [name], ["x"]))
    with pytest.raises(TypeError):
        await pipeliner.run(push, [name], [None])  # type: ignore[list-item]
    assert await good == 1


async def test_a_caller_that_gives_up_disturbs_nobody(pipeliner: Pipeliner, keys: Keys, push: Script) -> None:
    name = keys.seen("bot", "daily")
    tasks = [asyncio.create_task(pipeliner.run(push, [name], [i])) for i in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[3], asyncio.CancelledError)
    assert sorted(result for result in results if isinstance(result, int))[:9] == list(range(1, 10))
    # Nothing unread is left behind: the next reply is its caller's own.
    assert await pipeliner.run(push, [name], ["last"]) == 10
    # What its call has done by then is told to whom it named.
    told: list[int] = []
    given_up = pipeliner.submit(push, [name], ["more"], told.append)
    await asyncio.sleep(0)
    given_up.cancel()
    await pipeliner.settled()
    assert told == [11]


async def test_round_trips_are_bounded_in_calls_and_bytes(link: RedisLink, keys: Keys, push: Script) -> None:
    name = keys.seen("bot", "daily")
    narrow = Pipeliner(link.commands, cluster=False, max_calls=2, max_bytes=1000)
    send, round_trips = narrow._send, []

    async def counted(batch: list[Any]) -> None:
        round_trips.append(len(batch))
        await send(batch)

    narrow._send = counted  # type: ignore[method-assign]
    sizes = [10, 10, 10, 900, 900, 5000, 10]
    assert await asyncio.gather(*(narrow.run(push, [name], [b"x" * size]) for size in sizes)) == list(range(1, 8))
    stored = await link.commands.lrange(name, 0, -1)
    assert [len(item) for item in stored] == sizes
    assert round_trips == [2, 1, 1, 1, 1, 1]


async def blocked(link: RedisLink) -> bool:
    return int((await link.commands.info("clients"))["blocked_clients"]) > 0


@pytest.mark.usefixtures("paused")
async def test_when_redis_hangs_everyone_is_told(link: RedisLink, keys: Keys, push: Script) -> None:
    impatient = Pipeliner(link.commands, cluster=False, timeout=0.2)
    name = keys.seen("bot", "daily")
    in_flight = [asyncio.create_task(impatient.run(push, [name], [i])) for i in range(3)]
    await until(lambda: blocked(link))
    behind = [asyncio.create_task(impatient.run(push, [name], [i])) for i in range(3)]
    results = await asyncio.gather(*in_flight, *behind, return_exceptions=True)
    assert all(isinstance(result, StoreUnavailable) for result in results)
    assert len({id(result) for result in results}) == 6


@pytest.mark.usefixtures("paused")
@pytest.mark.parametrize("together", [True, False], ids=["group commit", "one script"])
async def test_a_reply_that_came_too_late_is_nobody_elses(
    link: RedisLink, keys: Keys, echo: Script, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    name = keys.seen("bot", "daily")

    def say(word: str, seconds: float) -> Awaitable[Any]:
        if together:
            return Pipeliner(link.commands, cluster=False, timeout=seconds).run(echo, [name], [word, "x"])
        monkeypatch.setattr("app.core.lua.COMMAND_TIMEOUT", seconds)
        return echo(link.commands, [name], [word, "x"])

    with pytest.raises(StoreUnavailable):
        await say("late", 0.2)
    behind = asyncio.ensure_future(say("behind", 10.0))
    await until(lambda: blocked(link))
    await link.commands.execute_command("CLIENT", "UNPAUSE")
    assert (await behind)[1] == b"behind"
