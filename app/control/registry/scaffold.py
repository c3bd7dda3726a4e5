"""Writes the files of a new bot: config.yaml, credentials.yaml and, if there is none, its handler."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from app.control.registry.directories import CONFIG, CREDENTIALS, is_bot_id
from app.control.registry.reference import example
from app.core.errors import ConfigError, Fault
from app.core.settings import Settings
from app.core.shape import keys_of
from app.model.bot import HANDLER_NAME, BotConfig, Credentials

_HANDLER: Final = '''"""{name}: answers /ping, and repeats what is said to it."""

from app.sdk import Bot, Context, Message

bot = Bot()


@bot.command("ping", help="/ping")
async def ping(message: Message, ctx: Context) -> str:
    return "pong"


@bot.message()
async def repeat(message: Message, ctx: Context) -> str:
    return message.text
'''


def handler_name(bot: str) -> str:
    """The handler that a bot of this id gets if none is named: `hr-bot` is answered by bots/hr_bot.py."""
    name = bot.replace("-", "_")
    return name if re.match(HANDLER_NAME, name) else f"bot_{name}"


def config_text(bot: str, handler: str) -> str:
    """config.yaml of a new bot: its handler, and every other key as a comment with its default."""
    head = f"# How the bot {bot} is run. Take the # from a line to change its default.\n"
    return head + example(BotConfig, {"handler": handler})


def credentials_text() -> str:
    """credentials.yaml to fill in; each line says where in Feishu's console its value is found."""
    head = (
        f"# What {CREDENTIALS} holds: it stays out of every repository and is readable by the hub alone (chmod 600).\n"
        "# A value may also be ${NAME}, taken from the environment, or file:/run/secrets/NAME, from a mounted file.\n"
    )
    empty = {key.path: '""' for key in keys_of(Credentials) if key.path != "domain"}
    return head + example(Credentials, empty)


def hub_text() -> str:
    """hub.yaml with every key as a comment that shows its default."""
    head = (
        "# How this node runs. Everything is optional: take the # from a line to change its default.\n"
        "# Environment variables (HUB_ + path, __ between levels: HUB_SERVER__PORT) win over this file.\n"
    )
    return head + example(Settings)


def add_bot(root: Path, bot: str, handler: str, handlers: Path) -> list[Path]:
    """Write a new bot's files and return them; raises ConfigError, having written nothing, if it cannot be."""
    directory = root / bot
    faults = []
    if not is_bot_id(bot):
        faults.append(Fault(str(directory), "", "a bot id is up to 64 of a-z, 0-9, _ and -, not first _ or -"))
    elif not re.match(HANDLER_NAME, handler):
        faults.append(Fault(str(handlers), handler, "a handler's name has letters, digits and _, a letter first"))
    present = [name for name in (CONFIG, CREDENTIALS) if (directory / name).exists()]
    faults += [Fault(str(directory / name), "", "is there already: change it, or take it away") for name in present]
    if faults:
        raise ConfigError(faults)
    written = []
    if not (handlers / f"{handler}.py").exists() and not (handlers / handler / "__init__.py").exists():
        written.append(_write(handlers / f"{handler}.py", _HANDLER.format(name=handler), 0o644))
    directory.mkdir(parents=True, exist_ok=True)
    # The config comes last: until then a watching hub sees a bot that is not ready, never half of one.
    written.append(_write(directory / CREDENTIALS, credentials_text(), 0o600))
    written.append(_write(directory / CONFIG, config_text(bot, handler), 0o644))
    return written


def _write(path: Path, text: str, mode: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Created with its mode: a secret must not be readable even for a moment before a chmod.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
    return path
