"""The options that several commands share, worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

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

DEFAULT_CONFIG = Path("config")
