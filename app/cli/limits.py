"""`feishu-hub limits`: how far Feishu's limits are used, who waits, and the calls of the month."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.known_bots import read_bots
from app.cli.options import DEFAULT_CONFIG, AsJson, ConfigDir, DataDir
from app.cli.stores import with_stores
from app.cli.tables import instant, print_json, print_rows

if TYPE_CHECKING:
    from app.channel.usage import Usage
    from app.wiring import Stores

app = typer.Typer(help="Feishu's limits on sends: list, quota, resume.", no_args_is_help=True)


@app.command("list")
def list_limits(config: ConfigDir = DEFAULT_CONFIG, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Every API that was called within the minute, and the busiest chats, over all nodes."""
    bots = {spec.credentials.app_id: bot for bot, spec in read_bots(config).bots.items()}

    async def work(stores: Stores) -> list[dict[str, Any]]:
        return [
            {
                **asdict(use),
                "bot": bots.get(use.name),
                "wait": round(use.wait, 3),
                "paused_until": instant(use.paused_until),
            }
            for use in await _usage(stores).read()
        ]

    rows = with_stores(config, data_dir, work)
    if as_json:
        print_json(rows)
    else:
        # Of an app people know the bot.
        rows = [row | {"name": row["bot"] or row["name"]} for row in rows]
        columns = ("name", "api", "span", "used", "allowed", "waiting", "wait", "paused_until")
        print_rows(rows, columns, none="nothing was sent within the last minute", folds=("name", "api"))


@app.command()
def quota(config: ConfigDir = DEFAULT_CONFIG, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Calls of this month by account, and how many it will be if it goes on like this."""

    async def work(stores: Stores) -> list[dict[str, Any]]:
        return [asdict(use) for use in await _usage(stores).quotas()]

    rows = with_stores(config, data_dir, work)
    if as_json:
        print_json(rows)
    else:
        columns = ("group", "month", "used", "allowed", "projected", "stopped")
        print_rows(rows, columns, none="nothing was called in this month")


@app.command()
def resume(
    group: Annotated[str, typer.Argument(help="Account, as `limits quota` shows it.")],
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
) -> None:
    """Have an account's bots call again, though Feishu said that its month is used up."""

    async def work(stores: Stores) -> bool:
        return await _usage(stores).resume(group)

    if not with_stores(config, data_dir, work):
        typer.echo(f"{group} is not stopped: `feishu-hub limits quota` shows which account is", err=True)
        raise typer.Exit(1)
    typer.echo(f"the bots of {group} call again within a second")


def _usage(stores: Stores) -> Usage:
    from app.channel.usage import Usage
    from app.sending import limits_of

    return Usage(stores.link, stores.keys, limits_of(stores.settings))
