"""Serves the bundle: python -m functions [--host 127.0.0.1] [--port 8000]."""

import argparse
import os
import sys

import uvicorn

from shared.config import ConfigurationError, load_settings
from shared.services import Services


def main() -> int:
    """Check the settings, then serve until told to stop; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m functions", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=os.environ.get("PORT") or "8000")
    options = parser.parse_args()
    try:
        _ = Services(load_settings()).turns
    except ConfigurationError as exc:
        print(f"configuration error: {exc}", file=sys.stderr)  # noqa: T201 - before logging starts
        return 2
    uvicorn.run(
        "functions.app:app",
        host=options.host,
        port=options.port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=30,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
