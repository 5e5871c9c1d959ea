"""Ids of rows, in the order in which they are made: new ones lie side by side in an index."""

import os
import time
from uuid import UUID, uuid5

VERSION = 7 << 76
VARIANT = 2 << 62
OTHER_BITS = ~(0xF << 76 | 0x3 << 62)


def new_id() -> UUID:
    """Return a UUID of version 7 (RFC 9562): the milliseconds of now, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    bits = milliseconds << 80 | int.from_bytes(os.urandom(10))
    return UUID(int=bits & OTHER_BITS | VERSION | VARIANT)


def as_uuid(text: str | None) -> UUID | None:
    """Return the uuid that a text is in its canonical form, or None."""
    try:
        return UUID(text) if text and len(text) == 36 else None
    except ValueError:
        return None


def conversation_of(user_id: UUID, name: str) -> UUID:
    """Return the conversation that another system's chat or session is: the one of that id.

    A name that is no id leads to one of the user's own, always the same.
    """
    return as_uuid(name) or uuid5(user_id, name)
