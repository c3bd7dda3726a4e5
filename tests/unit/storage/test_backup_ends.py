"""What becomes of a backup that does not come to its end, and of one that is made beside another."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.core.engine import EmbeddedEngine
from app.core.errors import HubError
from app.core.keys import Keys
from app.core.redis import connect
from app.storage.backup_scratch import backup_scratch, clear_after_backups
from app.storage.engine_copy import copy_engine
from tests.waiting import until


async def test_who_is_stopped_leaves_no_dump(tmp_path: Path) -> None:
    engine = EmbeddedEngine(tmp_path, "no")
    link = await connect(await engine.start())
    try:
        await link.commands.mset({str(number): "words" for number in range(20)})
        await link.commands.config_set("rdb-key-save-delay", 10_000)  # µs
        copying = asyncio.create_task(copy_engine(link, Keys("t:"), tmp_path / "engine", tmp_path / "copy", {}))
        await until(lambda: list((tmp_path / "engine").glob("temp-*.rdb")))
        copying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await copying
        assert list((tmp_path / "engine").glob("*.rdb")) == []
    finally:
        await link.close()
        await engine.stop()


def test_two_at_once_are_refused_and_one_that_runs_is_not_cleared(tmp_path: Path) -> None:
    with backup_scratch(tmp_path) as scratch:
        scratch.mkdir()
        with pytest.raises(HubError, match="another backup is being made"), backup_scratch(tmp_path):
            pass
        assert not clear_after_backups(tmp_path)
        assert scratch.exists()
    assert not scratch.exists()
    scratch.mkdir()  # as one that was killed leaves it
    assert clear_after_backups(tmp_path)
    assert not scratch.exists()
