"""Takes a project's own old chat tables over: python -m shared.adoption.

The tables are those that a developer writes for such an application: `conversations` and
`messages`. They are read and never written. What this needs in the database is gone with its
session; only a list of the conversations that were taken stays.
"""
