"""The admin token: made on the first start, kept with mode 0600."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from app.core.errors import StartError
from app.core.logs import get_logger

log = get_logger(__name__)


def admin_token(data_dir: Path, configured: str | None) -> str:
    """The configured token, or the kept one, or a new one, which is kept; StartError if that fails."""
    if configured:
        return configured
    path = data_dir / "admin_token"
    try:
        if path.exists() and (kept := path.read_text().strip()):
            return kept
        token = secrets.token_urlsafe(32)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(token + "\n")
    except OSError as error:
        raise StartError(f"{path}: cannot keep the admin token ({error.strerror}); set HUB_ADMIN_TOKEN") from error
    log.info("admin token made", file=str(path))
    return token
