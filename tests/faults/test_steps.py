"""A process dies at each step of an event's way: the event is answered once all the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from app.core.failpoint import Step
from app.core.keys import Keys
from app.core.redis import connect
from tests.faults.each_way import EACH_WAY, Uuids
from tests.system.hub_process import HubProcess
from tests.system.world import Site, site_at
from tests.waiting import until

pytestmark = pytest.mark.faults


@EACH_WAY
async def test_death_at_each_step(tmp_path: Path, database_url: str, uuids: Uuids) -> None:
    """Each with a bot of its own: a bot whose process has died is kept apart, and all of them are to die alike."""
    waiting = {step: tmp_path / step for step in get_args(Step)}
    async with site_at(tmp_path, database_url, uuids) as site:
        for step, file in waiting.items():
            site.bot(bot_of(step))
            file.touch()
        hub = site.hub(env={"HUB_FAILPOINT": ",".join(f"{step}:{file}" for step, file in waiting.items())})
        await hub.start()
        site.point_at(hub)
        for step, file in waiting.items():
            file.unlink()
            await death_at(step, file, site, hub)
        assert not site.playground.ledger.duplicates("uuid")


def bot_of(step: Step) -> str:
    return step.replace("_", "-")


async def death_at(step: Step, died: Path, site: Site, hub: HubProcess) -> None:
    chat = site.chat(bot_of(step))
    said = [await site.playground.user_says(chat.users[0], chat, text) for text in ("one", "two", "three")]
    await until(died.exists)
    if step == "after_accept":
        assert await hub.ended() == -9
        await hub.start()
    for one in said:
        await one.settled()
        assert one.deliveries[0].acked
    await until(lambda: all(site.replies(one) for one in said))
    # What died is done again, and what it had said is not said again.
    await until(hub.is_idle)
    assert [site.replies(one) for one in said] == [["echo one"], ["echo two"], ["echo three"]], step


@pytest.mark.parametrize("cut", ["INCR", "XADD", "RPUSH", "SET"])
async def test_engine_that_dies_while_it_writes_an_event_down(tmp_path: Path, database_url: str, cut: str) -> None:
    """Between log, mailbox and marks there is nothing: of an event that was being written, all is there or nothing."""
    async with site_at(tmp_path, database_url) as site:
        site.bot("echo")
        gateway = site.hub(arguments=("--roles", "gateway"))
        await gateway.start()
        site.point_at(gateway)
        first, second = await site.says("echo", "one"), await site.says("echo", "two")
        await gateway.kill()
        await until(lambda: not engine_runs(gateway))
        tear(gateway.data_dir / "engine", cut)

        everything = site.hub()
        everything.port, everything.admin_port = gateway.port, gateway.admin_port
        await everything.start()
        link = await connect(everything.engine_url)
        try:
            keys = Keys()
            seen = [key async for key in link.commands.scan_iter(match=keys.seen("echo", "*"))]
            assert len(seen) == 2, "one event has its two marks, the torn one has none"
        finally:
            await link.close()
        await until(lambda: site.replies(first))
        # The real engine was killed before it had answered, so Feishu would send the event again.
        again = site.playground.deliveries.again(second.deliveries[0])
        await until(lambda: again.acked)
        await until(lambda: site.replies(second))
        assert site.replies(first) == ["echo one"]
        assert site.replies(second) == ["echo two"]


def engine_runs(hub: HubProcess) -> bool:
    import fcntl

    with (hub.data_dir / "engine" / "running.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def tear(engine: Path, command: str) -> None:
    """Cut the append-only file off behind the last `command` in it, as a crash in the middle of a write would."""
    [path] = (engine / "appendonlydir").glob("*.incr.aof")
    written = path.read_bytes()

    def is_of_the_event(at: int) -> bool:
        """In a transaction of the bot's; the limits, too, are written in one at any time."""
        begun = written.rfind(b"MULTI", 0, at)
        done = written.find(b"EXEC", begun)
        return 0 <= begun < at < done and b"echo" in written[begun:done]

    commands = re.finditer(rb"\*\d+\r\n\$%d\r\n%s\r\n" % (len(command), command.encode()), written)
    starts = [found.start() for found in commands if is_of_the_event(found.start())]
    assert starts, f"{command} is in no transaction of the file"
    after = written.index(b"\r\n*", starts[-1] + 4) + 2
    path.write_bytes(written[:after])
