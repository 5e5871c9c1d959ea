"""An endpoint's routes: the caller is verified, then the body is read strictly, then it is handled.

In that order, so that a stranger learns nothing about what a valid body would be.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import AsyncExitStack
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import WrapValidator
from starlette.routing import Match

from ..encoding.last_item import keep_last
from ..encoding.strict import REQUEST, SHORTENED, parse_json
from ..errors import InvalidRequestError, PayloadTooLargeError
from ..models.base import RequestBody
from .dependencies import Read, container_of, own_place
from .openapi import BEARER
from .request_body import LARGE_BYTES, read_body, require_plain_json

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from fastapi.dependencies.models import Dependant
    from starlette.responses import Response
    from starlette.types import Scope

    from ..auth.caller import Caller
    from ..container import Container

MAX_FIELDS = 100  # of a request; what is wrong with each of them is found before any is reported
FOR_THE_PLATFORM = {"forceFunctionRegion"}  # Supabase's clients say so where a function is to run


class CheckedRequest(Request):
    """A request whose body was read and parsed already."""

    checked_json: Any = None

    async def body(self) -> bytes:
        """Say that there was one: it need not be kept beside what it holds."""
        return b"parsed"

    async def json(self) -> Any:
        """Return what was parsed."""
        return self.checked_json


class CheckedRoute(APIRoute):
    """A route for verified callers with strict JSON bodies."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler behind the checks."""
        handle = super().get_route_handler()
        reads: dict[str, Read] = getattr(self.endpoint, "reads", {})
        takes: Any = self.body_field and self.body_field.field_info.annotation
        names = _query_names(self.dependant)

        async def checked(request: Request) -> Response:
            container = container_of(request)
            request.state.caller = await _caller(request, container)
            until_sent: AsyncExitStack = request.scope["fastapi_inner_astack"]  # FastAPI's own
            await until_sent.enter_async_context(own_place(request, container.shares.requests))
            request.state.read = {name: its.read(request) for name, its in reads.items()}
            if len(request.query_params) < len(set(request.query_params.multi_items())):
                raise InvalidRequestError("The query gives a parameter two values.")
            if names is not None:
                _refuse_unknown(request.query_params.keys() - names - FOR_THE_PLATFORM)
            return await handle(await _check_body(request, container, takes) if takes else request)

        return checked


class EndpointRouter(APIRouter):
    """The routes of one endpoint, at the address that is its name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            prefix=f"/{name}",
            tags=[name],
            route_class=CheckedRoute,
        )

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Say at once where an address isn't this endpoint's: no pattern of a route is tried."""
        return super().matches(scope) if self.prefix in scope["path"] else (Match.NONE, {})

    def add_api_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: Iterable[str] | None = None,
        **options: Any,
    ) -> None:
        """Add a route for each method: GET takes a request as its query, the others as a body."""
        options["openapi_extra"] = {**(options.get("openapi_extra") or {}), **BEARER}
        for method in methods or ["GET"]:
            handler = _with_query(endpoint) if method == "GET" else endpoint
            super().add_api_route(path, _with_read(handler), methods=[method], **options)


def _with_read(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return the handler for FastAPI to give it all but what its route reads out of the request.

    The request itself is FastAPI's to one parameter alone: a handler asks for CurrentRequest.
    """
    signature = inspect.signature(handler, eval_str=True)
    reads = {
        parameter.name: its
        for parameter in signature.parameters.values()
        for its in getattr(parameter.annotation, "__metadata__", ())
        if isinstance(its, Read)
    }

    @wraps(handler)
    async def with_read(http_request: Request, **arguments: Any) -> Any:
        return await handler(**arguments, **http_request.state.read)

    others = [its for name, its in signature.parameters.items() if name not in reads]
    itself = inspect.Parameter(
        "http_request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request
    )
    with_read.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[itself, *others]
    )
    with_read.reads = reads  # type: ignore[attr-defined]
    return with_read


def _with_query(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return the handler for FastAPI to give it its request out of the query."""
    signature = inspect.signature(handler, eval_str=True)

    @wraps(handler)
    async def by_query(**arguments: Any) -> Any:
        return await handler(**arguments)

    by_query.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[
            parameter.replace(annotation=_in_query(parameter.annotation))
            for parameter in signature.parameters.values()
        ]
    )
    return by_query


def _in_query(annotation: Any) -> Any:
    """Return how a request is read out of a query, where a number or a flag is text like all."""
    if not (inspect.isclass(annotation) and issubclass(annotation, RequestBody)):
        return annotation
    from_text = WrapValidator(
        lambda values, _: annotation.model_validate_strings(
            {name: value for name, value in values.items() if name not in FOR_THE_PLATFORM}
        )
    )
    return Annotated[annotation, from_text, Query()]


def _query_names(dependant: Dependant) -> set[str] | None:
    """Return the parameters that a query may have; None where a model says so itself."""
    fields = dependant.query_params
    if any(isinstance(field.field_info.annotation, type(RequestBody)) for field in fields):
        return None
    needed = (_query_names(each) or () for each in dependant.dependencies)
    return {field.alias for field in fields}.union(*needed)


def _refuse_unknown(names: set[str]) -> None:
    unknown = [
        {"type": "extra_forbidden", "loc": ("query", name), "msg": "Extra inputs are not permitted"}
        for name in sorted(names)
    ]
    if unknown:
        raise RequestValidationError(unknown)


async def _caller(request: Request, container: Container) -> Caller | None:
    """Return the verified caller; None for a stranger where the demo lets strangers in."""
    shows_nothing = not {"authorization", "apikey"} & set(request.headers.keys())
    if shows_nothing and container.settings.allow_anonymous_demo:
        return None
    return await container.authenticator.caller(request.headers)


async def _check_body(
    request: Request, container: Container, takes: type[RequestBody]
) -> CheckedRequest:
    require_plain_json(request)
    checked = CheckedRequest(request.scope, request.receive)
    place = own_place(request, container.shares.large_bodies)
    async with AsyncExitStack() as until_parsed:
        try:
            body = await read_body(
                request,
                limit=container.settings.max_body_bytes,
                before_large=partial(until_parsed.enter_async_context, place),
                rules=SHORTENED if takes.LAST_ALONE else REQUEST,
            )
        except (PayloadTooLargeError, InvalidRequestError) as exc:
            exc.hint = exc.hint or takes.TOO_LARGE_HINT
            raise
        is_large = len(body) > LARGE_BYTES  # one is parsed in a thread: no other waits for it
        parsing = asyncio.to_thread(_parse, body, takes.LAST_ALONE) if is_large else None
        checked.checked_json = await parsing if parsing else _parse(body, takes.LAST_ALONE)
    return checked


def _parse(body: bytes, last_alone: str | None) -> Any:
    value = parse_json(body if last_alone is None else keep_last(body, last_alone))
    if isinstance(value, dict) and len(value) > MAX_FIELDS:
        raise InvalidRequestError(f"The request body has more than {MAX_FIELDS} fields.")
    return value
