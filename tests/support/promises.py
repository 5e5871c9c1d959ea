"""Writes the promises in tests/README.md from the marks on the tests: `make docs`.

`@pytest.mark.promise("one reply", red="...")` on a test, or as a file's `pytestmark`, says which
promise it keeps and which change to the code it was seen to fail on.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from local.settings import ROOT

README = ROOT / "tests" / "README.md"
BEGIN = "<!-- Below: written by `make docs` from the marks on the tests; a test compares. -->\n"
IN_TYPESCRIPT = re.compile(r"^// promise ([^:\n]+)(?:: red on (.+))?$", re.MULTILINE)

SECTIONS = {
    "Identity and tenancy": {
        "verified caller": "Who is calling comes from the verified token alone.",
        "bad tokens": "Every kind of bad token is one 401, without a call to the store.",
        "isolation": "Nobody reads, writes or listens across users, by table, function or topic.",
        "no oracle": "Someone else's conversation and a missing one are one answer, in one time.",
        "own rows": "A client writes only `user` rows of its own, and only its own columns.",
        "private keys": "Keys of one user neither collide with nor reveal another's.",
    },
    "Schema": {
        "schema gate": "Advisors and lints find nothing, nor do tests of what they don't see.",
        "grants": "Nothing for `anon`; functions are withheld; RLS is on everywhere.",
        "migrations": "On empty Postgres 15, 17 and 18 they make just what the schema files say.",
    },
    "Persistence": {
        "durable": "What was acknowledged outlives a Postgres that is killed with -9.",
        "one key, one effect": "However many callers and retries, a key is one turn.",
        "one reply": "No reply without its message, no turn with two.",
        "gapless order": "A conversation's order is total, without a gap, and stable.",
        "safe retry": "Killed anywhere, a retry ends where the undisturbed run ends.",
        "fencing": "A worker past its lease can't write, and a late heartbeat takes nothing back.",
        "whole pages": "Paging loses and doubles nothing, and a page is bounded in bytes.",
        "replica": "A replica answers with no less than its reader knows of, or not at all.",
        "stores": "Of several stores a user is in one, and one that is away stops its own alone.",
        "moving": "Who is moved to another store is whole in one of them, wherever that is killed.",
        "context": "What the AI is given keeps to its budget and roles, and says what it lacks.",
    },
    "Search and lists": {
        "lists": "A list neither repeats nor skips, and is read by its rows.",
        "search": "What is stored is found: by its owner alone, in any script, in time.",
    },
    "Faults": {
        "store away": "A store that is down, hung or broken is a 503, healed by the same key.",
        "Postgres away": "Killed, stopped, full, locked or deadlocked: nothing is lost or doubled.",
        "model fails": "An AI that hangs, fails or talks nonsense leaves a stored message.",
        "Realtime away": "Live events are a hint: without them nothing fails or waits.",
        "live events": "What goes over Realtime keeps to a budget that the whole project shares.",
        "take-over": "A lost worker's turn is gone on with, by one other alone.",
        "client gone": "A turn whose client leaves is worked on and stored.",
        "limits": "Limits hold for many requests at once; a full process refuses early.",
        "streams": "Hundreds of streams share what they cost, and each is whole.",
        "wrong clock": "A clock off by five minutes settles, loses and admits nothing.",
        "shutdown": "A process that is asked to end lets its turns and streams end.",
        "key rotation": "Keys change, and their server fails, without refusing a good caller.",
        "deadlines": "Calls outside have a deadline, and are repeated only where that is safe.",
    },
    "Sizes and costs": {
        "shares": "What one user takes, another hardly notices.",
        "hostile input": "What nobody may send is refused before it is parsed, or apart.",
        "row sizes": "What is stored has a size: it fits a page, and is exported and erased.",
        "costs": "What a user may cost in turns, tokens and bytes is limited by settings.",
    },
    "Exports and imports": {
        "exports": "An export is everything, as of its start, and nothing leaves its place.",
        "imports": "All of a file or nothing, once, and never more than its owner may write.",
        "adoption": "Every old row is taken, once and in its place, or listed with a reason.",
    },
    "Input": {
        "strict input": "What is wrong is a 4xx and stores nothing.",
        "any text": "Text of any kind is stored byte for byte, or reversibly and flagged.",
    },
    "Analytics, retention, erasure": {
        "analytics": "Every figure is the one counted by hand, of one's own turns.",
        "bounded calls": "No call takes as long as a gateway waits, or fails and succeeds later.",
        "retention": "Batches are bounded, what is in use stays, a dry run is the real one.",
        "legal holds": "A hold wins on each path.",
        "erasure": "After an erasure nothing of the content is in any table.",
    },
    "Secrets": {"secrets": "No words, keys or tokens in any log, error, trace or metric."},
    "Deployment": {
        "forwarders": "Requests and streams pass real Deno and real Envoy whole, or fail as ours.",
        "deployment": "The image, Lambda and a single endpoint are as documented.",
        "installing": "Into a project that is there, beside its own things, and out again.",
        "two versions": "An old and a new bundle share conversations and keys.",
        "documentation": "Commands run or say what they need, and links lead somewhere.",
    },
    "The page": {
        "hostile content": "Markup, metadata, titles and direction marks are shown and do nothing.",
        "long conversations": "One page opens them, and the reader's place stays.",
        "accessibility": "Usable by keyboard and screen reader alone.",
        "page in trouble": "Late, refused, cut or lost: the page shows what is stored and goes on.",
        "outbox": "What was written is neither lost nor sent twice nor as somebody else.",
    },
}


class Promise(NamedTuple):
    """One mark: what is kept by which test, and what that test was seen to fail on."""

    key: str
    test: str
    red: str


def write() -> None:
    """Write the page."""
    README.write_text(render(README.read_text(), promises()))


def render(page: str, found: Iterable[Promise]) -> str:
    """Return the page with these promises in the place of its own."""
    rows: dict[str, list[Promise]] = {key: [] for keys in SECTIONS.values() for key in keys}
    for promise in found:
        rows[promise.key].append(promise)
    head, mark, _ = page.partition(BEGIN)
    return head + mark + "".join(chain.from_iterable(_section(*s, rows) for s in SECTIONS.items()))


def promises() -> list[Promise]:
    """Return every promise that a test is marked with, by file and line."""
    python = README.parent.rglob("test_*.py")
    typescript = (ROOT / "web" / "test").glob("*.test.ts*")
    return [
        *chain.from_iterable(map(_in_python, sorted(python))),
        *chain.from_iterable(map(_in_typescript, sorted(typescript))),
    ]


def _section(title: str, keys: dict[str, str], rows: dict[str, list[Promise]]) -> Iterator[str]:
    yield f"\n## {title}\n\n| promise | test | seen red on |\n|---|---|---|\n"
    for key, sentence in keys.items():
        tried = [f"`{row.test}` | {row.red}" for row in rows[key] if row.red]
        others = ", ".join(f"`{row.test}`" for row in rows[key] if not row.red)
        cells = [*tried, f"{others} | not tried"] if others else tried
        first, *more = (f"{row} |\n" for row in cells)
        yield f"| **{key}**: {sentence} | {first}"
        yield from (f"| | {row}" for row in more)


def _in_python(path: Path) -> Iterator[Promise]:
    name = str(path.relative_to(README.parent))
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            yield from _marks(ast.walk(node.value), name)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _marks(node.decorator_list, f"{name}::{node.name}")


def _marks(nodes: Iterable[ast.AST], test: str) -> Iterator[Promise]:
    for node in nodes:
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.promise":
            red = "".join(ast.literal_eval(word.value) for word in node.keywords)
            yield Promise(ast.literal_eval(node.args[0]), test, red)


def _in_typescript(path: Path) -> Iterator[Promise]:
    name = str(path.relative_to(ROOT))
    for key, red in IN_TYPESCRIPT.findall(path.read_text()):
        yield Promise(key, name, red)


if __name__ == "__main__":
    write()
