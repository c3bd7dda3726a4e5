"""The options that several commands share, worded once."""

from __future__ import annotations

import os
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


def a_reason(why: str) -> str:
    """What was said as `--why`, which must say something."""
    if not why.strip():
        raise typer.BadParameter("say why: the audit keeps it")
    return why


# A program is not asked: it is told that the option is missing.
_ASKED: Final = "Why do you open it" if sys.stdin is not None and sys.stdin.isatty() else False
Why: TypeAlias = Annotated[
    str, typer.Option(prompt=_ASKED, callback=a_reason, help="Kept in the audit, with your name.")
]

DEFAULT_CONFIG = Path("config")


def somebody() -> str:
    """How the audit names who gives a command: as the system knows the process, whatever the environment says.

    Whom `sudo` says to stand behind it is a hint only.
    """
    import pwd
    import socket

    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid {os.getuid()}"  # containers run under ids that no file knows
    hint = os.environb.get(b"SUDO_USER", b"").decode(errors="replace")
    return f"{name} at {socket.gethostname()}{f' (SUDO_USER={hint})' if hint else ''}"
