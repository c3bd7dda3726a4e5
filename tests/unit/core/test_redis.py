"""Ways to Redis, what counts as an outage, and what is said about somebody else's Redis."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis._parsers.base import BaseParser
from redis.exceptions import RedisError, ResponseError

from app.core.errors import ConfigError, StartError, StoreUnavailable
from app.core.keys import Keys
from app.core.lua import Script
from app.core.outage import guard, unavailable
from app.core.redis import RedisLink, connect, many_hosts
from app.core.redis_nodes import check_external
from tests.ports import free_port
from tests.redis_servers import Server
from tests.waiting import PATIENCE, until


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the test's own, which it may break."""
    with Server("--save", "", port=free_port()) as server:
        yield server


@pytest.fixture
async def own(server: Server) -> AsyncIterator[RedisLink]:
    link = await connect(server.url)
    yield link
    await link.close()


def test_a_url_of_many_hosts_is_read_whole() -> None:
    url = urlsplit("rediss+cluster://hub:p%40ss@one:7000,two,[::1]:7001?ssl_ca_certs=ca.pem")
    options, hosts = many_hosts(url, 6379)
    assert hosts == [("one", 7000), ("two", 6379), ("::1", 7001)]
    assert options == {"username": "hub", "password": "p@ss", "ssl": True, "ssl_ca_certs": "ca.pem"}
    assert many_hosts(urlsplit("redis+cluster://one"), 6379) == ({}, [("one", 6379)])


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://h:1", "http:// is not a way to Redis"),
        ("localhost:6379", "is not a way to Redis"),
        ("redis://u:s3cret@h:port/0", "cannot be read"),
        ("redis://u:s3cret@h:1/0?socket_timeout=60", "not known for redis://: socket_timeout"),
        ("redis://u:s3cret@h:1/0?ssl_ca_certs=x", "not known for redis://: ssl_ca_certs"),
        ("rediss://u:s3cret@h:1/0?ssl=true", "not known for rediss://: ssl"),
        ("redis://u:s3cret@h:1/main", "number of a database"),
        ("unix://relative.sock", "absolute"),
        ("redis://u:s3cret@h:1/0?db=x", "cannot be read"),
        ("unix:relative.sock", "absolute"),
        ("redis+sentinel://u:s3cret@h1:1,h2:2", "master's name"),
        ("redis+sentinel://u:s3cret@h1:1,h2:2/main/x", "master's name"),
        ("redis+sentinel://u:s3cret@h1:1,,h2/main", "host is missing"),
        ("redis+cluster://u:s3cret@h1:1/3", "database 0 only"),
        ("redis+cluster://u:s3cret@h1:1?retry=9", "not known for redis+cluster://: retry"),
    ],
)
async def test_a_url_that_cannot_be_used_says_why_and_hides_the_password(url: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await connect(url)
    assert problem in str(caught.value)
    assert "redis.url" in str(caught.value)
    assert "redis+cluster://host:port" in str(caught.value)
    assert "s3cret" not in repr(caught.value) + str(caught.value)


async def test_a_link_prints_no_password() -> None:
    for url in ("redis://u:s3cret@h:1/0", "redis+sentinel://u:s3cret@h1/main?sentinel_password=s3cret"):
        link = await connect(url)
        assert "s3cret" not in repr(link)
        await link.close()


async def test_tcp_and_socket_reach_the_same_server(server: Server, own: RedisLink) -> None:
    await own.commands.set("k", "v", ex=60)
    link = await connect(f"redis://127.0.0.1:{server.port}/0")
    try:
        assert await link.commands.get("k") == b"v"
        other = await connect(f"redis://127.0.0.1:{server.port}/1")
        assert await other.commands.get("k") is None
        await other.close()
    finally:
        await link.close()


async def test_more_callers_than_connections_wait_for_their_turn(link: RedisLink, keys: Keys) -> None:
    results = await asyncio.gather(*(link.commands.get(keys.state("bot", str(n))) for n in range(300)))
    assert results == [None] * 300


async def test_a_blocking_read_outlasts_the_time_out_of_commands(link: RedisLink, keys: Keys) -> None:
    assert await link.blocking.blpop([keys.wake], timeout=1.2) is None


async def test_a_redis_that_is_not_there_is_an_outage_at_once() -> None:
    for url in ("unix:///nonexistent/x.sock", f"redis://127.0.0.1:{free_port()}/0"):
        link = await connect(url)
        with pytest.raises(StoreUnavailable, match="out of reach"), guard():
            await link.commands.ping()
        await link.close()


async def test_a_stopped_redis_is_an_outage_within_the_time_out(server: Server, own: RedisLink) -> None:
    await own.commands.ping()
    server.signal(signal.SIGSTOP)
    try:
        # Once over a connection that stood, once over a new one.
        for _ in range(2):
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(StoreUnavailable, match="did not answer in time"), guard():
                    await own.commands.set("k", "v", ex=60)
    finally:
        server.signal(signal.SIGCONT)
    assert await own.commands.set("k", "v", ex=60)


async def out_of_memory(link: RedisLink) -> None:
    await link.commands.config_set("maxmemory", 1)


async def read_only(link: RedisLink) -> None:
    await link.commands.execute_command("REPLICAOF", "127.0.0.1", "1")


async def too_few_replicas(link: RedisLink) -> None:
    await link.commands.config_set("min-replicas-to-write", 1)


@pytest.mark.parametrize(
    ("breaks", "message"),
    [(out_of_memory, "out of memory"), (read_only, "is a replica"), (too_few_replicas, "too few replicas")],
)
async def test_refused_writes_are_an_outage(
    own: RedisLink, tmp_path: Path, breaks: Callable[[RedisLink], Awaitable[None]], message: str
) -> None:
    path = tmp_path / "write.lua"
    path.write_text("return redis.call('SET', KEYS[1], 'v', 'EX', 60)")
    await breaks(own)
    with pytest.raises(StoreUnavailable, match=message), guard():
        await own.commands.set("k", "v", ex=60)
    with pytest.raises(StoreUnavailable, match=message):
        await Script(path)(own.commands, ["k"], [])


async def refused(link: RedisLink, word: str) -> bool:
    """Whether a command is an outage whose message holds the word."""
    try:
        with guard():
            await link.commands.get("k")
    except StoreUnavailable as outage:
        return word in str(outage)
    return False


async def test_a_script_without_end_is_an_outage(server: Server, own: RedisLink, tmp_path: Path) -> None:
    path = tmp_path / "endless.lua"
    path.write_text("while true do end")
    await own.commands.config_set("busy-reply-threshold", 1)
    endless = asyncio.create_task(Script(path)(own.blocking, ["k"], []))
    await until(lambda: refused(own, "busy"))
    await own.commands.execute_command("SCRIPT KILL")
    with pytest.raises(ResponseError):
        await endless


@pytest.mark.parametrize(
    "answer",
    [
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MISCONF Errors writing to the AOF file: No space left on device",
        "READONLY You can't write against a read only replica.",
        "LOADING Redis is loading the dataset in memory",
        "NOREPLICAS Not enough good replicas to write.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "CLUSTERDOWN The cluster is down",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "BUSY Redis is busy running a script.",
        "NOAUTH Authentication required.",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "NOPERM User hub has no permissions to run the 'evalsha' command",
        "MOVED 3999 127.0.0.1:6381",
        "ERR max number of clients reached",
    ],
)
def test_what_redis_answers_when_nothing_can_be_kept(answer: str) -> None:
    error = unavailable(BaseParser.parse_error(answer))
    assert error is not None
    assert error.retryable


@pytest.mark.parametrize(
    "answer",
    [
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "ERR value is not an integer or out of range",
        "ERR user_script:1: Script attempted to access nonexistent global variable 'x'",
        "NOSCRIPT No matching script.",
        "CROSSSLOT Keys in request don't hash to the same slot",
    ],
)
def test_errors_of_the_program_pass_untouched(answer: str) -> None:
    error = BaseParser.parse_error(answer)
    with pytest.raises(RedisError) as caught, guard():
        raise error
    assert caught.value is error


async def test_a_wrong_password_is_told_without_it(server: Server, own: RedisLink) -> None:
    await own.commands.config_set("requirepass", "r1ght")
    for url in (f"redis://:wr0ng@127.0.0.1:{server.port}/0", f"redis://127.0.0.1:{server.port}/0"):
        link = await connect(url)
        with pytest.raises(StoreUnavailable, match="password") as caught, guard():
            await link.commands.ping()
        assert "wr0ng" not in str(caught.value)
        await link.close()


async def test_a_redis_fit_for_a_queue_gets_no_warning(link: RedisLink) -> None:
    assert await check_external(link) == []


async def test_each_danger_of_a_redis_is_one_sentence(own: RedisLink) -> None:
    await own.commands.config_set("maxmemory-policy", "allkeys-lru")
    append_only, policy = await check_external(own)
    assert "set appendonly to yes" in append_only
    assert "allkeys-lru" in policy


async def test_a_forbidden_config_is_said_to_be_unchecked(server: Server, own: RedisLink) -> None:
    await own.commands.execute_command("ACL", "SETUSER", "hub", "on", ">pw", "~*", "&*", "+@all", "-config")
    link = await connect(f"redis://hub:pw@127.0.0.1:{server.port}/0")
    try:
        [warning] = await check_external(link)
    finally:
        await link.close()
    assert "could not be checked" in warning


async def test_an_old_version_is_refused() -> None:
    async def old_redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = b"# Server\r\nredis_version:6.2.14\r\n"
        answers = {
            b"HELLO": b"%1\r\n+proto\r\n:3\r\n",
            b"INFO": b"$%d\r\n%s\r\n" % (len(info), info),
            b"appendonly": b"%1\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n",
            b"maxmemory-policy": b"%1\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n",
        }
        while command := await reader.read(1000):
            writer.write(next(answer for word, answer in answers.items() if word in command))
        writer.close()

    async with await asyncio.start_server(old_redis, "127.0.0.1", 0) as listener:
        link = await connect(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0")
        try:
            with pytest.raises(StartError, match=r"6\.2\.14 is older than 7\.0"):
                await check_external(link)
        finally:
            await link.close()
