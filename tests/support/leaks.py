"""Secrets in what was said, in any form in which they may leak."""

import base64
import json
from urllib.parse import quote


def leaks(text: str, secrets: dict[str, str]) -> list[str]:
    """Return the names of the secrets that are in the text, plain or in disguise."""
    return [name for name, secret in secrets.items() if any(d in text for d in disguises(secret))]


def disguises(secret: str) -> set[str]:
    """Return a secret as it is, as JSON and URLs spell it, and inside of base64."""
    # Three offsets, since base64 of a text depends on where in it the secret stands.
    inside = {base64.b64encode(b"x" * shift + secret.encode()).decode()[4:-4] for shift in range(3)}
    return {secret, json.dumps(secret)[1:-1], quote(secret, safe=""), *inside}
