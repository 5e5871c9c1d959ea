"""Many clients that each hold a stream open on one process."""

import asyncio
from dataclasses import dataclass, field

import httpx
import psycopg

from tests.support.sse import Event, read_events
from tests.support.users import User

ENTERING = 50  # of them begin their turn at a time
STOPPED = 12  # no more than one user's turns run at a time
WAIT_SECONDS = 0.2


@dataclass
class Crowd:
    """Clients that each hold a stream open, and what came on it; users take turns as theirs."""

    clients: list[httpx.AsyncClient]
    streams: list[list[Event]] = field(default_factory=list)
    open_now: int = 0
    most_open: int = 0
    refused: int = 0
    doors: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ENTERING))

    async def stream(self, number: int) -> list[Event]:
        """Read one stream to its end; what came is kept also where it breaks."""
        events: list[Event] = []
        self.streams.append(events)
        await self.doors.acquire()
        while not await self._read(number, events):
            self.refused += 1
            await asyncio.sleep(WAIT_SECONDS)
        return events

    async def _read(self, number: int, events: list[Event]) -> bool:
        """Read what comes; say whether anything did, rather than that the process is busy."""
        headers = {"accept": "text/event-stream", "idempotency-key": key_of(number)}
        body = {"request": f"Stream {number}"}
        client = self.clients[number % len(self.clients)]
        async with client.stream("POST", "/mega-mind", json=body, headers=headers) as answer:
            if answer.status_code in {429, 503}:
                return False
            assert answer.status_code == 200, await answer.aread()
            async for event in read_events(answer):
                events.append(event)
                if event.name == "accepted":
                    self.doors.release()
                    self.open_now += 1
                    self.most_open = max(self.most_open, self.open_now)
                if event.name == "done":
                    self.open_now -= 1
        return True


def key_of(number: int) -> str:
    return f"stream {number}"


def crowd_client(url: str, user: User) -> httpx.AsyncClient:
    """Return a client without a bound on its connections."""
    return httpx.AsyncClient(
        base_url=f"{url}/functions/v1",
        headers={"authorization": f"Bearer {user.token}"},
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        timeout=60,
    )


def replies_of(db: psycopg.Connection, user: User) -> dict[str, list[str]]:
    """Return the stored replies of each of the user's turns."""
    rows = db.execute(
        "select t.id::text, array_agg(m.content) filter (where m.role = 'assistant')"
        " from turns as t left join messages as m on m.turn_id = t.id"
        " where t.user_id = %s group by t.id",
        (user.id,),
    ).fetchall()
    return {turn_id: contents or [] for turn_id, contents in rows}
