"""The bundle: one folder an endpoint."""
