"""What each property and parameter of the API is, by its name, with an example of it.

A name means one thing everywhere; one that means something else in a model or at an endpoint stands
here as `Model.name` or `endpoint.name`. The OpenAPI document is completed from these tables, and a
test compares them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .chats import CONVERSATIONS, PLACES, TURNS
from .records import ANALYTICS, ERRORS, FILES, RECORDS, SEARCH

if TYPE_CHECKING:
    from .word import Word

WORDS: Final[dict[str, Word]] = {
    **PLACES, **CONVERSATIONS, **TURNS, **FILES, **SEARCH, **ANALYTICS, **RECORDS, **ERRORS,
}  # fmt: skip


def word_for(name: str, owner: str) -> Word | None:
    """Return what a property of a model is, or a parameter of an endpoint."""
    return WORDS.get(f"{owner}.{name}") or WORDS.get(name)
