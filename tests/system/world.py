"""A whole world for system tests: a playground Feishu in the test's process, and hubs as real processes."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import yaml

from app.cli.run import home_of_numbers
from app.control.playground.people import Said
from app.control.playground.playground import Playground
from app.control.playground.uuids import UuidMode, UuidScope
from app.control.playground.world import App, Chat, Message, User
from app.core.clock import SystemClock
from tests.system.hub_process import HubProcess
from tests.waiting import PATIENCE, until

CODE = '''
"""Answers every message with its own text, once."""
from app.sdk import Bot, Context, Message

bot = Bot()


@bot.message()
async def repeat(message: Message, ctx: Context) -> str:
    return f"echo {message.text}"
'''

# For `limits:`; Feishu's limits are the matter of tests of their own, and make others long.
NO_LIMITS = {"app_per_second": 100_000, "app_per_minute": 6_000_000, "chat_per_second": 10_000}


def text_of(message: Message) -> str:
    """What a text message says; of any other its content."""
    content = orjson.loads(message.content)
    return str(content["text"]) if message.msg_type == "text" else message.content


class HastyClock(SystemClock):
    """Time for a playground whose redeliveries do not wait for hours: no wait is longer than `longest` seconds.

    All of them together are half a minute: a hub that is started again on a slow machine takes long.
    """

    def __init__(self, longest: float = 15.0) -> None:
        self._longest = longest
        self._hurried = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, self._longest)):
                await self._hurried.wait()

    def hurry(self) -> None:
        """End the waits that have begun: what they were to give time for is there."""
        self._hurried.set()
        self._hurried = asyncio.Event()


@dataclass
class Site:
    """A playground, a configuration directory whose bots are its apps, and handlers."""

    root: Path
    playground: Playground
    feishu: str
    """Address of the playground's Open API."""
    database: str
    """URL of where hubs keep their messages."""
    clock: HastyClock
    """Feishu's."""
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
        settings.setdefault("database", {"url": self.database})
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

    async def asks(self, bot: str, text: str, person: str = "Ann", timeout: float = PATIENCE) -> str:
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
async def site_at(
    root: Path, database_url: str, uuids: tuple[UuidMode, UuidScope] = ("original", "app"), **playground: Any
) -> AsyncIterator[Site]:
    """A site whose hubs are all ended afterwards; its Feishu redelivers after 0.25, 5, 15 and 15 s."""
    clock = HastyClock()
    how = {"uuid_mode": uuids[0], "uuid_scope": uuids[1], **playground}
    async with Playground(clock, speed=60.0, **how) as feishu:
        site = Site(root, feishu, await feishu.start(), database_url, clock)
        site.config.mkdir()
        site.settings()
        try:
            yield site
        finally:
            for hub in site.hubs:
                if hub.running:
                    await hub.kill()
                # In memory: who is killed leaves it there until the next start.
                shutil.rmtree(home_of_numbers(hub.data_dir), ignore_errors=True)
