"""The opaque cursor of a list: where the page before it ended."""

import base64
import binascii
from datetime import datetime
from uuid import UUID

from shared.errors import InvalidRequestError
from shared.models.rows import ConversationRow


def encode_cursor(last: ConversationRow) -> str:
    """Return the cursor of the page that follows this row."""
    return base64.urlsafe_b64encode(f"{last.updated_at} {last.id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[datetime, UUID]:
    """Return the moment and the id a page starts before; raise InvalidRequestError on any other."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        moment, _, conversation_id = base64.urlsafe_b64decode(padded).decode().partition(" ")
        return datetime.fromisoformat(moment), UUID(conversation_id)
    except (ValueError, binascii.Error):
        raise InvalidRequestError("cursor is not one that this endpoint gave.") from None
