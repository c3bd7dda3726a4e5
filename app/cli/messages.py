"""`feishu-hub messages`: what came in and went out, from the message store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from app.cli.options import DEFAULT_CONFIG, AsJson, ConfigDir, DataDir

if TYPE_CHECKING:
    from rich.table import Table

    from app.core.settings import Settings
    from app.storage.messages import MessageInfo

app = typer.Typer(help="What came in and went out, from the message store.", no_args_is_help=True)


@app.command("list")
def list_messages(
    bot: Annotated[str | None, typer.Option(help="Only this bot's.")] = None,
    chat: Annotated[str | None, typer.Option(help="Only this chat's; needs --bot.")] = None,
    before: Annotated[int | None, typer.Option(help="The page before the message of this id.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest messages, without their content."""
    if chat is not None and bot is None:
        raise typer.BadParameter("a chat is looked up within a bot: give --bot too", param_hint="--chat")
    page = asyncio.run(_page(_settings(config, data_dir), bot, chat, before, limit))
    if as_json:
        typer.echo(orjson.dumps([as_document(info) for info in page], option=orjson.OPT_INDENT_2))
    elif not page:
        typer.echo("no messages found")
    else:
        from rich.console import Console

        Console().print(as_table(page))


@app.command()
def show(
    message: Annotated[int, typer.Argument(metavar="ID", help="As `messages list` shows it.")],
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show one message with its content: this opens its seal."""
    found = asyncio.run(_opened(_settings(config, data_dir), message))
    if found is None:
        typer.echo(f"no message has the id {message}; `feishu-hub messages list` shows which there are", err=True)
        raise typer.Exit(1)
    info, plain = found
    if as_json:
        typer.echo(orjson.dumps(as_document(info, plain), option=orjson.OPT_INDENT_2))
    else:
        typer.echo(as_page(info, plain))


def as_table(page: Sequence[MessageInfo]) -> Table:
    """A page of messages for people."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table("ID", "TIME", "BOT", "CHAT", "WAY", "TYPE", box=box.SIMPLE_HEAD)
    for info in page:
        cells = (str(info.id), _local(info), info.bot, info.chat_id or "-", info.direction, info.type)
        # Text, not str: an id must not be read as markup.
        table.add_row(*(Text(printable(cell), overflow="fold") for cell in cells))
    return table


def as_document(info: MessageInfo, plain: bytes | None = None) -> dict[str, Any]:
    """A message for programs; `plain` is its opened content."""
    document = asdict(info) | {"created": datetime.fromtimestamp(info.created / 1000, UTC).isoformat()}
    if plain is not None:
        content = _parsed(plain)
        document |= {"text": text_of(content), "content": content}
    return document


def as_page(info: MessageInfo, plain: bytes) -> str:
    """One message for people: what is known of it, and its text (or, where it has none, its JSON)."""
    facts = {
        "id": str(info.id),
        "time": _local(info),
        "bot": info.bot,
        "way": info.direction,
        "type": info.type,
        "chat": info.chat_id,
        "user": info.user_id,
        "message": info.message_id,
        "key": info.key,
    }
    content = _parsed(plain)
    text = text_of(content)
    if text is None:
        text = orjson.dumps(content, option=orjson.OPT_INDENT_2).decode()
    lines = [f"{name:<8} {value}" for name, value in facts.items() if value]
    return printable("\n".join([*lines, "", text]))


def text_of(content: Any) -> str | None:
    """What a person reads of an event or a sent message; None where that is no text."""
    if not isinstance(content, Mapping):
        return None
    event = content.get("event", content)
    message = event.get("message", event) if isinstance(event, Mapping) else None
    if not isinstance(message, Mapping):
        return None
    body = message.get("content", message.get("text"))
    if isinstance(body, str):
        # Feishu writes the content of a message as a JSON document inside the JSON document.
        inner = _parsed(body.encode())
        body = inner if isinstance(inner, Mapping) else body
    if isinstance(body, Mapping):
        body = body["text"] if "text" in body else _text_of_post(body)
    return body if isinstance(body, str) else None


def _text_of_post(body: Mapping[str, Any]) -> str | None:
    """The words of a rich text: rows of elements, as received, or under their language, as sent."""
    if "content" not in body and len(body) > 0:
        body = next(iter(body.values()))
    rows = body.get("content") if isinstance(body, Mapping) else None
    if not isinstance(rows, list):
        return None
    lines = [
        "".join(str(part.get("text") or "") for part in row if isinstance(part, Mapping))
        for row in rows
        if isinstance(row, list)
    ]
    return "\n".join([str(body.get("title") or ""), *lines]).strip()


def printable(text: str) -> str:
    """Text that cannot steer the terminal it is shown on."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def _parsed(plain: bytes) -> Any:
    from app.feishu.parse import without_token

    try:
        return without_token(orjson.loads(plain))
    except orjson.JSONDecodeError:
        return plain.decode(errors="replace")


def _local(info: MessageInfo) -> str:
    return datetime.fromtimestamp(info.created / 1000, UTC).astimezone().isoformat(" ", "seconds")


def _settings(config: Path, data_dir: Path | None) -> Settings:
    from app.core.logs import configure_logs
    from app.core.settings import load_settings

    configure_logs("console", "warning")
    return load_settings(config / "hub.yaml", os.environ, {"data_dir": data_dir})


async def _page(
    settings: Settings, bot: str | None, chat: str | None, before: int | None, limit: int
) -> list[MessageInfo]:
    from app.wiring import open_stores

    async with open_stores(settings) as stores:
        return await stores.messages.list(bot, chat, before=before, limit=limit)


async def _opened(settings: Settings, message: int) -> tuple[MessageInfo, bytes] | None:
    from app.storage.cipher import record_identity
    from app.wiring import open_stores

    async with open_stores(settings) as stores:
        found = await stores.messages.show(message)
        if found is None:
            return None
        # Not the cipher in memory or Redis alone: an old message may lie under an old key.
        cipher = await stores.keyring.refresh(found.info.bot)
        return found.info, cipher.open(found.sealed, record_identity(found.info.key))
