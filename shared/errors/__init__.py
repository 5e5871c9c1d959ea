"""Everything that is answered with an error, as one tree.

A class's docstring is its default public message; nothing internal is ever put into one. Beside its
name stand its code, its HTTP status and after how many seconds to ask again: what isn't said is as
of the class above it.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator


class AppError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    seconds: ClassVar[int | None] = None

    def __init_subclass__(
        cls, *, code: str | None = None, status: int | None = None, retry_after: int | None = None
    ) -> None:
        cls.code = code or cls.code
        cls.status = status or cls.status
        cls.seconds = retry_after or cls.seconds

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
        self.retry_after = retry_after or self.seconds
        super().__init__(self.message)

    @property
    def retryable(self) -> bool:
        """Whether the same call, under the same key, may succeed later."""
        return self.status in {408, 429, 500, 503}

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


# What is wrong with a request, or with who asks.
class InvalidRequestError(AppError, code="invalid_request", status=400):
    """The request is malformed."""


class InvalidImportError(InvalidRequestError, code="invalid_import"):
    """The file can't be imported; nothing was."""


class ChecksumMismatchError(InvalidRequestError, code="checksum_mismatch"):
    """The file is not as it was exported: its checksum differs. Nothing was imported."""


class UnauthorizedError(AppError, code="unauthorized", status=401):
    """A valid access token is required."""

    def headers(self) -> dict[str, str]:
        """Return the challenge that HTTP asks for beside a 401."""
        return {"WWW-Authenticate": "Bearer"}


class ForbiddenError(AppError, code="forbidden", status=403):
    """That is not yours to do."""


class MethodNotAllowedError(AppError, code="method_not_allowed", status=405):
    """This address does not answer that method."""


class RequestTooSlowError(AppError, code="request_too_slow", status=408):
    """The request came too slowly; send it again."""


class PayloadTooLargeError(AppError, code="payload_too_large", status=413):
    """The request body is too large."""


class UnsupportedMediaTypeError(AppError, code="unsupported_media_type", status=415):
    """Send the body as uncompressed application/json."""


# What isn't there, or is somebody else's: the same answer.
class NotFoundError(AppError, code="not_found", status=404):
    """There is nothing at this address."""


class ConversationNotFoundError(NotFoundError, code="conversation_not_found"):
    """Conversation not found."""


class MessageNotFoundError(NotFoundError, code="message_not_found"):
    """Message not found."""


class BranchNotFoundError(NotFoundError, code="branch_not_found"):
    """Branch not found."""


class TurnNotFoundError(NotFoundError, code="turn_not_found"):
    """Turn not found."""


class UserNotFoundError(NotFoundError, code="user_not_found"):
    """User not found."""


class RetentionPolicyNotFoundError(NotFoundError, code="retention_policy_not_found"):
    """Retention policy not found."""


class LegalHoldNotFoundError(NotFoundError, code="legal_hold_not_found"):
    """Legal hold not found."""


# What can't be done as things are.
class TurnInProgressError(AppError, code="turn_in_progress", status=409):
    """A turn is still running in this conversation."""

    @property
    def retryable(self) -> bool:
        """Once it has ended."""
        return True


class TurnSupersededError(AppError, code="turn_superseded", status=409):
    """The turn has a later attempt, or has ended: nothing more of this one is stored."""


class LegalHoldError(AppError, code="legal_hold", status=409):
    """A legal hold keeps this from being removed."""


class ImportIncompleteError(AppError, code="import_incomplete", status=409):
    """What was imported of the file so far has been removed meanwhile; nothing more is taken."""


class IdempotencyKeyReusedError(AppError, code="idempotency_key_reused", status=422):
    """This idempotency key was used for another request."""


class MessageNotEditableError(AppError, code="message_not_editable", status=422):
    """This message can't be edited or regenerated."""


class SearchTooBroadError(AppError, code="search_too_broad", status=422):
    """The search takes too long: narrow it."""


class PdfTooLargeError(AppError, code="pdf_too_large", status=422):
    """This conversation is too long to be made into a PDF; export it as markdown or JSON."""


# What its user has no more of for now.
class TooManyTurnsError(AppError, code="too_many_turns", status=429):
    """Too many turns."""


class TooManyRequestsError(AppError, code="too_many_requests", status=429, retry_after=2):
    """Too many of your requests are under way; wait until one has ended."""


class TooManyTokensError(AppError, code="too_many_tokens", status=429):
    """Too many tokens this day."""


class TooManyBytesError(AppError, code="too_many_bytes", status=429):
    """Too many bytes written this day."""


# What is wrong on our side.
class InternalError(AppError, code="internal_error"):
    """Something went wrong on our side."""


class PdfNotInstalledError(AppError, code="pdf_not_installed", status=501):
    """This deployment can't make PDF files; ask for json or markdown."""


class UnavailableError(AppError, code="unavailable", status=503, retry_after=2):
    """The service is not available right now; try again."""


class PdfBusyError(UnavailableError, code="pdf_busy", retry_after=10):
    """Other PDFs are being made right now; try again."""


class StoreUnavailableError(UnavailableError, code="store_unavailable"):
    """The store is not available right now; nothing was lost, try again with the same key."""

    reason: str | None = None  # for whoever runs the service, and no caller


class SchemaBehindError(UnavailableError, code="schema_behind", retry_after=30):
    """The store's schema is older than these functions: its migrations are still to be applied."""


class SchemaNotServedError(UnavailableError, code="schema_not_served", retry_after=30):
    """The Data API doesn't serve the schema that these functions are set to."""


class ImportBusyError(UnavailableError, code="import_busy", retry_after=10):
    """Other files are being read right now, or another one of yours; try again."""


class ReplyNotStoredError(UnavailableError, code="reply_not_stored"):
    """The reply could not be stored yet; ask again with the same key."""

    def __init__(
        self, message: str | None = None, *, reply: dict[str, Any] | None = None, **more: Any
    ) -> None:
        super().__init__(message, **more)
        self.reply = reply

    def body(self) -> dict[str, Any]:
        """Return the usual body with the reply beside it, so that it isn't lost on the caller."""
        return {**super().body(), "persisted": False, "reply": self.reply}


def every_error(base: type[AppError] = AppError) -> Iterator[type[AppError]]:
    """Yield each class of the tree."""
    for error in base.__subclasses__():
        yield error
        yield from every_error(error)
