"""Ids of rows, in the order in which they are made: new ones lie side by side in an index."""

import os
import time
from uuid import UUID

VERSION = 7 << 76
VARIANT = 2 << 62
OTHER_BITS = ~(0xF << 76 | 0x3 << 62)


def new_id() -> UUID:
    """Return a UUID of version 7 (RFC 9562): the milliseconds of now, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    bits = milliseconds << 80 | int.from_bytes(os.urandom(10))
    return UUID(int=bits & OTHER_BITS | VERSION | VARIANT)
