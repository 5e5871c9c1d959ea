"""Puts the schema, the forwarders and the settings into a Supabase project that is there already.

The project's folder is written to, its database only looked at: the migrations go in by the
project's own `supabase db push`. A program: python -m shared.install.
"""
