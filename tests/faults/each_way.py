"""What Feishu answers to a repeated uuid is not known: tests of "answered once" run in each way that it may."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from app.control.playground.uuids import UuidMode, UuidScope

Uuids = tuple[UuidMode, UuidScope]

# Every way with one database and every database with two ways; the other four with `--long`.
_SHORT = {("sqlite", "original", "app"), ("sqlite", "error", "receiver")} | {
    ("postgresql", "original", "receiver"),
    ("postgresql", "error", "app"),
}

EACH_WAY = pytest.mark.parametrize(
    ("database_url", "uuids"),
    [
        pytest.param(
            database,
            (mode, scope),
            id=f"{database}-{mode}-{scope}",
            marks=() if (database, mode, scope) in _SHORT else pytest.mark.long,
        )
        for database, mode, scope in product(("sqlite", "postgresql"), get_args(UuidMode), get_args(UuidScope))
    ],
    indirect=["database_url"],
)
"""Gives a test `database_url`, and `uuids`: whether Feishu repeats its answer or refuses, for an app or a receiver."""
