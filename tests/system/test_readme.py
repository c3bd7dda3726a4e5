"""What the README tells a reader to type is typed here, and does what it says."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import yaml

from tests.ports import free_port
from tests.system.hub_process import INHERITED
from tests.unit.docs.page import ROOT, Page
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.system

README = Page("README.md")

EXERCISED = {
    "make run": "test_make_run_ends_in_feishu_hub_dev",
    ".venv/bin/feishu-hub say echo ping": "test_a_bot_answers_as_the_page_shows",
    ".venv/bin/feishu-hub bots add helpdesk": "test_a_new_bot_is_added_checked_and_run",
    ".venv/bin/feishu-hub bots check helpdesk": "test_a_new_bot_is_added_checked_and_run",
    ".venv/bin/feishu-hub run": "test_a_new_bot_is_added_checked_and_run",
    ".venv/bin/feishu-hub config validate --help": "test_help_is_there",
    ".venv/bin/feishu-hub doctor --help": "test_help_is_there",
    "make check": "test_make_targets_are_there",
    "make test": "test_make_targets_are_there",
}
"""Each command of the page, and the test below that runs it."""

# `make test` itself runs this: its flags are not for the make that is asked here.
ENVIRONMENT = {name: value for name, value in INHERITED.items() if not name.startswith("MAKE")} | {"COLUMNS": "120"}


class Reader:
    """Somebody in a directory of their own with the project's bots and configuration, who types commands."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("config", "bots"):
            shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("credentials.yaml", "__py*"))

    async def types(self, line: str, *more: str) -> tuple[int, str]:
        """Run a line of the page to its end: exit status, and all that it printed."""
        process = await self._start(line, *more, output=asyncio.subprocess.PIPE)
        printed, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode is not None
        return process.returncode, printed.decode()

    @asynccontextmanager
    async def leaves_running(self, line: str, data_dir: Path) -> AsyncIterator[Running]:
        """Start a hub by a line of the page, on free ports; Ctrl-C afterwards has to end it in order."""
        running = Running(data_dir, free_port(), free_port(), self.directory / "said")
        ports = ("--port", str(running.port), "--admin-port", str(running.admin_port))
        with running.log.open("wb") as output:
            process = await self._start(line, *ports, "--data-dir", str(data_dir), output=output)
        try:
            await until(lambda: running.ready(process))
            yield running
            process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(process.wait(), PATIENCE) == 0, running.log.read_text()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _start(self, line: str, *more: str, output: Any) -> asyncio.subprocess.Process:
        program, *arguments = line.split()
        assert program == ".venv/bin/feishu-hub", line
        return await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).with_name("feishu-hub")), *arguments, *more),
            cwd=self.directory,
            env=ENVIRONMENT,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )


class Running:
    """A hub that was started by hand."""

    def __init__(self, data_dir: Path, port: int, admin_port: int, log: Path) -> None:
        self.data_dir, self.port, self.admin_port, self.log = data_dir, port, admin_port, log

    def ready(self, process: asyncio.subprocess.Process) -> bool:
        """Whether it says so; fails with all that it said when it has ended instead."""
        said = self.log.read_text()
        assert process.returncode is None, said
        return "node ready" in said

    async def post(self, bot: str, document: Any) -> Any:
        """What Feishu's console does with a request URL."""
        url = f"http://127.0.0.1:{self.port}/webhook/{bot}"
        async with aiohttp.ClientSession() as session, session.post(url, data=orjson.dumps(document)) as answer:
            return await answer.json()


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def _lines(page: Page = README) -> list[str]:
    return [line for block in page.blocks("sh") for line in block.splitlines() if line.strip()]


def test_every_command_of_the_page_is_run_here() -> None:
    assert set(_lines()) == EXERCISED.keys()
    assert [name for name in EXERCISED.values() if name not in globals()] == []


async def _make(*targets: str) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        *("make", "-n", *targets), cwd=ROOT, env=ENVIRONMENT, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0
    return printed.decode().splitlines()


async def test_make_run_ends_in_feishu_hub_dev() -> None:
    assert (await _make("run"))[-1] == ".venv/bin/feishu-hub dev"


async def test_make_run_makes_everything_by_itself(tmp_path: Path) -> None:
    steps = await _make("run", f"VENV={tmp_path}/fresh", "PYTHON=python3")
    assert "needs Python 3.11" in steps[0]
    assert steps[1] == f"python3 -m venv {tmp_path}/fresh"
    assert any("--require-hashes" in step and "requirements.lock" in step for step in steps)


async def test_make_targets_are_there() -> None:
    assert any(step.endswith("/mypy") for step in await _make("check"))
    assert any("-m pytest" in step for step in await _make("test"))


async def test_a_bot_answers_as_the_page_shows(reader: Reader, tmp_path: Path) -> None:
    line = ".venv/bin/feishu-hub say echo ping"
    kinds, blocks = README.languages, README.blocks()
    place = blocks.index(f"{line}\n")
    assert kinds[place + 1] == "text", "its output follows the command"

    async with reader.leaves_running(".venv/bin/feishu-hub dev", tmp_path / "trial") as hub:
        address = f"http://127.0.0.1:{hub.admin_port}/playground"
        assert address in hub.log.read_text()
        status, printed = await reader.types(line, "--data-dir", str(hub.data_dir))
        async with aiohttp.ClientSession() as session, session.get(address) as page:
            assert (page.status, page.content_type) == (200, "text/html")

    assert (status, printed) == (0, blocks[place + 1])


async def test_run_says_which_credentials_are_missing(reader: Reader, tmp_path: Path) -> None:
    async with reader.leaves_running(".venv/bin/feishu-hub run", tmp_path / "data") as hub:
        said = hub.log.read_text()
    for bot in ("echo", "support", "hr"):
        assert f"config/{bot}/credentials.yaml: missing" in said


async def test_a_new_bot_is_added_checked_and_run(reader: Reader, tmp_path: Path) -> None:
    directory = reader.directory / "config" / "helpdesk"
    status, printed = await reader.types(".venv/bin/feishu-hub bots add helpdesk")
    assert status == 0, printed
    assert (reader.directory / "bots" / "helpdesk.py").exists()

    status, printed = await reader.types(".venv/bin/feishu-hub bots check helpdesk")
    assert status == 1
    for key in ("app_id", "app_secret", "verification_token", "encrypt_key"):
        assert f"config/helpdesk/credentials.yaml: {key}: empty" in printed

    filled = {"app_id": "cli_1", "app_secret": "secret", "verification_token": "token", "encrypt_key": "key"}
    (directory / "credentials.yaml").write_text(yaml.safe_dump(filled))
    # The page's own configuration, for a handler that has the setting.
    [shown] = README.blocks("yaml")
    (directory / "config.yaml").write_text(shown)
    (reader.directory / "bots" / "helpdesk.py").write_text(
        "from pydantic import BaseModel\nfrom app.sdk import Bot\n\n"
        "class Settings(BaseModel):\n    language: str\n\nbot = Bot(Settings)\n"
    )
    status, printed = await reader.types(".venv/bin/feishu-hub bots check helpdesk")
    assert (status, printed) == (0, "1 bot checked, 0 faults\n")

    async with reader.leaves_running(".venv/bin/feishu-hub run", tmp_path / "data") as hub:
        challenge = {"type": "url_verification", "token": "token", "challenge": "c-1"}
        assert await hub.post("helpdesk", challenge) == {"challenge": "c-1"}
        assert (hub.data_dir / "master.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("line", [line for line in EXERCISED if line.endswith("--help")])
async def test_help_is_there(reader: Reader, line: str) -> None:
    status, printed = await reader.types(line)
    assert status == 0
    assert "Usage: feishu-hub" in printed


def test_configuration_of_the_page_is_read() -> None:
    from app.model.bot import BotConfig

    [shown] = README.blocks("yaml")
    config = BotConfig.model_validate(yaml.safe_load(shown))
    # What the comments say of defaults and meaning.
    assert config.handler == "helpdesk"
    assert config.settings == {"language": "zh"}
    assert config.message == BotConfig().message
    assert config.server.workers == BotConfig().server.workers
    assert config.timeout == BotConfig().timeout


async def test_bot_of_the_page_does_what_it_says() -> None:
    from app.sdk import BotTest

    [code] = README.blocks("python")
    written = [line for line in code.splitlines() if line.strip()]
    assert len(written) <= 15
    names: dict[str, Any] = {"__name__": "readme"}
    # dont_inherit: this file's own `from __future__` must not change what a reader would run
    exec(compile(code, "README.md", "exec", dont_inherit=True), names)

    test = BotTest(names["bot"])
    [card] = await test.message("/hello")
    answer = await test.click(card, "approve")
    assert answer["toast"] == {"type": "success", "content": "done"}
    assert '[card] = await BotTest(bot).message("/hello")' in README.code
