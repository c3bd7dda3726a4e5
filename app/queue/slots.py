"""Groups what a script is called for: on Cluster by bot, elsewhere by as much as keeps nobody waiting."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from app.core.errors import StoreUnavailable

T = TypeVar("T")


def together(items: Sequence[T], bot: Callable[[T], str], most: int, *, cluster: bool) -> Iterator[Sequence[T]]:
    """The items of one call each, `most` at most; on Cluster those of one bot, since each bot has its own slot."""
    groups: Iterable[Sequence[T]] = [items]
    if cluster:
        by_bot: defaultdict[str, list[T]] = defaultdict(list)
        for item in items:
            by_bot[bot(item)].append(item)
        groups = by_bot.values()
    for group in groups:
        for start in range(0, len(group), most):
            yield group[start : start + most]


async def as_far_as_possible(calls: Iterable[asyncio.Future[Any]]) -> list[Any]:
    """The replies, with its StoreUnavailable in place of each that failed; raises it if all of them did.

    A node of a Cluster that is away keeps nobody from what the others hold.
    """
    replies = await asyncio.gather(*calls, return_exceptions=True)
    away = [reply for reply in replies if isinstance(reply, StoreUnavailable)]
    for reply in replies:
        if isinstance(reply, BaseException) and not isinstance(reply, StoreUnavailable):
            raise reply
    if away and len(away) == len(replies):
        raise away[0]
    return replies
