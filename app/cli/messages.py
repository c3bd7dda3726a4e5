"""`feishu-hub messages`: what came in and went out, from the message store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from app.cli.known_bots import must_have_heard_of
from app.cli.message_pages import as_csv, as_document, as_page, print_audit, print_page
from app.cli.options import DEFAULT_CONFIG, AsJson, ConfigDir, DataDir, Why, somebody
from app.cli.stores import with_stores
from app.cli.tables import print_json

if TYPE_CHECKING:
    from app.storage.audit import Reveal
    from app.storage.message import MessageInfo
    from app.storage.query import Query
    from app.storage.reveal import Found
    from app.wiring import Stores

app = typer.Typer(help="What came in and went out, from the message store.", no_args_is_help=True)

# Larger numbers no database takes.
MOST = (1 << 63) - 1
Bot = Annotated[str | None, typer.Option(help="Only this bot's.")]
Chat = Annotated[str | None, typer.Option(help="Only this chat's; needs --bot.")]
Sender = Annotated[str | None, typer.Option(help="Only of this open id; needs --bot.")]
Type = Annotated[str | None, typer.Option("--type", help="Event type, or message type of what was sent; needs --bot.")]
Event = Annotated[str | None, typer.Option(help="Event id, or a send's own name; needs --bot.")]
Message = Annotated[str | None, typer.Option(help="Feishu's message id: with edits, reactions, recall; needs --bot.")]
Since = Annotated[datetime | None, typer.Option(help="From this time on (this machine's); needs --bot.")]
Until = Annotated[datetime | None, typer.Option(help="Before this time; needs --bot.")]
Before = Annotated[int | None, typer.Option(max=MOST, help="The page before the message of this id.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many.")]


class Format(StrEnum):
    """What `export` writes."""

    jsonl = "jsonl"
    csv = "csv"


@app.command("list")
def list_messages(
    bot: Bot = None,
    chat: Chat = None,
    before: Before = None,
    limit: Limit = 20,
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest messages, without their content."""
    search(bot, chat, before=before, limit=limit, config=config, data_dir=data_dir, as_json=as_json)


@app.command()
def search(
    bot: Bot = None,
    chat: Chat = None,
    sender: Sender = None,
    type_: Type = None,
    event: Event = None,
    message: Message = None,
    since: Since = None,
    until: Until = None,
    words: Annotated[str | None, typer.Option(help="Only what says these; opens messages, so --why is asked.")] = None,
    why: Annotated[str | None, typer.Option(help="Kept in the audit, with your name.")] = None,
    before: Before = None,
    limit: Limit = 20,
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Find messages by bot, chat, sender, type, time, id, without content; or by words."""
    query = _query(bot, chat, sender, type_, event, message, since, until)
    if words is not None:
        if bot is None:
            raise typer.BadParameter("words are looked up within a bot: give --bot too", param_hint="--words")
        reason = why or str(typer.prompt("Why do you open them"))
        _by_words(words, bot, query, reason, before, limit, config, data_dir, as_json)
        return

    async def work(stores: Stores) -> Sequence[MessageInfo]:
        if bot:
            await must_have_heard_of(stores, config, bot)
        return await stores.messages.search(query, before=before, limit=limit)

    page = with_stores(config, data_dir, work)
    if as_json:
        print_json([as_document(info) for info in page])
    else:
        print_page(page)


@app.command()
def show(
    message: Annotated[int, typer.Argument(metavar="ID", max=MOST, help="As `messages list` shows it.")],
    why: Why,
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show one message with its content: this opens its seal, and is written down."""
    found = with_stores(config, data_dir, lambda stores: stores.reveals.show(message, who=somebody(), why=why))
    if found is None:
        typer.echo(f"no message has the id {message}; `feishu-hub messages list` shows which there are", err=True)
        raise typer.Exit(1)
    opened, about = found
    if as_json:
        document = as_document(opened.info, opened) | {"about": [as_document(info) for info in about]}
        print_json(document)
    else:
        typer.echo(as_page(opened, about))
    if opened.fault is not None:
        raise typer.Exit(1)


@app.command()
def export(
    bot: Annotated[str, typer.Option(help="The bot whose messages are written out.")],
    why: Why,
    chat: Chat = None,
    sender: Sender = None,
    type_: Type = None,
    since: Since = None,
    until: Until = None,
    format_: Annotated[Format, typer.Option("--format", help="JSON lines, or CSV for a spreadsheet.")] = Format.jsonl,
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
) -> None:
    """Write messages with their content to standard output, the newest first; each page is written down."""
    query = _query(bot, chat, sender, type_, None, None, since, until)

    async def work(stores: Stores) -> int:
        faults = 0
        await must_have_heard_of(stores, config, bot)
        write = as_csv() if format_ is Format.csv else None
        async for opened in stores.reveals.export(query, who=somebody(), why=why):
            if opened.fault is not None:
                faults += 1
                typer.echo(f"message {opened.info.id} of bot {bot} left out: {opened.fault}", err=True)
            elif write is not None:
                typer.echo(write(opened), nl=False)
            else:
                typer.echo(orjson.dumps(as_document(opened.info, opened)))
        return faults

    if with_stores(config, data_dir, work):
        raise typer.Exit(1)


@app.command()
def audit(
    bot: Bot = None,
    before: Annotated[int | None, typer.Option(max=MOST, help="The page before the record of this id.")] = None,
    limit: Limit = 20,
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Who opened which messages, when and why; the newest first."""
    from dataclasses import asdict

    async def work(stores: Stores) -> Sequence[Reveal]:
        if bot:
            await must_have_heard_of(stores, config, bot)
        return await stores.audit.list(bot, before=before, limit=limit)

    page = with_stores(config, data_dir, work)
    if as_json:
        shown = [asdict(one) | {"created": datetime.fromtimestamp(one.created / 1000, UTC)} for one in page]
        print_json(shown)
    else:
        print_audit(page)


def _by_words(
    words: str,
    bot: str,
    query: Query,
    why: str,
    before: int | None,
    limit: int,
    config: Path,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    async def work(stores: Stores) -> Found:
        # Before keys are asked for: a misspelt bot's would be made.
        await must_have_heard_of(stores, config, bot)
        try:
            return await stores.reveals.with_words(words, query, who=somebody(), why=why, limit=limit, before=before)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--words") from error

    found = with_stores(config, data_dir, work)
    if as_json:
        shown = [as_document(one.info, one) for one in found.messages]
        print_json(shown)
    elif not found.messages and found.whole:
        typer.echo("no messages found; only those that came while the bot had `word_index: true` are")
    else:
        print_page([one.info for one in found.messages], found.messages)
    if not found.whole:
        more = f"go on with --before {found.before}, say more words, or a time with --until"
        typer.echo(f"older messages were not looked at: {more}", err=True)


def _query(
    bot: str | None,
    chat: str | None,
    sender: str | None,
    type_: str | None,
    event: str | None,
    message: str | None,
    since: datetime | None,
    until: datetime | None,
) -> Query:
    from app.storage.query import Query

    query = Query(bot, chat, sender, type_, event, message, _instant(since), _instant(until))
    if bot is None and query != Query():
        raise typer.BadParameter("this is looked up within a bot: give --bot too", param_hint="--bot")
    return query


def _instant(time: datetime | None) -> int | None:
    # Without a zone it is this machine's, as `messages list` shows times.
    return None if time is None else int(time.timestamp() * 1000)
