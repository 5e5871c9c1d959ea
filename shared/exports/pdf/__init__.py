"""A conversation as PDF: the process that sets it, and how that is run."""
