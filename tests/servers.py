"""The servers that tests need: installed where this user may; otherwise their tests are skipped, but never in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

# Debian keeps PostgreSQL's own programs off the PATH; this one, of the same package, is on it.
NEEDED = {
    "chromium": "chromium",
    "faketime": "faketime",
    "promtool": "prometheus",
    "redis-server": "redis-server",
    "pg_ctlcluster": "postgresql",
}
BENCH = {"wrk": "wrk"}


def needed(program: str, path: str | None = None) -> str:
    """Where a program is (`path`, where only the test knows how to find it); without it the test is skipped."""
    import pytest  # `make` installs the servers while it installs what Python needs

    found = path or shutil.which(program)
    if found is None:
        assert "CI" not in os.environ, f"{program} is missing: tests/servers.py installs it ({NEEDED[program]})"
        pytest.skip(f"{program} is not installed, and tests/servers.py may not install it ({NEEDED[program]})")
    return found


def main() -> int:
    missing = [package for program, package in (NEEDED | BENCH).items() if shutil.which(program) is None]
    if not missing:
        return 0
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.stdout.write(f"not installed, their tests are skipped: {', '.join(missing)}\n")
        return 0
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], env=environment, check=False, stdout=subprocess.DEVNULL)
    done = subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, "fonts-noto-cjk"],
        env=environment,
        check=False,
        stdout=subprocess.DEVNULL,
    )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
