"""`feishu-hub keys`: the keys under which everything is sealed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.options import DEFAULT_CONFIG, AsJson, ConfigDir, DataDir, a_reason, somebody
from app.cli.stores import with_stores
from app.cli.tables import print_json, print_rows

if TYPE_CHECKING:
    from app.storage.key_export import Imported
    from app.storage.shred import Shredded
    from app.wiring import Stores

app = typer.Typer(help="The keys under which everything is sealed.", no_args_is_help=True)


@app.command()
def make() -> None:
    """Print a new master key, to be given to every node as HUB_MASTER_KEY."""
    from app.storage.master_key import new_key

    typer.echo(new_key())


@app.command()
def status(config: ConfigDir = DEFAULT_CONFIG, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """What each master key still wraps, which nodes hold it, and what each data key still seals."""
    document = with_stores(config, data_dir, _status)
    if as_json:
        print_json(document)
    else:
        _show(document)


@app.command()
def rotate(config: ConfigDir = DEFAULT_CONFIG, data_dir: DataDir = None) -> None:
    """Make a new master key in the key file and wrap everything under it, while the hub runs."""

    async def work(stores: Stores) -> tuple[str, int]:
        from app.key_care import rotation_of

        rotation = rotation_of(stores)
        key = await rotation.begin()
        typer.echo(f"master key {key} was made in {stores.keyring.master.source}: back it up now")
        return key, await rotation.finish()

    key, copies = with_stores(config, data_dir, work)
    typer.echo(f"{copies} copies are wrapped under {key} now; `feishu-hub keys retire` takes the old key out")


@app.command()
def rewrap(config: ConfigDir = DEFAULT_CONFIG, data_dir: DataDir = None) -> None:
    """Wrap everything under the first master key; a running hub does so by itself."""

    async def work(stores: Stores) -> int:
        from app.key_care import rotation_of

        return await rotation_of(stores).finish()

    typer.echo(f"{with_stores(config, data_dir, work)} copies wrapped anew")


@app.command()
def retire(config: ConfigDir = DEFAULT_CONFIG, data_dir: DataDir = None) -> None:
    """Take the old master keys out of the key file, once nothing is wrapped under them."""

    async def work(stores: Stores) -> tuple[str, ...]:
        from app.key_care import rotation_of

        return await rotation_of(stores).retire()

    gone = with_stores(config, data_dir, work)
    typer.echo(f"taken out: {', '.join(gone)}" if gone else "there is no old master key")
    if gone:
        typer.echo("older exports need it still: write a new one (`feishu-hub keys export FILE`), or keep it with them")


@app.command()
def shred(
    bot: Annotated[str, typer.Argument(help="Bot id; it need not be configured any more.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    why: Annotated[str, typer.Option(callback=a_reason, help="Kept in the audit, with your name.")] = "to be forgotten",
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
) -> None:
    """Destroy a bot's data keys: nothing that the hub has kept of it can be read again, in no backup either."""
    if not yes:
        typer.echo(f"Everything that was kept of bot {bot} is lost for ever: its queue, dead letters, state, messages.")
        if typer.prompt(f"Type {bot} to go on", default="", show_default=False) != bot:
            typer.echo("nothing was changed", err=True)
            raise typer.Exit(1)

    async def work(stores: Stores) -> Shredded:
        from app.key_care import shredder_of

        await stores.audit.record(somebody(), "shred", bot, "", why)
        return await shredder_of(stores).shred(bot)

    done = with_stores(config, data_dir, work)
    typer.echo(f"shredded {', '.join(done.keys)}; deleted {done.deleted} keys of Redis, {done.messages} messages")
    for note in done.notes:
        typer.echo(f"still to do: {note}", err=True)
    typer.echo("exports of its data keys and copies of Redis that others made still open it: destroy them")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="A new file.")],
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
) -> None:
    """Write every bot's data key, wrapped, to a file: what a backup needs to be read."""

    async def work(stores: Stores) -> int:
        from app.storage.key_export import write_export
        from app.storage.known_keys import known_keys
        from app.storage.vault import DatabaseVault

        keys = await known_keys(stores.keyring, DatabaseVault(stores.database))
        write_export(file, keys)
        return sum(map(len, keys.values()))

    typer.echo(f"{with_stores(config, data_dir, work)} data keys in {file}, under the master key of now")
    typer.echo(
        "keep it apart from backups; it opens a bot that is shredded later: write it anew then, and destroy this"
    )


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="What `keys export` wrote.")],
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
) -> None:
    """Take the data keys of an export, after a backup was restored."""

    async def work(stores: Stores) -> Imported:
        from app.storage.key_export import read_export
        from app.storage.vault import DatabaseVault

        return await read_export(file, stores.keyring, DatabaseVault(stores.database))

    done = with_stores(config, data_dir, work)
    typer.echo(f"{done.taken} data keys taken")
    if done.shredded:
        typer.echo(f"{done.shredded} were shredded here and are not brought back", err=True)


async def _status(stores: Stores) -> dict[str, Any]:
    from dataclasses import asdict

    from app.key_care import key_status

    return asdict(await key_status(stores))


def _show(document: dict[str, Any]) -> None:
    typer.echo(f"master key from {document['source']}; wrapped data keys by master key:")
    masters = [
        row
        | {
            "master_key": row["master_key"].replace("?", "none of them"),
            "nodes": ", ".join(row["nodes"]),
            "rewrapped": ", ".join(row["rewrapped"]),
        }
        for row in document["master_keys"]
    ]
    print_rows(
        [row | {"this_node": row["files"]} for row in masters],
        ("master_key", "redis", "database", "this_node", "proof", "nodes", "rewrapped"),
    )
    columns = ("bot", "data_key", "seals", "stored", "waiting", "dead")
    print_rows(document["data_keys"], columns, none="no bot has a data key yet")
    if document["retirable"]:
        typer.echo("nothing is wrapped under an old master key any more: it can go (`feishu-hub keys retire`)")
