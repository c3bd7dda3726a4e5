"""A whole world for system tests: a playground Feishu in the test's process, and hubs as real processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import psutil
import yaml

from app.cli.run import home_of_numbers
from app.control.playground.people import Said
from app.control.playground.playground import Playground
from app.control.playground.world import App, Chat, Message, User
from app.core.clock import SystemClock
from app.core.engine_socket import socket_url
from tests.waiting import until

CODE = '''
"""Answers every message with its own text, once."""
from app.sdk import Bot, Context, Message

bot = Bot()


@bot.message()
async def repeat(message: Message, ctx: Context) -> str:
    return f"echo {message.text}"
'''


# A hub compiles once and is started often here; what an operator has set must not reach it.
INHERITED = {
    name: value
    for name, value in os.environ.items()
    if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith("HUB_")
}


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def text_of(message: Message) -> str:
    """What a text message says; of any other its content."""
    content = orjson.loads(message.content)
    return str(content["text"]) if message.msg_type == "text" else message.content


async def feishu_hub(*arguments: str | Path, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run the `feishu-hub` command to its end: exit status, what it printed, and its errors."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli.main", *map(str, arguments)),
        env={**INHERITED, **(env or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, printed.decode(), errors.decode()


class HastyClock(SystemClock):
    """Time for a playground whose redeliveries do not wait for hours: no wait is longer than `longest` seconds."""

    def __init__(self, longest: float = 5.0) -> None:
        self._longest = longest

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, self._longest))


@dataclass
class HubProcess:
    """One `feishu-hub run`, with its children."""

    config: Path
    data_dir: Path
    port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    env: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    process: asyncio.subprocess.Process | None = None
    log: Path | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def engine_url(self) -> str:
        """Where its embedded engine is."""
        return socket_url(self.data_dir)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def start(self, *, ready: bool = True) -> None:
        """Start it, and wait until it says that it is ready."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.log = self.data_dir.parent / f"{self.data_dir.name}.log"
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "app.cli.main", "run", "-c", str(self.config)),
                *("--host", "127.0.0.1", "--port", str(self.port), "--admin-port", str(self.admin_port)),
                *("--data-dir", str(self.data_dir), *self.arguments),
                env={**INHERITED, **self.env},
                stdout=output,
                stderr=output,
            )
        if ready:
            await self.until_ready()

    async def until_ready(self, timeout: float = 30.0) -> None:
        """Wait for `/readyz` on the admin side, which comes last; fails with the log when the process ends."""
        async with aiohttp.ClientSession() as session:

            async def answers() -> bool:
                assert self.process is not None
                if self.process.returncode is not None:
                    raise AssertionError(f"the hub ended with {self.process.returncode}:\n{self.said()[-4000:]}")
                try:
                    async with session.get(f"{self.admin_url}/readyz") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

            try:
                await until(answers, timeout)
            except TimeoutError:
                raise AssertionError(f"the hub was not ready in {timeout} s:\n{self.said()[-4000:]}") from None

    def said(self) -> str:
        """Its log, whole."""
        return self.log.read_text() if self.log else ""

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self.process is not None and self.process.returncode is None

    def children(self) -> dict[str, list[psutil.Process]]:
        """Its living children by kind: `engine`, `nursery`, `worker`."""
        found: dict[str, list[psutil.Process]] = {"engine": [], "nursery": [], "worker": []}
        try:
            for child in psutil.Process(self.pid).children():
                # Before its exec it is a Python program that runs leash.py; afterwards it gives itself a title.
                if "leash.py" in " ".join(child.cmdline()) or "unixsocket" in " ".join(child.cmdline()):
                    found["engine"].append(child)
                else:
                    found["nursery"].append(child)
                    found["worker"] += child.children()
        except psutil.NoSuchProcess:
            pass  # it died while it was looked at
        return found

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)

    async def kill(self) -> None:
        """SIGKILL, as a machine that fails would."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def stop(self, timeout: float = 40.0) -> int:
        """SIGTERM, and wait until it has drained; its exit status."""
        self.signal(signal.SIGTERM)
        return await self.ended(timeout)

    async def ended(self, timeout: float = 40.0) -> int:
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), timeout)

    async def health(self) -> Any:
        """What the admin side's health page says."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.admin_url}/health") as answer:
            return await answer.json()

    async def api(self, method: str, path: str, **kwargs: Any) -> Any:
        """Call the admin API with its token; the JSON of the answer."""
        token = (self.data_dir / "admin_token").read_text().strip()
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
            session.request(method, f"{self.admin_url}/api/v1{path}", **kwargs) as answer,
        ):
            answer.raise_for_status()
            return await answer.json()


@dataclass
class Site:
    """A playground, a configuration directory whose bots are its apps, and handlers."""

    root: Path
    playground: Playground
    feishu: str
    """Address of the playground's Open API."""
    apps: dict[str, App] = field(default_factory=dict)
    hubs: list[HubProcess] = field(default_factory=list)
    people: dict[str, User] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def bots_dir(self) -> Path:
        return self.root / "bots"

    def handler(self, name: str, code: str) -> None:
        """Write a handler."""
        self.bots_dir.mkdir(exist_ok=True)
        (self.bots_dir / f"{name}.py").write_text(code)

    def bot(self, name: str, *, handler: str = "repeat", encrypted: bool = True, **config: Any) -> App:
        """A bot's directory and its app; events go to the hub once `point_at` says which."""
        if not (self.bots_dir / "repeat.py").exists():
            self.handler("repeat", CODE)
        number = len(self.apps) + 1
        app_id, secret, key, token = f"cli_{number:016x}", f"secret-{name}", f"key-{name}", f"token-{name}"
        directory = self.config / name
        directory.mkdir(parents=True)
        credentials: dict[str, Any] = {
            "app_id": app_id,
            "app_secret": secret,
            "verification_token": token,
            "domain": self.feishu,
        }
        if encrypted:
            credentials["encrypt_key"] = key
        else:
            config["allow_plaintext"] = True
        (directory / "credentials.yaml").write_text(yaml.safe_dump(credentials))
        (directory / "credentials.yaml").chmod(0o600)
        (directory / "config.yaml").write_text(yaml.safe_dump({"handler": handler, **config}))
        app = self.playground.add_app(app_id, secret, name, key if encrypted else None, token)
        self.apps[name] = app
        return app

    def settings(self, **settings: Any) -> None:
        """Write hub.yaml; for the hubs that are started afterwards."""
        (self.config / "hub.yaml").write_text(yaml.safe_dump(settings))

    def point_at(self, hub: HubProcess | str) -> None:
        """Have Feishu deliver every bot's events and callbacks to a hub (or the address of what stands before)."""
        base = hub if isinstance(hub, str) else hub.url
        for name, app in self.apps.items():
            app.event_url = app.callback_url = f"{base}/webhook/{name}"

    async def says(self, bot: str, text: str, person: str = "Ann") -> Said:
        """Somebody writes to a bot in private; returns once Feishu was told that it has arrived, or gave up."""
        chat = self.chat(bot, person)
        said = await self.playground.user_says(chat.users[0], chat, text)
        await said.settled()
        return said

    async def asks(self, bot: str, text: str, person: str = "Ann", timeout: float = 10.0) -> str:
        """The same; the text of the bot's reply."""
        said = await self.says(bot, text, person)
        await until(lambda: self.replies(said), timeout)
        return self.replies(said)[0]

    def chat(self, bot: str, person: str = "Ann") -> Chat:
        """The private chat of a person with a bot."""
        if person not in self.people:
            self.people[person] = self.playground.add_user(person)
        return self.playground.p2p_chat(self.apps[bot], self.people[person])

    def replies(self, said: Said) -> list[str]:
        """The texts with which apps replied to a message."""
        messages = said.message.chat.messages
        return [text_of(message) for message in messages if message.parent == said.message_id and message.by_app]

    def hub(
        self, name: str = "node", *, env: Mapping[str, str] | None = None, arguments: tuple[str, ...] = ()
    ) -> HubProcess:
        """A hub over this configuration, not started yet; it is ended with the site."""
        hub = HubProcess(
            self.config, self.root / name, env=env or {}, arguments=("--bots", str(self.bots_dir), *arguments)
        )
        self.hubs.append(hub)
        return hub


@asynccontextmanager
async def site_at(root: Path, **playground: Any) -> AsyncIterator[Site]:
    """A site whose hubs are all ended afterwards; its Feishu redelivers after 0.25 s and then every 5 s."""
    async with Playground(HastyClock(), speed=60.0, **playground) as feishu:
        site = Site(root, feishu, await feishu.start())
        site.config.mkdir()
        try:
            yield site
        finally:
            for hub in site.hubs:
                if hub.running:
                    await hub.kill()
                # In memory: who is killed leaves it there until the next start.
                shutil.rmtree(home_of_numbers(hub.data_dir), ignore_errors=True)
