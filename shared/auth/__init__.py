"""Who is calling, and how that is verified."""
