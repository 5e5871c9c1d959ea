"""What the endpoints stand on. Knows nothing of any single endpoint."""
