"""A Feishu that takes everything at once: `python -m bench.quick_feishu`, a process of its own, port on its first line.

It checks nothing and keeps nothing, so that the one who sends is what is measured.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

import uvloop

_TOKEN: Final = b'{"code":0,"msg":"ok","tenant_access_token":"t-bench","app_access_token":"t-bench","expire":7200}'
_SENT: Final = b'{"code":0,"msg":"success","data":{"message_id":"om_%032d","chat_id":"oc_bench","msg_type":"text"}}'
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nX-Tt-Logid: bench\r\n"
    b"Content-Length: %d\r\n\r\n"
)


class _Connection(asyncio.Protocol):
    sent = 0

    def __init__(self) -> None:
        self._said = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._said += data
        while True:
            head, found, rest = self._said.partition(b"\r\n\r\n")
            if not found:
                return
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(rest) < length:
                return
            self._said = rest[length:]
            self._transport.write(self._answer(head))

    def _answer(self, head: bytes) -> bytes:
        if b"/auth/" in head.partition(b"\r\n")[0]:
            body = _TOKEN
        else:
            _Connection.sent += 1
            body = _SENT % _Connection.sent
        return _HEAD % len(body) + body


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
