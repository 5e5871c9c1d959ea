"""The engine and the summariser that need no model and no network."""
