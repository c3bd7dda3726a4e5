"""`feishu-hub backup` and `restore`: everything a hub with an engine of its own has kept, but its keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.options import DEFAULT_CONFIG, ConfigDir, DataDir
from app.cli.stores import with_stores

if TYPE_CHECKING:
    from app.storage.backup_manifest import Manifest
    from app.wiring import Stores


def backup(
    target: Annotated[Path, typer.Argument(help="A new directory, or a new file that ends in .tar, .tar.gz or .tgz.")],
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
) -> None:
    """Back up queue, spool and messages while the hub runs, without any key."""

    async def work(stores: Stores) -> Manifest:
        from app.core.errors import HubError
        from app.storage.backup import make_backup
        from app.storage.known_keys import known_keys
        from app.storage.vault import DatabaseVault

        settings, database = stores.settings, stores.database
        if settings.redis.url != "embedded":
            raise HubError(
                "redis.url is not embedded: Redis and the database have backups of their own; leave out the keys "
                "`hub:{*}:key` and the table data_keys, so that shredding a bot reaches them"
            )
        held = await known_keys(stores.keyring, DatabaseVault(database))
        file = Path(database.place) if database.sqlite else None
        return await make_backup(target, settings.data_dir, file, stores.link, stores.keys, held)

    from app.storage.backup import is_packed

    is_packed(target)  # refuses other names before anything is begun
    manifest = with_stores(config, data_dir, work)
    size = sum(held.size for held in manifest.files.values())
    typer.echo(f"{target}: {len(manifest.files)} files, {size / 1e6:.1f} MB, of {len(manifest.keys)} bots")
    typer.echo("it holds no keys: keep master.key and a `feishu-hub keys export FILE` apart from it")
    if "hub.db" not in manifest.files:
        typer.echo("the messages are not part of it: back up PostgreSQL, without the rows of data_keys", err=True)


def restore(
    source: Annotated[Path, typer.Argument(help="What `feishu-hub backup` wrote.")],
    config: ConfigDir = DEFAULT_CONFIG,
    data_dir: DataDir = None,
) -> None:
    """Put a backup into an empty data directory, while no hub runs on it."""
    from app.cli.settings import settings_of
    from app.core.logs import configure_logs
    from app.storage.database import Database
    from app.storage.restore import restore as put_back

    configure_logs("console", "warning")
    settings = settings_of(config, data_dir)
    database = Database(settings.database.url, settings.data_dir)
    manifest = put_back(source, settings.data_dir, Path(database.place) if database.sqlite else None)
    typer.echo(f"restored into {settings.data_dir} what {source} held on {manifest.created}")
    typer.echo(f"now: master.key into {settings.data_dir} (or HUB_MASTER_KEY), then `feishu-hub keys import FILE`")
