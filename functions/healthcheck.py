"""Asks the bundle of this container whether it lives: python -m functions.healthcheck.

Imports nothing but the standard library, so that it costs little each time.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException

SECONDS = 4


def main() -> int:
    """Return 0 where the bundle on $PORT answers, 1 where it doesn't."""
    connection = HTTPConnection("127.0.0.1", int(os.environ.get("PORT") or 8000), timeout=SECONDS)
    try:
        connection.request("GET", "/health")
        return 0 if connection.getresponse().status == 200 else 1
    except (OSError, HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
