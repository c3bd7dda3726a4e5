"""Directories of bots as people make them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

WriteBot = Callable[..., Path]

CREDENTIALS = """\
app_id: cli_{bot}
app_secret: app-s3cret
verification_token: token-s3cret
encrypt_key: key-s3cret
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The configuration directory; not there yet."""
    return tmp_path / "config"


@pytest.fixture
def write_bot(root: Path) -> WriteBot:
    """Writes a good bot, or one with other `config` or `credentials`; None leaves the file out."""

    def write(bot: str, config: str | None = "handler: echo\n", credentials: str | None = CREDENTIALS) -> Path:
        directory = root / bot
        directory.mkdir(parents=True, exist_ok=True)
        if config is not None:
            (directory / "config.yaml").write_text(config)
        if credentials is not None:
            (directory / "credentials.yaml").write_text(credentials.replace("{bot}", bot))
            (directory / "credentials.yaml").chmod(0o600)
        return directory

    return write
