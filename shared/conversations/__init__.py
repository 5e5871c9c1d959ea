"""Conversations as they are read, searched and erased."""
