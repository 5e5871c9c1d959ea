"""How many bytes a value takes as the store writes it."""

import json
import re
from typing import Any

import pytest

from local.settings import ROOT
from shared.encoding import sizes
from shared.encoding.sizes import cut_to_size, stored_size, text_size

SCHEMAS = ROOT / "supabase" / "schemas"


@pytest.mark.parametrize(
    "value", ['é\n"', {"a": [1, 2.5, None, True]}, [[], {}, "x"], {"k": {"n": -0.25}}]
)
def test_a_size_is_at_least_that_of_what_postgres_writes(value: Any) -> None:
    """jsonb as text has a space behind each colon and comma."""
    written = json.dumps(value, ensure_ascii=False).encode()
    assert len(written) <= stored_size(value) <= len(written) + 1


@pytest.mark.parametrize("letter", ["x", '"', "\n", "\x01", "é", "漢", "🎉"])
@pytest.mark.parametrize("room", [0, 1, 99, 100, 101, 2000])
def test_a_text_is_cut_to_as_many_letters_as_fit(letter: str, room: int) -> None:
    """And to no fewer."""
    kept = cut_to_size(letter * 300, room)
    assert len(kept) == min(300, room // text_size(letter))
    assert cut_to_size("a" + letter * 300 + "b", 10**6) == "a" + letter * 300 + "b"


def test_the_constraints_name_the_same_numbers() -> None:
    """Those of texts with their quotes."""
    sql = "".join(path.read_text() for path in SCHEMAS.glob("*.sql"))
    texts = re.findall(r"octet_length\(to_json\([^<>]*\)::text\)\s*[<>]=? (\d+)", sql)
    assert {int(number) for number in texts} == {sizes.MAX_TEXT_BYTES + 2}
    sql = sql.replace("v_metadata >", "octet_length(metadata::text) >")
    others = re.findall(r"octet_length\((?:new\.|v_)?(\w+)::text\) [<>]=? (\d{4,})", sql)
    assert {(name, int(number)) for name, number in others} == {
        ("metadata", sizes.MAX_METADATA_BYTES),
        ("metadata", sizes.MAX_GIVEN_METADATA_BYTES),
        ("imported", sizes.MAX_ORIGIN_BYTES),
        ("error", sizes.MAX_ERROR_BYTES),
        ("parts", sizes.MAX_PARTS_BYTES),
        ("native", sizes.MAX_NATIVE_BYTES),
        ("draft_parts", sizes.MAX_PARTS_BYTES + 4),
    }
    assert re.findall(r"native::text\), 0\) > (\d+)", sql) == [str(sizes.MAX_ROW_BYTES)]


def test_the_largest_row_has_room_in_a_page() -> None:
    """With its conversation, and the draft of the reply that is being written to it."""
    page = int(re.search(r"c_page_bytes constant integer := (\d+)", _api())[1])  # type: ignore[index]
    message = 2 * sizes.MAX_TEXT_BYTES + sizes.MAX_METADATA_BYTES
    assert message == sizes.MAX_ROW_BYTES
    conversation = sizes.MAX_GIVEN_METADATA_BYTES + sizes.MAX_ORIGIN_BYTES
    assert message + conversation + sizes.MAX_TEXT_BYTES + 50_000 < page


def _api() -> str:
    return (SCHEMAS / "conversations_api.sql").read_text()
