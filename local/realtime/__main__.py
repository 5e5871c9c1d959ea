"""Run the broadcast server: `python -m local.realtime --port N`."""

from __future__ import annotations

import argparse
import os
import sys

import uvicorn

from local.realtime.app import create_app
from local.realtime.settings import Settings, SettingsError

FRAME_BYTES = 5 * 1024 * 1024


def main() -> int:
    """Serve until stopped; return 2 where a setting is missing."""
    parser = argparse.ArgumentParser(prog="local.realtime", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="TCP port on 127.0.0.1")
    arguments = parser.parse_args()
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as exc:
        print(exc, file=sys.stderr)
        return 2
    uvicorn.run(
        create_app(settings),
        host="127.0.0.1",
        port=arguments.port,
        log_level="warning",  # at "info" it would print each socket's address, and the key in it
        ws_max_size=FRAME_BYTES,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=3,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
