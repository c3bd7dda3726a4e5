"""The collector rests while a process is built, and no longer."""

from __future__ import annotations

import subprocess
import sys


def test_garbage_is_left_alone_until_the_process_is_ready() -> None:
    code = (
        "import gc\n"
        "from app.core.heap import grow, settle\n"
        "def litter():\n"
        "    for _ in range(30_000):\n"
        "        cycle = []\n"
        "        cycle.append(cycle)\n"
        "    return sum(row['collections'] for row in gc.get_stats())\n"
        "grow()\n"
        "before = litter()\n"
        "assert litter() == before\n"
        "settle()\n"
        "assert litter() > before + 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
