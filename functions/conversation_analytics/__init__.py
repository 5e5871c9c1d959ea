"""GET|POST conversation-analytics."""
