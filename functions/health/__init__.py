"""GET health."""
