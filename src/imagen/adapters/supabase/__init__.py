"""Supabase: the shared ledger, the copies of images, and the diagnostics."""
