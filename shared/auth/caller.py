"""A verified caller, and whom they may act for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import ForbiddenError, InvalidRequestError

if TYPE_CHECKING:
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified caller: a signed-in user with their token, or the service itself."""

    user_id: UUID | None
    token: str | None

    @property
    def is_service(self) -> bool:
        """Whether the caller holds a secret key rather than a user's token."""
        return self.user_id is None

    def acting_for(self, claimed: UUID | None) -> UUID:
        """Return the user this request is for: the one place that decides whose data it is about.

        A user may only name themselves (ForbiddenError); the service must name someone
        (InvalidRequestError).
        """
        if self.user_id is None:
            if claimed is None:
                raise InvalidRequestError("With the service key, say whose: userId.")
            return claimed
        if claimed is not None and claimed != self.user_id:
            raise ForbiddenError("userId is not the signed-in user.")
        return self.user_id


SERVICE: Final = Caller(user_id=None, token=None)
