"""What can't be done as things are."""

from __future__ import annotations

from .base import AppError


class TurnInProgressError(AppError):
    """A turn is still running in this conversation."""

    code = "turn_in_progress"
    status = 409

    @property
    def retryable(self) -> bool:
        """Once it has ended."""
        return True


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
