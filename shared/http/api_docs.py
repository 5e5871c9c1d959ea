"""The API's own documentation: the OpenAPI document, and Swagger UI from a package, not a CDN."""

from __future__ import annotations

import secrets
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, JSONResponse, Response

from ..errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI
    from starlette.requests import Request

ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
# Swagger UI sets styles on its elements. It talks to this service alone, and runs no other script.
POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="swagger-ui"></div>
<script nonce="{nonce}" src="docs/swagger-ui-bundle.js"></script>
<script nonce="{nonce}">
  SwaggerUIBundle({{ url: "openapi.json", dom_id: "#swagger-ui" }});
</script>
</html>
"""


def serve_api_docs(app: FastAPI, *, prefix: str, is_on: Callable[[], bool]) -> None:
    """Serve `openapi.json` and `docs` under the prefix: 404 unless they are on."""

    async def document(_: Request) -> Response:
        _require(is_on())
        return JSONResponse(app.openapi())

    async def page(_: Request) -> Response:
        _require(is_on())
        nonce = secrets.token_urlsafe(16)
        html = PAGE.format(title=app.title, nonce=nonce)
        policy = POLICY.format(nonce=nonce)
        return HTMLResponse(html, headers={"Content-Security-Policy": policy})

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        _require(is_on() and name in ASSETS)
        content = files("fastapi_swagger").joinpath("resources", name).read_bytes()
        headers = {"Cache-Control": "public, max-age=86400"}
        return Response(content, media_type=ASSETS[name], headers=headers)

    for path, handler in (("openapi.json", document), ("docs", page), ("docs/{name}", asset)):
        app.add_route(f"{prefix}/{path}", handler, include_in_schema=False)


def _require(is_served: bool) -> None:  # noqa: FBT001 - a guard
    if not is_served:
        raise NotFoundError
