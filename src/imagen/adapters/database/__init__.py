"""SQLite: the journal, ledger, history, delivery queues and idempotency keys."""
