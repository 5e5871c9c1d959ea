"""Everything that is answered with an error, as one tree.

AppError
├── InvalidRequestError 400
│   ├── ChecksumMismatchError
│   └── InvalidImportError
├── UnauthorizedError 401
├── ForbiddenError 403
├── NotFoundError 404
│   ├── ConversationNotFoundError
│   ├── MessageNotFoundError
│   ├── BranchNotFoundError
│   ├── TurnNotFoundError
│   ├── UserNotFoundError
│   ├── RetentionPolicyNotFoundError
│   └── LegalHoldNotFoundError
├── MethodNotAllowedError 405
├── RequestTooSlowError 408
├── TurnInProgressError 409
├── TurnSupersededError 409
├── LegalHoldError 409
├── ImportIncompleteError 409
├── PayloadTooLargeError 413
├── UnsupportedMediaTypeError 415
├── IdempotencyKeyReusedError 422
├── MessageNotEditableError 422
├── SearchTooBroadError 422
├── PdfTooLargeError 422
├── TooManyTurnsError 429
├── TooManyRequestsError 429
├── TooManyTokensError 429
├── TooManyBytesError 429
├── InternalError 500
├── PdfNotInstalledError 501
└── UnavailableError 503
    ├── ImportBusyError
    ├── PdfBusyError
    ├── SchemaBehindError
    ├── SchemaNotServedError
    ├── StoreUnavailableError
    └── ReplyNotStoredError

A class's docstring is its default public message; nothing internal is ever put into one.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar


class AppError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Any = None,
        hint: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        self.message = message or inspect.cleandoc(type(self).__doc__ or "")
        self.details = details
        self.hint = hint
        self.retry_after = retry_after
        super().__init__(self.message)

    def body(self) -> dict[str, Any]:
        """Return the answer's body, in the shape that Supabase clients know."""
        return {
            "code": self.code,
            "message": self.message,
            "details": self.details,
            "hint": self.hint,
        }

    def headers(self) -> dict[str, str]:
        """Return the headers that belong to the answer."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class InvalidRequestError(AppError):
    """The request is malformed."""

    code = "invalid_request"
    status = 400


class InvalidImportError(InvalidRequestError):
    """The file can't be imported; nothing was."""

    code = "invalid_import"


class ChecksumMismatchError(InvalidRequestError):
    """The file is not as it was exported: its checksum differs. Nothing was imported."""

    code = "checksum_mismatch"


class UnauthorizedError(AppError):
    """A valid access token is required."""

    code = "unauthorized"
    status = 401

    def headers(self) -> dict[str, str]:
        """Return the challenge that HTTP asks for beside a 401."""
        return {"WWW-Authenticate": "Bearer"}


class ForbiddenError(AppError):
    """That is not yours to do."""

    code = "forbidden"
    status = 403


class NotFoundError(AppError):
    """There is nothing at this address."""

    code = "not_found"
    status = 404


class ConversationNotFoundError(NotFoundError):
    """Conversation not found."""

    code = "conversation_not_found"


class MessageNotFoundError(NotFoundError):
    """Message not found."""

    code = "message_not_found"


class BranchNotFoundError(NotFoundError):
    """Branch not found."""

    code = "branch_not_found"


class TurnNotFoundError(NotFoundError):
    """Turn not found."""

    code = "turn_not_found"


class UserNotFoundError(NotFoundError):
    """User not found."""

    code = "user_not_found"


class RetentionPolicyNotFoundError(NotFoundError):
    """Retention policy not found."""

    code = "retention_policy_not_found"


class LegalHoldNotFoundError(NotFoundError):
    """Legal hold not found."""

    code = "legal_hold_not_found"


class MethodNotAllowedError(AppError):
    """This address does not answer that method."""

    code = "method_not_allowed"
    status = 405


class RequestTooSlowError(AppError):
    """The request came too slowly; send it again."""

    code = "request_too_slow"
    status = 408


class TurnInProgressError(AppError):
    """A turn is still running in this conversation."""

    code = "turn_in_progress"
    status = 409


class TurnSupersededError(AppError):
    """The turn has a later attempt, or has ended: nothing more of this one is stored."""

    code = "turn_superseded"
    status = 409


class LegalHoldError(AppError):
    """A legal hold keeps this from being removed."""

    code = "legal_hold"
    status = 409


class ImportIncompleteError(AppError):
    """What was imported of the file so far has been removed meanwhile; nothing more is taken."""

    code = "import_incomplete"
    status = 409


class PayloadTooLargeError(AppError):
    """The request body is too large."""

    code = "payload_too_large"
    status = 413


class UnsupportedMediaTypeError(AppError):
    """Send the body as uncompressed application/json."""

    code = "unsupported_media_type"
    status = 415


class IdempotencyKeyReusedError(AppError):
    """This idempotency key was used for another request."""

    code = "idempotency_key_reused"
    status = 422


class MessageNotEditableError(AppError):
    """This message can't be edited or regenerated."""

    code = "message_not_editable"
    status = 422


class SearchTooBroadError(AppError):
    """The search takes too long: narrow it."""

    code = "search_too_broad"
    status = 422


class PdfTooLargeError(AppError):
    """This conversation is too long to be made into a PDF; export it as markdown or JSON."""

    code = "pdf_too_large"
    status = 422


class TooManyTurnsError(AppError):
    """Too many turns."""

    code = "too_many_turns"
    status = 429


class TooManyRequestsError(AppError):
    """Too many of your requests are under way; wait until one has ended."""

    code = "too_many_requests"
    status = 429

    def __init__(self, message: str | None = None, **more: Any) -> None:
        super().__init__(message, **{"retry_after": 2, **more})


class TooManyTokensError(AppError):
    """Too many tokens this day."""

    code = "too_many_tokens"
    status = 429


class TooManyBytesError(AppError):
    """Too many bytes written this day."""

    code = "too_many_bytes"
    status = 429


class InternalError(AppError):
    """Something went wrong on our side."""

    code = "internal_error"
    status = 500


class PdfNotInstalledError(AppError):
    """This deployment can't make PDF files; ask for json or markdown."""

    code = "pdf_not_installed"
    status = 501


class UnavailableError(AppError):
    """The service is not available right now; try again."""

    code = "unavailable"
    status = 503
    seconds: ClassVar[int] = 2  # until it is worth asking again, where nothing else is said

    def __init__(self, message: str | None = None, **more: Any) -> None:
        super().__init__(message, **{"retry_after": self.seconds, **more})


class PdfBusyError(UnavailableError):
    """Other PDFs are being made right now; try again."""

    code = "pdf_busy"
    seconds = 10


class StoreUnavailableError(UnavailableError):
    """The store is not available right now; nothing was lost, try again with the same key."""

    code = "store_unavailable"


class SchemaBehindError(UnavailableError):
    """The store's schema is older than these functions: its migrations are still to be applied."""

    code = "schema_behind"
    seconds = 30


class SchemaNotServedError(UnavailableError):
    """The Data API doesn't serve the schema that these functions are set to."""

    code = "schema_not_served"

    def __init__(self, message: str | None = None, **more: Any) -> None:
        super().__init__(message, **{"retry_after": 30, **more})


class ImportBusyError(UnavailableError):
    """Other files are being read right now, or another one of yours; try again."""

    code = "import_busy"
    seconds = 10


class ReplyNotStoredError(UnavailableError):
    """The reply could not be stored yet; ask again with the same key."""

    code = "reply_not_stored"

    def __init__(
        self, message: str | None = None, *, reply: dict[str, Any] | None = None, **more: Any
    ) -> None:
        super().__init__(message, **more)
        self.reply = reply

    def body(self) -> dict[str, Any]:
        """Return the usual body with the reply beside it, so that it isn't lost on the caller."""
        return {**super().body(), "persisted": False, "reply": self.reply}
