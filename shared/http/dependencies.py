"""What a handler may ask for, each by a name that says what it gets.

What is in the request itself is read without FastAPI, which takes many times as long to solve a
dependency. The others are coroutines: a plain function it runs in a thread, at more than its own
cost.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Depends, Header, Query, Request

from ..auth.caller import Caller
from ..container import Container
from ..errors import ForbiddenError, InvalidRequestError, UnauthorizedError
from ..models.base import PlainUuid
from ..shares import Places


@dataclass(frozen=True)
class Read:
    """How a handler's argument is read: before its body, if it has one."""

    read: Callable[[Request], Any]


def container_of(request: Request) -> Container:
    """Return what this process holds."""
    container: Container = request.app.state.container
    return container


def _verified(request: Request) -> Caller:
    caller: Caller | None = request.state.caller
    if caller is None:
        raise UnauthorizedError
    return caller


def _caller_or_stranger(request: Request) -> Caller | None:
    caller: Caller | None = request.state.caller
    return caller


def _signed_in_user(request: Request) -> Caller:
    caller = _verified(request)
    if caller.is_service:
        raise ForbiddenError("Only a signed-in user can do that, not the service.")
    return caller


def _the_service(request: Request) -> Caller:
    caller = _verified(request)
    if not caller.is_service:
        raise ForbiddenError("Only the service can do that.")
    return caller


def own_place(request: Request, places: Places) -> AbstractAsyncContextManager[None]:
    """Hold a place of the caller's; strangers are one, and the service, which is trusted, none."""
    caller: Caller | None = request.state.caller
    if caller is not None and caller.is_service:
        return nullcontext()
    return places.taken_by(caller and caller.user_id)


async def _heavy_read(request: Request) -> AsyncIterator[None]:
    async with own_place(request, container_of(request).shares.heavy_reads):
        yield


async def _export(request: Request) -> AsyncIterator[None]:
    async with own_place(request, container_of(request).shares.exports):
        yield


async def _user_in_query(
    request: Request, user_id: Annotated[PlainUuid | None, Query(alias="userId")] = None
) -> UUID:
    return _verified(request).acting_for(user_id)


def _arrived_at(request: Request) -> float:
    arrived_at: float = request.state.arrived_at
    return arrived_at


KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x20-\x7e]+$",
        description="Repeating a request under its key gives the stored answer.",
    ),
]


async def _given_key(request: Request, given: KeyHeader = None) -> str | None:
    if len(set(request.headers.getlist("idempotency-key"))) > 1:
        raise InvalidRequestError("A request has one Idempotency-Key; this one has several.")
    return given


async def _given_or_new_key(request: Request, given: KeyHeader = None) -> str:
    return await _given_key(request, given) or uuid4().hex


CurrentRequest = Annotated[Request, Read(lambda request: request)]
CurrentContainer = Annotated[Container, Read(container_of)]
CurrentCaller = Annotated[Caller, Read(_verified)]
SignedInUser = Annotated[Caller, Read(_signed_in_user)]
ServiceCaller = Annotated[Caller, Read(_the_service)]
CallerOrStranger = Annotated[Caller | None, Read(_caller_or_stranger)]
UserInQuery = Annotated[UUID, Depends(_user_in_query)]
HeavyReadPlace = Annotated[None, Depends(_heavy_read)]  # until the response was sent
ExportPlace = Annotated[None, Depends(_export)]  # likewise
GivenKey = Annotated[str | None, Depends(_given_key)]
ArrivedAt = Annotated[float, Read(_arrived_at)]
IdempotencyKey = Annotated[str, Depends(_given_or_new_key)]
