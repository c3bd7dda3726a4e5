"""`feishu-hub dev`: the hub, the example bots and a local Feishu to write to them, in one command."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.options import DEFAULT_CONFIG, BotsDir, ConfigDir
from app.cli.run import AdminPort, Host, Port
from app.cli.settings import TRIAL, settings_of

# A directory of its own, as TRIAL is of the rest.
_DATA_DIR = Path("data/dev")

DevDataDir = Annotated[Path, typer.Option("--data-dir", help="Data directory of the trial.")]


def dev(
    config: ConfigDir = DEFAULT_CONFIG,
    host: Host = None,
    port: Port = None,
    admin_port: AdminPort = None,
    data_dir: DevDataDir = _DATA_DIR,
    bots: BotsDir = None,
) -> None:
    """Run the hub with a playground: a local Feishu with a chat page; no Feishu account is needed."""
    from app.cli.run import serve
    from app.core.logs import configure_logs
    from app.core.sections import url_here

    given: dict[str, Any] = {
        "server.host": host or "127.0.0.1",
        "server.port": port,
        "server.admin.port": admin_port,
        "log.format": "console",
        **TRIAL,
    }
    settings = settings_of(config, data_dir, given)
    if settings.server.admin.port == 0:
        # The playground's address stands in every bot's credentials, before anything listens.
        settings = settings_of(config, data_dir, given | {"server.admin.port": _free_port()})
    configure_logs("console", settings.log.level)
    root = config if config.exists() else _example_bots(data_dir)

    from app.control.playground.stage import Stage

    admin = settings.server.admin
    stage = Stage(settings.data_dir, address=url_here(admin.host, admin.port))
    raise typer.Exit(
        serve(
            settings,
            root,
            bots,
            watch_code=True,
            credentials=stage.credentials,
            wrap_admin=stage.beside,
            on_ready=stage.open,
            on_stop=stage.close,
        )
    )


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


def _example_bots(data_dir: Path) -> Path:
    """A configuration for a working directory that has none: the bots that are installed with the hub."""
    root = data_dir / "config"
    for name in ("echo", "support", "hr"):
        directory = root / name
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "config.yaml"
        if not file.exists():
            file.write_text(f"handler: {name}\n")
    return root
