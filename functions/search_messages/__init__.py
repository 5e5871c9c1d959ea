"""GET|POST search-messages."""
