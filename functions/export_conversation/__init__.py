"""GET|POST export-conversation."""
