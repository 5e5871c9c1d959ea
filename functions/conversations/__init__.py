"""conversations: list, create, get, rename, archive, delete."""
