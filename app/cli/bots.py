"""`feishu-hub bots`: what bots there are, how they stand, and a new one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.faults import counted, fail, report
from app.cli.known_bots import must_have_heard_of, must_know, read_bots
from app.cli.options import DEFAULT_CONFIG, AsJson, BotsDir, ConfigDir, DataDir
from app.cli.stores import with_stores
from app.cli.tables import print_json, print_rows, print_values

if TYPE_CHECKING:
    from app.control.registry.loader import Reading
    from app.control.registry.snapshot import Registry
    from app.control.registry.status import BotStatus
    from app.queue.clearing import Cleared
    from app.wiring import Stores

app = typer.Typer(help="Bots: list, show, add, check, reload, drop.", no_args_is_help=True)

# Seconds for a hub to say how its bots stand: a list must come though it hangs.
_PATIENCE = 2.0
_COLUMNS = ("id", "state", "app_id", "handler", "problems")
_COLOURS = {
    "ready": "green",
    "disabled": "dim",
    "outdated": "yellow",
    "removed": "yellow",
    "broken": "red",
    "missing credentials": "red",
}


@app.command("list")
def list_bots(config: ConfigDir = DEFAULT_CONFIG, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Every bot of the configuration, its state and its problems; and removed ones for which something waits."""
    registry = read_bots(config)
    rows = [_row(registry, status) for status in registry.statuses.values()]
    _ask_the_hub(rows, config, data_dir)
    rows += [_removed(config, bot) for bot in _left(config, data_dir, registry)]
    if as_json:
        print_json(rows)
        return
    none = f"no bots in {config}: `feishu-hub bots add NAME` makes one"
    print_rows(_lines(rows), _COLUMNS, none=none, folds=("problems",), colours=_COLOURS)


@app.command()
def show(name: str, config: ConfigDir = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """One bot in full: state, faults, and every key with its present value; secrets are not shown."""
    registry = read_bots(config)
    must_know(registry, name)
    status = registry.statuses[name]
    values = _values(registry.readings[name], status)
    row = _row(registry, status)
    _ask_the_hub([row], config, None)
    if as_json:
        print_json({**row, "values": values})
        return
    about = {name: row[name] or "none" for name in ("state", "directory", "webhook", "revision")}
    print_values(about | values)
    for problem in (*row["faults"], *row["warnings"]):
        typer.echo(problem)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The bot's id, and the name of its directory.")],
    handler: Annotated[str | None, typer.Option("--handler", help="Module in bots/; by default the id's.")] = None,
    config: ConfigDir = DEFAULT_CONFIG,
    bots: BotsDir = None,
) -> None:
    """Write a new bot: config.yaml, credentials.yaml to fill in, and a handler if there is none of that name."""
    from app.control.registry.directories import CREDENTIALS
    from app.control.registry.modules import available, handler_directories
    from app.control.registry.scaffold import add_bot, handler_name
    from app.core.errors import ConfigError

    chosen = handler or handler_name(name)
    directories = handler_directories(bots)
    # A handler that is installed with the hub is used as it stands, not written again.
    place = next((one for one in directories if chosen in available([one])), directories[0])
    try:
        written = add_bot(config, name, chosen, place)
    except ConfigError as exc:
        fail(exc.faults)
    for path in written:
        typer.echo(f"wrote {path}")
    where = "" if config == DEFAULT_CONFIG else f" -c {config}"
    typer.echo(f"Next: fill in {config / name / CREDENTIALS}, then run: feishu-hub bots check {name}{where}")


@app.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Only these bots.")] = None,
    config: ConfigDir = DEFAULT_CONFIG,
    bots: BotsDir = None,
    without_credentials: Annotated[
        bool, typer.Option("--without-credentials", help="Do not ask for credentials, as `dev` does.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check every bot, its handler and its settings; name every fault of all of them, exit 1 if there is any."""
    from app.control.registry.check import check_all

    registry = read_bots(config, stand_in=without_credentials)
    for name in names or ():
        must_know(registry, name)
    found = check_all(registry, bots, frozenset(names or registry.statuses))
    said = f"{counted(len(found.bots), 'bot')} checked, {counted(len(found.faults), 'fault')}"
    report(found.faults, found.warnings, said, as_json, bots=sorted(found.bots))


@app.command()
def reload(config: ConfigDir = DEFAULT_CONFIG, data_dir: DataDir = None) -> None:
    """Have every running node read its bots again, with the code of their handlers."""
    from app.cli.settings import settings_of

    async def publish() -> int:
        from app.core.engine_socket import running_url
        from app.core.keys import Keys
        from app.core.outage import guard
        from app.core.redis import connect

        # Not through the stores: asking needs no master key, and must start no engine where no hub runs.
        settings = settings_of(config, data_dir)
        embedded = settings.redis.url == "embedded"
        url = await running_url(settings.data_dir) if embedded else settings.redis.url
        if url is None:
            return 0
        link = await connect(url)
        try:
            with guard():
                return int(await link.commands.publish(Keys(settings.redis.prefix).changes, b"reload"))
        finally:
            await link.close()

    heard = asyncio.run(publish())
    if not heard:
        typer.echo("no hub is running here; one of `feishu-hub dev` is found with --data-dir data/dev", err=True)
        raise typer.Exit(1)
    typer.echo(f"asked {heard} {'process' if heard == 1 else 'processes'} to reload")


@app.command()
def drop(
    name: Annotated[str, typer.Argument(help="A bot whose directory is gone.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
) -> None:
    """Drop what waits for a removed bot: events, dead letters, messages to send. What is stored of it stays."""
    if name in read_bots(config).statuses:
        typer.echo(f"bot {name} has a directory in {config}: take that away first", err=True)
        raise typer.Exit(1)
    if not yes:
        typer.echo(f"What waits for bot {name} is lost, also to another hub on the same Redis that serves it.")
        if typer.prompt(f"Type {name} to go on", default="", show_default=False) != name:
            typer.echo("nothing was changed", err=True)
            raise typer.Exit(1)

    async def work(stores: Stores) -> Cleared:
        from app.queue.clearing import Clearing

        await must_have_heard_of(stores, config, name)
        return await Clearing(stores.link, stores.keys, stores.mailbox, stores.outbox.queue, stores.letters).clear(name)

    done = with_stores(config, data_dir, work)
    typer.echo(f"dropped: {_waiting(done.events, done.dead, done.to_send)}")
    if done.held:
        typer.echo(f"{done.held} are held by a node that serves the bot, or did: say it again in a moment", err=True)
        raise typer.Exit(1)


def _row(registry: Registry, status: BotStatus) -> dict[str, Any]:
    reading = registry.readings[status.id]
    return {
        "id": status.id,
        "state": status.state,
        "app_id": status.spec.credentials.app_id if status.spec else "",
        "handler": (reading.config and reading.config.handler) or "",
        "directory": str(status.directory),
        "webhook": f"/webhook/{status.id}",
        "revision": status.spec.revision if status.spec else None,
        "faults": [str(fault) for fault in status.faults],
        "warnings": list(status.warnings),
    }


def _ask_the_hub(rows: list[dict[str, Any]], config: Path, data_dir: Path | None) -> None:
    """Call `outdated` what has faults here while the hub that runs here goes on with its last good version."""
    from app.cli.admin_api import AdminApi
    from app.core.errors import HubError

    wrong = [row for row in rows if row["faults"]]
    if not wrong:
        return
    try:
        api = replace(AdminApi.of(config, data_dir, None), timeout=_PATIENCE)
        running = {bot["id"]: bot["state"] for bot in api.get("/bots")}
    except HubError:
        return  # none runs here, and the directory is all there is to tell of
    for row in wrong:
        if running.get(row["id"]) == "outdated":
            row["state"] = "outdated"


def _left(config: Path, data_dir: Path | None, registry: Registry) -> Sequence[Mapping[str, Any]]:
    """Bots whose directory is gone, as a hub that runs would list them; what cannot be asked ends nothing."""
    from app.cli.settings import settings_of
    from app.control.registry.left import LeftBehind, removed_bot
    from app.core.engine_socket import running_url
    from app.core.errors import HubError
    from app.storage.vault import DatabaseVault

    async def work(stores: Stores) -> Sequence[Mapping[str, Any]]:
        behind = LeftBehind(stores.link, stores.keys, stores.keyring, DatabaseVault(stores.database))
        found = await behind.read(registry.statuses)
        return [removed_bot(bot, depth) for bot, depth in found.items()]

    try:
        settings = settings_of(config, data_dir)
        # No engine is started to look: where none ran there is nothing, and a list of directories is quick.
        if settings.redis.url == "embedded" and asyncio.run(running_url(settings.data_dir)) is None:
            return []
        return with_stores(config, data_dir, work)
    except HubError as error:
        typer.echo(f"whether something waits for removed bots is not known: {error}", err=True)
        return []


def _removed(config: Path, bot: Mapping[str, Any]) -> dict[str, Any]:
    waits = f"waiting: {_waiting(bot['waiting'], bot['dead'], bot['to_send'])}"
    none = {"app_id": "", "handler": "", "webhook": None, "revision": None, "warnings": [waits]}
    return {**bot, **none, "directory": str(config / bot["id"])}


def _waiting(events: int, dead: int, to_send: int) -> str:
    return f"{counted(events, 'event')}, {counted(dead, 'dead letter')}, {counted(to_send, 'message')} to send"


def _values(reading: Reading, status: BotStatus) -> dict[str, str]:
    from app.control.registry.reference import shown_values

    values = shown_values(reading.config) if reading.config else {}
    return values | (shown_values(status.spec.credentials) if status.spec else {})


def _lines(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A line a bot, and one more for each further problem that it has."""
    for row in rows:
        # Without the directory, which the first column names already.
        problems = [one.replace(f"{row['directory']}/", "") for one in (*row["faults"], *row["warnings"])]
        yield row | {"problems": problems[0] if problems else ""}
        for problem in problems[1:]:
            yield dict.fromkeys(_COLUMNS, "") | {"problems": problem}
