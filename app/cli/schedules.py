"""`feishu-hub schedules`: what is due when, run at once, paused and resumed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.known_bots import must_have_heard_of, must_know, read_bots
from app.cli.options import DEFAULT_CONFIG, AsJson, ConfigDir, DataDir, OneOrAll
from app.cli.stores import with_stores
from app.cli.tables import instant, print_json, print_rows

if TYPE_CHECKING:
    from app.control.scheduler.firing import Firing
    from app.model.bot import BotSpec
    from app.queue.timetable import Planned
    from app.wiring import Stores

app = typer.Typer(help="Schedules and reminders of bots: list, run, pause, resume, drop.", no_args_is_help=True)

BotName = Annotated[str, typer.Argument(help="Bot id.")]
Name = Annotated[str, typer.Argument(help="As `schedules list` shows it.")]


@app.command("list")
def list_schedules(
    bot: OneOrAll = None,
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """When each schedule is due next, and each reminder of `ctx.later`."""
    bots = [bot] if bot else sorted(read_bots(config).statuses)

    async def work(stores: Stores) -> list[dict[str, Any]]:
        if bot:
            await must_have_heard_of(stores, config, bot)
        return [_row(one, found) for one in bots for found in await stores.timetable.all(one)]

    rows = with_stores(config, data_dir, work)
    if as_json:
        print_json(rows)
    else:
        none = f"bot {bot} has no schedules" if bot else "no bot has schedules"
        print_rows(rows, ("name", "bot", "next", "cron", "tz", "missed", "chat"), none=none)


@app.command()
def run(bot: BotName, name: Name, config: ConfigDir = DEFAULT_CONFIG, data_dir: DataDir = None) -> None:
    """Fire a schedule now, beside its time."""

    async def step(stores: Stores) -> bool:
        firing, spec = _firing(stores, config, bot)
        return await firing.run_now(spec, name)

    _change(bot, name, config, data_dir, "fired", step)


@app.command()
def pause(bot: BotName, name: Name, config: ConfigDir = DEFAULT_CONFIG, data_dir: DataDir = None) -> None:
    """Let a schedule not be due until it is resumed, whatever is deployed meanwhile."""
    _change(bot, name, config, data_dir, "paused", lambda stores: stores.timetable.pause(bot, name))


@app.command()
def resume(bot: BotName, name: Name, config: ConfigDir = DEFAULT_CONFIG, data_dir: DataDir = None) -> None:
    """Let a paused schedule be due again; what it missed is not made up for."""
    _change(bot, name, config, data_dir, "resumed", lambda stores: stores.timetable.resume(bot, name))


@app.command()
def drop(bot: BotName, name: Name, config: ConfigDir = DEFAULT_CONFIG, data_dir: DataDir = None) -> None:
    """Let a reminder of `ctx.later` never be due; a schedule can be paused."""
    _change(bot, name, config, data_dir, "dropped", lambda stores: stores.timetable.drop(bot, name))


def _change(
    bot: str, name: str, config: Path, data_dir: Path | None, done: str, step: Callable[[Stores], Awaitable[bool]]
) -> None:
    async def work(stores: Stores) -> str:
        await must_have_heard_of(stores, config, bot)
        return "" if await step(stores) else await stores.timetable.mistaken(bot, name)

    if fault := with_stores(config, data_dir, work):
        typer.echo(f"{fault}; `feishu-hub schedules list` shows what there is", err=True)
        raise typer.Exit(1)
    typer.echo(f"{name} of bot {bot} {done}")


def _firing(stores: Stores, config: Path, bot: str) -> tuple[Firing, BotSpec]:
    """What fires, for one bot of the directory; HubError where that has no such bot."""
    from app.control.scheduler.firing import Firing
    from app.core.errors import HubError

    registry = read_bots(config)
    must_know(registry, bot)
    if bot not in registry.bots:
        # In `dev` bots need no credentials, and a firing has no use for them.
        registry = read_bots(config, stand_in=True)
    if bot not in registry.bots:
        raise HubError(f"bot {bot} of {config} cannot run; `feishu-hub bots check {bot}` says why")
    return Firing(stores.timetable, stores.mailbox, stores.keyring, registry), registry.bots[bot]


def _row(bot: str, found: Planned) -> dict[str, Any]:
    schedule = found.schedule
    return {
        "bot": bot,
        "name": found.name,
        "next": "paused" if found.paused else instant(found.due),
        "cron": schedule.cron if schedule else "once",
        "tz": schedule.tz if schedule else None,
        "missed": schedule.missed if schedule else None,
        "chat": schedule.chat or None if schedule else None,
    }
