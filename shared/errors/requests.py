"""What is wrong with a request, or with who asks."""

from __future__ import annotations

from .base import AppError


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


class MethodNotAllowedError(AppError):
    """This address does not answer that method."""

    code = "method_not_allowed"
    status = 405


class RequestTooSlowError(AppError):
    """The request came too slowly; send it again."""

    code = "request_too_slow"
    status = 408


class PayloadTooLargeError(AppError):
    """The request body is too large."""

    code = "payload_too_large"
    status = 413


class UnsupportedMediaTypeError(AppError):
    """Send the body as uncompressed application/json."""

    code = "unsupported_media_type"
    status = 415
