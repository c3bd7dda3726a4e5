"""`feishu-hub engine`: the embedded engine as a program of its own, for several hubs on one machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.core.engine import EmbeddedEngine


def engine(
    data_dir: Annotated[
        Path, typer.Option(envvar="HUB_DATA_DIR", help="Directory that keeps the engine's data and socket.")
    ] = Path("data"),
    fsync: Annotated[
        str, typer.Option(help="When writes reach the disk: always (before the answer), everysec or no.")
    ] = "always",
    maxmemory: Annotated[str, typer.Option(help="Memory for what waits; over it writes are refused.")] = "512MiB",
) -> None:
    """Run the embedded engine in the foreground, and start it again when it dies.

    Several hubs on one machine share it through the URL that it prints.
    """
    import asyncio
    import os
    from typing import cast, get_args

    from app.core.engine import EmbeddedEngine, Fsync
    from app.core.logs import configure_logs
    from app.core.values import parse_size
    from app.storage.master_key import FILE_NAME, ensure_master_key

    configure_logs("console" if sys.stderr.isatty() else "json")
    if fsync not in get_args(Fsync):
        raise typer.BadParameter(f"{fsync!r} is none of {', '.join(get_args(Fsync))}", param_hint="--fsync")
    try:
        size = parse_size(maxmemory)
    except ValueError as error:
        raise typer.BadParameter(f"{maxmemory!r}: {error}", param_hint="--maxmemory") from error
    if not _has_master_key(os.environ, data_dir / FILE_NAME):
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        ensure_master_key(data_dir)
    asyncio.run(_serve(EmbeddedEngine(data_dir, cast(Fsync, fsync), size)))


def _has_master_key(env: Mapping[str, str], own: Path) -> bool:
    """Whether the hubs beside it are told of a key elsewhere: they have the same environment, the engine needs none."""
    if env.get("HUB_MASTER_KEY"):
        return True
    if file := env.get("HUB_MASTER_KEY_FILE"):
        return Path(file).resolve() != own.resolve()
    return bool(env.get("HUB_MASTER_KEY_COMMAND"))


async def _serve(engine: EmbeddedEngine) -> None:
    """Run until SIGTERM or SIGINT."""
    import asyncio
    import signal

    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    url = await engine.start()
    print(f"HUB_REDIS_URL={url}", flush=True)
    try:
        await stopping.wait()
    finally:
        await engine.stop()
