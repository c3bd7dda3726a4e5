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
    await until(lambda: kept(mailbox, "e1", "e2"))
    await link.commands.script_flush()  # as a failover does
    await until(lambda: kept(mailbox, "e3"))

    replica.signal(signal.SIGSTOP)
    assert not await kept(mailbox, "e4")
    # It lies in this Redis now, and nowhere else: to be seen before is not to be safe.
    assert not await kept(mailbox, "e4")

    replica.signal(signal.SIGCONT)
    await until(lambda: kept(mailbox, "e4", "e5"))
    assert await link.commands.xlen(Keys().bot("echo", "log")) == 5


async def kept(mailbox: Mailbox, *events: str) -> bool:
    try:
        found = statuses(await mailbox.accept([incoming(event) for event in events]))
    except StoreUnavailable:
        return False
    assert set(found) <= {"accepted", "duplicate"}
    return True
