"""Has people of the playground speak at a steady rate: `python -m bench.speak`, a process of its own.

Reads what to do from standard input as JSON: control address and token, the rate, how long, and who says it where.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import aiohttp
import uvloop


async def _speak(order: dict[str, Any]) -> None:
    headers = {"X-Playground-Token": order["token"]}
    places: list[dict[str, str]] = order["places"]
    said = 0
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=64)) as session:

        async def say(place: dict[str, str], number: int) -> None:
            async with session.post(f"{order['control']}/says", json=place | {"text": f"{number:08d} hello"}) as answer:
                answer.raise_for_status()

        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while (now := time.monotonic()) - began < order["seconds"]:
                # Evenly, not by chance: each chat is to stay below Feishu's five messages a second.
                while said < (now - began) * order["rate"]:
                    group.create_task(say(places[said % len(places)], said))
                    said += 1
                await asyncio.sleep(0.001)
    json.dump({"said": said}, sys.stdout)


if __name__ == "__main__":
    uvloop.run(_speak(json.load(sys.stdin)))
