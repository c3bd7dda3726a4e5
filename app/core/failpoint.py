"""Named steps at which a fault test can have the process killed; nothing at all unless HUB_FAILPOINT is set.

`HUB_FAILPOINT=name:FILE` kills the first process that reaches the step `name`, by SIGKILL, and none after it: the file,
made in that moment, says that it was done. Several are separated by commas; one whose file is there already waits until
the test takes that away.
"""

from __future__ import annotations

import os
import signal
from typing import Final, Literal

Step = Literal["after_accept", "before_handler", "before_send", "after_send", "before_record", "after_record"]
"""Steps of an event's way."""
FireStep = Literal["before_fire", "after_fire"]
"""Steps of the firing of schedules."""
KeyStep = Literal[
    "new_master_key",
    "rewrapped_proof",
    "rewrapped_redis",
    "rewrapped_database",
    "rewrapped_files",
    "old_master_key_out",
]
"""Steps of a rotation of the master key."""
ShredStep = Literal["shredded_redis", "shredded_database"]
"""Steps of the shredding of a bot's keys."""

StoreStep = Literal["in_migration", "in_retention"]
"""Steps of the message store."""

_FILES: Final = dict(one.split(":", 1) for one in os.environ.get("HUB_FAILPOINT", "").split(",") if one)


def failpoint(step: Step | FireStep | KeyStep | ShredStep | StoreStep) -> None:
    """Die here, once, if a test asked for it."""
    if _FILES and step in _FILES:
        try:
            os.close(os.open(_FILES[step], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)
