"""Nothing that people wrote and no secret lies in clear: in no file, no log, no dump, whatever a bot did with it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.postgres_server import PostgresServer
from tests.system.hub_process import HubProcess, feishu_hub
from tests.system.world import Site
from tests.waiting import until

pytestmark = pytest.mark.system

WORD = "zanzibar7391"

CARELESS = '''
"""Keeps what it hears wherever an author can."""
import asyncio
import threading

from app.sdk import Bot, Context, Message

bot = Bot()


def fail(text):
    raise ValueError(f"cannot bear {text}")


async def fail_later(text):
    fail(text)


class Failing:
    def __init__(self, text):
        self.text = text

    def __del__(self):
        fail(self.text)


@bot.message()
async def keep(message: Message, ctx: Context) -> str:
    ctx.log.info("a line of the author's own", text=message.text)
    await ctx.state.chat.set("said", message.text)
    await ctx.state.user.set(message.text, [message.text])
    await ctx.cache.set(message.text, message.text)
    await ctx.task("job").update("running", 0.5, note=message.text)
    await ctx.send(message.chat_id, f"later {message.text}", later=True)
    await ctx.later("1h", f"remember {message.text}")
    asyncio.create_task(fail_later(message.text))
    asyncio.get_running_loop().call_soon(fail, message.text)
    threading.Thread(target=fail, args=[message.text]).start()
    Failing(message.text)
    if message.text.startswith("fail"):
        raise ValueError(f"cannot bear {message.text}")
    return f"echo {message.text}"
'''


async def test_in_no_file_of_any_kind(site: Site, request: pytest.FixtureRequest) -> None:
    """Queue, dead letters, state, cache, tasks, outbox, reminders, sent messages, spool, overflow, store, backup."""
    site.handler("careless", CARELESS)
    yearly = {"name": "yearly", "cron": "0 0 1 1 *", "chat": "oc_1", "message": WORD}
    once = {"retry_policy": {"max_attempts": 1}}
    site.bot("careless", handler="careless", message=once, schedules=[yearly], word_index=True)
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    where = ("-c", site.config, "--data-dir", hub.data_dir)
    assert await site.asks("careless", WORD) == f"echo {WORD}"
    await site.says("careless", f"fail {WORD}")

    async def buried() -> bool:
        return len(await hub.api("GET", "/bots/careless/dead")) == 1

    await until(buried)
    [engine] = hub.children()["engine"]
    engine.suspend()
    await site.says("careless", f"spooled {WORD}")
    store = ["hub.db"] if site.database == "sqlite" else []
    files = files_of(hub, *store)
    engine.resume()
    assert await site.asks("careless", f"and more {WORD}") == f"echo and more {WORD}"
    # Four came in; three were answered, and each has a copy that went by the outbox.
    await hub.stored("careless", 11)
    found = ("messages", "search", "--bot", "careless", "--words", WORD, "--why", "a test", "--json", *where)
    status, printed, error = await feishu_hub(*found)
    assert (status, len(json.loads(printed)) >= 4) == (0, True), error
    assert await hub.stop() == 0
    unseen = [line for line in hub.said().splitlines() if "nobody waited for what failed" in line]
    for place in ("task", "thread", "destructor"):
        assert any(f'"{place}"' in line and "in fail" in line for line in unseen), place
    if site.database != "sqlite":
        server: PostgresServer = request.getfixturevalue("postgres")
        server.execute("CHECKPOINT")
        files |= {path: path.read_bytes() for path in server.data.rglob("*") if path.is_file()}
    files |= {Path(f"{path} of the end"): content for path, content in files_of(hub, *store).items()}
    dump = site.root / "dump"
    status, _, error = await feishu_hub("backup", dump, *where)
    assert status == 0, error
    files |= {path: path.read_bytes() for path in dump.rglob("*") if path.is_file()}

    # Its database cannot be opened: what is over the lag goes to the disk.
    (site.root / "no-database").mkdir()
    away = {"HUB_DATABASE_URL": f"sqlite:///{site.root / 'no-database'}", "HUB_ARCHIVE__MAX_LAG": "1"}
    over = site.hub("over", env=away)
    await over.start()
    site.point_at(over)
    for number in range(3):
        await site.asks("careless", f"{WORD} {number}")
    await until((over.data_dir / "archive-overflow.db").exists)
    assert await over.stop() == 0
    assert (over.data_dir / "archive-overflow.db").stat().st_size > 4096
    files |= files_of(over)

    secrets = [WORD, *site.playground.tokens._tokens]
    assert len(secrets) > 1
    for name, app in site.apps.items():
        secrets += [app.app_secret, f"key-{name}", app.verification_token]
    assert [(path.name, secret) for path, text in files.items() for secret in secrets if holds(text, secret)] == []
    for node in (hub, over):
        for name in ("admin_token", "master.key"):
            assert (node.data_dir / name).stat().st_mode & 0o077 == 0
            secret = (node.data_dir / name).read_text().strip()
            assert [
                path.name for path, text in files.items() if holds(text, secret) and path.name.split()[0] != name
            ] == []


def files_of(hub: HubProcess, *also: str) -> dict[Path, bytes]:
    """The log and each file of the data directory, with its content."""
    assert hub.log is not None
    files = {path: path.read_bytes() for path in [*hub.data_dir.rglob("*"), hub.log] if path.is_file()}
    assert {"spool.db", *also} <= {path.name for path in files}, sorted(path.name for path in files)
    assert any(path.suffix == ".aof" for path in files)
    return files


def holds(content: bytes, secret: str) -> bool:
    """Whether it is there as it is, or in base64 at any of the three places it may begin at."""
    plain = secret.encode()
    forms = {plain}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + plain)
        forms.add(coded[(shift * 8 + 5) // 6 + 1 : -4])
    return any(form in content for form in forms)
