"""Who this node is: an id made once and kept in the data directory, so that a restart is the same node."""

from __future__ import annotations

import re
import secrets
import socket
from pathlib import Path
from typing import Final

from app.core.errors import StartError

_NOT_ALLOWED: Final = re.compile(r"[^A-Za-z0-9._-]+")


def node_id(data_dir: Path, configured: str | None) -> str:
    """The configured id, or the kept one, or a new one, which is kept; StartError if that fails."""
    if configured is not None:
        return configured
    path = data_dir / "node_id"
    try:
        kept = path.read_text().strip() if path.exists() else ""
        if not kept:
            host = _NOT_ALLOWED.sub("-", socket.gethostname()).strip("-.")[:40] or "node"
            kept = f"{host}-{secrets.token_hex(3)}"
            path.write_text(kept + "\n")
        return kept
    except OSError as error:
        raise StartError(f"{path}: cannot keep this node's id ({error.strerror}); make data_dir writable") from error
