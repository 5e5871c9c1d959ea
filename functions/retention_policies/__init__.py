"""GET|PUT|DELETE retention-policies."""
