"""The line between a node and one of its worker processes: JSON messages, one on each line, both ways."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

import orjson

# A solo run's event travels here, sealed and in base64; bodies are at most a few MiB.
_LONGEST: Final = 64 * 1024 * 1024

Message = dict[str, Any]


class Line:
    """One end; calls `on_message` on the loop for what arrives, and `on_end` when the other end has died."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._writer: asyncio.StreamWriter | None = None
        self._unsent: list[Message] = []
        self._turn = asyncio.Lock()
        self._closed = False
        self._reading: asyncio.Task[None] | None = None

    async def open(self, on_message: Callable[[Message], None], on_end: Callable[[], None]) -> None:
        """Begin to listen; does nothing if the line was closed before."""
        async with self._turn:
            if self._closed:
                return
            self._socket.setblocking(False)
            reader, self._writer = await asyncio.open_unix_connection(sock=self._socket, limit=_LONGEST)
            unsent, self._unsent = self._unsent, []
            for message in unsent:
                self.tell(message)
            self._reading = asyncio.create_task(self._read(reader, on_message, on_end), name="worker line")

    async def _read(
        self, reader: asyncio.StreamReader, on_message: Callable[[Message], None], on_end: Callable[[], None]
    ) -> None:
        try:
            while text := await reader.readline():
                if not text.endswith(b"\n"):
                    break  # the other end died while it wrote
                on_message(orjson.loads(text))
        except OSError:
            pass  # a reset says the same as an end
        on_end()

    def tell(self, message: Message) -> None:
        """Send without waiting, even before `open`; what can no longer be sent is dropped: its reader is gone."""
        if self._writer is None:
            self._unsent.append(message)
        elif not self._closed:
            self._writer.write(orjson.dumps(message) + b"\n")

    async def heard_out(self, patience: float = 2.0) -> None:
        """Wait until everything that the other end said before it died is read."""
        async with self._turn:
            reading = self._reading
        if reading is not None:
            await asyncio.wait({reading}, timeout=patience)

    async def close(self) -> None:
        """Hang up, once everything is sent."""
        async with self._turn:
            self._closed = True
            if self._writer is None:
                self._socket.close()
                return
            if self._reading is not None:
                self._reading.cancel()
                await asyncio.gather(self._reading, return_exceptions=True)
            self._writer.close()
            try:
                await self._writer.wait_closed()
            except OSError:
                pass  # the other end hung up first
