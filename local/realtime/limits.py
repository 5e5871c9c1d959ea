"""Every bound of the server in one place. Where the hosted free plan has a number, it is ours."""

from __future__ import annotations

PAYLOAD_BYTES = 256 * 1024  # the hosted free plan's; paid plans have 3000 KB
FRAME_BYTES = 5 * 1024 * 1024
TOKEN_BYTES = 8 * 1024
BATCH_BYTES = 5 * 1024 * 1024

CONNECTIONS = 1_000
CHANNELS_PER_CONNECTION = 100
JOINS_PER_SECOND = 100  # on one connection

INBOX_FRAMES = 100
OUTBOX_FRAMES = 2_000
OUTBOX_BYTES = 8 * 1024 * 1024
CLOSE_SECONDS = 1.0

CONFIRM_SECONDS = 300.0  # how often a member's token and permissions are looked at again
REPLAY_MESSAGES = 25
REPLAY_HOURS = 72

POOL_CONNECTIONS = 8
POOL_SECONDS = 3.0  # clients give a join 10 s
STATEMENT_MILLISECONDS = 3_000
RECONNECT_SECONDS = (0.1, 2.0)  # first and longest pause before the database is tried again
LISTENER_CHECK_SECONDS = 10.0
PENDING_NOTIFICATIONS = 10_000
