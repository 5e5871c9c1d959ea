"""How others store a turn, each through its public API, set up as well as it can be."""
