"""The formats of files that come in: one module each."""
