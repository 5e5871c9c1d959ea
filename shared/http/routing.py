"""What happens before a handler: the caller is verified, then the body is read strictly.

In that order, so that a stranger learns nothing about what a valid body would be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

from fastapi import Depends, Header, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from shared.auth.caller import Caller
from shared.container import Container
from shared.encoding.strict import parse_beside
from shared.errors import ForbiddenError, InvalidRequestError, UnauthorizedError
from shared.http.request_body import read_body, require_plain_json

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.responses import Response

# Only documents the scheme: verifying is the route's.
BEARER = HTTPBearer(auto_error=False, description="The signed-in user's access token.")


class CheckedRequest(Request):
    """A request whose body was read and parsed already."""

    checked_body: bytes = b""
    checked_json: Any = None

    async def body(self) -> bytes:
        """Return what was read."""
        return self.checked_body

    async def json(self) -> Any:
        """Return what was parsed."""
        return self.checked_json


class CheckedRoute(APIRoute):
    """A route for verified callers with strict JSON bodies."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler behind the checks."""
        handle = super().get_route_handler()
        takes_body = self.body_field is not None

        async def checked(request: Request) -> Response:
            container = container_of(request)
            request.state.caller = await _caller(request, container)
            if not takes_body:
                return await handle(request)
            return await handle(await _check_body(request, container.settings.max_body_bytes))

        return checked


async def _caller(request: Request, container: Container) -> Caller | None:
    """Return the verified caller; None for a stranger where the demo lets strangers in."""
    shows_nothing = not {"authorization", "apikey"} & set(request.headers.keys())
    if shows_nothing and container.settings.allow_anonymous_demo:
        return None
    return await container.authenticator.caller(request.headers)


async def _check_body(request: Request, limit: int) -> CheckedRequest:
    require_plain_json(request)
    checked = CheckedRequest(request.scope, request.receive)
    checked.checked_body = await read_body(request, limit=limit)
    checked.checked_json = await parse_beside(checked.checked_body)
    return checked


def container_of(request: Request) -> Container:
    """Return what this process holds."""
    container: Container = request.app.state.container
    return container


def _caller_or_stranger(request: Request) -> Caller | None:
    caller: Caller | None = request.state.caller
    return caller


def _verified_caller(request: Request) -> Caller:
    caller = _caller_or_stranger(request)
    if caller is None:
        raise UnauthorizedError
    return caller


def _signed_in_user(request: Request) -> Caller:
    caller = _verified_caller(request)
    if caller.is_service:
        raise ForbiddenError("Only a signed-in user can do that, not the service.")
    return caller


def _the_service(request: Request) -> Caller:
    caller = _verified_caller(request)
    if not caller.is_service:
        raise ForbiddenError("Only the service can do that.")
    return caller


def _arrived_at(request: Request) -> float:
    arrived_at: float = request.state.arrived_at
    return arrived_at


def _given_key(
    request: Request,
    given: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=255,
            pattern=r"^[\x20-\x7e]+$",
            description="Repeating a request under its key gives the stored answer.",
        ),
    ] = None,
) -> str | None:
    if len(set(request.headers.getlist("idempotency-key"))) > 1:
        raise InvalidRequestError("A request has one Idempotency-Key; this one has several.")
    return given


GivenKey = Annotated[str | None, Depends(_given_key)]


def _given_or_new_key(given: GivenKey) -> str:
    return given or uuid4().hex


CurrentContainer = Annotated[Container, Depends(container_of)]
CurrentCaller = Annotated[Caller, Depends(_verified_caller)]
SignedInUser = Annotated[Caller, Depends(_signed_in_user)]
ServiceCaller = Annotated[Caller, Depends(_the_service)]
CallerOrStranger = Annotated[Caller | None, Depends(_caller_or_stranger)]
ArrivedAt = Annotated[float, Depends(_arrived_at)]
IdempotencyKey = Annotated[str, Depends(_given_or_new_key)]
