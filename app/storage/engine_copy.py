"""A copy of a running engine's data at one instant, without the data keys and the master key's proof in it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from app.core.clock import SYSTEM_CLOCK
from app.core.engine import EmbeddedEngine
from app.core.errors import StoreUnavailable
from app.core.keys import Keys
from app.core.outage import guard
from app.core.redis import RedisLink, connect
from app.core.redis_files import rewrite_files, until_idle, write_dump
from app.storage.key_record import KeyRecord
from app.storage.shared_keys import SharedKeys

# What the engine calls its files.
_DUMP: Final = "dump.rdb"
_LOG: Final = "appendonlydir"
_FIRST_BASE: Final = "appendonly.aof.1.base.rdb"
_MANIFEST: Final = "appendonly.aof.manifest"
_PATIENCE: Final = 10.0


async def copy_engine(
    link: RedisLink, keys: Keys, directory: Path, scratch: Path, absent: Mapping[str, Sequence[bytes]]
) -> Path:
    """The append-only files of a copy of the engine that keeps its data in `directory`, made below `scratch`.

    In place of a bot's data keys, the copy says that those with the ids in `absent` are missing.
    """
    files = scratch / "engine" / _LOG
    files.mkdir(parents=True, mode=0o700)
    await _take_dump(link, directory / _DUMP, files / _FIRST_BASE)
    # A dump is what an append-only file begins with, so an engine takes it for its own.
    (files / _MANIFEST).write_text(f"file {_FIRST_BASE} seq 1 type b\n")
    engine = EmbeddedEngine(scratch, "no")
    copy = await connect(await engine.start())
    try:
        shared = SharedKeys(copy, keys)
        for bot in {*absent, *await shared.bots()}:
            name = shared.name(bot)
            record = KeyRecord.parse(await shared.get(name))
            wanting = record.absent | (frozenset(absent.get(bot, ())) - record.destroyed)
            stripped = KeyRecord((), record.destroyed, wanting).packed()
            value = await shared.set_once(name, stripped)
            if value != stripped:
                await shared.replace(name, value, stripped)
        # Where it is restored the master key may be another one, which is then proved again.
        with guard():
            await copy.commands.delete(shared.proof_name)
        await rewrite_files(copy)
        await _until_gone(files / _FIRST_BASE)
    finally:
        await copy.close()
        await engine.stop()
    return files


async def _take_dump(link: RedisLink, dump: Path, target: Path) -> None:
    try:
        await write_dump(link)
        shutil.move(dump, target)
    except BaseException:
        # Who is told to stop here must not leave what the engine goes on writing: keys are in it, and all content.
        with suppress(StoreUnavailable):
            await until_idle(link)
        await asyncio.to_thread(dump.unlink, missing_ok=True)
        raise


async def _until_gone(path: Path) -> None:
    # The engine deletes what it has replaced a moment later, in a thread.
    deadline = SYSTEM_CLOCK.monotonic() + _PATIENCE
    while path.exists():  # noqa: ASYNC240
        if SYSTEM_CLOCK.monotonic() > deadline:
            raise StoreUnavailable(f"{path}: the engine did not delete the file that it has rewritten; see engine.log")
        await SYSTEM_CLOCK.sleep(0.02)
