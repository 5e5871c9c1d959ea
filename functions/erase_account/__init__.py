"""POST erase-account."""
