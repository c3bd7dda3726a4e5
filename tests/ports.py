"""Free ports for the servers that tests start."""

from __future__ import annotations

import random
import socket

# Below the range that Linux takes for outgoing connections: nobody takes one between the choice and its use.
_RANGE = range(12_000, 32_000)
_handed_out: set[int] = set()


def free_port() -> int:
    """A TCP port that nobody listens on, and that was not given before."""
    while True:
        port = random.SystemRandom().choice(_RANGE)
        if port in _handed_out:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _handed_out.add(port)
        return port
