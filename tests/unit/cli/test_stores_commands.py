"""`tasks`, `cache` and `schedules` on the stores of a hub."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli.main import app
from app.core.keys import Keys
from app.core.redis import connect
from app.core.settings import Settings
from app.model.schedule import Schedule
from app.queue.tasks import task_aad
from app.storage.key_check import check_master
from app.storage.master_key import new_key
from app.wiring import Stores, stores_at
from tests.unit.queue.incoming import incoming

RUNNER = CliRunner()


@pytest.fixture
def hub(engine_url: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a command on a hub of its own, in whose stores something stands."""
    prefix, key = f"t{tmp_path.name}:", new_key()
    for name, value in {
        "HUB_REDIS_URL": engine_url,
        "HUB_DATABASE_URL": database_url,
        "HUB_REDIS__PREFIX": prefix,
        "HUB_MASTER_KEY": key,
        "HUB_DATA_DIR": str(tmp_path / "data"),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "data").mkdir()
    (tmp_path / "config" / "echo").mkdir(parents=True)
    (tmp_path / "config" / "echo" / "config.yaml").write_text("handler: echo\nallow_plaintext: true\n")
    (tmp_path / "config" / "echo" / "credentials.yaml").write_text(
        "app_id: cli_a\napp_secret: s\nverification_token: t\n"
    )

    def run(*words: str) -> Any:
        return RUNNER.invoke(app, [*words, "-c", str(tmp_path / "config")])

    async def fill() -> None:
        settings = Settings.model_validate(
            {
                "redis": {"url": engine_url, "prefix": prefix},
                "database": {"url": database_url},
                "data_dir": tmp_path / "data",
                "master_key": key,
            }
        )
        async with stores_at(settings, engine_url) as stores:
            await _fill(stores)

    asyncio.run(fill())
    return run


async def _fill(stores: Stores) -> None:
    await check_master(stores.keyring)
    await stores.mailbox.accept([incoming("e1")])
    [work] = await stores.mailbox.take("echo", "n1", 1)
    note = (await stores.keyring.cipher("echo")).seal("第三页\x1b[31m\nof nine".encode(), task_aad("report"))
    await stores.tasks.update(work, "report", "running", 0.5, note, 600.0)
    await stores.timetable.plan("echo", [Schedule("morning", "0 9 * * *", "Asia/Shanghai")])
    await stores.mailbox.bury(work, "no use", "ValueError at bots/echo.py:7 in echo")
    async with stores.cache.running():
        await stores.cache.of("echo").get("k")
        await stores.cache.counts.tell()


def test_tasks(hub: Callable[..., Any]) -> None:
    [row] = json.loads(hub("tasks", "list", "echo", "--json").stdout)
    assert (row["id"], row["status"], row["progress"], row["ended"], "note" in row) == (
        "report",
        "running",
        0.5,
        None,
        False,
    )
    assert "report" in hub("tasks", "list", "echo").stdout
    assert json.loads(hub("tasks", "show", "echo", "report", "--json").stdout)["note"] == "第三页\x1b[31m\nof nine"
    # Who writes a note must not steer the terminal of who reads it.
    assert hub("tasks", "show", "echo", "report").stdout.endswith(
        "note      第三页\N{REPLACEMENT CHARACTER}[31m\nof nine\n"
    )
    assert [(one["bot"], one["id"]) for one in json.loads(hub("tasks", "list", "--json").stdout)] == [
        ("echo", "report")
    ]
    missing = hub("tasks", "show", "echo", "other")
    assert missing.exit_code == 1
    assert "no task other" in missing.output


def test_dead_letters_of_one_bot_and_of_all(hub: Callable[..., Any]) -> None:
    for words in (("echo",), ()):
        [row] = json.loads(hub("dead", "list", *words, "--json").stdout)
        assert (row["bot"], row["reason"]) == ("echo", "no use")
    letter = row["id"]
    unasked = hub("dead", "show", "echo", letter)
    assert unasked.exit_code == 2  # a program is told what is missing, not asked
    assert "--why" in unasked.output
    assert hub("dead", "drop", "echo", letter).exit_code == 0
    assert json.loads(hub("dead", "list", "--json").stdout) == []
    assert hub("dead", "list").stdout == "no bot has dead letters\n"


def test_a_damaged_dead_letter_is_named_beside_the_others(
    hub: Callable[..., Any], engine_url: str, tmp_path: Path
) -> None:
    dead = Keys(f"t{tmp_path.name}:").bot("echo", "dead")

    async def damage() -> None:
        link = await connect(engine_url)
        await link.commands.xadd(dead, {"e": "by hand"})
        await link.close()

    asyncio.run(damage())
    damaged, whole = json.loads(hub("dead", "list", "echo", "--json").stdout)
    assert (damaged["reason"], whole["reason"]) == ("unreadable", "no use")
    assert damaged["id"] in damaged["detail"]
    for words in (("show", "--why", "x"), ("replay",)):
        refused = hub("dead", words[0], "echo", damaged["id"], *words[1:])
        assert refused.exit_code == 1
        assert f"dead letter {damaged['id']} of bot echo cannot be read" in str(refused.exception)
    every = hub("dead", "replay", "echo", "--all")
    assert (every.exit_code, every.stdout) == (1, "1 replayed\n")
    assert damaged["id"] in every.stderr
    assert hub("dead", "drop", "echo", "--all").stdout == "1 dropped\n"


def test_what_waits_is_dropped_of_a_removed_bot_by_who_types_its_name(hub: Callable[..., Any], tmp_path: Path) -> None:
    configured = hub("bots", "drop", "echo", "--yes")
    assert configured.exit_code == 1
    assert "has a directory" in configured.stderr
    (tmp_path / "config" / "echo").rename(tmp_path / "echo")
    assert hub("bots", "drop", "typo", "--yes").exit_code == 1
    assert hub("bots", "drop", "echo").exit_code == 1, "nobody said that it is meant"
    assert len(json.loads(hub("dead", "list", "echo", "--json").stdout)) == 1
    dropped = hub("bots", "drop", "echo", "--yes")
    assert (dropped.exit_code, dropped.stdout) == (0, "dropped: 0 events, 1 dead letter, 0 messages to send\n")
    assert json.loads(hub("dead", "list", "echo", "--json").stdout) == []


def test_cache(hub: Callable[..., Any]) -> None:
    assert json.loads(hub("cache", "stats", "--json").stdout)["redis"] == {"miss": 1}
    assert "memory" in hub("cache", "stats").stdout


def test_schedules(hub: Callable[..., Any]) -> None:
    [row] = json.loads(hub("schedules", "list", "--json").stdout)
    assert (row["bot"], row["name"], row["cron"], row["missed"]) == ("echo", "morning", "0 9 * * *", "skip")
    assert "fired" in hub("schedules", "run", "echo", "morning").output
    assert hub("schedules", "pause", "echo", "morning").exit_code == 0
    assert "paused" in hub("schedules", "list", "echo").stdout
    assert hub("schedules", "resume", "echo", "morning").exit_code == 0
    assert "paused" not in hub("schedules", "list", "echo").stdout
    for verb in ("run", "pause", "resume", "drop"):
        missing = hub("schedules", verb, "echo", "evening")
        assert missing.exit_code == 1
        assert "no schedule evening" in missing.output


def test_a_bot_that_is_unknown_is_said_to_be(hub: Callable[..., Any]) -> None:
    for command in (
        "dead list typo",
        "tasks list typo",
        "schedules list typo",
        "schedules run typo morning",
        "messages list --bot typo",
        "messages export --bot typo --why x",
        "messages search --bot typo --words x --why x",
        "messages audit --bot typo",
        "dead show typo 1-0 --why x",
        "dead replay typo --all",
        "dead drop typo 1-0",
        "tasks show typo report",
        "schedules pause typo morning",
    ):
        missing = hub(*command.split())
        assert missing.exit_code == 1, command
        assert "there is no bot typo in " in missing.output, command
        assert "there are: echo" in missing.output, command


def test_a_bot_whose_directory_is_gone_stays_within_reach(hub: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "config" / "echo").rename(tmp_path / "echo")
    for command in ("dead list echo", "tasks list echo", "schedules list echo", "messages list --bot echo"):
        found = hub(*command.split())
        assert found.exit_code == 0, found.output
    assert "report" in hub("tasks", "list", "echo").stdout


@pytest.mark.usefixtures("hub")
def test_a_bot_of_a_process_of_its_own_is_woken_at_once(engine_url: str, tmp_path: Path) -> None:
    where = ("-c", str(tmp_path / "config" / "echo"))

    async def due() -> list[str]:
        link = await connect(engine_url)
        try:
            keys = Keys(f"t{tmp_path.name}:", group="echo")
            found: Any = await link.commands.zrange(keys.timers, 0, -1)
            return [bot.decode() for bot in found]
        finally:
            await link.close()

    assert RUNNER.invoke(app, ["schedules", "pause", "echo", "morning", *where]).exit_code == 0
    assert asyncio.run(due()) == []
    assert RUNNER.invoke(app, ["schedules", "resume", "echo", "morning", *where]).exit_code == 0
    assert asyncio.run(due()) == ["echo"]


def test_a_schedule_is_fired_without_credentials(hub: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "config" / "echo" / "credentials.yaml").unlink()
    assert "fired" in hub("schedules", "run", "echo", "morning").output
