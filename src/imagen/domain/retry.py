"""Automatic retries and the waits between them."""

import msgspec

from imagen.domain.errors import ImagenError, Throttled


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Exponential back-off in seconds; a backend's `retry_after` takes precedence."""

    attempts: int = 4
    first_wait: float = 0.5
    longest_wait: float = 30.0

    def wait_after(self, failure: ImagenError, *, attempt: int) -> float | None:
        """Return the seconds to wait after the nth attempt, or None to give up."""
        if not failure.retryable or attempt >= self.attempts:
            return None
        if isinstance(failure, Throttled) and failure.retry_after is not None:
            return max(0.0, failure.retry_after)
        return min(self.first_wait * 2.0 ** (attempt - 1), self.longest_wait)
