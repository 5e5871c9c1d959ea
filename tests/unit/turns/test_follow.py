"""The place in a draft that a client comes back with."""

import pytest

from shared.errors import InvalidRequestError
from shared.turns.follow import START, Place, place_from


@pytest.mark.parametrize(
    ("sent_id", "place"),
    [
        (None, START),
        ("", START),
        ("1.0", Place(0, 1)),
        ("3.42", Place(42, 3)),
        ("42", Place(42, None)),
    ],
)
def test_the_last_id_is_the_place_to_go_on_from(sent_id: str | None, place: Place) -> None:
    """Without one, from the beginning; an offset alone is of whichever attempt there is."""
    assert place_from(sent_id) == place


@pytest.mark.parametrize("sent_id", ["-1", "x", "1.", ".5", "1.2.3", "None.1", "٣", "9" * 16, "1 "])
def test_an_id_that_was_never_given_is_refused(sent_id: str) -> None:
    """As a request that is malformed."""
    with pytest.raises(InvalidRequestError):
        place_from(sent_id)
