"""Turns: one request to the AI, from the stored message to the stored reply."""
