"""Takes conversations in: our own JSON, a list of messages, or what other systems give out."""

from typing import Annotated, Any

from fastapi import Header, Query, Request, Response

from shared.http.dependencies import CurrentCaller, CurrentContainer, GivenKey
from shared.http.routing import EndpointRouter
from shared.http.sse import event_stream, wants_events
from shared.http.upload import received
from shared.imports.schema import REQUEST_BODY
from shared.models.base import PlainUuid
from shared.models.transfers import ImportReport

router = EndpointRouter("import-conversation")

Accept = Annotated[str | None, Header(include_in_schema=False)]
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}


@router.post(
    "",
    response_model=ImportReport,
    responses=STREAM,
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def import_conversation(
    request: Request,
    caller: CurrentCaller,
    container: CurrentContainer,
    key: GivenKey,
    user_id: Annotated[PlainUuid | None, Query(alias="userId")] = None,
    accept: Accept = None,
) -> ImportReport | Response:
    """Take all that a file holds, or nothing, and say what was taken, has grown, or was skipped.

    Importing a file again adds nothing: it is known by what it says it is, a plain list by its
    Idempotency-Key or else by its content. As a stream: `progress {done, total}` in messages, then
    `done` with the report, or `error`. A client that goes away before `done` may have imported
    nothing: send the file again. A user sends one file at a time.
    """
    owner = caller.acting_for(user_id)
    async with (
        container.shares.uploads.taken_by(owner),
        received(request, limit=container.settings.max_import_bytes) as upload,
    ):
        job = await container.importer.read(
            upload.content, is_zip=upload.is_zip, user_id=owner, caller=caller, key=key
        )
    return event_stream(job.events()) if wants_events(accept) else await job.run()
