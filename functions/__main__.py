"""Serves the bundle, or one endpoint alone: python -m functions [load-conversation]."""

import argparse
import os
import sys
from math import ceil
from typing import Any

import uvicorn
from fastapi import FastAPI

from functions.app import ENDPOINTS, create_app
from shared.config import ConfigurationError, Settings, load_settings
from shared.container import Container
from shared.http.server import ProtocolWithHeadDeadline
from shared.observability import telemetry


def main() -> int:
    """Check the settings, then serve until stopped; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m functions", description=__doc__)
    parser.add_argument(
        "endpoint", nargs="?", choices=sorted(ENDPOINTS), help="by default all of them"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=os.environ.get("PORT") or "8000")
    options = parser.parse_args()
    try:
        settings = load_settings()
        telemetry.start(settings)
        app = create_app(*filter(None, [options.endpoint]))
        serve(app, settings, host=options.host, port=options.port)
    except ConfigurationError as exc:
        print(f"configuration error: {exc}", file=sys.stderr)  # noqa: T201 - before logging starts
        return 2
    return 0


def serve(app: FastAPI, settings: Settings, *, host: str, port: int) -> None:
    """Serve until stopped; raise ConfigurationError if the application can't be prepared."""
    app.state.prepare(Container(settings))
    uvicorn.run(app, host=host, port=port, **server_options(settings))


def server_options(settings: Settings) -> dict[str, Any]:
    """Return how uvicorn serves: one worker, since a container or a host scales by instances."""
    return {
        "lifespan": "on",  # an application that can't start is an exit, not a server without it
        "http": ProtocolWithHeadDeadline,
        "ws": "none",  # live events are Realtime's
        "access_log": False,  # one line a request is logged by the application itself
        "log_config": None,
        "server_header": False,
        "proxy_headers": False,  # no decision is made by the client's address
        # Longer than gateways keep an idle connection: a close of ours would meet their next call.
        "timeout_keep_alive": 75,
        # At a SIGTERM open answers have this long, and then turns whose client is gone as long.
        "timeout_graceful_shutdown": ceil(settings.drain_seconds),
    }


if __name__ == "__main__":
    sys.exit(main())
