"""Makes this process's clock wrong by CLOCK_OFF seconds: Python reads this before anything else.

The monotonic clock stays right, as on a machine whose date is wrong.
"""

import datetime
import os
import time

OFF = float(os.environ["CLOCK_OFF"])
_true_time, _true_time_ns = time.time, time.time_ns


class _WrongDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "_WrongDatetime":
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> "_WrongDatetime":
        return cls.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)


time.time = lambda: _true_time() + OFF
time.time_ns = lambda: _true_time_ns() + int(OFF * 1e9)
datetime.datetime = _WrongDatetime  # type: ignore[misc]
