"""What a running process says of itself: logs, spans, counts and measures."""
