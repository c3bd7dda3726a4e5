"""`redis.min_replicas_ack`: what is answered 200 is on so many replicas, whoever wrote it first."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.queue.mailbox import Mailbox
from tests.ports import free_port
from tests.redis_servers import Server
from tests.unit.queue.incoming import incoming, statuses
from tests.waiting import until

FLAGS = ("--save", "", "--repl-diskless-sync-delay", "0")


@pytest.fixture(scope="module")
def primary() -> Iterator[Server]:
    with Server(*FLAGS, port=free_port()) as server:
        yield server


@pytest.fixture
def replica(primary: Server) -> Iterator[Server]:
    with Server(*FLAGS, "--replicaof", "127.0.0.1", str(primary.port)) as server:
        yield server
        server.signal(signal.SIGCONT)


@pytest.fixture
async def link(primary: Server) -> AsyncIterator[RedisLink]:
    link = await connect(primary.url)
    yield link
    await link.close()


async def test_an_event_counts_once_the_replica_has_it(link: RedisLink, replica: Server) -> None:
    mailbox = Mailbox(link, Keys(), replicas_ack=1)
    await until(lambda: follows(link))
    await link.commands.script_flush()  # as a failover does
    await until(lambda: safe(mailbox, "e1", "e2"))

    replica.signal(signal.SIGSTOP)
    with pytest.raises(StoreUnavailable, match="only 0 of 1 replicas"):
        await mailbox.accept([incoming("e3")])
    # It lies in this Redis now, and nowhere else: to be seen before is not to be safe.
    with pytest.raises(StoreUnavailable, match="only 0 of 1 replicas"):
        await mailbox.accept([incoming("e3")])

    replica.signal(signal.SIGCONT)
    await until(lambda: follows(link))
    await until(lambda: safe(mailbox, "e3", "e4"))


async def safe(mailbox: Mailbox, *events: str) -> bool:
    """Whether events are accepted; on a busy machine a replica may take longer than a commit waits."""
    try:
        found = statuses(await mailbox.accept([incoming(event) for event in events]))
    except StoreUnavailable:
        return False
    return set(found) <= {"accepted", "duplicate"}


async def follows(link: RedisLink) -> bool:
    return await link.commands.wait(1, 100) == 1 and bool((await link.commands.info("replication"))["connected_slaves"])
