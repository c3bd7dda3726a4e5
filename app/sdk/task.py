"""A long job that operators can follow: its status, how far it is, and what it says of itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal, get_args

from app.core.values import parse_span
from app.sdk.verbs import Verbs

TaskStatus = Literal["queued", "running", "done", "failed", "cancelled"]
"""The last three are ends."""

_STATUSES: Final[tuple[str, ...]] = get_args(TaskStatus)
# It stands in commands, addresses and Redis keys.
_ID: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,99}\Z")
_LONGEST: Final = 30 * 86400.0


class Task:
    """`ctx.task(id)`: shown by `feishu-hub tasks`, the API and its event stream, by whatever event it is updated."""

    def __init__(self, verbs: Callable[[], Verbs], id: str) -> None:
        if not _ID.match(id):
            raise ValueError(f"{id!r} is no id of a task: letters, digits and . _ : @ -, at most 100")
        self._verbs = verbs
        self.id = id

    async def update(
        self,
        status: TaskStatus,
        progress: float | None = None,
        note: str | None = None,
        *,
        keep: float | str = "7d",
    ) -> None:
        """Say how the task stands; `progress` from 0 to 1, None leaves progress and note as they were.

        `keep` is how long it is shown after its end, at most 30 days. The note is sealed, the rest is not.
        """
        if status not in _STATUSES:
            raise ValueError(f"{status!r} is no status of a task: allowed are {', '.join(_STATUSES)}")
        if progress is not None and not 0 <= progress <= 1:
            raise ValueError(f"a progress of {progress} is outside 0 to 1")
        span = parse_span(keep)
        if not 0 < span <= _LONGEST:
            raise ValueError(f"a task is kept for at most 30 days after its end, not {keep}")
        await self._verbs().task_update(self.id, status, progress, note, span)
