"""The settings that a command works with: hub.yaml of its configuration directory, the environment, its options."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from app.core.settings import Settings

TRIAL: Final = {"redis.url": "embedded", "database.url": "sqlite"}
"""What `feishu-hub dev` and commands about it use: what is tried out never mixes with what a hub keeps elsewhere."""
# What the playground keeps in the data directory of a trial; to import it would take longer than most commands.
_MARK: Final = "playground.key"


def settings_of(
    config: Path,
    data_dir: Path | None = None,
    more: Mapping[str, object] | None = None,
    own: Mapping[str, object] | None = None,
) -> Settings:
    """As `load_settings`; a data directory that was named and is a trial's has its own engine and database."""
    from app.control.registry.directories import hub_file
    from app.core.settings import load_settings

    trial = TRIAL if data_dir is not None and (data_dir / _MARK).exists() else {}
    return load_settings(hub_file(config), os.environ, {"data_dir": data_dir, **(more or {}), **trial}, own)
