"""The engine and the summariser that ask a language model."""
