"""What is wrong on our side."""

from __future__ import annotations

from typing import Any, ClassVar

from .base import AppError


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
    reason: str | None = None  # for whoever runs the service, and no caller


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
