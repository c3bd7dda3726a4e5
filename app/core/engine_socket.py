"""Where an embedded engine listens, and whether it answers there."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from app.core.errors import StartError

_MAX_SOCKET_PATH: Final = 100
_ANSWER_TIMEOUT: Final = 30.0


def socket_path(directory: Path) -> str:
    """`engine.sock` in the directory; where that is too long for a socket, a hashed name in a private one in /tmp."""
    path = str(directory / "engine.sock")
    if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
        return path
    private = Path(tempfile.gettempdir()) / f"feishu-hub-{os.getuid()}"
    private.mkdir(mode=0o700, exist_ok=True)
    found = private.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise StartError(f"{private} has to be a directory that only this user may enter: remove it")
    return str(private / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.sock")


async def until_answered(path: str) -> bool:
    """True once the server on the socket answers PING; False when it has said nothing at all for too long."""
    loop = asyncio.get_running_loop()
    heard = loop.time()
    while loop.time() - heard < _ANSWER_TIMEOUT:
        try:
            async with asyncio.timeout(1.0):
                reader, writer = await asyncio.open_unix_connection(path)
                try:
                    writer.write(b"PING\r\n")
                    answer = await reader.readline()
                finally:
                    writer.close()
        except OSError:
            answer = b""  # not listening yet
        if answer.startswith(b"+PONG"):
            return True
        if answer:
            heard = loop.time()  # it is loading its data, however long that takes
        await asyncio.sleep(0.01)
    return False


def socket_url(data_dir: Path) -> str:
    """Where clients find the engine of a data directory, whoever runs it."""
    return f"unix://{quote(socket_path(data_dir.absolute() / 'engine'))}"


async def running_url(data_dir: Path) -> str | None:
    """The URL of the engine that runs on a data directory; None when none answers."""
    url = socket_url(data_dir)
    try:
        _, writer = await asyncio.open_unix_connection(unquote(url.removeprefix("unix://")))
    except OSError:
        return None
    writer.close()
    return url
