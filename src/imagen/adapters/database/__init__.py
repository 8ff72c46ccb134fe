"""SQLite: the journal, ledger, history, outbox and idempotency keys of this machine."""
