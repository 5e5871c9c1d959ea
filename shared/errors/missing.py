"""What isn't there, or is somebody else's: the same answer."""

from __future__ import annotations

from .base import AppError


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
