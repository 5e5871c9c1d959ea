"""Takes conversations in: our own JSON, a list of messages, or what other systems give out."""

from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import Header, Query, Response
from fastapi.responses import JSONResponse

from shared.errors import (
    ChecksumMismatchError,
    IdempotencyKeyReusedError,
    ImportBusyError,
    ImportIncompleteError,
    InvalidImportError,
    TooManyBytesError,
)
from shared.http.dependencies import CurrentCaller, CurrentContainer, CurrentRequest, GivenKey
from shared.http.error_responses import error_responses
from shared.http.routing import EndpointRouter
from shared.http.sse import event_stream, wants_events
from shared.http.stream_schema import stream_of
from shared.http.upload import received
from shared.imports.schema import REQUEST_BODY
from shared.models.base import PlainUuid
from shared.models.transfers import ImportProgress, ImportReport

router = EndpointRouter("import-conversation")

Accept = Annotated[str | None, Header(include_in_schema=False)]
MAY_FAIL = error_responses(
    InvalidImportError, ChecksumMismatchError, ImportIncompleteError, ImportBusyError,
    IdempotencyKeyReusedError, TooManyBytesError,
)  # fmt: skip
RESPONSES: dict[int | str, dict[str, Any]] = {
    **stream_of(
        progress={"$ref": "#/components/schemas/ImportProgress"},
        done={"$ref": "#/components/schemas/ImportReport"},
    ),
    202: {"model": ImportProgress, "description": "It takes longer: send the same again."},
}


@router.post(
    "",
    response_model=ImportReport,
    responses=MAY_FAIL | RESPONSES,
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def import_conversation(
    request: CurrentRequest,
    caller: CurrentCaller,
    container: CurrentContainer,
    key: GivenKey,
    user_id: Annotated[PlainUuid | None, Query(alias="userId")] = None,
    accept: Accept = None,
) -> Response:
    """Take what a file holds, and say what was taken, has grown, or was skipped.

    Importing a file again adds nothing: it is known by what it says it is, a plain list by its
    Idempotency-Key or else by its content. As a stream: `progress {done, total}` in messages, both
    0 while the file is read, then `done` with the report, or `error`. As JSON: the report, or 202
    with the progress where that takes longer than 45 seconds. The same file with the same key goes
    on where it stopped, for an hour; with an Idempotency-Key its report comes again, too. A user
    sends one file at a time.
    """
    owner = caller.acting_for(user_id)
    importer = container.importer
    async with AsyncExitStack() as held:
        await held.enter_async_context(container.shares.uploads.taken_by(owner))
        upload = await held.enter_async_context(
            received(request, limit=container.settings.max_import_bytes)
        )
        job = importer.begin(
            upload.content,
            is_zip=upload.is_zip,
            user_id=owner,
            caller=caller,
            key=key,
            until_read=held.pop_all(),
        )
    if wants_events(accept):
        return event_stream(job.events())
    last = await job.run()
    if last.name == "done":
        return Response(last.data, media_type="application/json")
    return JSONResponse(last.data, status_code=202, headers={"Retry-After": "1"})
