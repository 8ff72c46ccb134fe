"""How one call runs: attempts, job context, cancellation, threads, storing."""
