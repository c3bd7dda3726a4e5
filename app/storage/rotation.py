"""Replaces the master key of a running cluster: adds a new one in front, wraps everything under it, removes the old."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import HubError
from app.core.failpoint import failpoint
from app.storage.key_upkeep import Lacking
from app.storage.keyring import Keyring
from app.storage.master_key import key_id, new_key, split_keys
from app.storage.private_files import replace_private
from app.storage.rewrap import Rewrap

_PATIENCE: Final = 10.0
_LOOK_EVERY: Final = 0.2


class Rotation:
    """The steps of a rotation; each may be the last one before a crash, and can be said again."""

    def __init__(
        self, keyring: Keyring, rewrap: Rewrap, lacking: Lacking, behind: Lacking, *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        """`behind` says which living nodes have copies of their own that the key does not wrap yet."""
        self._keyring = keyring
        self._master = keyring.master
        self._rewrap = rewrap
        self._lacking = lacking
        self._behind = behind
        self._clock = clock

    async def begin(self) -> str:
        """Write a new key in front of the one in the file; its id. HubError when that cannot or must not be."""
        path = self._file()
        await asyncio.to_thread(self._master.read_again)
        if len(self._master.ids) > 1:
            raise HubError(
                f"{path} holds {len(self._master.ids)} master keys: the last rotation is not over; `feishu-hub keys "
                "rewrap`, then `feishu-hub keys retire`, and then rotate again"
            )
        made = new_key()
        await asyncio.to_thread(_write, path, [made, *_read(path)])
        failpoint("new_master_key")
        await asyncio.to_thread(self._master.read_again)
        return key_id(made)

    async def finish(self) -> int:
        """Wrap everything under the first key, once every living node holds it; how many copies were renewed.

        HubError names the nodes that did not take it up within 10 s: nothing was wrapped under it then.
        """
        first = self._master.ids[0]
        if lacking := await self._waited_for(self._lacking):
            raise HubError(
                f"these nodes do not hold master key {first} yet: {', '.join(lacking)}. Nothing is wrapped under "
                f"it until they do. Give it to them ({self._master.source}, both keys, the new one first); the "
                "hub goes on by itself then, or say `feishu-hub keys rewrap`"
            )
        return await self._rewrap.run()

    async def retire(self) -> tuple[str, ...]:
        """Take all keys but the first out of the file; their ids. HubError while anything is wrapped under them."""
        path = self._file()
        await asyncio.to_thread(self._master.read_again)
        first, *old = self._master.ids
        if not old:
            return ()
        if used := (await self._rewrap.count()).other_than(first):
            raise HubError(f"{used} copies are still wrapped under an old master key: `feishu-hub keys rewrap` first")
        if behind := await self._waited_for(self._behind):
            raise HubError(
                f"these nodes keep data keys that master key {first} does not wrap yet: {', '.join(behind)}. They wrap "
                "them anew by themselves once they hold it and reach Redis and their database (their logs say what "
                "is in the way); nothing was changed"
            )
        await asyncio.to_thread(_write, path, _read(path)[:1])
        failpoint("old_master_key_out")
        return tuple(old)

    async def _waited_for(self, which: Lacking) -> Sequence[str]:
        """The nodes that are not there yet after a while; mostly none."""
        deadline = self._clock.monotonic() + _PATIENCE
        while (nodes := await which(self._master.ids[0])) and self._clock.monotonic() <= deadline:
            await self._clock.sleep(_LOOK_EVERY)
        return nodes

    def _file(self) -> Path:
        if self._master.path is not None:
            return self._master.path
        raise HubError(
            f"the master key comes from {self._master.source}, which only you can change. 1. `feishu-hub keys make` "
            "makes a new one. 2. Give every node both, the new one first and a comma between, and restart them one by "
            "one; once all hold it, they wrap everything under it. 3. When `feishu-hub keys status` shows nothing "
            "under the old one any more, take it out and restart them again"
        )


def _read(path: Path) -> list[str]:
    return split_keys(path.read_text("ascii"))


def _write(path: Path, keys: list[str]) -> None:
    # Where it is a link, as secrets often are mounted, the link stays.
    target = path.resolve()
    try:
        for draft in target.parent.glob(f".{target.name}.*.new"):
            draft.unlink()  # of a process that was killed: it holds keys
        replace_private(target, "".join(f"{key}\n" for key in keys).encode())
    except OSError as error:
        raise HubError(
            f"{target} cannot be written ({error.strerror}): change it where it comes from, to hold the new key and "
            "then the old one, a line each; nothing was changed"
        ) from error
