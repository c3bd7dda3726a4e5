"""Long jobs of bots in the admin API: listed, shown, followed as they go on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from app.control.admin.followers import Followers
from app.queue.tasks import TaskInfo, Tasks

Open = Callable[[TaskInfo], Awaitable[str | None]]


class TaskShown(BaseModel):
    """One task; times in seconds since the epoch."""

    bot: str
    id: str
    status: str
    progress: float | None
    created: float
    updated: float
    ended: float | None


class TaskDetail(TaskShown):
    """One task with what it says of itself."""

    note: str | None


def tasks_router(tasks: Tasks, open_note: Open, followers: Followers) -> APIRouter:
    """The routes under /bots/{bot}/tasks; `open_note` reveals a task's note."""
    api = APIRouter(prefix="/bots/{bot}/tasks")

    @api.get("", response_model=list[TaskShown])
    async def list_tasks(bot: str, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[TaskShown]:
        """A bot's tasks, those spoken of last first."""
        return [TaskShown(**_fields(task)) for task in await tasks.list(bot, limit)]

    @api.get("/{task}", response_model=TaskDetail)
    async def show_task(bot: str, task: str) -> TaskDetail:
        """One task with its note, opened."""
        found = await tasks.show(bot, task)
        if found is None:
            raise HTTPException(404, f"bot {bot} has no task {task}")
        return TaskDetail(**_fields(found), note=await open_note(found))

    @api.get("/{task}/events", response_class=StreamingResponse)
    async def follow_task(bot: str, task: str) -> StreamingResponse:
        """The task now and at each change, as server-sent events, until it ends."""
        if await tasks.show(bot, task) is None:
            raise HTTPException(404, f"bot {bot} has no task {task}")

        async def changes() -> AsyncGenerator[dict[str, Any], None]:
            async for found in tasks.watch(bot, task):
                yield {**_fields(found), "note": await open_note(found)}

        return followers.stream(changes())

    return api


def _fields(task: TaskInfo) -> dict[str, Any]:
    return {name: getattr(task, name) for name in TaskShown.model_fields}
