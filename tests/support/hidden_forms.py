"""The forms in which a secret may leak."""

import base64
import json


def hidden_forms(secret: str) -> set[str]:
    """Return a secret as it is, as JSON escapes it, and as base64 would hide it."""
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    return {secret, json.dumps(secret)[1:-1], encoded}
