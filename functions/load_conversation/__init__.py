"""GET|POST load-conversation."""
