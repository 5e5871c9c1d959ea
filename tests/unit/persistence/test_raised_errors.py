"""Every error that our SQL functions raise, passed on without its details and hint."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest
import respx

from shared.errors import AppError, TooManyTurnsError
from shared.persistence.data_api import DataApi
from shared.persistence.http_pool import create_pool
from shared.persistence.rpc import Store
from shared.shares import StorePlaces
from tests.support.unit_settings import URL, unit_settings

SCHEMAS = Path(__file__).parents[3] / "supabase" / "schemas"
RAISE = re.compile(r"raise exception\s+'((?:[^']|'')*)'(.*?);", re.DOTALL)
SETTING = re.compile(r"(errcode|detail|hint) = '(\w*)")
SECONDS = 7


class Raised(NamedTuple):
    """One `raise` of the schema: its SQLSTATE, its word, and the sentence as it goes out."""

    where: str
    sqlstate: str
    word: str
    sentence: str


def raised_in(path: Path) -> list[Raised]:
    """Read the raises of a file."""
    found = []
    for sentence, rest in RAISE.findall(path.read_text()):
        settings = dict(SETTING.findall(rest))
        shown = sentence.replace("''", "'").replace("%", str(SECONDS))
        assert "hint" not in rest, f"{path.name}: a hint may be left out: {sentence}"
        found.append(Raised(path.name, settings["errcode"], settings.get("detail", ""), shown))
    return found


EVERY = [raised for path in sorted(SCHEMAS.glob("*.sql")) for raised in raised_in(path)]


@pytest.mark.parametrize("raised", EVERY, ids=lambda raised: f"{raised.where}-{raised.sentence}")
async def test_an_error_is_understood_by_its_sqlstate_and_its_sentence(raised: Raised) -> None:
    """Without details and hint, which PostgREST 16 can leave out."""
    answer = {"code": raised.sqlstate, "message": raised.sentence}
    status = int(raised.sqlstate[2:]) if raised.sqlstate.startswith("PT") else 400
    settings = unit_settings()
    with respx.mock:
        respx.post(f"{URL}/rest/v1/rpc/a_function").respond(status, json=answer)
        async with create_pool(settings) as pool:
            store = Store(DataApi(settings, pool), timeout=5, places=StorePlaces(10))
            with pytest.raises(AppError) as caught:
                await store.call("a_function", {}, caller=None)
    assert caught.value.code == (raised.word or "invalid_request")
    if isinstance(caught.value, TooManyTurnsError):
        assert caught.value.retry_after == SECONDS


def test_the_schema_was_read() -> None:
    """Every `raise exception` in it, however it is laid out."""
    text = "".join(path.read_text() for path in SCHEMAS.glob("*.sql"))
    assert len(EVERY) == text.count("raise exception") > 30
