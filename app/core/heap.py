"""Spares a server the garbage collector's long pauses."""

from __future__ import annotations

import gc
from typing import Final

# A request in flight holds some twenty objects: at Python's 700 the collector would run for every few dozen requests,
# and find them all alive.
_YOUNG: Final = 10_000


def grow() -> None:
    """To be called before a process imports and builds what it is made of, to leave garbage alone until `settle`.

    There is hardly any; looking for it took a tenth of a node's start.
    """
    gc.disable()


def settle() -> None:
    """To be called once a process is ready: what it has built until now lives as long as it does.

    The collector leaves that alone from here on; passing over it took tens of milliseconds each time, in which nobody
    was answered.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)
    gc.enable()
