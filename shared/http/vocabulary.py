"""What each property and parameter of the API is, by its name, with an example of it.

A name means one thing everywhere; one that means something else in a model or at an endpoint stands
here as `Model.name` or `endpoint.name`. The OpenAPI document is completed from this table, and a test compares them.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Word(NamedTuple):
    """What a name stands for."""

    description: str
    example: Any


ID: Final = "6f1c2d1e-8a55-4d0e-9d0c-0e6b0a6f3c11"
USER: Final = "0b7c5f0e-3f0b-4a52-8d0f-0d3b1f0a9c77"
MOMENT: Final = "2026-11-22T10:00:00Z"
STORED_AT: Final = "2026-11-22T10:00:00.123456+00:00"
ROW: Final[dict[str, Any]] = {"id": ID}
PARTS: Final = [{"type": "file", "mediaType": "image/png", "url": "https://example.com/a.png"}]
FIGURES: Final[dict[str, Any]] = {"turns": 12, "completed": 11, "failed": 1}

# Who, where, when.
PLACES: Final = {
    "id": Word("The row's id.", ID),
    "userId": Word("The user whose data it is. Signed-in users name themselves or leave it out; with the service key it says who.", USER),
    "user_id": Word("The user who owns the row.", USER),
    "projectId": Word("The project that it belongs to, an id of your own.", ID),
    "project_id": Word("The project that it belongs to, an id of your own.", ID),
    "conversationId": Word("The conversation's id.", ID),
    "conversation_id": Word("The conversation's id.", ID),
    "MegaMindRequest.conversationId": Word("The conversation that goes on; without it a new one begins.", ID),
    "PlaceLegalHoldRequest.conversationId": Word("The conversation that is held; without it all of the user's are.", ID),
    "LegalHoldRow.conversation_id": Word("The conversation that is held; null holds all of the user's.", ID),
    "messageId": Word("The message's id.", ID),
    "turnId": Word("The turn's id: one accepted request and its reply.", ID),
    "turn_id": Word("The turn that wrote the row; null for rows written outside one.", ID),
    "policy_id": Word("The retention policy's id.", ID),
    "hold_id": Word("The legal hold's id.", ID),
    "seq": Word("The message's place in its conversation: 1, 2, 3 and so on, without a gap.", 2),
    "lastSeq": Word("The place of the conversation's newest message.", 2),
    "last_seq": Word("The place of the conversation's newest message.", 2),
    "created_at": Word("When the row was written.", STORED_AT),
    "createdAt": Word("When the message was written.", STORED_AT),
    "updated_at": Word("When it changed last; for a conversation, when its newest message came.", STORED_AT),
    "archived_at": Word("When it was archived; null if it isn't.", None),
    "archivedAt": Word("When its conversation was archived; null if it isn't.", None),
    "restored_at": Word("When it was restored from the archive last.", None),
    "from": Word("The range's beginning, inclusive.", "2026-11-01T00:00:00Z"),
    "to": Word("The range's end, exclusive.", "2026-12-01T00:00:00Z"),
    "start": Word("When the bucket begins.", MOMENT),
    "end": Word("When the bucket ends.", MOMENT),
    "Mark.start": Word("Where the found word begins, in characters.", 4),
    "Mark.end": Word("Where the found word ends, in characters.", 9),
}  # fmt: skip

CONVERSATIONS: Final = {
    "title": Word("The conversation's title.", "Adding two numbers"),
    "metadata": Word("Whatever you want to keep beside it, under keys of your own.", {"source": "web"}),
    "MessageRow.metadata": Word("What is known of the message; a reply's has `success`, `duration`, `intent` and more.", {"success": True, "duration": 1.2}),
    "UnstoredMessage.metadata": Word("What is known of the reply.", {"success": True, "duration": 1.2}),
    "metadata.complexity": Word("How much work it was: `simple`, `moderate` or `complex`.", "simple"),
    "intent": Word("What the user wanted: a label of a small vocabulary.", "create_function"),
    "strategy": Word("How the AI went about it.", "generate_code"),
    "error": Word("Why the AI failed, if it did.", {"type": "timeout", "message": "The AI took too long."}),
    "type": Word("A stable word for the failure.", "timeout"),
    "error.message": Word("A sentence that is safe to show.", "The AI took too long."),
    "timestamp": Word("When the row was made.", MOMENT),
    "engine": Word("The engine that answered, such as `offline` or a model's name.", "offline"),
    "imported": Word("Where an imported conversation is from; null for others.", None),
    "conversation": Word("The conversation's row.", ROW),
    "conversations": Word("The conversations' rows, newest activity first.", [ROW]),
    "archived": Word("Whether it is archived, or those that are archived are asked for.", False),
    "deleted": Word("The id of what was deleted.", ID),
    "more": Word("Whether there is more to do or to read: the same call goes on.", False),
    "DeletedConversationResponse.more": Word("Whether rows of it are still to be removed. It is hidden in either case.", False),
    "limit": Word("The most rows of a page.", 50),
    "cursor": Word("The `nextCursor` of the page before.", "eyJhIjoxfQ"),
    "nextCursor": Word("What the next page is asked for with; null on the last one.", None),
    "before": Word("Messages before this place.", 101),
    "after": Word("Messages after this place.", 50),
    "ExportAccountRequest.after": Word("Where the part before this one ended: from its `Link` header.", ID),
    "export-account.after": Word("Where the part before this one ended: from its `Link` header.", ID),
    "project-usage.after": Word("The last user of the page before.", USER),
    "ProjectUsageRequest.after": Word("The last user of the page before.", USER),
    "seen": Word("The last place that you know of: what answers has at least that one, a replica too.", 2),
    "around": Word("A message's id: the page around it.", ID),
    "messages": Word("The messages' rows, in order.", [ROW]),
    "page": Word("What there is beside this page.", {"hasOlder": False, "hasNewer": False}),
    "hasOlder": Word("Whether there are messages before this page.", False),
    "hasNewer": Word("Whether there are messages after this page.", False),
    "oldestSeq": Word("The place of the page's first message; null on an empty page.", 1),
    "newestSeq": Word("The place of the page's last message; null on an empty page.", 2),
    "role": Word("Who says it: `user`, `assistant` or `system`.", "user"),
    "UnstoredMessage.role": Word("Who says it: a reply is the assistant's.", "assistant"),
    "content": Word("The message's text.", "Write a function that adds two numbers"),
    "generated_code": Word("The code of the reply, if it has some.", "def add(a, b):\n    return a + b"),
    "MessageRow.parts": Word("Its parts, as the AI SDK's UI messages have them; empty where it is its text alone.", PARTS),
    "MegaMindRequest.parts": Word("Files and data beside the request, as parts of the AI SDK's UI messages. Text among them is the request, in its place.", PARTS),
    "UnstoredMessage.parts": Word("Its parts, as the AI SDK's UI messages have them; empty where it is its text alone.", PARTS),
    "native": Word("The message in a framework's own form, if it came with one.", {"framework": "pydantic-ai", "version": "2", "data": []}),
    "draftParts": Word("The parts of the reply so far; empty where it is text alone.", []),
    "is_summary": Word("Whether it is a summary that the service wrote for the AI.", False),
}  # fmt: skip

TURNS: Final = {
    "request": Word("What the user says to the AI.", "Write a function that adds two numbers"),
    "persistMessages": Word("Whether the request and its reply are stored.", True),
    "success": Word("Whether the AI answered; a failed turn has a stored reply, too.", True),
    "replayed": Word("Whether this is the stored answer of an earlier request with the same key.", False),
    "userMessage": Word("The stored row of the request.", ROW),
    "message": Word("The stored row of the reply.", ROW),
    "analysis": Word("How the AI read the request.", {"userIntent": {"primaryGoal": "create_function"}}),
    "userIntent": Word("What the user wants.", {"primaryGoal": "create_function"}),
    "primaryGoal": Word("A label of a small vocabulary.", "create_function"),
    "complexity": Word("How much work it is.", {"level": "simple"}),
    "level": Word("`simple`, `moderate` or `complex`.", "simple"),
    "executionStrategy": Word("How the AI went about it.", {"primaryApproach": "generate_code"}),
    "primaryApproach": Word("Such as `direct_answer` or `generate_code`.", "generate_code"),
    "filesGenerated": Word("How many files the reply has.", 1),
    "files": Word("The files of the reply.", [{"path": "add.py", "language": "python"}]),
    "duration": Word("How long the AI took, in seconds.", 1.2),
    "Figures.duration": Word("How long the AI took, in seconds.", {"measured": 11, "median": 1.2, "p95": 3.4}),
    "BucketFigures.duration": Word("How long the AI took, in seconds.", {"measured": 11, "median": 1.2, "p95": 3.4}),
    "status": Word("Whether the turn runs, or how it ended.", "completed"),
    "HealthResponse.status": Word("`ok`, or what is wrong.", "ok"),
    "CancelTurnResponse.message": Word("The reply as it was stored; null while the turn is still ending.", ROW),
    "openTurn": Word("The turn that runs in the conversation; null if none does.", None),
    "attempt": Word("Which attempt writes: it grows when another worker takes the turn over.", 1),
    "userMessageId": Word("The message that the turn answers.", ID),
    "draft": Word("The reply so far.", "def add("),
    "offset": Word("How much of the reply there is, in characters.", 8),
    "startedAt": Word("When the turn began.", STORED_AT),
    "leaseExpiresAt": Word("Until then the turn belongs to the worker that runs it.", STORED_AT),
    "isExpired": Word("Whether that worker is gone, and a retry may take the turn over.", False),
    "native": Word("The message in the form of the framework that wrote it, with its name and version; null for others.", None),
    "draftParts": Word("The reply's parts so far, if it has others than text.", []),
    "delta.text": Word("The next piece of the reply.", "def add("),
    "status.status": Word("What is going on: `accepted`, `thinking`, `generating`, `saving`, `idle` or `error`.", "generating"),
    "settled": Word("How many turns without a worker were settled.", 0),
    "Idempotency-Key": Word("One key is one effect: repeat a request under its key after any failure.", "3b0d8f6c"),
    "last-event-id": Word("The id of the last event that was read, where the stream goes on.", "1.8"),
}  # fmt: skip

FILES: Final = {
    "format": Word("What the file is.", "markdown"),
    "sources": Word("The formats that were found in the file.", ["chatgpt"]),
    "ImportReport.messages": Word("How many messages were found in the file.", 4),
    "taken": Word("The conversations that are new.", [{"conversationId": ID, "messages": 4}]),
    "updated": Word("The conversations that were here and have grown.", []),
    "skipped": Word("The conversations that were not taken, each with the reason.", []),
    "source": Word("The system that the conversation is from.", "chatgpt"),
    "sourceId": Word("The id that it has there.", "c-1"),
    "TakenConversation.messages": Word("How many of its messages were taken.", 4),
    "UpdatedConversation.messages": Word("How many messages were appended.", 2),
    "changed": Word("How many messages differ from what is here; they stay as they are here.", 0),
    "kept": Word("What was kept beside the text, by kind.", {"image": 1}),
    "leftOut": Word("What was left out, by reason.", {}),
    "reason": Word("Why.", "already_imported"),
    "LegalHoldRow.reason": Word("Why it is held.", "Case 12"),
    "PlaceLegalHoldRequest.reason": Word("Why it is held.", "Case 12"),
    "done": Word("How many messages have been taken so far.", 1000),
    "total": Word("How many messages there are in the file.", 4000),
}  # fmt: skip

SEARCH: Final = {
    "q": Word("Words, \"phrases\" in quotes, and -words that may not be there.", "heron -egret"),
    "hits": Word("What was found, best first.", [{"messageId": ID, "rank": 0.6}]),
    "rank": Word("How well it matches; larger is better.", 0.6),
    "snippet": Word("A piece of the message around what was found.", {"text": "the heron sleeps", "marks": []}),
    "text": Word("The piece's text.", "the heron sleeps"),
    "marks": Word("Where in it the found words are.", [{"start": 4, "end": 9}]),
    "hasBefore": Word("Whether the message goes on before it.", False),
    "hasAfter": Word("Whether the message goes on after it.", False),
    "parts": Word("Whether parts of words were looked for, since no whole word matched.", False),
    "truncated": Word("Whether there were more matches than were ranked.", False),
    "incomplete": Word("Whether the newest messages could not all be looked through.", False),
}  # fmt: skip

ANALYTICS: Final = {
    "bucket": Word("How long each of the buckets is.", "day"),
    "timeZone": Word("The zone whose hours, days, weeks or months are counted.", "Europe/Berlin"),
    "buckets": Word("The figures of each hour, day, week or month.", [FIGURES]),
    "totals": Word("The figures of the whole range.", FIGURES),
    "intents": Word("How many turns wanted what.", [{"name": "create_function", "turns": 7}]),
    "complexities": Word("How many turns were how much work.", [{"name": "simple", "turns": 7}]),
    "strategies": Word("How many turns went about it how.", [{"name": "generate_code", "turns": 7}]),
    "models": Word("What each model was used for.", [{"name": "offline", "turns": 12}]),
    "name": Word("What is counted.", "create_function"),
    "turns": Word("How many turns.", 12),
    "running": Word("How many still run.", 0),
    "completed": Word("How many ended with a reply.", 11),
    "failed": Word("How many ended with a failure of the AI.", 1),
    "failures": Word("How many turns failed, by reason.", {"timeout": 1}),
    "cancelled": Word("How many were stopped by their user.", 0),
    "interrupted": Word("How many lost their worker.", 0),
    "successRate": Word("The part of the ended turns that has a reply, from 0 to 1.", 0.92),
    "usage": Word("What the AI took, as its provider reports it.", {"turns": 11, "inputTokens": 900}),
    "inputTokens": Word("Tokens that the AI was given.", 900),
    "outputTokens": Word("Tokens that the AI wrote.", 300),
    "cost": Word("What that costs, if the prices are set.", 0.004),
    "persistence": Word("What persistence did.", {"replaysDeduplicated": 1, "recovered": 0}),
    "replaysDeduplicated": Word("How many retries were given what was stored.", 1),
    "recovered": Word("How many turns another worker took over.", 0),
    "timeToFirstPersist": Word("Until the request was stored, in seconds.", {"measured": 12, "median": 0.01}),
    "measured": Word("How many were measured.", 11),
    "median": Word("Half of them took less.", 1.2),
    "p95": Word("Nineteen of twenty took less.", 3.4),
    "users": Word("The users of this page.", [{"userId": USER, "turns": 12}]),
    "bytes": Word("What is stored of them, in bytes.", 120000),
    "UserUsage.conversations": Word("How many conversations they have.", 3),
    "UserUsage.messages": Word("How many messages they have.", 24),
}  # fmt: skip

RECORDS: Final = {
    "archiveAfterDays": Word("Archive what nobody wrote in for so many days; null never does.", 90),
    "archive_after_days": Word("What nobody wrote in for so many days is archived; null never is.", 90),
    "deleteAfterDays": Word("Delete what nobody wrote in for so many days; null never does.", 365),
    "delete_after_days": Word("What nobody wrote in for so many days is deleted; null never is.", 365),
    "policy": Word("The retention policy's row.", ROW),
    "policies": Word("The retention policies' rows.", [ROW]),
    "dryRun": Word("Whether it is only counted what would be done.", True),
    "most": Word("How many conversations are looked at.", 500),
    "ApplyRetentionResponse.archived": Word("How many conversations were archived.", 2),
    "ApplyRetentionResponse.deleted": Word("What was deleted.", {"conversations": 1, "messages": 8, "turns": 4}),
    "ApplyRetentionResponse.skipped": Word("How many stay because of a legal hold.", 0),
    "RemovedRows.conversations": Word("How many conversations.", 1),
    "RemovedRows.messages": Word("How many messages.", 8),
    "hold": Word("The legal hold's row.", ROW),
    "holds": Word("The legal holds' rows.", [ROW]),
    "placed_at": Word("Since when it is held.", STORED_AT),
    "released_at": Word("Until when it was held; null if it still is.", None),
    "released": Word("Whether released holds are listed, too.", False),
    "confirm": Word("The word `erase`: this can't be undone.", "erase"),
    "receiptId": Word("The erasure's receipt.", ID),
    "requestedAt": Word("When the erasure was asked for.", STORED_AT),
    "erasedAt": Word("When the last of it was gone; null while there is more to remove.", STORED_AT),
    "removed": Word("How many rows were removed.", {"conversations": 3, "messages": 24}),
    "ErasedRows.conversations": Word("How many conversations.", 3),
    "ErasedRows.messages": Word("How many messages.", 24),
    "summaries": Word("How many summaries.", 1),
    "importParts": Word("How many parts of unfinished imports.", 0),
    "held": Word("How many conversations a legal hold keeps.", 0),
    "remaining": Word("How many conversations are still to be removed.", 0),
    "deep": Word("Whether the store is asked, too.", True),
    "store": Word("`ok`, or what is wrong with the store; null if it wasn't asked.", "ok"),
    "invariants": Word("How often each invariant is broken; null if that wasn't asked.", {}),
}  # fmt: skip

ERRORS: Final = {
    "code": Word("A stable word for what went wrong.", "invalid_request"),
    "ErrorResponse.message": Word("A sentence that is safe to show.", "The request is malformed."),
    "details": Word("What exactly is wrong, if there is more to say.", [{"field": "request", "problem": "Field required"}]),
    "hint": Word("What to do about it, if that can be said.", "Did you mean `request`?"),
}  # fmt: skip

WORDS: Final[dict[str, Word]] = {
    **PLACES, **CONVERSATIONS, **TURNS, **FILES, **SEARCH, **ANALYTICS, **RECORDS, **ERRORS,
}  # fmt: skip


def word_for(name: str, owner: str) -> Word | None:
    """Return what a property of a model is, or a parameter of an endpoint."""
    return WORDS.get(f"{owner}.{name}") or WORDS.get(name)
