"""Files as other systems give them out, each with what a careful person expects of it."""

from typing import Any

import pytest

from tests.support.imported import case, conversations_in, everything_in, parts_of, words_of

pytestmark = pytest.mark.promise("imports")

TEA = [
    ("user", "First question about tea"), ("assistant", "First answer about tea"),
    ("user", "Second question about tea"), ("assistant", "Second answer about tea"),
]  # fmt: skip
GEESE = [("user", "Geese?"), ("assistant", "South.")]
SNAIL = [
    ("user", "Make a page about a snail"),
    ("assistant", "[file: Snail-page.html]"),
]


def only(name: str) -> Any:
    """Return the only conversation of a case."""
    (conversation,) = conversations_in(case(name))
    return conversation


def imported(message: Any) -> dict[str, Any]:
    """Return where a message is from, with what else its source says of it."""
    found: dict[str, Any] = message.metadata["imported"]
    return found


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cg_children_only.json", TEA),
        ("cg_flat.json", [
            ("user", "Where do herons sleep?"), ("assistant", "In trees, near water."),
            ("user", "All of them?"), ("assistant", "Most."),
        ]),
        ("cg_lone_current.json", [
            ("user", "Name three rivers"), ("assistant", "Elbe, Oder, Rhine."),
        ]),
        ("cg_branches.json", [
            ("user", "Write a haiku"), ("assistant", "Haiku two"),
            ("user", "Nice"), ("assistant", "Thanks"),
        ]),
        ("cg_image_generation.json", [
            ("user", "Draw an owl in a teacup"), ("assistant", "[image: Owl in a teacup]"),
            ("user", "Now make it blue"), ("assistant", "[image: Owl in a teacup]"),
        ]),
        ("cg_unknown_types.json", [
            ("user", "hello there"), ("assistant", "in an app"),
            ("assistant", "A widget\n\nVisible text of a new content type"),
            ("assistant", "Done."),
        ]),
        ("cg_errors.json", [
            ("user", "Do the research"), ("assistant", "# Report on moss\n\nMoss is old."),
            ("assistant", "Error: something went wrong"),
        ]),
        ("cg_citations.json", [
            ("user", "Who makes the best rye bread?"),
            ("assistant", "The bakery on Mill Lane is praised most.\n\n"
                          "See also Bread news and Mill Lane Bakery."),
            ("user", "And the older style?"), ("assistant", "Also Mill Lane."),
        ]),
        ("cl_artifact.json", [SNAIL[0], ("assistant", "Here you are:\n\nShall I add a shell?")]),
        ("cl_artifact_only.json", [*SNAIL, ("user", "Thanks, now a slug")]),
        ("cl_placeholder_text.json", [*SNAIL, ("user", "Thanks")]),
        ("cl_antartifact.json", [("user", "A page"), ("assistant", "Sure.\n\nDone.")]),
        ("cl_citations.json", [
            ("user", "Price of rye?"), ("assistant", "Rye costs 200 a ton."),
        ]),
        ("fm_openai_blocks.json", [
            ("user", "Where do geese go?\n\n[image]"), ("assistant", "South."),
        ]),
        ("fm_extra_id.json", GEESE[:1]),
    ],
)  # fmt: skip
def test_what_was_said_is_there_in_its_order(name: str, words: list[tuple[str, str]]) -> None:
    """Each picture with its reply, no marks, no placeholder of a client."""
    assert words_of(only(name)) == words


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("fm_deepseek.json", "deepseek"),
        ("fm_owui.json", "open-webui"),
        ("fm_librechat.json", "librechat"),
        ("fm_vercel_ui.json", "vercel"),
        ("fm_langchain.json", "langchain"),
        ("fm_sharegpt.json", "sharegpt"),
        ("fm_gemini_takeout.json", "gemini"),
        ("fm_anthropic.json", "list"),
        ("fm_seconds.json", "list"),
    ],
)
def test_each_system_is_known_and_read(name: str, source: str) -> None:
    """A question and its answer."""
    conversation = only(name)
    assert (conversation.source, words_of(conversation)) == (source, GEESE)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("cg_branches.json", {"branch": 2}),
        ("cg_lone_current.json", {"reasoning_recap": 1}),
        ("cg_image_generation.json", {"attachment": 2}),
        ("cg_unknown_types.json",
         {"unknown type app_pairing_content": 1, "unknown type super_widget": 1}),
        ("cg_citations.json", {"citation": 2}),
        ("cg_canvas.json", {"file": 1, "tool": 1}),
        ("cg_attachments.json", {"attachment": 3}),
        ("cl_artifact.json", {"reasoning": 1, "file": 1}),
        ("cl_thinking_only.json", {"reasoning": 1}),
        ("cl_citations.json", {"citation": 1, "tool": 1}),
        ("fm_anthropic.json", {"reasoning": 1, "system": 1}),
        ("fm_openai_blocks.json", {"attachment": 1}),
    ],
)  # fmt: skip
def test_the_report_says_what_is_kept_beside_the_words(name: str, kept: dict[str, int]) -> None:
    """Nothing is left out of any of them."""
    conversation = only(name)
    assert (conversation.kept, conversation.left_out) == (kept, {})


def test_other_branches_are_branches() -> None:
    """With what they say, in the order it was written."""
    conversation = only("cg_branches.json")
    assert [message.content for message in conversation.messages] == [
        "Write a haiku", "Haiku one", "Haiku two", "Nice", "Thanks", "Write a limerick",
        "A limerick",
    ]  # fmt: skip
    assert [(one["fork_seq"], one["first_seq"]) for one in conversation.branches] == [
        (1, 3), (0, 6),
    ]  # fmt: skip
    assert conversation.active_branch == 1


def test_a_document_of_the_canvas_is_a_file_of_its_reply() -> None:
    """As the product stores what an AI made."""
    _, reply = only("cg_canvas.json").messages
    assert reply.content == "Here is your list. Shall I add shoes?"
    assert reply.generated_code == "# Packing list\n\n- Two jumpers\n- Rain coat\n- Tin whistle"
    assert reply.metadata["files"] == [{"path": "Packing-list.md", "language": "markdown"}]


def test_a_run_of_code_is_one_reply() -> None:
    """Its code, what it wrote, what it drew, and what was said of it."""
    _, reply = only("cg_code_interpreter.json").messages
    code, output, picture, words = reply.content.rsplit("\n\n", 3)
    assert code.startswith("```python\nn=sum(all(")
    assert (output, picture) == ("```\n25\n```", "[image: file_plot]")
    assert words == "There are 25 primes below 100."


def test_attachments_are_named_at_their_question() -> None:
    """With their types; a picture in its place too."""
    asked, _, shown, _ = only("cg_attachments.json").messages
    names = [attachment["name"] for attachment in asked.metadata["attachments"]]
    assert names == ["quarterly-report.pdf", "figures.xlsx"]
    assert shown.content == "[image: harbour.jpg]\n\nWhat is on this picture?"
    assert shown.metadata["attachments"] == [{"name": "harbour.jpg", "mediaType": "image/jpeg"}]


def test_pasted_text_belongs_to_the_question() -> None:
    """The AI is given it when the conversation goes on."""
    asked, _ = only("cl_attachment.json").messages
    assert asked.content == (
        "Shorten this please.\n\npaste.txt:\n\n"
        "```\nThe long pasted text about the harbour and its cranes.\n```"
    )
    assert [one["name"] for one in asked.metadata["attachments"]] == ["paste.txt", "plan.png"]


@pytest.mark.parametrize(
    ("name", "title", "place"),
    [
        ("cg_citations.json", "Rye, ranked", 1),
        ("cg_citations.json", "Rye, ranked", 3),
        ("cl_citations.json", "Rye market", 1),
    ],
)
def test_the_links_of_citations_are_kept(name: str, title: str, place: int) -> None:
    """With their titles, each once."""
    citations = parts_of(only(name).messages[place], "source-url")
    assert citations == [{"sourceId": "source-1", "title": title, "url": "https://example.org/rye"}]


@pytest.mark.parametrize(
    ("name", "code", "reasoning"),
    [
        ("cl_artifact.json", "<h1>Snail</h1>", "A snail page, then."),
        ("cl_artifact_only.json", "<h1>Snail</h1>", None),
        ("cl_placeholder_text.json", "<h1>Snail</h1>", None),
        ("cl_antartifact.json", "<h1>Hello</h1>\n<script>alert(1)</script>",
         "A page deserves an artifact."),
    ],
)  # fmt: skip
def test_an_artifact_is_a_file_and_thinking_stands_beside(
    name: str, code: str, reasoning: str | None
) -> None:
    """Neither is part of the words."""
    reply = only(name).messages[1]
    thoughts = parts_of(reply, "reasoning")
    assert (reply.generated_code, thoughts) == (code, [{"text": reasoning}] if reasoning else [])
    assert [file["filename"] for file in parts_of(reply, "file")] == [
        file["path"] for file in reply.metadata["files"]
    ]
    assert reply.metadata["files"][0]["language"] == "html"


def test_a_reply_that_was_stopped_while_thinking_is_marked() -> None:
    """It is there, not complete, with its thinking."""
    _, reply = only("cl_thinking_only.json").messages
    assert parts_of(reply, "reasoning") == [{"text": "First I consider the lemma about snails."}]
    assert (reply.content, reply.metadata["truncated"]) == ("[no answer]", True)


def test_which_gpt_it_was_is_kept() -> None:
    """On the conversation."""
    assert only("cg_gizmo.json").metadata["imported"]["gizmo_id"] == "g-abc123"


def test_a_number_that_is_too_large_is_an_error_with_its_name() -> None:
    """And no time."""
    taken, (rejected,) = everything_in(case("f_1e400.json"))
    assert (taken, rejected.error.status) == ([], 400)
    assert rejected.error.details[0]["field"] == "timestamp"


def test_times_and_titles_are_kept() -> None:
    """Seconds are no milliseconds."""
    for name in ("fm_seconds.json", "fm_owui.json"):
        times = [f"{message.at:%Y-%m-%d %H:%M:%S}" for message in only(name).messages]
        assert times == ["2025-01-01 00:00:00", "2025-01-01 00:00:05"]
    for name in ("fm_deepseek.json", "fm_owui.json", "fm_librechat.json"):
        assert only(name).title == "Geese"


def test_what_a_format_holds_besides_is_in_the_metadata() -> None:
    """The system's text with the conversation, an id with its message."""
    assert only("fm_anthropic.json").metadata["imported"]["system"] == "Be brief"
    assert imported(only("fm_extra_id.json").messages[0]) == {"source": "list", "id": "a"}
    (picture,) = parts_of(only("fm_openai_blocks.json").messages[0], "file")
    assert picture["mediaType"] == "image/png"
    assert picture["url"].startswith("data:image/png;base64,")


def test_each_list_of_a_zip_is_a_conversation_named_after_its_file() -> None:
    """Under any name."""
    many = conversations_in(case("z_many_plain.zip"), is_zip=True)
    one = conversations_in(case("z_plain.zip"), is_zip=True)
    assert [read.title for read in (*many, *one)] == ["a", "b", "my-chat"]


def test_a_conversation_that_has_grown_begins_with_what_it_was() -> None:
    """Under the same id, and each message under its own: that is how it is brought up to date."""
    before, after = only("cg_grown_1.json"), only("cg_grown_2.json")
    assert before.source_id == after.source_id
    ids = [[imported(message)["id"] for message in one.messages] for one in (before, after)]
    assert ids[1][: len(ids[0])] == ids[0]
    assert len(after.messages) == len(before.messages) + 2
