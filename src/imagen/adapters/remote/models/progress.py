"""The progress of a job, read from the log of its model."""

import re

import msgspec

_PROGRESS_BAR = re.compile(r"(\d{1,3})%\|[^|\n]*\| *(\d{1,7})/(\d{1,7})(?!\d)")
"""A progress bar of tqdm: ` 50%|█████     | 2/4 [00:00<00:00, 6.55it/s]`."""


class LogProgress(msgspec.Struct, frozen=True):
    """The progress in steps, read from a progress bar in the log."""

    done: int
    steps: int

    @property
    def fraction(self) -> float:
        """The progress from 0 to 1."""
        return min(1.0, self.done / self.steps)


def read_progress(log: str, *, steps: int | None) -> LogProgress | None:
    """Return the progress in a log; None if there is none.

    Args:
        log: The log.
        steps: The number of steps of the job; None if unknown.
    """
    # Loading a model prints progress bars too. Only bars with the number of steps of
    # the job count; if that number is unknown, the last bar.
    bars = [
        LogProgress(int(done), int(total))
        for _, done, total in _PROGRESS_BAR.findall(log)
    ]
    bars = [bar for bar in bars if bar.steps > 0 and steps in {None, bar.steps}]
    return bars[-1] if bars else None
