"""Fail when a file is longer than 300 lines, or than the exact number it is known by: a long file may only shrink."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BOUND = 300
# Known to be long; each may only shrink.
KNOWN: dict[str, int] = {}


def main() -> int:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.lua"],
        capture_output=True,
        text=True,
        check=True,
    )
    faults = []
    for name in listed.stdout.split():
        path = Path(name)
        if not path.exists():
            continue
        lines = len(path.read_text().splitlines())
        bound = KNOWN.get(name, BOUND)
        if lines > bound:
            faults.append(f"{name}: {lines} lines, at most {bound}: split it")
        elif name in KNOWN and lines < bound:
            faults.append(f"{name}: {lines} lines now, lower its number in {Path(__file__).name} from {bound}")
    sys.stdout.write("".join(f"{fault}\n" for fault in faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
