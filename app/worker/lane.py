"""What a worker process is told at its birth."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Any, Literal

LaneKind = Literal["shared", "quarantine", "solo"]


@dataclass(frozen=True, slots=True)
class Lane:
    """One worker process: which bots it serves, where its dial is, and under which name it claims conversations."""

    number: int
    """Counted by the node; never used twice."""
    slot: int
    """Its place in the node's Dials."""
    kind: LaneKind
    owner: str
    """Owner of its claims: node, boot and lane, without spaces."""
    share: int = 1
    """Among how many processes a bot's `server.workers` are divided."""
    bots: tuple[str, ...] = ()
    """In a shared lane the bots to leave alone; in the quarantine lane the only ones served."""
    line: socket.socket | None = field(default=None, compare=False)
    """Its end of the line to the node."""

    def order(self) -> dict[str, Any]:
        """Everything but the line, for JSON."""
        return {
            "number": self.number,
            "slot": self.slot,
            "kind": self.kind,
            "owner": self.owner,
            "share": self.share,
            "bots": list(self.bots),
        }

    @classmethod
    def ordered(cls, order: dict[str, Any], line: socket.socket) -> Lane:
        """The reverse of `order`, on the other side."""
        return cls(**{**order, "bots": tuple(order["bots"])}, line=line)
