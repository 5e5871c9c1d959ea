"""Sets a conversation part by part, so that memory is bounded however long it is."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any, Final

from ....models.rows import ConversationRow
from ....models.transfers import ShownMessage
from .compiler import Typesetter
from .document import Summary, entry, head, timestamp
from .join import count_pages, finish, join
from .text import Characters, first_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

PART_MESSAGES: Final = 300
PART_CHARS: Final = 400_000


def typeset(lines: Iterable[bytes], target: Path) -> None:
    """Write the PDF of the conversation that is read."""
    rows = iter(lines)
    conversation = ConversationRow.model_validate_json(next(rows))
    _Document(conversation, target).write(ShownMessage.model_validate_json(row) for row in rows)


class _Document:
    def __init__(self, conversation: ConversationRow, target: Path) -> None:
        self._conversation = conversation
        self._target = target
        self._characters = Characters()
        self._typesetter = Typesetter(timestamp(conversation.updated_at))
        self._summary = Summary()

    def write(self, messages: Iterable[ShownMessage]) -> None:
        """Set the parts; the first one comes last, since its head counts all of them."""
        parts = self._parts(messages)
        first = next(parts)
        rest = [self._store(self._document(part), str(at)) for at, part in enumerate(parts, 2)]
        head = self._head()
        document = {**self._document(first), "head": head}
        if not rest:
            finish(self._typesetter.compile({**document, "numbered": True}), self._target)
            return
        paths = [self._store(document, "1"), *rest]
        join(paths, self._footers(sum(map(count_pages, paths))), self._target)

    def _parts(self, messages: Iterable[ShownMessage]) -> Iterator[list[dict[str, Any]]]:
        part: list[dict[str, Any]] = []
        size = 0
        for message in messages:
            self._summary.add(message)
            is_numbered = self._conversation.last_branch > 0  # branches name each other's messages
            part.append(entry(message, self._characters, is_numbered=is_numbered))
            beside = len(message.generated_code or "") + len(str(message.metadata))
            size += len(message.content) + beside
            if len(part) >= PART_MESSAGES or size >= PART_CHARS:
                yield part
                part, size = [], 0
        if part or not self._summary.messages:
            yield part

    def _store(self, document: dict[str, Any], name: str) -> Path:
        path = self._target.with_name(f"part-{name}.pdf")
        _apart(lambda: path.write_bytes(self._typesetter.compile(document, tagged=False)))
        return path

    def _document(self, part: list[dict[str, Any]]) -> dict[str, Any]:
        title = first_words(self._conversation.title, 200)
        return {
            "title": title,
            "footer": first_words(title, 50),
            "head": None,
            "messages": part,
            "numbered": False,
            "has_missing": self._characters.has_missing,
        }

    def _head(self) -> dict[str, Any]:
        return head(self._conversation, self._summary, self._characters)

    def _footers(self, pages: int) -> Path:
        document = {**self._document([]), "numbered": True, "empty_pages": pages}
        return self._store(document, "footers")


def _apart(work: Callable[[], object]) -> None:
    """Do this in a child: what the typesetter keeps in memory would add up from part to part."""
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join()
    if child.exitcode:
        raise MemoryError
