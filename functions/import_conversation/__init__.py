"""POST import-conversation."""
