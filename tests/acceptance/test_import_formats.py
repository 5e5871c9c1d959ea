"""What comes in, of every format, goes out again: the same, and with all of its words."""

import io
import json
import re
import zipfile
from typing import Any

from tests.support.imported import DATA, case
from tests.support.provider_files import lines_of
from tests.support.users import User

ZIP = {"content-type": "application/zip"}


def all_cases() -> bytes:
    """Return one zip with every file of tests/data/imports that isn't one."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as opened:
        for path in sorted(DATA.glob("*.json*")):
            opened.write(path, path.name)
    return written.getvalue()


def documents_in(account: bytes) -> dict[str, tuple[Any, str]]:
    """Return each conversation of an account's zip by its checksum, as JSON and as Markdown."""
    with zipfile.ZipFile(io.BytesIO(account)) as opened:
        names = [name for name in opened.namelist() if re.fullmatch(r"conv.*\.json", name)]
        pairs = [
            (json.loads(opened.read(name)), opened.read(name.removesuffix("json") + "md").decode())
            for name in names
        ]
    return {document["checksum"]["value"]: (document, text) for document, text in pairs}


async def test_every_format_can_be_exported_and_imported_elsewhere(
    user: User, other_user: User
) -> None:
    """All of them as one zip; the copies are the same, and Markdown has every word of them."""
    sent = await user.functions.post("/import-conversation", content=all_cases(), headers=ZIP)
    report = sent.json()
    assert report["sources"] == [
        "chatgpt", "claude", "deepseek", "gemini", "langchain", "librechat", "list", "open-webui",
        "sharegpt", "vercel",
    ]  # fmt: skip
    skipped = {row["title"] for row in report["skipped"]}  # the last two are there twice
    assert skipped <= {"Corrupted entry", "f_1e400", "Grows", "Gizmo"}
    account = (await user.functions.get("/export-account")).content
    copied = await other_user.functions.post("/import-conversation", content=account, headers=ZIP)
    assert copied.json()["skipped"] == []
    originals = documents_in(account)
    copies = documents_in((await other_user.functions.get("/export-account")).content)
    assert len(originals) == len(report["taken"])
    for checksum, (document, markdown) in originals.items():
        assert lines_of(copies[checksum][0]) == lines_of(document)
        for message in document["messages"]:
            said = message["content"] + " " + (message["generated_code"] or "")
            assert set(re.findall(r"\w{3,}", said)) <= set(re.findall(r"\w{3,}", markdown))


async def test_a_number_that_is_too_large_is_the_files_error(user: User) -> None:
    """With its name; nothing broke."""
    answer = await user.functions.post("/import-conversation", content=case("f_1e400.json"),
                                       headers={"content-type": "application/json"})  # fmt: skip
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_import")
    assert answer.json()["details"][0]["field"] == "timestamp"
