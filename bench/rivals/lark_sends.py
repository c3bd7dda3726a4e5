"""lark-oapi's own asynchronous client, sending: `python -m bench.rivals.lark_sends URL COUNT AT_ONCE`.

It says how many sends a second it made.
"""

from __future__ import annotations

import asyncio
import sys
import time

import lark_oapi as lark
from lark_oapi.api.im.v1 import CreateMessageRequest, CreateMessageRequestBody

from bench.events import App


def _request(number: int) -> CreateMessageRequest:
    # Made anew for each call: lark-oapi changes what it is given.
    body = CreateMessageRequestBody.builder().receive_id("oc_bench").msg_type("text").content('{"text":"hello"}')
    built: CreateMessageRequest = (
        CreateMessageRequest.builder().receive_id_type("chat_id").request_body(body.uuid(f"u{number}").build()).build()
    )
    return built


async def _send(url: str, count: int, at_once: int) -> float:
    app = App(0)
    client = lark.Client.builder().app_id(app.app_id).app_secret(app.secret).domain(url).build()
    await client.im.v1.message.acreate(_request(-1))
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            answer = await client.im.v1.message.acreate(_request(number))
            assert answer.success()

    began = time.monotonic()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return count / (time.monotonic() - began)


if __name__ == "__main__":
    print(asyncio.run(_send(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
