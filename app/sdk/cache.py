"""What a bot keeps at hand for a while: JSON values that can be loaded again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

MEMORY_TTL = 15.0
"""Seconds for which a process answers from its own memory: the bound of staleness after a lost invalidation."""
TTL = 300.0
"""Seconds for which a value is kept where its `ttl` says nothing else."""
NEGATIVE_TTL = 5.0
"""Seconds for which it is remembered that there is nothing (None)."""


class Cache(Protocol):
    """`ctx.cache`: values of the bot, shared by all nodes; any JSON value, a tuple comes back as a list.

    Every reader gets a value of its own. Without Redis it goes on with memory and loader and raises nothing.
    """

    async def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default` where there is none (or None was loaded)."""
        ...

    async def set(self, key: str, value: Any, *, ttl: float | str = TTL) -> None:
        """Keep a value for a span; other nodes see it within 100 ms. TypeError if it is not JSON."""
        ...

    async def delete(self, key: str) -> None:
        """Forget a value, on every node."""
        ...

    async def get_or_load(self, key: str, loader: Callable[[], Awaitable[T]], *, ttl: float | str = TTL) -> T:
        """The value, else what `loader` gives, once for all who ask meanwhile; None is kept for 5 s only.

        What the loader raises is raised here, for everybody who waited for it, and is not kept.
        """
        ...
