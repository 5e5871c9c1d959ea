"""A process of the functions that is killed and replaced, with programs and users around it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

import httpx

from local.postgres import kill_server
from local.stack import Stack
from tests.support.fault_history import History
from tests.support.killed_writers import LibraryProgram, SessionAdds, lives_from
from tests.support.process import FunctionsProcess, functions_process
from tests.support.roads import fault_road
from tests.support.stack import free_ports
from tests.support.users import User, sign_up

USERS = 3
# A lease of three seconds, and no shorter a deadline of the store's than that allows.
QUICK = {
    "HEARTBEAT_SECONDS": "0.1",
    "STORE_TIMEOUT": "2.5",
    "LEASE_SECONDS": "3",
    "RETRY_WAIT_SECONDS": "5",
}
SLOW_AI = {"OFFLINE_DELAY": "0.01", "DRAIN_SECONDS": "5"}


@dataclass
class Run:
    """A process that is killed and replaced, its clients, and what they were answered."""

    stack: Stack
    folder: Path
    users: list[User]
    history: History = field(default_factory=History)
    port: int = field(default_factory=lambda: free_ports(1)[0])
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)
    service: httpx.AsyncClient = field(default_factory=httpx.AsyncClient)
    programs: dict[int, LibraryProgram] = field(default_factory=dict)
    sessions: list[SessionAdds] = field(default_factory=list)
    answered: int = 0
    progress: asyncio.Condition = field(default_factory=asyncio.Condition)
    _life: AsyncExitStack = field(default_factory=AsyncExitStack)
    _lives: int = 0
    _server: FunctionsProcess | None = None

    async def start(self) -> None:
        """Start the functions, on the same port in each of their lives."""
        self._lives += 1
        folder = self.folder / f"life-{self._lives}"
        folder.mkdir()
        self._life = AsyncExitStack()
        road = fault_road(self._lives, self.stack)
        settings = {"PORT": str(self.port), **QUICK, **SLOW_AI, **road}
        starting = functions_process(self.stack, folder, **settings)
        self._server = await self._life.enter_async_context(starting)

    async def kill_functions(self) -> None:
        """Kill the functions and start them again."""
        assert self._server is not None
        self._server.process.kill()
        await self._server.process.wait()
        await self._life.aclose()
        self.history.faults["functions"] += 1
        await self.start()

    async def kill_database(self) -> None:
        """Kill Postgres and let the stack heal itself."""
        await asyncio.to_thread(kill_server, self.stack.settings)
        self.history.faults["database"] += 1
        await asyncio.to_thread(self.stack.up)

    async def kill_both(self) -> None:
        """Kill them at the same time."""
        await asyncio.gather(self.kill_database(), self.kill_functions())

    async def kill_programs(self) -> None:
        """Kill those with the library, once they work; each is started again for its next job."""
        while not all(adds.stored for adds in self.sessions):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        for program in self.programs.values():
            program.kill()

    async def stop(self) -> None:
        """Stop the functions in an orderly way, and the programs."""
        await self._life.aclose()
        for program in self.programs.values():
            await program.stop()

    def program(self, number: int) -> LibraryProgram:
        """Return a program with the library: each of those that write turns begins at its point."""
        if number not in self.programs:
            writers = sum(known >= 0 for known in self.programs)
            lives = lives_from(writers) if number >= 0 else repeat(None)
            self.programs[number] = LibraryProgram(self.stack, QUICK, lives)
        return self.programs[number]

    async def note_answer(self) -> None:
        """Count an answer, and wake whoever waits for so many."""
        async with self.progress:
            self.answered += 1
            self.progress.notify_all()

    async def until_answered(self, count: int) -> None:
        """Wait until so many calls have been answered."""
        async with self.progress:
            await self.progress.wait_for(lambda: self.answered >= count)


@asynccontextmanager
async def run_on(stack: Stack, folder: Path) -> AsyncIterator[Run]:
    """Set a run up: the process, and users with a client each."""
    run = Run(stack, folder, [await sign_up(stack) for _ in range(USERS)])
    async with AsyncExitStack() as open_clients:
        for user in run.users:
            run.clients[user.id] = await open_clients.enter_async_context(
                httpx.AsyncClient(
                    base_url=f"http://127.0.0.1:{run.port}/functions/v1",
                    headers={"authorization": f"Bearer {user.token}"},
                    timeout=15,
                )
            )
        run.service = await open_clients.enter_async_context(
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{run.port}/functions/v1",
                headers={"apikey": stack.settings.environment()["SUPABASE_SECRET_KEY"]},
                timeout=15,
            )
        )
        await run.start()
        try:
            yield run
        finally:
            await run.stop()
            for user in run.users:
                await user.functions.aclose()
