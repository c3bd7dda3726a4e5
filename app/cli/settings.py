"""The settings that a command works with: hub.yaml of its configuration directory, the environment, its options."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from app.core.settings import Settings

TRIAL: Final = {"redis.url": "embedded", "database.url": "sqlite"}
"""What `feishu-hub dev` and commands about it use: a trial never mixes with what a hub keeps elsewhere."""
# A file of the playground in a trial's data directory; importing its name would take longer than most commands.
_MARK: Final = "playground.key"


def settings_of(
    config: Path,
    data_dir: Path | None = None,
    more: Mapping[str, object] | None = None,
    own: Mapping[str, object] | None = None,
) -> Settings:
    """Like `load_settings`; a trial's data directory, if it is named, has its own engine and database."""
    from app.control.registry.directories import hub_file
    from app.core.settings import load_settings

    trial = TRIAL if data_dir is not None and (data_dir / _MARK).exists() else {}
    return load_settings(hub_file(config), os.environ, {"data_dir": data_dir, **(more or {}), **trial}, own)
