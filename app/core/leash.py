"""Turns a fresh Python process into the embedded engine: locked to its directory, and dying with its owner.

Run as a program (`python leash.py LOCK OWNER COMMAND…`), not imported. The process takes the lock, writes its pid into
it, asks the kernel to be ended with its owner and becomes the engine by exec, which keeps pid, lock and request. A
preexec_fn would do the same between fork and exec of a process with threads, where Python code may deadlock.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys

LOCKED = 75
"""Exit status when another engine runs on the directory."""
_PR_SET_PDEATHSIG = 1


def main(lock: str, owner: int, command: list[str]) -> None:
    """Become `command`; exits with LOCKED when the lock is held, with 1 when the owner is already gone."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(LOCKED)
    os.set_inheritable(descriptor, True)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    # Ctrl-C in a terminal goes to the whole process group; the hub drains first and then ends the engine itself.
    os.setsid()
    if sys.platform == "linux":
        # SIGTERM, not SIGKILL: the engine closes its append-only file.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != owner:
        sys.exit(1)  # it died before the request was made
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
