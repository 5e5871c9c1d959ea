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

from .base import (
    AppError,
)
from .limits import (
    TooManyBytesError,
    TooManyRequestsError,
    TooManyTokensError,
    TooManyTurnsError,
)
from .missing import (
    BranchNotFoundError,
    ConversationNotFoundError,
    LegalHoldNotFoundError,
    MessageNotFoundError,
    NotFoundError,
    RetentionPolicyNotFoundError,
    TurnNotFoundError,
    UserNotFoundError,
)
from .refusals import (
    IdempotencyKeyReusedError,
    ImportIncompleteError,
    LegalHoldError,
    MessageNotEditableError,
    PdfTooLargeError,
    SearchTooBroadError,
    TurnInProgressError,
    TurnSupersededError,
)
from .requests import (
    ChecksumMismatchError,
    ForbiddenError,
    InvalidImportError,
    InvalidRequestError,
    MethodNotAllowedError,
    PayloadTooLargeError,
    RequestTooSlowError,
    UnauthorizedError,
    UnsupportedMediaTypeError,
)
from .service import (
    ImportBusyError,
    InternalError,
    PdfBusyError,
    PdfNotInstalledError,
    ReplyNotStoredError,
    SchemaBehindError,
    SchemaNotServedError,
    StoreUnavailableError,
    UnavailableError,
)

__all__ = [
    "AppError",
    "BranchNotFoundError",
    "ChecksumMismatchError",
    "ConversationNotFoundError",
    "ForbiddenError",
    "IdempotencyKeyReusedError",
    "ImportBusyError",
    "ImportIncompleteError",
    "InternalError",
    "InvalidImportError",
    "InvalidRequestError",
    "LegalHoldError",
    "LegalHoldNotFoundError",
    "MessageNotEditableError",
    "MessageNotFoundError",
    "MethodNotAllowedError",
    "NotFoundError",
    "PayloadTooLargeError",
    "PdfBusyError",
    "PdfNotInstalledError",
    "PdfTooLargeError",
    "ReplyNotStoredError",
    "RequestTooSlowError",
    "RetentionPolicyNotFoundError",
    "SchemaBehindError",
    "SchemaNotServedError",
    "SearchTooBroadError",
    "StoreUnavailableError",
    "TooManyBytesError",
    "TooManyRequestsError",
    "TooManyTokensError",
    "TooManyTurnsError",
    "TurnInProgressError",
    "TurnNotFoundError",
    "TurnSupersededError",
    "UnauthorizedError",
    "UnavailableError",
    "UnsupportedMediaTypeError",
    "UserNotFoundError",
]
