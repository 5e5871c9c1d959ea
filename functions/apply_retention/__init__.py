"""POST apply-retention."""
