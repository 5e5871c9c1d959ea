"""The offline engine's files: one fixed starting point for each kind of code."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import TYPE_CHECKING, Final

from ...encoding.files import GeneratedFile

if TYPE_CHECKING:
    from collections.abc import Callable

_NOTE: Final = "Offline engine: a starting point to fill in, written by fixed rules."
_NAMED: Final = re.compile(
    r"\b(?:called|named)\s+[\"'`]?([A-Za-z][A-Za-z0-9_-]{0,40})", re.IGNORECASE
)
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_FILLERS: Final = """
a an and api build can class code component create css draft file for from function generate
give html i implement in is it javascript js jsx make me migration module my named need of
on page please python query react script show simple small sql table that the this to ts tsx
typescript us want web we which with write you
"""
_IGNORED: Final = frozenset(_FILLERS.split())
_KINDS: Final = (
    ("react", re.compile(r"\b(?:react|component|tsx|jsx)s?\b", re.IGNORECASE)),
    ("html", re.compile(r"\b(?:html|web ?page|landing page)\b", re.IGNORECASE)),
    ("sql", re.compile(r"\b(?:sql|query|table|schema|migration|postgres)\b", re.IGNORECASE)),
    ("typescript", re.compile(r"\b(?:typescript|javascript|ts|js|node)\b", re.IGNORECASE)),
)


def file_for(request: str, goal: str) -> GeneratedFile:
    """Return the file that suits the request; Python where it names no other kind."""
    kind = next((kind for kind, pattern in _KINDS if pattern.search(request)), "python")
    return _TEMPLATES[kind](_words_for(request), _printable(goal))


def _words_for(request: str) -> list[str]:
    """Return one to four lower-case ASCII words to name things by."""
    named = _NAMED.search(request)
    source = _split_camel_case(named[1]) if named else request
    words = [word.lower() for word in _WORD.findall(source)]
    chosen = words if named else [word for word in words if word not in _IGNORED]
    return [word[:24] for word in chosen[:4]] or ["draft"]


def _split_camel_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.replace("_", " "))


def _printable(goal: str) -> str:
    """Return the goal without control characters, fit for a comment on one line."""
    return "".join(
        char for char in goal if unicodedata.category(char) not in {"Cc", "Cs", "Zl", "Zp"}
    )


def _python(words: list[str], goal: str) -> GeneratedFile:
    name = "run_" + "_".join(words)
    content = (
        f"# {_NOTE}\n# Goal: {goal}\n\n\n"
        f"def {name}(value: object) -> object:\n"
        f'    """Take one value and return the result."""\n'
        f'    raise NotImplementedError("{name} is still to be written")\n'
    )
    return GeneratedFile(path=f"src/{name}.py", language="python", content=content)


def _typescript(words: list[str], goal: str) -> GeneratedFile:
    name = "run" + _pascal(words)
    content = (
        f"// {_NOTE}\n// Goal: {goal}\n\n"
        f"export function {name}(value: unknown): unknown {{\n"
        f'  throw new Error("{name} is still to be written");\n}}\n'
    )
    return GeneratedFile(path=f"src/{name}.ts", language="typescript", content=content)


def _react(words: list[str], goal: str) -> GeneratedFile:
    name = _pascal(words)
    content = (
        f"// {_NOTE}\n// Goal: {goal}\n\n"
        f"type {name}Props = {{ title?: string }};\n\n"
        f'export function {name}({{ title = "{name}" }}: {name}Props) {{\n'
        f"  return (\n    <section>\n      <h2>{{title}}</h2>\n    </section>\n  );\n}}\n"
    )
    return GeneratedFile(path=f"src/components/{name}.tsx", language="tsx", content=content)


def _sql(words: list[str], goal: str) -> GeneratedFile:
    name = "_".join(["app", *words])
    content = (
        f"-- {_NOTE}\n-- Goal: {goal}\n\n"
        f"create table {name} (\n"
        f"    id uuid primary key default gen_random_uuid(),\n"
        f"    created_at timestamptz not null default now()\n);\n\n"
        f"select id, created_at\nfrom {name}\norder by created_at desc\nlimit 50;\n"
    )
    return GeneratedFile(path=f"sql/{name}.sql", language="sql", content=content)


def _html(words: list[str], goal: str) -> GeneratedFile:
    title = " ".join(words).capitalize()
    content = (
        f'<!doctype html>\n<html lang="en">\n  <head>\n    <meta charset="utf-8">\n'
        f"    <title>{title}</title>\n  </head>\n  <body>\n    <h1>{title}</h1>\n"
        f"    <p>{html.escape(goal)}</p>\n    <p>{_NOTE}</p>\n  </body>\n</html>\n"
    )
    return GeneratedFile(path=f"public/{'-'.join(words)}.html", language="html", content=content)


def _pascal(words: list[str]) -> str:
    return "".join(word.capitalize() for word in words)


_TEMPLATES: Final[dict[str, Callable[[list[str], str], GeneratedFile]]] = {
    "python": _python,
    "typescript": _typescript,
    "react": _react,
    "sql": _sql,
    "html": _html,
}
