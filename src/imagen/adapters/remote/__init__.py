"""HTTP client, errors and background calls, shared by every adapter that uses HTTP."""
