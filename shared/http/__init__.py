"""The HTTP layer every endpoint shares: strict bodies, verified callers, one shape of error."""
