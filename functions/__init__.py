"""The bundle: one module an endpoint, by its name."""
