"""Makes an ASGI application of one endpoint or of all: the same layer around each."""

from __future__ import annotations

import gc
import inspect
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING

import structlog
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Match

from ..config import Settings, load_settings
from ..container import Container
from ..errors import AppError, InvalidRequestError, MethodNotAllowedError, NotFoundError
from ..observability import telemetry
from ..observability.logs import configure_logging
from ..turns.failpoints import arm
from .api_docs import serve_api_docs
from .error_responses import error_responses
from .hints import hint_for
from .limits import limits_in_force
from .middleware import CatchAll, RequestContext, TurnsBeforeEnd
from .openapi import DocumentedApp
from .signed_forwarding import ForwardedOnly

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from fastapi import APIRouter, FastAPI
    from fastapi.routing import APIRoute
    from fastapi.telemetry import TelemetryConfig
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from ..ai.protocol import Engine

log = structlog.get_logger(__name__)

PREFIX = "/functions/v1"
DESCRIPTION = """\
Stores every conversation between a user and an AI. Send the signed-in user's access token as
`Authorization: Bearer ...`. Errors have one shape everywhere: `code`, `message`, `details`, `hint`.
"""
# FastAPI's own would export queries, and what was wrong with a body. Ours is shared.observability.
NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
CORS_HEADERS = ["authorization", "apikey", "content-type", "idempotency-key", "last-event-id"]
CORS_HEADERS += ["x-client-info", "x-request-id", "x-retry-count", "x-region"]
CORS_HEADERS += ["traceparent", "tracestate", "baggage"]  # supabase-js sends them inside a trace


def create_app(
    *routers: APIRouter,
    settings: Settings | None = None,
    engine: Engine | None = None,
    prepare: Callable[[Container], object] | None = None,
) -> FastAPI:
    """Return an application that serves these routers under /functions/v1 and at the root.

    Settings are read from the environment at start-up unless given. `prepare` runs then too: what
    an endpoint needs that others don't.
    """

    @cache
    def chosen_settings() -> Settings:
        return settings or load_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        chosen = chosen_settings()
        configure_logging(chosen.log_level)
        telemetry.start(chosen)
        arm(chosen.crash_point)
        container = Container(chosen, engine=engine)
        app.state.container = container
        container.authenticator  # noqa: B018 - what it imports doesn't cost the first request
        app.state.prepare(container)
        # What start-up made stays: to look through it would stall turns for tens of milliseconds.
        gc.freeze()
        log.info("started", engine=container.engine_name)
        async with limits_in_force(container.persistence, chosen):
            yield
        await container.aclose()
        telemetry.stop()

    app = DocumentedApp(
        title="Message persistence",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url=None,  # served by shared.http.api_docs, as is the page that shows it
        telemetry=NO_TELEMETRY,
        redirect_slashes=False,  # a redirect would name the host behind the gateway
        middleware=[
            Middleware(RequestContext),
            Middleware(_Cors, settings=chosen_settings),
            Middleware(
                ForwardedOnly, prefix=PREFIX, secrets=lambda: chosen_settings().forward_secrets
            ),
            Middleware(TurnsBeforeEnd),
            Middleware(CatchAll),
        ],
        exception_handlers={
            AppError: _answer_app_error,
            RequestValidationError: _answer_invalid_request,
            HTTPException: _answer_http_exception,
        },
    )
    app.state.prepare = prepare or (lambda _: None)
    serve_api_docs(app, prefix=PREFIX, is_on=lambda: chosen_settings().api_docs)
    for router in routers:
        app.include_router(router, prefix=PREFIX, responses=error_responses())
        app.include_router(router, include_in_schema=False)
    return app


def _Cors(app: ASGIApp, settings: Callable[[], Settings]) -> CORSMiddleware:  # noqa: N802 - used as a class
    """Answer preflights. The origins come with the settings, which are read at start-up."""
    return CORSMiddleware(
        app,
        allow_origins=settings().cors_origins,
        allow_methods=[*METHODS, "OPTIONS"],
        allow_headers=CORS_HEADERS,
        expose_headers=["x-request-id", "retry-after", "content-disposition", "link"],
        max_age=600,
    )


async def _answer_app_error(_: Request, exc: Exception) -> JSONResponse:
    if not isinstance(exc, AppError):
        raise exc
    return JSONResponse(exc.body(), exc.status, headers=exc.headers())


async def _answer_invalid_request(request: Request, exc: Exception) -> JSONResponse:
    if not isinstance(exc, RequestValidationError):
        raise exc
    problems = [
        {"field": ".".join(str(part) for part in error["loc"][1:]), "problem": error["msg"]}
        for error in exc.errors()[:20]
    ]
    hint = hint_for(exc.errors()[:20], _fields_of(request))
    return await _answer_app_error(request, InvalidRequestError(details=problems, hint=hint))


def _fields_of(request: Request) -> set[str]:
    """Return the fields that the request's body or query may have."""
    route: APIRoute = request.scope["route"]
    fields = [route.body_field] if route.body_field else route.dependant.query_params
    models = [field.field_info.annotation for field in fields]
    return {
        info.alias or name
        for model in models
        if inspect.isclass(model) and issubclass(model, BaseModel)
        for name, info in model.model_fields.items()
    }


async def _answer_http_exception(request: Request, exc: Exception) -> JSONResponse:
    """Translate what the framework itself refuses."""
    if not isinstance(exc, HTTPException):
        raise exc
    known: dict[int, type[AppError]] = {404: NotFoundError, 405: MethodNotAllowedError}
    answer = await _answer_app_error(request, known.get(exc.status_code, InvalidRequestError)())
    if exc.status_code == MethodNotAllowedError.status:
        answer.headers["Allow"] = ", ".join(_methods_at(request))
    return answer


def _methods_at(request: Request) -> list[str]:
    """Return what an address does answer: each of its methods may be a route of its own."""
    return [
        method
        for method in METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]
