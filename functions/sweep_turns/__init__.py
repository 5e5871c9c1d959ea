"""POST sweep-turns."""
