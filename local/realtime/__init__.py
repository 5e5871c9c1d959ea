"""The local stack's broadcast server: what Supabase Realtime is to its clients, without Docker."""
