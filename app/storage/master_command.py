"""A master key printed by a command, for keys that a key management service keeps."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Final

from app.core.errors import StartError

_TIMEOUT: Final = 10.0
# A service is not asked at every copy that does not open.
_REST: Final = 30.0


class MasterCommand:
    """`master_key_command`: what it prints is used and never shown, nor is what it says on standard error."""

    def __init__(self, command: Sequence[str], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._command = list(command)
        self._monotonic = monotonic
        self._rest_until = 0.0

    @property
    def place(self) -> str:
        """What messages call it: its program, since arguments may hold a secret."""
        return f"master_key_command ({self._command[0]} …)"

    def run(self) -> str:
        """What it prints, within 10 s; StartError when it fails."""
        self._rest_until = self._monotonic() + _REST
        try:
            done = subprocess.run(self._command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT)
        except subprocess.TimeoutExpired:
            problem = f"did not end within {_TIMEOUT:g} s"
        except OSError as error:
            problem = f"cannot be started: {error.strerror}"
        else:
            if done.returncode == 0:
                # What is not text is not a key either; whoever parses it says so.
                return done.stdout.decode("ascii", errors="replace")
            problem = f"ended with status {done.returncode}"
        raise StartError(
            f"{self.place} {problem}: run it by hand as the hub's user, with the hub's environment; it has to print "
            "one or several master keys, the newest first"
        ) from None

    def run_again(self) -> str | None:
        """The same, at most every 30 s; None in between."""
        return self.run() if self._monotonic() >= self._rest_until else None
