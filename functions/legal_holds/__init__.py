"""GET|POST|DELETE legal-holds."""
