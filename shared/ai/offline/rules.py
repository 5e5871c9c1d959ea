"""An analysis by fixed rules: no model, no state, the same answer for the same request."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

from ..protocol import Analysis, Complexity, Intent

if TYPE_CHECKING:
    from ..protocol import Strategy

MAX_GOAL_CHARS: Final = 200
MAX_SCANNED_CHARS: Final = 20_000

# Longer than a goal, so that the cut falls where the words end.
_LEADING_CHARS: Final = 2_000
_SENTENCE_END: Final = re.compile(r"[.!?](?=\s|$)|[。！？؟।]|\n")  # noqa: RUF001
_CODE: Final = re.compile(
    r"\b(?:function|component|script|sql|query|class|endpoint|api|html|css|web ?page|python"
    r"|typescript|javascript|react|tsx?|jsx?|code|module|table|schema|migration)s?\b",
    re.IGNORECASE,
)
_MAKE: Final = re.compile(
    r"\b(?:write|create|build|make|generate|implement|add|code|give me|show me|need|want|draft)\b",
    re.IGNORECASE,
)
_STEPS: Final = re.compile(
    r"\b(?:how (?:do|can|should|would|to)|steps?|guide|walk me through|plan|set ?up|migrate"
    r"|tutorial|roadmap)\b",
    re.IGNORECASE,
)
_HARD: Final = re.compile(
    r"\b(?:architecture|architect|distributed|end[- ]to[- ]end|scal(?:e|able|ing)|migrat(?:e|ion)"
    r"|refactor|security|performance|concurren(?:t|cy)|multi[- ]tenant|microservices?|pipeline"
    r"|platform|production|full[- ]stack|integrat(?:e|ion)s?)\b",
    re.IGNORECASE,
)
# The first that is found decides, so what changes code stands before what makes it.
_INTENTS: Final = tuple(
    (intent, re.compile(rf"\b(?:{words})\b", re.IGNORECASE))
    for intent, words in (
        (Intent.TRANSLATE, r"translat(?:e|ion)"),
        (Intent.SUMMARIZE, r"summar(?:y|i[sz]e)|tl;?dr"),
        (Intent.FIX_BUG, r"fix(?:es)?|bugs?|debug|broken|crash(?:es|ed)?|traceback|stack ?trace"),
        (Intent.REFACTOR, r"refactor(?:ing)?|restructure|clean ?up|simplify|rename"),
        (Intent.OPTIMIZE, r"optimi[sz]e|speed up|faster|too slow|performance"),
        (Intent.WRITE_TESTS, r"(?:unit |integration |end[- ]to[- ]end )?tests?|test suite"),
        (Intent.WRITE_DOCS, r"docs|document(?:ation)?|docstrings?|readme|changelog"),
        (Intent.REVIEW, r"review|critique|proofread|feedback on"),
        (Intent.DEPLOY, r"deploy(?:ment)?|install|configure|set ?up|docker(?:file)?|kubernetes"),
        (Intent.ADD_FEATURE, r"add (?:an? |the )?(?:feature|support|option|button|field|column)"),
        (Intent.EXPLAIN, r"explain|what(?:'s| is| are| does)|why|difference between|who|when"),
        (Intent.PLAN, r"plan|roadmap|steps?|guide|architect(?:ure)?|design|how (?:do|can|should)"),
        (Intent.CREATE_API, r"apis?|endpoints?|routes?|webhooks?|server"),
        (Intent.CREATE_COMPONENT, r"components?|forms?|buttons?|widgets?|tsx|jsx|react|modal"),
        (Intent.CREATE_PAGE, r"(?:web ?|landing )?pages?|html|css"),
        (Intent.CREATE_DATABASE, r"sql|quer(?:y|ies)|tables?|schemas?|migrations?|database"),
        (Intent.CREATE_APP, r"app|application|website|site|game|project|dashboard"),
        (Intent.CREATE_FUNCTION, r"functions?|scripts?|class(?:es)?|modules?|code|regex"),
        (Intent.WRITE_TEXT, r"(?:e-?)?mail|letter|poem|stor(?:y|ies)|essay|article|blog|haiku"),
    )
)
_ASKED: Final = re.compile(
    r"[?？؟]|^\s*(?:[-*]|\d+[.)])\s|\b(?:and|then|also|plus)\b",  # noqa: RUF001
    re.IGNORECASE | re.MULTILINE,
)


def analyse(request: str) -> Analysis:
    """Return what the request asks for, by its words and its length."""
    return Analysis(
        intent=_intent_of(request),
        complexity=_complexity_of(request),
        strategy=_strategy_of(request),
    )


def goal_of(text: str) -> str:
    """Return the first sentence on one line, at most 200 characters; empty for a blank text."""
    start = text.lstrip()[:_LEADING_CHARS]
    end = _SENTENCE_END.search(start)
    return shortened(start[: end.end()] if end else start)


def shortened(text: str, limit: int = MAX_GOAL_CHARS) -> str:
    """Return the text on one line, cut with an ellipsis where it is longer than `limit`."""
    line = " ".join(text[: limit * 10].split())
    if len(line) <= limit:
        return line
    cut = limit - 1
    while cut > 0 and _continues(line[cut - 1], line[cut]):
        cut -= 1
    return (line[:cut].rstrip() or line[: limit - 1]) + "…"


def _continues(before: str, char: str) -> bool:
    """Say whether a cut between these two would split one visible character."""
    is_skin_tone = "\U0001f3fb" <= char <= "\U0001f3ff"
    is_flag = all("\U0001f1e6" <= letter <= "\U0001f1ff" for letter in (before, char))
    is_mark = unicodedata.category(char) in {"Mn", "Mc", "Me"}
    return is_mark or is_skin_tone or is_flag or "\u200d" in {before, char}


def _intent_of(request: str) -> Intent:
    text = request[:MAX_SCANNED_CHARS]
    return next((intent for intent, words in _INTENTS if words.search(text)), Intent.OTHER)


def _complexity_of(request: str) -> Complexity:
    text = request[:MAX_SCANNED_CHARS]
    points = (len(request) > 400) + 2 * (len(request) > 1_500)
    points += min(2, len(_ASKED.findall(text)) // 2)
    points += min(2, len({word.lower() for word in _HARD.findall(text)}))
    if points >= 3:
        return Complexity.COMPLEX
    return Complexity.MODERATE if points else Complexity.SIMPLE


def _strategy_of(request: str) -> Strategy:
    text = request[:MAX_SCANNED_CHARS]
    if not text.strip():
        return "clarify"
    if _CODE.search(text) and _MAKE.search(text):
        return "generate_code"
    if _STEPS.search(text):
        return "step_by_step"
    if len(text.split()) == 1 and len(text.strip()) <= 12 and text.isascii():
        return "clarify"
    return "direct_answer"
