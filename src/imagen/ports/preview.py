"""The port for showing a finished image to the user."""

from typing import Protocol


class PreviewError(Exception):
    """The image cannot be shown. The message is a short phrase without a full stop."""


class Preview(Protocol):
    """A view beside the user's work that does not take the keyboard focus."""

    def show(self, location: str) -> None:
        """Show the file and return at once, after about a second at most.

        Args:
            location: Absolute path of a stored image.

        Raises:
            PreviewError: the image cannot be shown, or the result is unknown.
        """
        ...
