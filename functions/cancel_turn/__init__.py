"""POST cancel-turn."""
