"""The options that several commands share, worded once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

ConfigDir: TypeAlias = Annotated[
    Path,
    typer.Option("--config", "-c", help="Directory of hub.yaml and of one directory a bot, or one bot's own."),
]
BotsDir: TypeAlias = Annotated[
    Path | None, typer.Option("--bots", help="Directory of handlers; ./bots, then the installed examples.")
]
DataDir: TypeAlias = Annotated[
    Path | None, typer.Option("--data-dir", help="Data directory, over what hub.yaml and HUB_DATA_DIR say.")
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
OneOrAll: TypeAlias = Annotated[str | None, typer.Argument(help="Bot id; all of the configuration without it.")]


def _reason(why: str) -> str:
    if not why.strip():
        raise typer.BadParameter("messages are opened for a reason, which is kept")
    return why


# A program is not asked: it is told that the option is missing.
_ASKED: Final = "Why do you open it" if sys.stdin is not None and sys.stdin.isatty() else False
Why: TypeAlias = Annotated[
    str, typer.Option(prompt=_ASKED, callback=_reason, help="Kept in the audit, with your name.")
]

DEFAULT_CONFIG = Path("config")


def somebody() -> str:
    """How the audit names who gives a command."""
    import getpass
    import socket

    return f"{getpass.getuser()} at {socket.gethostname()}"
