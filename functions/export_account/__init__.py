"""GET|POST export-account."""
