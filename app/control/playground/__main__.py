"""Runs the playground as a program: prints one JSON line with its address and control token, then serves."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys

from app.control.playground.playground import Playground
from app.core.heap import settle
from app.core.logs import configure_logs


def main() -> None:
    """Parse the command line and serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m app.control.playground", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free one")
    parser.add_argument("--seed", type=int, default=0, help="decides chances: duplicates, reordering, faults")
    parser.add_argument("--speed", type=float, default=1.0, help="divides the waits before redeliveries")
    parser.add_argument("--uuid-mode", choices=["original", "error"], default="original")
    parser.add_argument("--uuid-scope", choices=["app", "receiver"], default="app")
    parser.add_argument("--no-limits", action="store_true", help="take any number of calls")
    arguments = parser.parse_args()
    configure_logs("console", "WARNING")
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(arguments))
    else:
        uvloop.run(_serve(arguments))


async def _serve(arguments: argparse.Namespace) -> None:
    playground = Playground(
        seed=arguments.seed,
        uuid_mode=arguments.uuid_mode,
        uuid_scope=arguments.uuid_scope,
        speed=arguments.speed,
    )
    playground.limits.enabled = not arguments.no_limits
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with playground:
        url = await playground.start(arguments.host, arguments.port)
        # What comes too early is refused: a pause of its own would make calls late, and those after them early.
        settle()
        ready = {"url": url, "page": f"{url}/playground/", "token": playground.control_token}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stopped.wait()


if __name__ == "__main__":
    main()
