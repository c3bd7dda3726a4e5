"""`feishu-hub run`: one node, until it is told to stop."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.options import DEFAULT_CONFIG, BotsDir, ConfigDir, DataDir
from app.cli.settings import settings_of
from app.core.errors import HubError, StartError

if TYPE_CHECKING:
    from app.core.settings import Settings

# Where Linux keeps files in memory.
_MEMORY = Path("/dev/shm")

Host = Annotated[str | None, typer.Option("--host", help="Address of the public listener.")]
Port = Annotated[int | None, typer.Option("--port", help="Port of the public listener.")]
AdminPort = Annotated[int | None, typer.Option("--admin-port", help="Port of the admin listener.")]
Roles = Annotated[
    str | None, typer.Option("--roles", help="all, or some of gateway,worker,channel,archiver,scheduler.")
]
NodeId = Annotated[str | None, typer.Option("--node-id", help="Name of this node; made once and kept otherwise.")]


def run(
    config: ConfigDir = DEFAULT_CONFIG,
    host: Host = None,
    port: Port = None,
    admin_port: AdminPort = None,
    data_dir: DataDir = None,
    roles: Roles = None,
    node_id: NodeId = None,
    bots: BotsDir = None,
) -> None:
    """Run the hub, or with `-c config/BOT` one bot as a process of its own."""
    from app.control.registry.directories import bot_id_of, is_one_bot
    from app.core.logs import configure_logs

    given: dict[str, Any] = {
        "server.host": host,
        "server.port": port,
        "server.admin.port": admin_port,
        "data_dir": data_dir,
        "roles": roles,
        "node_id": node_id,
    }
    if not config.is_dir():
        raise HubError(f"{config}: no such directory; make it (feishu-hub bots add NAME), or name another with -c DIR")
    single = is_one_bot(config)
    own, more = _own_ports(config) if single else ({}, {})
    settings = settings_of(config, more=given, own=own)
    configure_logs(settings.log.format, settings.log.level)
    group = bot_id_of(config) if single else ""
    raise typer.Exit(serve(settings, config, bots, group=group, **more))


def serve(settings: Settings, root: Path, bots: Path | None, **plan: Any) -> int:
    """Run a node in this process, with its workers forked before anything else happens; the exit status.

    `plan` is passed on to `app.hub.Plan`.
    """
    from app.core.heap import grow

    grow()
    # Read once, when the metrics are first imported: from here on all processes count into the same files.
    numbers = _numbers(settings.data_dir)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(numbers)

    from app.node_process import run_node

    try:
        return run_node(settings, root, bots, _warnings(settings), **plan)
    finally:
        shutil.rmtree(numbers, ignore_errors=True)


def _numbers(data_dir: Path) -> Path:
    """An empty directory for what this node counts, in place of those of nodes that are gone.

    Each start has one of its own: a second node is refused on a data directory that is taken, but only later, and must
    not have removed by then what the first one counts.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        to_do = "the data directory cannot be made: name another, by --data-dir or HUB_DATA_DIR"
        raise StartError(f"{data_dir}: {error.strerror}; {to_do}") from None
    all_nodes = home_of_numbers(data_dir)
    own = all_nodes / str(os.getpid())
    for found in all_nodes.glob("*"):
        if found == own or not (found.name.isdigit() and _lives(int(found.name))):
            shutil.rmtree(found, ignore_errors=True)
    all_nodes.mkdir(exist_ok=True, mode=0o700)
    own.mkdir(mode=0o700)
    return own


def home_of_numbers(data_dir: Path) -> Path:
    """In memory, where the system has a place there: whoever counts into a mapped file on a full disk is killed."""
    name = hashlib.sha256(os.fsencode(data_dir.absolute())).hexdigest()[:16]
    home = _MEMORY / f"feishu-hub-{os.getuid()}-{name}"
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        found = home.lstat()
    except OSError:
        return data_dir / "metrics"
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return home if private else data_dir / "metrics"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is somebody else's
    return True


def _warnings(settings: Settings) -> list[str]:
    return [f"{name} is set but names no setting" for name in settings.unknown_env]


def _own_ports(directory: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A bot's own `server` and `monitoring`, which rule where it runs as a process of its own."""
    from app.control.registry.loader import read_bot

    config = read_bot(directory, os.environ).config
    metrics = config.monitoring.metrics
    own = {"server.port": config.server.port, "server.admin.port": metrics.port}
    more = {
        "metrics_path": metrics.path if metrics.enable else "",
        "health_path": config.monitoring.health_check.path,
    }
    return own, more
