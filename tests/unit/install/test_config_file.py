"""config.toml: what is added says what it should, and taken out leaves the file byte for byte."""

import tomllib

import pytest

from shared.install.config_file import (
    CannotEditError,
    add_functions,
    expose,
    exposed_schemas,
    hide,
    remove_functions,
)

HEAD = '# mine\nproject_id = "app" # and mine\n\n'
TAIL = "max_rows = 1000\n\n[functions.hello]\nverify_jwt = true\n\n# the end"

# Ways to write which schemas the API serves.
SERVED = {
    "as the CLI writes it": '[api]\nschemas = ["public", "graphql_public"]\n',
    "without spaces": '[api]\nschemas=["public","graphql_public"]\n',
    "with spaces": '[api]\nschemas = [ "public", "graphql_public" ]\n',
    "with a comma at the end": '[api]\nschemas = ["public", "graphql_public",]\n',
    "on several lines": '[api]\nschemas = [\n  "public",\n  "graphql_public"\n]\n',
    "with comments": '[api] # A\nschemas = [\n  # B\n  "public", # C\n  "graphql_public", # D\n]\n',
    "in single quotes": "[ api ]\n  schemas = ['public']  # E\n",
    "one": '[api]\nenabled = true\nschemas = ["public"]\n',
    "none said": "[api]\nport = 54321\n",
    "no table": "",
}


@pytest.mark.parametrize("served", SERVED)
@pytest.mark.parametrize("tail", [TAIL, f"{TAIL}\n", f"{TAIL}\n\n\n", ""])
def test_what_is_added_is_taken_out_to_the_last_byte(served: str, tail: str) -> None:
    """Whatever the file looks like; between the two, the schema and the functions are there."""
    table = SERVED[served]
    text = HEAD + table + (tail if table else tail.removeprefix("max_rows = 1000\n"))
    before = exposed_schemas(text)
    exposed = expose(text, "chat")
    both = add_functions(exposed, ["mega-mind", "health"])
    config = tomllib.loads(both)
    assert config["api"]["schemas"] == [before[0], "chat", *before[1:]]
    assert config["functions"]["mega-mind"] == {"verify_jwt": False}
    assert [c for c in text.split("#")[1:] if f"#{c.splitlines()[0]}\n" not in both] == []
    assert hide(remove_functions(both)) == text
    assert remove_functions(hide(both)) == text


def test_a_second_time_adds_only_what_is_new() -> None:
    """A function that is there stays as it is; one of the project's own is not ours to take out."""
    text = HEAD + SERVED["one"] + TAIL
    once = add_functions(expose(text, "chat"), ["health"])
    assert add_functions(expose(once, "chat"), ["health"]) == once
    more = add_functions(once, ["hello", "health", "mega-mind"])
    assert more.count("[functions.hello]") == 1
    assert tomllib.loads(more)["functions"]["hello"] == {"verify_jwt": True}
    assert remove_functions(more) == expose(text, "chat")


def test_a_schema_that_the_project_served_itself_stays() -> None:
    """It was not added, so it is not taken away."""
    text = '[api]\nschemas = ["public", "chat"]\n'
    assert expose(text, "chat") == text
    assert hide(text) == text


def test_what_was_written_behind_ours_since_stays() -> None:
    """In lines of its own, also where the file had not ended in one."""
    for end in ("", "\n"):
        text = f'[api]\nschemas = ["public"]{end}'
        more = add_functions(expose(text, "chat"), ["health"]) + "[studio]\nenabled = false\n"
        rest = tomllib.loads(hide(remove_functions(more)))
        assert rest == {"api": {"schemas": ["public"]}, "studio": {"enabled": False}}


@pytest.mark.parametrize(
    "text",
    ['api = { schemas = ["public"] }\n', 'api.schemas = ["public"]\n', "[api]\nschemas = []\n"],
)
def test_what_it_cannot_change_it_leaves(text: str) -> None:
    """Rather than write what says something else."""
    with pytest.raises(CannotEditError):
        expose(text, "chat")
