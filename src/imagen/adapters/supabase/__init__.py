"""Supabase: the shared ledger, the image copies and the diagnostics."""
