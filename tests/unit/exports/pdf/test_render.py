"""The PDF of a conversation: what is in it, what it refuses, and what it leaves behind."""

import asyncio
import io
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pikepdf
import psutil
import pypdfium2
import pytest

from shared.errors import (
    InternalError,
    PdfBusyError,
    PdfNotInstalledError,
    PdfTooLargeError,
    StoreUnavailableError,
)
from shared.exports.pdf import render as renderer
from shared.exports.pdf.render import render_pdf
from shared.exports.pdf.typeset import worker
from shared.exports.pdf.typeset.markdown import SLICE_LINES
from shared.models.rows import MessageRow
from tests.support.pdf_pages import (
    a_conversation,
    from_store,
    messages,
    pdf_of,
    pdftotext,
    solid,
    text_of,
)
from tests.support.waiting import until

SCRIPTS = [
    "Latin: Straße, naïve, Łódź, Việt Nam",
    "Ελληνικά: Καλημέρα κόσμε",
    "Кириллица: Привет, мир",
    "简体中文：你好，世界",
    "繁體中文：這個問題",
    "日本語：こんにちは、世界",
    "한국어: 안녕하세요 세계",
    "مرحبا بالعالم السلام عليكم",
    "שלום עולם",
    "Emoji: 😀 🚀 ❤️ 👍🏽 🇯🇵 👩‍👩‍👧",
    "Signs: → ≠ ≤ ∑ ∞ ✓ € ─ █",
]
MORE_SCRIPTS = [
    "ไทย: สวัสดีชาวโลก ภาษาไทย",
    "বাংলা: নমস্কার বিশ্ব ক্ষত্রিয়।",
    "தமிழ்: வணக்கம் உலகம்",
    "తెలుగు: నమస్కారం ప్రపంచం",
    "ಕನ್ನಡ: ನಮಸ್ಕಾರ ಜಗತ್ತು",
    "മലയാളം: നമസ്കാരം ലോകമേ",
    "ગુજરાતી: નમસ્તે દુનિયા",
    "ਪੰਜਾਬੀ: ਸਤ ਸ੍ਰੀ ਅਕਾਲ ਦੁਨਿਆ",
    "ଓଡ଼ିଆ: ନମସ୍କାର ବିଶ୍ୱ",
    "සිංහල: ආයුබෝවන් ශ්‍රී ලංකාව",
    "ខ្មែរ: សួស្តី ពិភពលោក",
    "ລາວ: ສະບາຍດີ ຊາວໂລກ",
    "မြန်မာ: မင်္ဂလာပါ ကမ္ဘာလောက",
    "አማርኛ: ሰላም ልዑል",
    "ქართული: გამარჯობა მსოფლიო",
    "Հայերեն: Բարեւ աշխարհ",
    "བོད་ཡིག: བཀྲ་ཤིས་བདེ་ལེགས།",
    "हिन्दी: नमस्ते दुनिया क्षत्रिय",
    "ㄅㄆㄇ 注音",
]
LONG_LINE = "const numbers = [" + ",".join(str(number) for number in range(400, 496)) + "];"
LONG_CODE = "\n".join(f"    line_{number} = call({number})  # {number}" for number in range(2000))


def outline_of(pdf: bytes) -> list[tuple[str, int]]:
    with pypdfium2.PdfDocument(pdf) as document:
        return [
            (mark.get_title(), (mark.get_dest() or pytest.fail("leads nowhere")).get_index() or 0)
            for mark in document.get_toc()
        ]


def test_every_script_is_legible_and_comes_back_as_it_was_stored() -> None:
    """Each word of each script can be copied and searched, on both sides of a turn."""
    pdf = pdf_of("\n".join(SCRIPTS), "\n\n".join(SCRIPTS), title=SCRIPTS[4])
    for text in (text_of(pdf), pdftotext(pdf)):
        words = (text or "").split()
        missing = [word for line in SCRIPTS for word in line.split() if words.count(word) < 2]
        assert text is None or not missing
    assert "U+" not in text_of(pdf)
    if (text := pdftotext(pdf)) is not None:  # there a line of a plain text is one line
        lines = [" ".join(line.split()) for line in text.splitlines()]
        assert [line for line in SCRIPTS if line not in lines] == []


def test_scripts_whose_letters_join_come_back_as_they_were_stored() -> None:
    """Every script that Unicode recommends, in prose and in code, without a letter twice."""
    code = "\n".join(f"# {line}" for line in MORE_SCRIPTS)
    pdf = pdf_of("\n".join(MORE_SCRIPTS), f"```\n{code}\n```", title=MORE_SCRIPTS[0])
    assert "U+" not in text_of(pdf)
    for text in (text_of(pdf), pdftotext(pdf)):
        if text is not None:
            assert [line for line in MORE_SCRIPTS if solid(line) not in solid(text)] == []


def test_a_script_from_right_to_left_with_marks_keeps_its_letters() -> None:
    """Thaana: programs that don't know its direction turn the words of a line around."""
    text = pdftotext(pdf := pdf_of("އައްސަލާމް", "Ok"))
    assert "U+" not in text_of(pdf)
    assert text is None or set("އައްސަލާމް") <= set(text)


def test_right_to_left_begins_at_the_right() -> None:
    """A paragraph whose first letter is Hebrew or Arabic stands there; others don't."""
    pdf = pdf_of("שלום", "مرحبا\n\nplain")
    with pypdfium2.PdfDocument(pdf) as document:
        page = document[0].get_textpage()
        width = document[0].get_width()
        for word, is_right in (("שלום", True), ("مرحبا", True), ("plain", False)):
            index, _ = page.search(word, index=page.count_chars() // 8).get_next() or (0, 0)
            assert (page.get_charbox(index)[0] > width / 2) is is_right


def test_letters_with_marks_are_there_once() -> None:
    """A vowel sign is drawn over its letter, and is no reason to copy the letter twice."""
    for text in (text_of(pdf := pdf_of("مُحَمَّد שָׁלוֹם q\u0308x", "Ok")), pdftotext(pdf)):
        if text is not None:
            assert [text.count(letter) for letter in "حדשםq"] == [1, 0, 1, 1, 1]


def test_long_lines_and_long_code_lose_nothing() -> None:
    """A line of 400 characters is broken to fit the page; 2,000 lines go over many pages."""
    assert len(LONG_LINE) >= 400
    pdf = pdf_of("Code?", f"```js\n{LONG_LINE}\n```\n\n```py\n{LONG_CODE}\n```")
    assert solid(LONG_LINE) in solid(text_of(pdf))
    assert re.findall(r"line_\d+ = call", text_of(pdf)) == re.findall(r"line_\d+ = call", LONG_CODE)
    assert is_inside_the_page(pdf)
    if (text := pdftotext(pdf, "-layout")) is not None:
        code = [" ".join(line.split()) for line in text.splitlines() if "line_" in line]
        assert code == [" ".join(line.split()) for line in LONG_CODE.splitlines()]
        assert solid(LONG_LINE) in solid(text)


def test_no_line_of_long_code_is_covered_by_what_follows() -> None:
    """Where a slice of it ends, too, the lowest parts of letters are seen: here, nothing else."""
    lines = SLICE_LINES + 20
    pdf = pdf_of("Code?", "```\n" + "\n".join(["_" * 60] * lines) + "\n```")
    assert sum(strokes_at(page, x=280) for page in pypdfium2.PdfDocument(pdf)) == lines


def strokes_at(page: pypdfium2.PdfPage, *, x: int) -> int:
    """Count the dark strokes that cross a page here, from top to bottom."""
    image = page.render(scale=3, grayscale=True).to_pil()
    width = 12  # of a glyph at least
    strip = image.crop((3 * x, 0, 3 * x + width, image.height)).tobytes()
    is_dark = [min(strip[at : at + width]) < 160 for at in range(0, len(strip), width)]
    return sum(dark and not above for above, dark in pairwise(is_dark))


def is_inside_the_page(pdf: bytes) -> bool:
    with pypdfium2.PdfDocument(pdf) as document:
        for page in document:
            text = page.get_textpage()
            boxes = (text.get_charbox(index) for index in range(text.count_chars()))
            if any(right > page.get_width() - 40 for _, _, right, _ in boxes):
                return False
    return True


HOSTILE = (
    '#import "@preview/cetz:0.3.0" #read("/etc/passwd") #{1+1} $x^2$ <label> @ref // no /* no */ '
    "\\u{41} \\ ~ #eval(`1`) #panic() ]]] ((( #set page(width: 1pt)"
)


def test_hostile_text_is_only_text() -> None:
    """What the typesetter would run, were it markup, is printed and nothing else."""
    pdf = pdf_of(HOSTILE, f"{HOSTILE}\n\n```{HOSTILE}\n{HOSTILE}\n```", title=HOSTILE[:199])
    assert text_of(pdf).count("#read(") >= 4
    assert solid(HOSTILE) in solid(text_of(pdf))
    assert "root:" not in text_of(pdf)


def test_words_without_an_end_stay_on_the_page() -> None:
    """No text runs over the edge, however long its words are: in prose, in tables, in titles."""
    word = "w" * 30_000
    table = f"|a|b|\n|-|-|\n|{'.' * 150}|{'(' * 100}|"
    pdf = pdf_of(word, f"|a|b|\n|-|-|\n|{'x' * 500}|y|\n\n{table}", title="t" * 200)
    assert text_of(pdf).count("w") >= len(word)
    assert is_inside_the_page(pdf)


UNBREAKABLE = ["(" * 200, "." * 300, "—" * 200, "»" * 120, "“" * 150, "!" * 150, '="' * 100]
UNBREAKABLE += ["word\u00a0" * 60, "a\u202fb" * 60, "กขค" * 80, "ស្តី" * 80, "བཀྲ་ཤིས་" * 40]


def test_signs_between_which_no_line_may_break_stay_on_the_page() -> None:
    """And all of them can be copied, with nothing between."""
    pdf = pdf_of("\n".join(UNBREAKABLE), "\n\n".join(UNBREAKABLE))
    assert is_inside_the_page(pdf)
    text = pdftotext(pdf) or text_of(pdf)
    assert "\u200b" not in text
    assert [line for line in UNBREAKABLE if solid(line) not in solid(text)] == []


def test_what_has_no_glyph_is_shown_by_its_number_and_can_be_copied() -> None:
    """Neither a private character nor one that turns the order around is dropped."""
    pdf = pdf_of("a\ue000b \u202ec \u0378 \U000103a0\U000103a1", "```\nx\u202ey\ue001\n```")
    text = text_of(pdf)
    assert "a\ue000" in text
    assert "U+E000" in text
    assert "y\ue001" in text
    assert "\U000103a0\U000103a1" in (pdftotext(pdf) or "\U000103a0\U000103a1")
    assert "U+202E" in text
    assert "U+0378" in text
    assert "x[U+202E]y" in text


def test_the_outline_has_an_entry_for_each_turn() -> None:
    """It says how the turn begins and leads to its page."""
    long = "line\n\n" * 60
    pdf = pdf_of("First *question*", long, "Second\nquestion", long, ("system", "A note"))
    marks = outline_of(pdf)
    assert [title for title, _ in marks] == [
        "First *question*",
        "Second question",
        "System: A note",
    ]
    assert marks[0][1] == 0 < marks[1][1] < marks[2][1]


def test_the_file_says_what_it_is() -> None:
    """Title, language, tags and the time of the last activity; nobody's name."""
    content = pdf_of("A", "B", title="About “PDF” 世界")
    with pikepdf.open(io.BytesIO(content)) as pdf:
        assert str(pdf.docinfo["/Title"]) == "About “PDF” 世界"
        assert str(pdf.docinfo["/CreationDate"]).startswith("D:20261123170304")
        assert "/Author" not in pdf.docinfo
        assert str(pdf.Root.Lang) == "en"
        assert bool(pdf.Root.MarkInfo.Marked)
    text = text_of(content)
    assert "22 Nov 2026, 09:15 \u2013 09:16 UTC" in text
    assert "2 messages · 1 turn" in text
    assert "1 / 1" in text


def test_every_font_is_embedded() -> None:
    """The file looks the same on a machine that has none of them."""
    content = pdf_of("\n".join(SCRIPTS), "# H\n\n*i* **b** `c`\n\n```\ncode\n```")
    with pikepdf.open(io.BytesIO(content)) as pdf:
        fonts = {
            str(font.BaseFont): is_embedded(font.DescendantFonts[0].FontDescriptor)
            for page in pdf.pages
            for font in page.resources.Font.values()
        }
    assert len(fonts) >= 8
    assert all(fonts.values())
    assert any("NotoSansMono" in name for name in fonts)


def is_embedded(descriptor: Any) -> bool:
    return "/FontFile2" in descriptor or "/FontFile3" in descriptor


async def test_the_same_conversation_gives_the_same_bytes() -> None:
    """Whenever and wherever it is made."""
    assert await rendered("\n".join(SCRIPTS), "B") == pdf_of("\n".join(SCRIPTS), "B")


async def rendered(*turns: str) -> bytes:
    """Return the PDF of a conversation, set in a process of its own."""
    chunks = await render_pdf(a_conversation(), from_store(messages(*turns)))
    return b"".join([chunk async for chunk in chunks])


FAILURES = {
    "timeout": "This reply failed: It took too long.",
    "cancelled": "This reply was stopped before it was complete.",
    "interrupted": "This reply was interrupted before it was complete.",
}


def test_a_reply_that_failed_says_so() -> None:
    """Below what it had written, if it had."""
    errors = [{"type": kind, "message": "It took too long."} for kind in FAILURES]
    so_far = {"content": "So far", "role": "assistant"}
    replies = [{**so_far, "metadata": {"success": False, "error": error}} for error in errors]
    _, *parts = text_of(pdf_of(*replies)).split("So far")
    assert [said in part for said, part in zip(FAILURES.values(), parts, strict=True)] == [True] * 3


def test_generated_files_are_shown_with_path_and_language_and_once() -> None:
    """As code below the reply, but for what the reply shows itself."""
    files = [{"path": "a.py", "language": "python"}, {"path": "b/c.js", "language": "js"}]
    code = "```python path=a.py\nfirst()\n```\n\n```js path=b/c.js\nsecond()\n```"
    metadata = {"success": True, "files": files}
    reply = "```python path=a.py\nfirst()\n```"
    pdf = pdf_of("A", {"content": reply, "generated_code": code, "metadata": metadata})
    text = text_of(pdf)
    assert text.count("first()") == text.count("second()") == 1
    assert "a.py · python" in text
    assert "b/c.js · js" in text


async def test_what_a_message_has_beside_its_text_is_shown() -> None:
    """Reasoning, files, attachments, sources with their links, which model, and from where."""
    sent = {"attachments": [{"name": "notes.txt", "mediaType": "text/plain", "text": "Rye: 200"},
                            {"name": "cat.jpg"}]}  # fmt: skip
    replied = {
        "engine": "openai:m",
        "reasoning": "Let me think.",
        "files": [{"path": "list.md", "language": "markdown", "content": "- socks"},
                  {"path": "plot.png"}],
        "citations": [{"title": "Prices", "url": "https://example.org/rye"}],
        "truncated": True,
    }  # fmt: skip
    rows = messages({"content": "Look", "metadata": sent}, {"content": "Ok", "metadata": replied})
    imported = {"source": "chatgpt", "at": "2026-11-22T10:00:00Z", "lastSeq": 2}
    conversation = a_conversation().model_copy(update={"imported": imported})
    pdf = b"".join([chunk async for chunk in await render_pdf(conversation, from_store(rows))])
    text = text_of(pdf)
    for shown in (
        "Imported from ChatGPT", "Attached: notes.txt · text/plain", "Rye: 200",
        "Attached: cat.jpg", "Assistant (openai:m)", "Reasoning", "Let me think.",
        "list.md · markdown", "- socks", "File: plot.png",
        "Prices (https://example.org/rye)", "cut off before its end",
    ):  # fmt: skip
        assert text.count(shown) == 1


def test_a_formula_can_be_copied_as_its_source() -> None:
    """It is a picture, with its LaTeX behind it."""
    text = text_of(pdf_of("Roots?", r"They are \( x = \frac{-b}{2} \)."))
    assert r"\( x = \frac{-b}{2} \)" in text


def test_an_empty_conversation_is_a_page() -> None:
    """With its title, and the dates of the conversation."""
    assert "0 messages · 0 turns" in text_of(pdf_of(title="Nothing yet"))


async def test_a_long_conversation_in_parts_is_one_document() -> None:
    """Pages are numbered through, the outline leads to the right ones, and nothing is missing."""
    turns = 2 * worker.PART_MESSAGES + 20
    content = await rendered(*(f"Turn number {n}." for n in range(turns)))
    with pypdfium2.PdfDocument(content) as document:
        pages = [page.get_textpage().get_text_range() for page in document]
    assert all(f"{at} / {len(pages)}" in page for at, page in enumerate(pages, 1))
    assert all(
        f"Turn number {n}." in pages[page]
        for n, (_, page) in zip(range(0, turns, 2), outline_of(content), strict=True)
    )
    assert f"{turns} messages · {turns // 2} turns" in pages[0]
    text = "".join(pages)
    assert all(f"Turn number {n}." in text for n in range(turns))


async def test_without_the_extra_the_answer_is_501(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment chooses whether it makes PDFs."""
    monkeypatch.setattr(renderer, "is_installed", lambda: False)
    with pytest.raises(PdfNotInstalledError) as error:
        await rendered("A")
    assert (error.value.code, error.value.status) == ("pdf_not_installed", 501)


async def test_no_more_than_two_are_made_at_a_time() -> None:
    """Whoever comes third learns when to come again, and the places are given back."""
    blocker = asyncio.Event()

    async def waiting() -> AsyncIterator[MessageRow]:
        await blocker.wait()
        for message in messages("A"):
            yield message

    users = [a_conversation().model_copy(update={"user_id": uuid4()}) for _ in range(2)]
    held = [asyncio.create_task(render_pdf(user, waiting())) for user in users]
    await until(lambda: len(children()) == 2)
    with pytest.raises(PdfBusyError) as error:
        await rendered("A")
    assert error.value.headers() == {"Retry-After": "10"}
    blocker.set()
    for task in held:
        assert [chunk async for chunk in await task]
    assert await rendered("A")


def children() -> list[psutil.Process]:
    """Return the typesetters that this process has started and that still run."""
    mine = psutil.Process().children(recursive=True)
    return [child for child in mine if _is_typesetter(child)]


def _is_typesetter(process: psutil.Process) -> bool:
    try:
        return "shared.exports.pdf.typeset" in process.cmdline()
    except psutil.Error:  # it is gone already
        return False


async def test_who_goes_away_leaves_nothing_running() -> None:
    """A cancelled request ends its typesetter."""
    blocker = asyncio.Event()

    async def endless() -> AsyncIterator[MessageRow]:
        await blocker.wait()
        yield messages("A")[0]

    task = asyncio.create_task(render_pdf(a_conversation(), endless()))
    await until(lambda: len(children()) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() == []


async def test_what_takes_too_long_is_refused() -> None:
    """With an error that names another format, and nothing left running."""
    with pytest.raises(PdfTooLargeError, match="markdown"):
        await render_pdf(a_conversation(), from_store(messages("A")), time_limit=0.05)
    assert children() == []


async def test_what_takes_too_much_memory_is_refused() -> None:
    """The typesetter alone runs out of it."""
    rows = from_store(messages("word " * 200_000))
    with pytest.raises(PdfTooLargeError):
        await render_pdf(a_conversation(), rows, memory_limit=320 * 1024**2)


async def test_an_error_of_the_store_comes_through() -> None:
    """It is not turned into one of the typesetter's."""

    async def broken() -> AsyncIterator[MessageRow]:
        yield messages("A")[0]
        raise StoreUnavailableError

    with pytest.raises(StoreUnavailableError):
        await render_pdf(a_conversation(), broken())
    assert children() == []


async def test_a_typesetter_that_breaks_says_nothing_of_what_it_read() -> None:
    """Its failure is an internal error, without a word of anybody's text."""
    row = messages("secret words")[0].model_copy(update={"created_at": "no date"})
    with pytest.raises(InternalError) as error:
        await render_pdf(a_conversation(), from_store([row]))
    assert "secret" not in str(error.value.body())


def test_nothing_of_the_typesetter_is_imported_by_the_functions() -> None:
    """An endpoint that makes no PDF pays nothing for those that do, nor does the one that does."""
    code = "import sys, functions.load_conversation, shared.exports.pdf.render as _"
    code += "; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"typst", "pikepdf", "markdown_it", "ziamath", "shared.exports.pdf.typeset"}
