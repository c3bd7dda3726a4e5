"""Nothing that people wrote and no secret lies in clear: in no file, no log, no dump, whatever a bot did with it."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path

import pytest

from app.core.redis import connect
from tests.postgres_server import PostgresServer
from tests.system.hub_process import INHERITED, HubProcess, feishu_hub
from tests.system.world import Site
from tests.waiting import until

pytestmark = pytest.mark.system

WORD = "zanzibar7391"

CARELESS = '''
"""Keeps what it hears wherever an author can."""
import asyncio
import threading

from app.sdk import Bot, Card, CardAction, Context, CronTick, File, Input, Message, Toast

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


@bot.command("ask")
async def ask(message: Message, ctx: Context) -> Card:
    return Card.of(title=f"about {message.args}").form(Input("words", message.args), submit="Send", action="sent")


@bot.card("sent")
async def sent(action: CardAction, ctx: Context) -> tuple[Toast, Card]:
    await ctx.state.bot.set("form", action.form)
    return Toast.success(f"heard {action.form['words']}"), Card.of(title=action.form["words"])


@bot.command("type")
async def type_(message: Message, ctx: Context) -> None:
    async with ctx.stream(title=message.args) as card:
        await card.write(f"typed {message.args}")


@bot.command("file")
async def file(message: Message, ctx: Context) -> File:
    return File(await ctx.upload(message.args.encode(), f"{message.args}.txt"))


@bot.cron()
async def woken(tick: CronTick, ctx: Context) -> None:
    await ctx.send(tick.chat_id, f"woken {tick.data}")


@bot.command("wake")
async def wake(message: Message, ctx: Context) -> None:
    await ctx.later("1s", woken, message.args)


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
    """Queue, dead letters, state, cache, tasks, outbox, reminders, sent messages, spool, overflow, store, backup.

    Of forms, typing cards, files and timers as well as of messages, and under a master key that is replaced; after what
    else a day brings: messages that are due are deleted, the engine writes its file anew, a backup is killed.
    """
    site.handler("careless", CARELESS)
    yearly = {"name": "yearly", "cron": "0 0 1 1 *", "chat": "oc_1", "message": WORD}
    once = {"retry_policy": {"max_attempts": 1}}
    site.bot("careless", handler="careless", message=once, schedules=[yearly], word_index=True)
    site.bot("brief", retain="1s")
    hub = site.hub()
    await hub.start()
    site.point_at(hub)
    where = ("-c", site.config, "--data-dir", hub.data_dir)
    assert await site.asks("careless", WORD) == f"echo {WORD}"
    await site.says("careless", f"fail {WORD}")
    assert await site.asks("brief", WORD) == f"echo {WORD}"
    await everything_else(site)

    async def buried() -> bool:
        return len(await hub.api("GET", "/bots/careless/dead")) == 1

    await until(buried)
    await until(lambda: deleted(hub) == 2)
    [engine] = hub.children()["engine"]
    engine.suspend()
    await site.says("careless", f"spooled {WORD}")
    store = ["hub.db"] if site.database == "sqlite" else []
    files = files_of(hub, *store)
    engine.resume()
    assert await site.asks("careless", f"and more {WORD}") == f"echo and more {WORD}"
    # Eight came in; seven were answered, one of them by a timer, and four have a copy that went by the outbox.
    await hub.stored("careless", 19)
    old_key = (hub.data_dir / "master.key").read_text().strip()
    for step in ("rotate", "retire"):
        status, _, error = await feishu_hub("keys", step, *where)
        assert status == 0, error
    found = ("messages", "search", "--bot", "careless", "--words", WORD, "--why", "a test", "--json", *where)
    status, printed, error = await feishu_hub(*found)
    assert (status, len(json.loads(printed)) >= 4) == (0, True), error
    await killed_backup(hub, site.root / "killed", *where)
    assert await hub.stop() == 0
    unseen = [line for line in hub.said().splitlines() if "nobody waited for what failed" in line]
    for place in ("task", "thread", "destructor"):
        assert any(f'"{place}"' in line and "in fail" in line for line in unseen), place
    if site.database != "sqlite":
        server: PostgresServer = request.getfixturevalue("postgres")
        server.execute("CHECKPOINT")
        files |= {path: path.read_bytes() for path in server.data.rglob("*") if path.is_file()}
    files |= {Path(f"{path} of the end"): content for path, content in files_of(hub, *store).items()}
    left = [hub.data_dir / "backup.scratch", hub.data_dir / "engine" / "dump.rdb"]
    assert all(path.exists() for path in left)
    dump = site.root / "dump"
    status, _, error = await feishu_hub("backup", dump, *where)
    assert status == 0, error
    assert not any(path.exists() for path in left)
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
    assert (await over.health())["database_away"] > 0
    assert await over.stop() == 0
    assert (over.data_dir / "archive-overflow.db").stat().st_size > 4096
    files |= files_of(over)

    secrets = [WORD, *site.playground.tokens._tokens]
    assert len(secrets) > 1
    for name, app in site.apps.items():
        secrets += [app.app_secret, f"key-{name}", app.verification_token]
    assert [(path.name, secret) for path, text in files.items() for secret in secrets if holds(text, secret)] == []
    # Of before it was replaced.
    assert [path.name for path, text in files.items() if holds(text, old_key)] == ["master.key"]
    for node in (hub, over):
        for name in ("admin_token", "master.key"):
            assert (node.data_dir / name).stat().st_mode & 0o077 == 0
            secret = (node.data_dir / name).read_text().strip()
            assert [
                path.name for path, text in files.items() if holds(text, secret) and path.name.split()[0] != name
            ] == []


async def everything_else(site: Site) -> None:
    """A form that is filled in, a card that types, a file, a timer that fires."""
    chat = site.chat("careless")
    said = {word: await site.says("careless", f"{word} {WORD}") for word in ("ask", "type", "file", "wake")}
    await until(lambda: all(site.replies(said[word]) for word in ("ask", "type", "file")))
    await until(lambda: any(f"woken {WORD}" in message.content for message in chat.messages))
    [card] = [message for message in chat.messages if message.parent == said["ask"].message_id]
    clicked = await site.playground.click(chat.users[0], card.message_id, "Send", {"words": WORD})
    assert clicked.toast is not None
    assert clicked.toast["content"] == f"heard {WORD}"


def deleted(hub: HubProcess) -> int:
    """How many messages its retention says to have deleted."""
    lines = [json.loads(line) for line in hub.said().splitlines() if '"messages deleted"' in line]
    return sum(line["messages"] for line in lines)


async def killed_backup(hub: HubProcess, *arguments: str | Path) -> None:
    """A backup that is killed while the engine writes its dump, which it then ends all the same."""
    engine = hub.data_dir / "engine"
    link = await connect(hub.engine_url)
    try:
        await link.commands.config_set("rdb-key-save-delay", 5000)  # µs
        backup = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app.cli.main", "backup", *map(str, arguments)), env=INHERITED
        )
        await until(lambda: list(engine.glob("temp-*.rdb")))
        backup.kill()
        await backup.wait()
        await until((engine / "dump.rdb").exists)
        await link.commands.config_set("rdb-key-save-delay", 0)
    finally:
        await link.close()


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
