"""`feishu-hub alerts`: what is wrong, what was, what is not to be sent for a while, and whether alerts arrive."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.options import DEFAULT_CONFIG, AsJson, ConfigDir, DataDir
from app.cli.stores import with_stores
from app.cli.tables import instant, print_json, print_rows

if TYPE_CHECKING:
    from app.control.alerts.book import Book
    from app.wiring import Stores

app = typer.Typer(help="Alerts: list, silence, test.", no_args_is_help=True)

_STANDING = ("state", "severity", "name", "subject", "value_text", "since", "silenced_until")
_PAST = ("at", "what", "severity", "name", "subject", "value_text", "since")
_TIMES = ("at", "since", "fired", "told", "silenced_until")


@app.command("list")
def list_alerts(
    past: Annotated[bool, typer.Option("--past", help="What fired and what was over, the newest first.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many of the past.")] = 50,
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """The alerts that stand, those that fire first; with --past the history."""

    async def work(stores: Stores, book: Book) -> list[dict[str, Any]]:
        from app.control.alerts.view import alerts_shown, past_shown
        from app.core.clock import SYSTEM_CLOCK

        rules = stores.settings.alerts.effective()
        if past:
            return past_shown(await book.history(limit), rules)
        return alerts_shown(await book.standing(), rules, SYSTEM_CLOCK.now())

    rows = [
        row | {name: instant(row[name]) for name in _TIMES if name in row} for row in _with_book(config, data_dir, work)
    ]
    if as_json:
        print_json(rows)
    elif past:
        print_rows(rows, _PAST, none="no alert has been", folds=("subject",))
    else:
        print_rows(rows, _STANDING, none="no alert stands", folds=("subject",))


@app.command()
def silence(
    name: Annotated[str, typer.Argument(help="The rule, as `alerts list` shows it; `*` stands for any letters.")],
    span: Annotated[str, typer.Option("--for", help="How long: 30m, 1h, 2d.")] = "1h",
    subject: Annotated[str, typer.Option(help="Only of this bot, node or limit.")] = "*",
    lift: Annotated[bool, typer.Option("--lift", help="End the silence instead.")] = False,
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
) -> None:
    """Have alerts not sent for a while; they are evaluated and shown all the same."""
    from app.core.values import parse_span

    try:
        seconds = parse_span(span)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None

    async def work(stores: Stores, book: Book) -> str:
        from app.control.alerts.request import silence_asked
        from app.core.clock import SYSTEM_CLOCK
        from app.core.errors import HubError

        if lift:
            if not await book.lift(name, subject):
                raise HubError(f"there is no silence of {name} {subject}")
            return f"{name} {subject} is sent again"
        rules = stores.settings.alerts.effective()
        made = silence_asked(rules, name, subject, seconds, SYSTEM_CLOCK.now(), "command")
        await book.silence(made)
        return f"{name} {subject} is not sent until {instant(made.until)}"

    typer.echo(_with_book(config, data_dir, work))


@app.command("test")
def try_channel(
    channel: Annotated[str, typer.Argument(help="As `alerts.channels` in hub.yaml has it.")],
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
) -> None:
    """Send a test message; exit status 1 and the reason where it does not arrive."""

    async def work(stores: Stores, _book: Book) -> str:
        import aiohttp

        from app.control.alerts.channels.build import channels_of
        from app.control.alerts.request import trial
        from app.control.playground.stage import running_credentials
        from app.control.registry.snapshot import Registry
        from app.core.clock import SYSTEM_CLOCK
        from app.core.errors import HubError
        from app.sending import open_sender

        alerts = stores.settings.alerts
        if channel not in alerts.channels:
            raise HubError(f"alerts.channels has no {channel}; it has {', '.join(alerts.channels) or 'none'}")
        registry = Registry(config, os.environ, running_credentials(stores.settings.data_dir), quiet=True)
        registry.load()
        async with aiohttp.ClientSession() as session, open_sender(stores) as sender:
            built = channels_of(alerts, sender, session, lambda: registry.bots)
            await built[channel].send(trial(channel, SYSTEM_CLOCK.now()))
        return f"{channel} took it"

    typer.echo(_with_book(config, data_dir, work))


def _with_book(config: Path, data_dir: Path | None, work: Callable[[Stores, Book], Awaitable[Any]]) -> Any:
    from app.control.alerts.book import Book

    return with_stores(
        config,
        data_dir,
        lambda stores: work(stores, Book(stores.link, stores.keys, history=stores.settings.alerts.history)),
    )
