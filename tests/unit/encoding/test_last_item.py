"""A list of which only the last item is parsed."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.encoding.last_item import keep_last
from shared.encoding.strict import parse_json
from shared.errors import InvalidRequestError

TEXT = st.text('ab"\\[{,]}é\n', max_size=5)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXT, JSON, max_size=3), st.lists(JSON), st.booleans(), st.data())
def test_the_last_item_is_left_and_everything_else(
    beside: dict[str, object], items: list[object], is_ascii: bool, data: st.DataObject
) -> None:
    """Whatever stands in the items, wherever the list stands, and however it is laid out."""
    fields = [*beside.items()]
    fields.insert(data.draw(st.integers(0, len(fields))), ("messages", items))
    indent = data.draw(st.sampled_from([None, 0, 2]))
    content = json.dumps(dict(fields), ensure_ascii=is_ascii, indent=indent).encode()
    assert parse_json(keep_last(content, "messages")) == dict(fields) | {"messages": items[-1:]}


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{}", b"null", b"1", b'{"messages": 1}', b'{"messages": {"messages": [1, 2]}}',
        b'{"other": [1, 2]}', b'{"messages": []}', b'\xff',
    ],
)  # fmt: skip
def test_what_has_no_such_list_stays_as_it_is(content: bytes) -> None:
    """Also what is no JSON: whoever parses it refuses it."""
    kept = keep_last(content, "messages")
    assert kept in {content, content.decode(errors="ignore")}


@pytest.mark.promise("strict input")
@pytest.mark.parametrize(
    "content",
    [
        b'{"messages": [NaN, 1]}', b'{"messages": [-Infinity, 1]}', b'{"messages": [{,}, 1]}',
        b'{"messages": [01, 1]}', b'{"messages": ["\n", 1]}', b'{"messages": [1 2, 1]}',
        b'{"messages": [1, 2,]}', b'{"messages": [, 2]}', b'{"messages": [1, 2}',
        b'{"messages": [1], "messages": [2]}', b'{"messages": [1], "messag\\u0065s": [2]}',
        b'{"messages": [1, {"a": 1, "a": 2}]}', b'{"messages": [1], "a": 1, "a": 2}',
        b'{"messages": [1], "x": "\\u0000"}', b'{"messages": [1, "\\ud800"]}',
        b'{"messages": [1, 2]} 3', b'{"messages": ["\xff", 1]}', b"\xef\xbb\xbf{}",
        b'{"messages": [1, ' + b"2" * 5000 + b"]}",
    ],
)  # fmt: skip
def test_what_would_be_refused_whole_is_refused(content: bytes) -> None:
    """What is skipped is JSON, and what is left is read as strictly as ever."""
    with pytest.raises(InvalidRequestError):
        parse_json(keep_last(content, "messages"))


def test_what_is_skipped_is_not_held_to_what_is_stored() -> None:
    """Its numbers, its keys and its texts go nowhere; there may be any number of values."""
    skipped = b"9" * 5000 + b', {"a": 1, "a": 2}, "\\u0000", "\\ud800", ' + b"[]," * 30_000
    assert parse_json(keep_last(b'{"messages": [' + skipped + b"7]}", "messages")) == {
        "messages": [7]
    }


@pytest.mark.parametrize(
    "item", [b"[],", b"{},", b"1,", b'"",', b'{"a":[{}]},'], ids=["lists", "objects", *"123"]
)
def test_skipping_takes_no_more_memory_than_the_text_and_one_item(item: bytes) -> None:
    """However many items there are."""
    content = b'{"messages": [' + item * (100_000 // len(item)) + b"1]}"
    tracemalloc.start()
    keep_last(content, "messages")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 * len(content)
