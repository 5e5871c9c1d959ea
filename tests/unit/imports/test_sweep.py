"""A sweep of what imports have left: a listing, and then one call an import."""

import uuid
from typing import Any, cast

from shared.errors import StoreUnavailableError
from shared.imports.sweep import sweep_imports
from shared.models.transfers import ImportLeftBehind, ImportsLeftBehind


class Listing:
    """A store with three imports left behind, of which the first can't be discarded."""

    def __init__(self) -> None:
        self.imports = [
            ImportLeftBehind(user_id=uuid.uuid4(), import_id=uuid.uuid4()) for _ in range(3)
        ]
        self.asked: list[tuple[uuid.UUID, uuid.UUID]] = []

    async def list_imports_left_behind(self) -> ImportsLeftBehind:
        return ImportsLeftBehind(imports=self.imports)

    async def discard_import(self, user_id: uuid.UUID, import_id: uuid.UUID) -> None:
        self.asked.append((user_id, import_id))
        if len(self.asked) == 1:
            raise StoreUnavailableError


async def test_an_import_that_cannot_be_discarded_keeps_no_other_from_it() -> None:
    """Each is asked for by its user and its id."""
    store = Listing()
    await sweep_imports(cast("Any", store))
    assert store.asked == [(left.user_id, left.import_id) for left in store.imports]
