"""The port to wherever a person sees an image that was just made."""

from typing import Protocol


class PreviewError(Exception):
    """The image cannot be shown; says why in a few words, without a full stop."""


class Preview(Protocol):
    """Shows an image beside what a person is doing, and takes no focus."""

    def show(self, location: str) -> None:
        """Show the file, and return at once; at most after a second or so.

        Args:
            location: The absolute path of an image that was stored.

        Raises:
            PreviewFailed: it cannot be shown, or nobody knows whether it is.
        """
        ...
