"""Named points at which a test may have this process killed, as a power cut would.

Off unless the setting `crash_point` names one.
"""

from __future__ import annotations

import os
import signal
from typing import Literal, TypeAlias

CrashPoint: TypeAlias = Literal[
    "before_begin",
    "after_begin",
    "mid_model",
    "mid_stream",
    "after_model",
    "after_complete",
]

_armed: set[str] = set()


def arm(name: str | None) -> None:
    """Choose the point at which this process dies; None for none."""
    _armed.clear()
    if name is not None:
        _armed.add(name)


def crash_point(name: CrashPoint) -> None:
    """Kill this process with SIGKILL if a test armed this point; otherwise do nothing."""
    if name in _armed:
        os.kill(os.getpid(), signal.SIGKILL)
