"""Nodes in the admin API: every one ever seen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter

from app.control.admin.shapes import Node

Nodes = Callable[[], Awaitable[Sequence[Mapping[str, Any]]]]


def nodes_router(nodes: Nodes) -> APIRouter:
    """The routes under /nodes."""
    api = APIRouter(prefix="/nodes")

    @api.get("", response_model=list[Node])
    async def list_nodes() -> Sequence[Mapping[str, Any]]:
        """Every node ever seen."""
        return await nodes()

    return api
