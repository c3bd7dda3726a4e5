"""`feishu-hub tasks`: how far the long jobs of bots are."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.known_bots import must_have_heard_of, read_bots
from app.cli.options import DEFAULT_CONFIG, AsJson, ConfigDir, DataDir, OneOrAll
from app.cli.stores import with_stores
from app.cli.tables import instant, print_json, print_rows, printable, shown

if TYPE_CHECKING:
    from app.queue.tasks import TaskInfo
    from app.wiring import Stores

app = typer.Typer(help="Long jobs of bots: list, show.", no_args_is_help=True)

BotName = Annotated[str, typer.Argument(help="Bot id.")]


@app.command("list")
def list_tasks(
    bot: OneOrAll = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many of each bot.")] = 100,
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Tasks, of each bot those spoken of last first; without what they say of themselves."""
    bots = [bot] if bot else sorted(read_bots(config).statuses)

    async def work(stores: Stores) -> list[dict[str, Any]]:
        if bot:
            await must_have_heard_of(stores, config, bot)
        return [_row(task) for one in bots for task in await stores.tasks.list(one, limit)]

    rows = with_stores(config, data_dir, work)
    if as_json:
        print_json(rows)
    else:
        columns = ("bot", "id", "status", "progress", "created", "updated", "ended")
        print_rows(rows, columns, none=f"bot {bot} has no tasks" if bot else "no bot has tasks")


@app.command()
def show(
    bot: BotName,
    task: Annotated[str, typer.Argument(metavar="ID", help="As `tasks list` shows it.")],
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """One task with its note, opened."""

    async def work(stores: Stores) -> dict[str, Any] | None:
        from app.queue.tasks import task_aad

        await must_have_heard_of(stores, config, bot)
        found = await stores.tasks.show(bot, task)
        if found is None:
            return None
        note = (await stores.keyring.open(bot, found.note, task_aad(task))).decode() if found.note else None
        return {**_row(found), "note": note}

    row = with_stores(config, data_dir, work)
    if row is None:
        typer.echo(f"bot {bot} has no task {task}; `feishu-hub tasks list {bot}` shows what there is", err=True)
        raise typer.Exit(1)
    if as_json:
        print_json(row)
    else:
        note = printable(row.pop("note") or "", keep="\n\t")
        lines = [f"{name:<9} {shown(value)}" for name, value in row.items() if value is not None]
        typer.echo("\n".join([*lines, *([f"{'note':<9} {note}"] if note else [])]))


def _row(task: TaskInfo) -> dict[str, Any]:
    row = asdict(task)
    del row["note"]
    return row | {name: instant(row[name]) for name in ("created", "updated", "ended")}
