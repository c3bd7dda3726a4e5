"""`feishu-hub dead`: what could not be handled, why, and what is to become of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.known_bots import must_have_heard_of, read_bots
from app.cli.options import DEFAULT_CONFIG, AsJson, ConfigDir, DataDir, OneOrAll, Why, somebody
from app.cli.stores import with_stores
from app.cli.tables import instant, print_json, print_rows

if TYPE_CHECKING:
    from app.queue.dead_letters import DeadLetter
    from app.wiring import Stores

app = typer.Typer(help="Dead letters: list, show, replay, drop.", no_args_is_help=True)

BotName = Annotated[str, typer.Argument(help="Bot id.")]
LetterId = Annotated[str | None, typer.Argument(help="Id of the dead letter, as `dead list` shows it.")]
All = Annotated[bool, typer.Option("--all", help="Every dead letter of the bot.")]

_PAGE = 500


@app.command("list")
def list_letters(
    bot: OneOrAll = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many of each bot.")] = 100,
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Dead letters, of each bot the newest first; never their content."""
    bots = [bot] if bot else sorted(read_bots(config).statuses)

    async def work(stores: Stores) -> list[dict[str, Any]]:
        if bot:
            await must_have_heard_of(stores, config, bot)
        return [_summary(letter) for one in bots for letter in await stores.letters.list(one, limit=limit)]

    rows = with_stores(config, data_dir, work)
    if as_json:
        print_json(rows)
    else:
        columns, folds = ("bot", "id", "died", "type", "reason", "detail"), ("reason", "detail")
        none = f"bot {bot} has no dead letters" if bot else "no bot has dead letters"
        print_rows(rows, columns, none=none, folds=folds)


@app.command()
def show(
    bot: BotName, letter: LetterId, why: Why, config: ConfigDir = DEFAULT_CONFIG, data_dir: DataDir = None
) -> None:
    """One dead letter with its event: this opens its seal, and is written down."""

    async def work(stores: Stores) -> dict[str, Any] | None:
        await must_have_heard_of(stores, config, bot)
        found = await stores.letters.show(bot, letter or "")
        if found is None:
            return None
        entry = found.entry
        event = await stores.reveals.letter(bot, found.id, entry.event_id, entry.sealed, who=somebody(), why=why)
        return {**_summary(found), "event": event}

    found = with_stores(config, data_dir, work)
    if found is None:
        _absent(bot, letter)
    print_json(found)


@app.command()
def replay(
    bot: BotName,
    letter: LetterId = None,
    every: All = False,
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
) -> None:
    """Handle it again, as a new intention: it is answered anew."""
    _each(bot, letter, every, config, data_dir, "replayed", lambda stores, id_: stores.letters.replay(bot, id_))


@app.command()
def drop(
    bot: BotName,
    letter: LetterId = None,
    every: All = False,
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
) -> None:
    """Let it go for good."""
    _each(bot, letter, every, config, data_dir, "dropped", lambda stores, id_: stores.letters.drop(bot, id_))


def _each(
    bot: str,
    letter: str | None,
    every: bool,
    config: Path,
    data_dir: Path | None,
    done: str,
    step: Callable[[Stores, str], Awaitable[bool]],
) -> None:
    if every == (letter is not None):
        raise typer.BadParameter("name one dead letter, or say --all")

    from app.queue.dead_letters import Unreadable

    left: list[str] = []

    async def work(stores: Stores) -> int:
        await must_have_heard_of(stores, config, bot)
        if letter is not None:
            return int(await step(stores, letter))
        count, before = 0, None
        while page := await stores.letters.list(bot, limit=_PAGE, before=before):
            for found in page:
                try:
                    count += await step(stores, found.id)
                except Unreadable as error:
                    left.append(str(error))
            before = page[-1].id
        return count

    count = with_stores(config, data_dir, work)
    if letter is not None and not count:
        _absent(bot, letter)
    typer.echo(f"{count} {done}")
    for one in left:
        typer.echo(one, err=True)
    if left:
        raise typer.Exit(1)


def _absent(bot: str, letter: str | None) -> None:
    typer.echo(f"bot {bot} has no dead letter {letter}; `feishu-hub dead list {bot}` shows what there is", err=True)
    raise typer.Exit(1)


def _summary(letter: DeadLetter) -> dict[str, Any]:
    entry = letter.entry
    return {
        "bot": letter.bot,
        "id": letter.id,
        "died": instant(letter.died),
        "event_id": entry.event_id,
        "type": entry.type,
        "conversation": entry.conversation,
        "starts": letter.starts,
        "replay": entry.replay,
        "reason": letter.reason,
        "detail": letter.detail,
    }
